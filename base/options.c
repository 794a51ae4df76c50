#include "base/options.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdint.h>
#include <string.h>

/* Where a row lives. */
struct place {
    struct option_section *section;
    const struct option *row;
};

static struct option_origin *origin_of(struct place p)
{
    return &p.section->origins[p.row - p.section->rows];
}

static bool each_row(const struct options *o, struct place *p)
{
    if (!p->section) {
        *p = (struct place){o->sections, NULL};
        p->row = o->n_sections ? o->sections[0].rows : NULL;
    } else {
        p->row++;
    }
    while (p->section < o->sections + o->n_sections) {
        if (p->row < p->section->rows + p->section->n_rows)
            return true;
        p->section++;
        if (p->section < o->sections + o->n_sections)
            p->row = p->section->rows;
    }
    return false;
}

bool option_has_flag(const struct option_section *s, const struct option *row)
{
    if (!row->flag || !s->flags_of)
        return row->flag;
    for (const char *const *key = s->flags_of; *key; key++)
        if (strcmp(*key, row->key) == 0)
            return true;
    return false;
}

static bool find_key(const struct options *o, const char *section, size_t section_length,
                     const char *key, struct place *found)
{
    for (struct place p = {0}; each_row(o, &p);)
        if (strlen(p.section->name) == section_length &&
            strncmp(p.section->name, section, section_length) == 0 &&
            strcmp(p.row->key, key) == 0) {
            *found = p;
            return true;
        }
    return false;
}

static bool find_flag(const struct options *o, const char *flag, size_t n, struct place *found)
{
    for (struct place p = {0}; each_row(o, &p);)
        if (option_has_flag(p.section, p.row) && strlen(p.row->flag) == n &&
            strncmp(p.row->flag, flag, n) == 0) {
            *found = p;
            return true;
        }
    return false;
}

static bool find_letter(const struct options *o, char letter, struct place *found)
{
    for (struct place p = {0}; each_row(o, &p);)
        if (p.row->letter == letter && option_has_flag(p.section, p.row)) {
            *found = p;
            return true;
        }
    return false;
}

static bool is_list(const struct option *row)
{
    return row->type == OPTION_STRINGS || row->type == OPTION_NUMBERS;
}

static void set_default(struct place p)
{
    const struct option *row = p.row;
    struct error e;
    const char *text = row->default_value;
    if (row->type == OPTION_STRINGS) {
        option_parse_value(row, "", true, false, p.section->object, &e);
        for (size_t n; text; text = text[n] ? text + n + 1 : NULL) {
            n = strcspn(text, ",");
            char *item = mem_string_n(text, n);
            CHECK(!option_parse_value(row, item, false, true, p.section->object, &e));
            mem_free(item);
        }
        return;
    }
    if (!text && row->type == OPTION_BOOL)
        text = "false";
    if (!text && row->type == OPTION_ENUM)
        text = row->choices[0];
    CHECK(!option_parse_value(row, text ? text : "", !text, false, p.section->object, &e));
}

void options_init(struct options *o)
{
    for (size_t i = 0; i < o->n_sections; i++) {
        struct option_section *s = &o->sections[i];
        s->origins = mem_zero(s->n_rows, sizeof *s->origins);
        for (const char *const *pair = s->settled; pair && *pair; pair += 2) {
            struct place p;
            CHECK(find_key(o, s->name, strlen(s->name), pair[0], &p));
        }
    }
    for (struct place p = {0}, q; each_row(o, &p);) {
        CHECK(find_key(o, p.section->name, strlen(p.section->name), p.row->key, &q) &&
              q.row == p.row && q.section == p.section);
        CHECK(!option_has_flag(p.section, p.row) ||
              (find_flag(o, p.row->flag, strlen(p.row->flag), &q) && q.row == p.row &&
               q.section == p.section));
        CHECK(!p.row->letter || p.row->flag);
        CHECK(!p.row->letter || !option_has_flag(p.section, p.row) ||
              (find_letter(o, p.row->letter, &q) && q.row == p.row && q.section == p.section));
        CHECK(p.row->type != OPTION_ENUM || (p.row->choices && p.row->choices[0]));
        void *field = (char *)p.section->object + p.row->offset;
        if (p.row->type == OPTION_STRING)
            *(char **)field = NULL;
        if (p.row->type == OPTION_STRINGS)
            *(struct option_strings *)field = (struct option_strings){0};
        set_default(p);
    }
}

