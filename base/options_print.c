/* The option tables as text: help, resolved configuration, reference. */
#include "base/options.h"

#include "base/memory.h"

#include <string.h>

/* How far two dotted keys agree in whole components, as an offset into both. */
static size_t common_parents(const char *a, const char *b)
{
    size_t end = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '.')
            end = i + 1;
    return end;
}

static void print_indent(size_t depth, struct buffer *out)
{
    buffer_printf(out, "%*s", (int)(2 * depth), "");
}

void options_print_yaml(const struct options *o, struct buffer *out)
{
    for (size_t i = 0; i < o->n_sections; i++) {
        const struct option_section *s = &o->sections[i];
        if (!*s->name || !s->n_rows)
            continue;
        buffer_printf(out, "%s:\n", s->name);
        const char *previous = "";
        for (size_t j = 0; j < s->n_rows; j++) {
            const char *key = s->rows[j].key, *rest = key + common_parents(previous, key);
            size_t depth = 1;
            for (const char *p = key; p < rest; p++)
                depth += *p == '.';
            for (size_t n; rest[n = strcspn(rest, ".")]; rest += n + 1) {
                print_indent(depth++, out);
                buffer_append(out, rest, n);
                buffer_string(out, ":\n");
            }
            print_indent(depth, out);
            buffer_printf(out, "%s: ", rest);
            option_print_value(&s->rows[j], s->object, out);
            buffer_byte(out, '\n');
            previous = key;
        }
    }
}

static size_t columns(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (s[i] & 0xC0) != 0x80;
    return count;
}

void options_print_wrapped(const char *text, size_t at, size_t margin, size_t width,
                          struct buffer *out)
{
    bool line_empty = true;
    while (*text) {
        size_t n = strcspn(text, " "), size = columns(text, n);
        if (!line_empty && at + 1 + size > width) {
            buffer_printf(out, "\n%*s", (int)margin, "");
            at = margin;
            line_empty = true;
        }
        if (!line_empty) {
            buffer_byte(out, ' ');
            at++;
        }
        buffer_append(out, text, n);
        at += size;
        line_empty = false;
        text += n;
        text += strspn(text, " ");
    }
    buffer_byte(out, '\n');
}

static bool has_default(const struct option *row)
{
    return row->default_value && *row->default_value && row->type != OPTION_BOOL;
}

static void print_choices(const struct option *row, struct buffer *out)
{
    for (size_t i = 0; row->choices[i]; i++)
        buffer_printf(out, "%s%s", !i ? "" : row->choices[i + 1] ? ", " : " or ", row->choices[i]);
}

/* What the command says of the row's default, or NULL. */
static const char *settled_default(const struct option_section *s, const struct option *row)
{
    for (const char *const *pair = s->settled; pair && *pair; pair += 2)
        if (strcmp(pair[0], row->key) == 0)
            return pair[1];
    return NULL;
}

static bool is_on(const struct option *row)
{
    return row->type == OPTION_BOOL && row->default_value &&
           strcmp(row->default_value, "true") == 0;
}

/* "  -c, --config FILE" */
static size_t print_flag(const struct option *row, struct buffer *out)
{
    size_t begin = out->size;
    buffer_string(out, "  ");
    if (row->letter)
        buffer_printf(out, "-%c, ", row->letter);
    if (is_on(row))
        buffer_printf(out, "--[no-]%s", row->flag + 2);
    else
        buffer_string(out, row->flag);
    const char *placeholder = option_placeholder(row);
    buffer_printf(out, "%s%s", *placeholder ? " " : "", placeholder);
    return columns(out->data + begin, out->size - begin);
}

/* Two columns right of the longest flag, but for unusually long ones. */
static size_t help_margin(const struct options *o)
{
    enum { MOST = 32 };
    struct buffer scratch = {0};
    size_t margin = 0;
    for (size_t i = 0; i < o->n_sections; i++)
        for (size_t j = 0; j < o->sections[i].n_rows; j++) {
            if (!option_has_flag(&o->sections[i], &o->sections[i].rows[j]))
                continue;
            size_t need = print_flag(&o->sections[i].rows[j], &scratch) + 2;
            margin = need > margin && need <= MOST ? need : margin;
        }
    buffer_free(&scratch);
    return margin;
}

static void print_flag_help(const struct option_section *s, const struct option *row, size_t margin, size_t width,
                            struct buffer *out)
{
    const char *settled = settled_default(s, row);
    size_t at = print_flag(row, out);
    if (at + 2 > margin)
        buffer_printf(out, "\n%*s", (int)margin, "");
    else
        buffer_printf(out, "%*s", (int)(margin - at), "");

    struct buffer text = {0};
    buffer_string(&text, row->help);
    if (settled) {
        buffer_printf(&text, " (default %s)", settled);
    } else if (row->type == OPTION_ENUM) {
        buffer_string(&text, " (");
        print_choices(row, &text);
        buffer_printf(&text, "; default %s)",
                      row->default_value ? row->default_value : row->choices[0]);
    } else if (has_default(row)) {
        buffer_printf(&text, " (default %s)", row->default_value);
    } else if (is_on(row)) {
        buffer_string(&text, " (default on)");
    }
    options_print_wrapped(text.data, margin, margin, width, out);
    buffer_free(&text);
}

void options_print_help(const struct options *o, size_t width, struct buffer *out)
{
    bool first = true;
    size_t margin = help_margin(o);
    for (size_t i = 0; i < o->n_sections; i++) {
        const struct option_section *s = &o->sections[i];
        bool heading = false;
        for (size_t j = 0; j < s->n_rows; j++) {
            if (!option_has_flag(s, &s->rows[j]))
                continue;
            if (!heading)
                buffer_printf(out, "%s%s:\n", first ? "" : "\n", s->help);
            heading = true;
            first = false;
            print_flag_help(s, &s->rows[j], margin, width, out);
        }
    }
}

/* Inside a table cell a bar would end the cell. */
static void print_cell(const char *text, struct buffer *out)
{
    for (; *text; text++) {
        if (*text == '|')
            buffer_byte(out, '\\');
        buffer_byte(out, *text);
    }
}

static void print_reference_row(const struct option *row, struct buffer *out)
{
    struct buffer type = {0};
    option_describe_type(row, &type);
    buffer_printf(out, "| `%s` | ", row->key);
    print_cell(type.data, out);
    buffer_string(out, " | ");
    if (row->default_value && *row->default_value) {
        buffer_byte(out, '`');
        print_cell(row->default_value, out);
        buffer_byte(out, '`');
    } else {
        buffer_string(out, row->type == OPTION_BOOL ? "`false`" : "");
    }
    buffer_string(out, " | ");
    if (row->flag)
        buffer_printf(out, "`%s`", row->flag);
    buffer_string(out, " | ");
    print_cell(row->help, out);
    buffer_string(out, " |\n");
    buffer_free(&type);
}

void options_print_markdown(const struct options *o, struct buffer *out)
{
    bool first = true;
    for (size_t i = 0; i < o->n_sections; i++) {
        const struct option_section *s = &o->sections[i];
        if (!*s->name || !s->n_rows)
            continue;
        buffer_printf(out, "%s## `%s`: %s\n\n", first ? "" : "\n", s->name, s->help);
        buffer_string(out, "| key | value | default | flag | meaning |\n"
                           "|---|---|---|---|---|\n");
        for (size_t j = 0; j < s->n_rows; j++)
            print_reference_row(&s->rows[j], out);
        first = false;
    }
}
