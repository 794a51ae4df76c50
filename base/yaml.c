#include "base/yaml.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* A path that was given, with its place; sorted in the end to find what was given twice. */
struct seen {
    char *path;
    size_t order, line, column;
};

struct reader {
    yaml_parser_t parser;
    const char *file; /* for errors; NULL when the text has no name */
    struct yaml *y;
    struct seen *seen;
    size_t n_seen, seen_capacity;
    char path[YAML_MAX_DEPTH * (YAML_MAX_KEY + 1) + 1];
    struct error *e;
};

static int fail(struct reader *r, size_t line, size_t column, const char *format,
                const char *detail)
{
    error_set(r->e, ERR_FORMAT, format, detail);
    if (r->file)
        return error_prefix(r->e, "%s:%zu:%zu", r->file, line + 1, column + 1);
    return error_prefix(r->e, "line %zu, column %zu", line + 1, column + 1);
}

static int fail_at(struct reader *r, const yaml_event_t *at, const char *format, const char *detail)
{
    return fail(r, at->start_mark.line, at->start_mark.column, format, detail);
}

/* The next event, with what no configuration needs refused here for all callers. */
static int next(struct reader *r, yaml_event_t *event)
{
    if (!yaml_parser_parse(&r->parser, event)) {
        yaml_mark_t at = r->parser.problem_mark;
        if (r->parser.error == YAML_READER_ERROR) /* counts bytes, has no mark */
            at = r->parser.mark;
        const char *why = r->parser.problem ? r->parser.problem : "cannot be read";
        return fail(r, at.line, at.column, "not valid YAML: %s", why);
    }
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        anchor = event->data.alias.anchor;
        break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        return OK;
    }
    int code = OK;
    if (event->type == YAML_ALIAS_EVENT)
        code = fail_at(r, event, "alias \"*%.64s\": write the value out instead",
                       (const char *)anchor);
    else if (anchor)
        code = fail_at(r, event, "anchor \"&%.64s\" is not supported", (const char *)anchor);
    else if (tag)
        code = fail_at(r, event, "tag \"%.64s\" is not supported", (const char *)tag);
    if (code)
        yaml_event_delete(event);
    return code;
}

static struct yaml_entry *add_entry(struct reader *r, const yaml_event_t *at)
{
    void *entries = r->y->entries;
    mem_grow(&entries, &r->y->capacity, r->y->count, sizeof *r->y->entries);
    r->y->entries = entries;
    struct yaml_entry *entry = &r->y->entries[r->y->count++];
    *entry = (struct yaml_entry){.path = mem_string(r->path), .line = at->start_mark.line + 1};
    return entry;
}

static int add_scalar(struct reader *r, const yaml_event_t *event, bool in_list, size_t index)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    if (memchr(value, 0, n))
        return fail_at(r, event, "the value of \"%s\" holds a NUL character", r->path);
    if (r->y->count >= YAML_MAX_ENTRIES)
        return fail_at(r, event, "too many values for a configuration%s", "");
    struct yaml_entry *entry = add_entry(r, event);
    entry->value = mem_string_n(value, n);
    entry->in_list = in_list;
    entry->index = index;
    entry->is_null = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                     (n == 0 || !strcmp(value, "~") || !strcmp(value, "null") ||
                      !strcmp(value, "Null") || !strcmp(value, "NULL"));
    return OK;
}

static int read_list(struct reader *r, const yaml_event_t *start)
{
    for (size_t index = 0;; index++) {
        yaml_event_t event;
        int code = next(r, &event);
        if (code)
            return code;
        yaml_event_type_t type = event.type;
        if (type == YAML_SCALAR_EVENT)
            code = add_scalar(r, &event, true, index);
        else if (type != YAML_SEQUENCE_END_EVENT)
            code = fail_at(r, &event, "the list \"%s\" may hold only single values", r->path);
        yaml_event_delete(&event);
        if (code)
            return code;
        if (type == YAML_SEQUENCE_END_EVENT) {
            if (index == 0)
                add_entry(r, start)->in_list = true;
            return OK;
        }
    }
}

/* Appends the key to the path. */
static int enter_key(struct reader *r, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(r, event, "a key must be a name%s", "");
    const char *key = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length, used = strlen(r->path);
    if (n == 0 || n > YAML_MAX_KEY || memchr(key, 0, n))
        return fail_at(r, event, "a key must have 1 to 128 characters%s", "");
    if (memchr(key, '.', n))
        return fail_at(r, event, "key \"%s\" holds a dot: write nested keys on lines of their own",
                       key);
    if (used)
        r->path[used++] = '.';
    memcpy(r->path + used, key, n + 1);
    if (r->n_seen >= YAML_MAX_ENTRIES)
        return fail_at(r, event, "too many keys for a configuration%s", "");
    void *seen = r->seen;
    mem_grow(&seen, &r->seen_capacity, r->n_seen, sizeof *r->seen);
    r->seen = seen;
    r->seen[r->n_seen] = (struct seen){mem_string(r->path), r->n_seen, event->start_mark.line,
                                       event->start_mark.column};
    r->n_seen++;
    return OK;
}