void options_free(struct options *o)
{
    struct place p = {0};
    for (size_t i = 0; i < o->n_sections; i++)
        if (!o->sections[i].origins)
            return;
    while (each_row(o, &p)) {
        if (p.row->type == OPTION_STRING || p.row->type == OPTION_STRINGS)
            option_parse_value(p.row, "", true, false, p.section->object, NULL);
        mem_free(origin_of(p)->where);
    }
    for (size_t i = 0; i < o->n_sections; i++) {
        mem_free(o->sections[i].origins);
        o->sections[i].origins = NULL;
    }
}

/* Stores the value unless a stronger source has spoken; checks it in any case. `append`: add to the
 * list that the same source began. */
static int set_value(struct place p, enum option_source source, const char *where, const char *text,
                     bool is_null, bool append, struct error *e)
{
    struct option_origin *origin = origin_of(p);
    bool wins = source >= origin->source;
    int code = option_parse_value(p.row, text, is_null, append, wins ? p.section->object : NULL, e);
    if (!code && wins) {
        char *copy = mem_string(where);
        mem_free(origin->where);
        *origin = (struct option_origin){source, copy};
    }
    return code;
}

/* Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours each cost
 * one. Only the last three rows of the table are kept. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LIMIT = 96 };
    size_t n = strlen(a), m = strlen(b), row[3][LIMIT + 1];
    if (n > LIMIT || m > LIMIT)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *two = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] =
                size_smaller(size_smaller(now[j - 1], above[j]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = size_smaller(now[j], two[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

const char *nearest_name(const char *name, const char *const *candidates, size_t n)
{
    size_t best = strlen(name) / 3 > 1 ? strlen(name) / 3 + 1 : 2;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(name, candidates[i]);
        if (distance < best) {
            best = distance;
            found = candidates[i];
        }
    }
    return found;
}

/* The known "section.key" nearest to the unknown `path`, or NULL; the caller frees it. A right key
 * in a wrong section counts as near. */
static char *nearest_key(const struct options *o, const char *path)
{
    struct option_strings full = {0};
    const char *bare = strchr(path, '.') ? strchr(path, '.') + 1 : path;
    char *found = NULL;
    for (struct place p = {0}; each_row(o, &p);) {
        if (!*p.section->name)
            continue;
        char *key = mem_printf("%s.%s", p.section->name, p.row->key);
        if (!found && strcmp(p.row->key, bare) == 0)
            found = mem_string(key);
        option_strings_add(&full, key);
        mem_free(key);
    }
    if (!found)
        found = mem_string(nearest_name(path, (const char *const *)full.items, full.count));
    option_strings_free(&full);
    return found;
}

static int unknown_key(const struct options *o, const char *where, const char *path,
                       struct error *e)
{
    const char *names[64];
    size_t n = 0, section_length = strcspn(path, ".");
    bool section_known = false;
    for (size_t i = 0; i < o->n_sections && n < 64; i++)
        if (*o->sections[i].name) {
            names[n++] = o->sections[i].name;
            section_known |= strlen(names[n - 1]) == section_length &&
                             strncmp(names[n - 1], path, section_length) == 0;
        }
    char *section = mem_string_n(path, section_length), *near = nearest_key(o, path);
    const char *near_section = nearest_name(section, names, n);
    if (section_known && !path[section_length])
        error_set(e, ERR_USAGE, "%s: \"%s\" is a section; write its keys under it, indented", where,
                  path);
    else if (near)
        error_set(e, ERR_USAGE, "%s: unknown key \"%s\"; did you mean \"%s\"?", where, path, near);
    else if (!section_known && near_section)
        error_set(e, ERR_USAGE, "%s: unknown section \"%s\"; did you mean \"%s\"?", where, section,
                  near_section);
    else
        error_set(e, ERR_USAGE, "%s: unknown %s \"%s\"; linnet help --configuration lists all",
                  where, section_known ? "key" : "section", section_known ? path : section);
    mem_free(section);
    mem_free(near);
    return ERR_USAGE;
}

/* Splits "section.key" at the first dot. The flags-only section has no keys. */
static bool find_path(const struct options *o, const char *path, struct place *p)
{
    const char *dot = strchr(path, '.');
    return dot && dot > path && find_key(o, path, (size_t)(dot - path), dot + 1, p);
}

static bool has_section(const struct options *o, const char *name, size_t length)
{
    for (size_t i = 0; i < o->n_sections; i++)
        if (length && strlen(o->sections[i].name) == length &&
            strncmp(o->sections[i].name, name, length) == 0)
            return true;
    return false;
}

static bool is_foreign(const struct options *o, const char *path)
{
    size_t n = strcspn(path, ".");
    return o->is_foreign && !has_section(o, path, n) && o->is_foreign(path, n);
}

static int apply_entry(struct options *o, const struct yaml_entry *entry, const char *path,
                       enum option_source source, const char *where, bool append, struct error *e)
{
    struct place p;
    if (!find_path(o, path, &p))
        return entry->is_null && has_section(o, path, strlen(path))
                   ? OK
                   : unknown_key(o, where, path, e);
    if (entry->in_list && !is_list(p.row))
        return error_set(e, ERR_USAGE, "%s: %s: expected a single value, found a list", where,
                         path);
    bool empty = !entry->value;
    if (entry->in_list && !empty && entry->is_null)
        return error_set(e, ERR_USAGE, "%s: %s: item %zu of the list is empty", where, path,
                         entry->index + 1);
    int code = set_value(p, source, where, empty ? "" : entry->value, empty || entry->is_null,
                         append || entry->index > 0, e);
    return code ? error_prefix(e, "%s: %s", where, path) : OK;
}

static int apply_entries(struct options *o, const struct yaml *y, const char *path,
                         enum option_source source, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < y->count && !code; i++) {
        const char *key = y->entries[i].path;
        if (is_foreign(o, key))
            continue;
        char *where = mem_printf("%s:%zu", path, y->entries[i].line);
        code = apply_entry(o, &y->entries[i], key, source, where, false, e);
        mem_free(where);
    }
    return code;
}

int options_apply_yaml(struct options *o, const struct yaml *y, const char *path, struct error *e)
{
    return apply_entries(o, y, path, OPTION_FROM_FILE, e);
}

static int read_entries(struct options *o, const char *path, enum option_source source,
                        struct error *e)
{
    struct yaml y;
    int code = yaml_read(path, &y, e);
    if (!code)
        code = apply_entries(o, &y, path, source, e);
    yaml_entries_free(&y);
    return code;
}

int options_read_yaml(struct options *o, const char *path, struct error *e)
{
    return read_entries(o, path, OPTION_FROM_FILE, e);
}

int options_read_stored(struct options *o, const char *path, struct error *e)
{
    return read_entries(o, path, OPTION_FROM_STORED, e);
}

int options_apply_stored(struct options *o, const struct yaml *y, const char *path, struct error *e)
{
    return apply_entries(o, y, path, OPTION_FROM_STORED, e);
}

/* The value is YAML only where a list is wanted: everywhere else it is taken as it stands. */
static int apply_list(struct options *o, const char *path, const char *text, bool append,
                      struct error *e)
{
    struct yaml y;
    char *line = mem_printf("v: %s", text);
    int code = yaml_parse(line, strlen(line), &y, e);
    mem_free(line);
    if (code)
        return error_set(e, ERR_USAGE, "--set: %s: expected a list such as [a, b], found \"%.80s\"",
                         path, text);
    for (size_t i = 0; i < y.count && !code; i++)
        code = apply_entry(o, &y.entries[i], path, OPTION_FROM_SET, "--set", append, e);
    yaml_entries_free(&y);
    return code;
}

int options_apply_set(struct options *o, const char *assignment, struct error *e)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return error_set(e, ERR_USAGE, "--set: expected section.key=value, found \"%.80s\"",
                         assignment);
    char *path = mem_string_n(assignment, (size_t)(equals - assignment));
    struct place p;
    int code = OK;
    if (!find_path(o, path, &p)) {
        code = unknown_key(o, "--set", path, e);
    } else {
        bool append = origin_of(p)->source == OPTION_FROM_SET;
        struct yaml_entry entry = {.value = (char *)equals + 1,
                                   .is_null = strcmp(equals + 1, "null") == 0};
        code = is_list(p.row) && equals[1] == '['
                   ? apply_list(o, path, equals + 1, append, e)
                   : apply_entry(o, &entry, path, OPTION_FROM_SET, "--set", append, e);
    }
    mem_free(path);
    return code;
}

static int unknown_flag(const struct options *o, const char *flag, size_t n, struct error *e)
{
    struct option_strings flags = {0};
    for (struct place p = {0}; each_row(o, &p);) {
        if (!option_has_flag(p.section, p.row))
            continue;
        option_strings_add(&flags, p.row->flag);
        if (p.row->type == OPTION_BOOL) {
            char *no = mem_printf("--no-%s", p.row->flag + 2);
            option_strings_add(&flags, no);
            mem_free(no);
        }
    }
    char *name = mem_string_n(flag, n);
    const char *near = nearest_name(name, (const char *const *)flags.items, flags.count);
    if (near)
        error_set(e, ERR_USAGE, "unknown flag %s; did you mean %s?", name, near);
    else
        error_set(e, ERR_USAGE, "unknown flag %s", name);
    mem_free(name);
    option_strings_free(&flags);
    return ERR_USAGE;
}

struct arguments {
    int count, next;
    char *const *items;
};

/* Anything that could be a flag is not taken as a value: a forgotten value should not swallow the
 * flag after it. --flag=value is for values that begin with a dash. */