static int read_mapping(struct reader *r, int depth)
{
    size_t path_length = strlen(r->path);
    for (;;) {
        yaml_event_t event;
        int code = next(r, &event);
        if (code)
            return code;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return OK;
        }
        code = enter_key(r, &event);
        yaml_event_delete(&event);
        if (code || (code = next(r, &event)))
            return code;
        if (event.type == YAML_SCALAR_EVENT)
            code = add_scalar(r, &event, false, 0);
        else if (event.type == YAML_SEQUENCE_START_EVENT)
            code = read_list(r, &event);
        else if (depth == YAML_MAX_DEPTH)
            code = fail_at(r, &event, "\"%s\" is nested too deeply", r->path);
        else
            code = read_mapping(r, depth + 1);
        yaml_event_delete(&event);
        if (code)
            return code;
        r->path[path_length] = 0;
    }
}

static int read_stream(struct reader *r)
{
    bool document = false;
    for (;;) {
        yaml_event_t event;
        int code = next(r, &event);
        if (code)
            return code;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && document)
            code = fail_at(r, &event, "a second document: a configuration is one document%s", "");
        else if (type == YAML_DOCUMENT_START_EVENT)
            document = true;
        else if (type == YAML_MAPPING_START_EVENT)
            code = read_mapping(r, 1);
        else if (type == YAML_SEQUENCE_START_EVENT ||
                 (type == YAML_SCALAR_EVENT && event.data.scalar.length > 0))
            code = fail_at(r, &event, "expected \"key: value\" lines%s", "");
        yaml_event_delete(&event);
        if (code || type == YAML_STREAM_END_EVENT)
            return code;
    }
}

static int compare_seen(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : x->order < y->order ? -1 : 1;
}

/* Sorting finds duplicates in n log n whatever the file; the first in the file is reported. */
static int check_duplicates(struct reader *r)
{
    if (r->n_seen < 2)
        return OK;
    qsort(r->seen, r->n_seen, sizeof *r->seen, compare_seen);
    const struct seen *first = NULL;
    for (size_t i = 1; i < r->n_seen; i++)
        if (!strcmp(r->seen[i - 1].path, r->seen[i].path) &&
            (!first || r->seen[i].order < first->order))
            first = &r->seen[i];
    return first ? fail(r, first->line, first->column, "key \"%s\" is given twice", first->path)
                 : OK;
}

static int parse_named(const char *file, const char *text, size_t n, struct yaml *y,
                       struct error *e)
{
    *y = (struct yaml){0};
    struct reader r = {.file = file, .y = y, .e = e};
    if (n > YAML_MAX_BYTES)
        return fail(&r, 0, 0, "larger than the 1 MiB a configuration may have%s", "");
    if (!yaml_parser_initialize(&r.parser))
        return error_set(e, ERR_MEMORY, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(n ? text : ""), n);
    int code = read_stream(&r);
    if (!code)
        code = check_duplicates(&r);
    yaml_parser_delete(&r.parser);
    for (size_t i = 0; i < r.n_seen; i++)
        mem_free(r.seen[i].path);
    mem_free(r.seen);
    if (code)
        yaml_entries_free(y);
    return code;
}

int yaml_parse(const char *text, size_t n, struct yaml *y, struct error *e)
{
    return parse_named(NULL, text, n, y, e);
}

int yaml_read(const char *path, struct yaml *y, struct error *e)
{
    *y = (struct yaml){0};
    struct buffer text = {0};
    int code = file_read(path, &text, YAML_MAX_BYTES, e);
    if (!code)
        code = parse_named(path, text.data, text.size, y, e);
    buffer_free(&text);
    return code;
}

void yaml_entries_free(struct yaml *y)
{
    for (size_t i = 0; i < y->count; i++) {
        mem_free(y->entries[i].path);
        mem_free(y->entries[i].value);
    }
    mem_free(y->entries);
    *y = (struct yaml){0};
}

const char *yaml_value(const struct yaml *y, const char *path)
{
    for (size_t i = 0; i < y->count; i++)
        if (strcmp(y->entries[i].path, path) == 0)
            return y->entries[i].value;
    return NULL;
}