static const char *next_value(struct arguments *a)
{
    if (a->next >= a->count)
        return NULL;
    const char *s = a->items[a->next];
    bool number = s[0] == '-' && (s[1] == '.' || (s[1] >= '0' && s[1] <= '9'));
    if (s[0] == '-' && s[1] && !number)
        return NULL;
    a->next++;
    return s;
}

static bool takes_several_values(const struct option *row)
{
    const char *shown = option_placeholder(row);
    size_t n = strlen(shown);
    return is_list(row) && n >= 3 && strcmp(shown + n - 3, "...") == 0;
}

static bool names_a_file(const struct option *row)
{
    static const char *const shown[] = {"PATH", "PATH...", "FILE", "FILE...", "DIR"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (strcmp(option_placeholder(row), shown[i]) == 0)
            return true;
    return false;
}

static int apply_flag_values(struct place p, const char *shown, const char *value,
                             struct arguments *rest, struct error *e)
{
    bool attached = value, takes_several = takes_several_values(p.row);
    if (!value && !(value = next_value(rest)))
        return error_set(e, ERR_USAGE, "%s needs a value: %s %s (%s)", shown, shown,
                         option_placeholder(p.row), p.row->help);
    int code;
    do {
        if (!*value && names_a_file(p.row))
            return error_set(e, ERR_USAGE, "%s: expected the name of a file or directory, found \"\"",
                             shown);
        bool append = origin_of(p)->source == OPTION_FROM_FLAG;
        code = set_value(p, OPTION_FROM_FLAG, p.row->flag, value, false, append, e);
        if (code)
            return error_prefix(e, "%s", shown);
    } while (takes_several && !attached && (value = next_value(rest)));
    return OK;
}

static int apply_flag(struct options *o, const char *flag, struct arguments *rest, struct error *e)
{
    size_t n = strcspn(flag, "=");
    const char *value = flag[n] ? flag + n + 1 : NULL;
    struct place p;
    if (flag[1] != '-' && flag[2] == 0 && find_letter(o, flag[1], &p))
        return apply_flag_values(p, flag, p.row->type == OPTION_BOOL ? "true" : NULL, rest, e);
    if (find_flag(o, flag, n, &p)) {
        char *shown = mem_string_n(flag, n);
        if (p.row->type == OPTION_BOOL && !value)
            value = "true";
        int code = apply_flag_values(p, shown, value, rest, e);
        mem_free(shown);
        return code;
    }
    if (strncmp(flag, "--no-", 5) == 0) {
        char *positive = mem_printf("--%s", flag + 5);
        bool found = find_flag(o, positive, strlen(positive), &p) && p.row->type == OPTION_BOOL;
        mem_free(positive);
        if (found)
            return set_value(p, OPTION_FROM_FLAG, flag, "false", false, false, e);
    }
    return unknown_flag(o, flag, n, e);
}

int options_apply_flags(struct options *o, int argc, char *const *argv,
                        struct option_strings *positionals, struct error *e)
{
    struct arguments a = {argc, 0, argv};
    bool flags_over = false;
    while (a.next < a.count) {
        const char *s = a.items[a.next++];
        int code = OK;
        if (!flags_over && strcmp(s, "--") == 0)
            flags_over = true;
        else if (!flags_over && s[0] == '-' && s[1])
            code = apply_flag(o, s, &a, e);
        else if (!positionals)
            code = error_set(e, ERR_USAGE, "unexpected argument \"%.200s\"", s);
        else
            option_strings_add(positionals, s);
        if (code)
            return code;
    }
    return OK;
}

static struct place must_find(const struct options *o, const char *section, const char *key)
{
    struct place p;
    CHECK(find_key(o, section, strlen(section), key, &p));
    return p;
}

bool option_given(const struct options *o, const char *section, const char *key)
{
    return option_source(o, section, key) != OPTION_FROM_DEFAULT;
}

enum option_source option_source(const struct options *o, const char *section, const char *key)
{
    return origin_of(must_find(o, section, key))->source;
}

const char *option_where(const struct options *o, const char *section, const char *key)
{
    const struct option_origin *origin = origin_of(must_find(o, section, key));
    return origin->where ? origin->where : "the default";
}

int option_require(const struct options *o, const char *section, const char *key, struct error *e)
{
    struct place p = must_find(o, section, key);
    if (origin_of(p)->source != OPTION_FROM_DEFAULT)
        return OK;
    if (!option_has_flag(p.section, p.row))
        return error_set(e, ERR_USAGE, "missing %s.%s: %s", section, key, p.row->help);
    return error_set(e, ERR_USAGE, "missing %s %s: %s", p.row->flag, option_placeholder(p.row),
                     p.row->help);
}
