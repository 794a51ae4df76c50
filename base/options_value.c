/* One option's value: from text into the field, and back. */
#include "base/options.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void option_strings_add(struct option_strings *s, const char *item)
{
    void *items = s->items;
    mem_grow(&items, &s->capacity, s->count, sizeof *s->items);
    s->items = items;
    s->items[s->count++] = mem_string(item);
}

void option_strings_free(struct option_strings *s)
{
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->items[i]);
    mem_free(s->items);
    *s = (struct option_strings){0};
}

const char *option_placeholder(const struct option *row)
{
    static const char *const by_type[] = {
        [OPTION_BOOL] = "",        [OPTION_SIZE] = "N",   [OPTION_INT] = "N",
        [OPTION_FLOAT] = "X",      [OPTION_STRING] = "S", [OPTION_ENUM] = "NAME",
        [OPTION_STRINGS] = "S...",  [OPTION_NUMBERS] = "X...",
    };
    return row->placeholder ? row->placeholder : by_type[row->type];
}

static void print_number(double x, struct buffer *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    buffer_string(out, text);
}

void option_describe_type(const struct option *row, struct buffer *out)
{
    static const char *const by_type[] = {
        [OPTION_BOOL] = "true or false",  [OPTION_SIZE] = "a whole number",
        [OPTION_INT] = "a whole number",  [OPTION_FLOAT] = "a number",
        [OPTION_STRING] = "text",         [OPTION_ENUM] = "one of ",
        [OPTION_STRINGS] = "text values", [OPTION_NUMBERS] = "numbers",
    };
    buffer_string(out, by_type[row->type]);
    if (row->type == OPTION_ENUM)
        for (size_t i = 0; row->choices[i]; i++)
            buffer_printf(out, "%s%s", i ? ", " : "", row->choices[i]);
    if (row->type != OPTION_SIZE && row->type != OPTION_INT && row->type != OPTION_FLOAT &&
        row->type != OPTION_NUMBERS)
        return;
    bool bounded = row->maximum > row->minimum && row->maximum < 1e12; /* above: no real limit */
    if (bounded) {
        buffer_string(out, " from ");
        print_number(row->minimum, out);
        buffer_string(out, " to ");
        print_number(row->maximum, out);
    } else if (row->maximum != row->minimum) {
        buffer_string(out, " of at least ");
        print_number(row->minimum, out);
    } else if (row->type == OPTION_SIZE) {
        buffer_string(out, " of at least 0");
    }
}

static int fail_value(const struct option *row, const char *text, struct error *e)
{
    struct buffer expected = {0};
    option_describe_type(row, &expected);
    error_set(e, ERR_USAGE, "expected %s, found \"%.80s\"", expected.data, text);
    buffer_free(&expected);
    return ERR_USAGE;
}

static bool within_limits(const struct option *row, double x)
{
    if (row->minimum == row->maximum)
        return true;
    return x >= row->minimum && (row->maximum < row->minimum || x <= row->maximum);
}

/* Digits with single underscores between them, and for sizes a suffix k, M or G. */
static bool parse_magnitude(const char *text, bool suffixes, uint64_t *value)
{
    uint64_t n = 0;
    const char *p = text;
    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p) || (*p == '_' && isdigit((unsigned char)p[1])); p++) {
        if (*p == '_')
            continue;
        unsigned digit = (unsigned)(*p - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (suffixes && *p) {
        uint64_t factor = *p == 'k' || *p == 'K' ? 1000 : *p == 'M' ? 1000000 : 1000000000;
        if (!strchr("kKMG", *p) || n > UINT64_MAX / factor)
            return false;
        n *= factor;
        p++;
    }
    *value = n;
    return *p == 0;
}

static bool parse_size(const struct option *row, const char *text, size_t *value)
{
    uint64_t n;
    if (!parse_magnitude(text, true, &n) || n > SIZE_MAX || !within_limits(row, (double)n))
        return false;
    *value = (size_t)n;
    return true;
}

static bool parse_int(const struct option *row, const char *text, int *value)
{
    uint64_t n;
    bool negative = *text == '-';
    if (!parse_magnitude(text + negative, false, &n) || n > INT_MAX)
        return false;
    *value = negative ? -(int)n : (int)n;
    return within_limits(row, *value);
}

static bool parse_float(const struct option *row, const char *text, double *value)
{
    if (!*text || text[strspn(text, "0123456789+-.eE")]) /* no hexadecimal, inf or nan */
        return false;
    char *end;
    *value = strtod(text, &end);
    return *end == 0 && isfinite(*value) && within_limits(row, *value);
}

static bool parse_bool(const char *text, bool *value)
{
    *value = strcmp(text, "true") == 0;
    return *value || strcmp(text, "false") == 0;
}

static bool parse_enum(const struct option *row, const char *text, int *value)
{
    for (*value = 0; row->choices[*value]; ++*value)
        if (strcmp(text, row->choices[*value]) == 0)
            return true;
    return false;
}

static int check_utf8(const char *text, struct error *e)
{
    uint32_t c;
    for (size_t n, i = 0, size = strlen(text); i < size; i += n)
        if ((n = utf8_decode(text + i, size - i, &c)) == 0)
            return error_set(e, ERR_USAGE, "byte %zu of the text is not valid UTF-8", i + 1);
    return OK;
}

static int parse_text(const struct option *row, const char *text, bool is_null, bool append,
                      void *field, struct error *e)
{
    int code = is_null ? OK : check_utf8(text, e);
    if (code || !field)
        return code;
    if (row->type == OPTION_STRING) {
        char **s = field;
        mem_free(*s);
        *s = is_null ? NULL : mem_string(text);
        return OK;
    }
    struct option_strings *s = field;
    if (!append)
        option_strings_free(s);
    if (!is_null)
        option_strings_add(s, text);
    return OK;
}

static bool parse_numbers(const struct option *row, const char *text, bool is_null, bool append,
                          struct option_numbers *field)
{
    double x = 0;
    if (!is_null && !parse_float(row, text, &x))
        return false;
    if (!field)
        return true;
    if (!append)
        field->count = 0;
    if (is_null)
        return true;
    if (field->count == OPTION_MOST_NUMBERS)
        return false;
    field->items[field->count++] = x;
    return true;
}

/* A number without a default is 0 until it is given, even where 0 is out of its range. */
static bool may_be_unset(const struct option *row)
{
    return !row->default_value &&
           (row->type == OPTION_SIZE || row->type == OPTION_INT || row->type == OPTION_FLOAT);
}

static bool is_unset(const struct option *row, const void *field)
{
    if (!may_be_unset(row) || within_limits(row, 0))
        return false;
    return row->type == OPTION_SIZE  ? *(const size_t *)field == 0
           : row->type == OPTION_INT ? *(const int *)field == 0
                                     : *(const double *)field == 0;
}

int option_parse_value(const struct option *row, const char *text, bool is_null, bool append,
                       void *object, struct error *e)
{
    void *field = object ? (char *)object + row->offset : NULL;
    union {
        bool b;
        size_t z;
        int i;
        double f;
    } v = {0};
    size_t size = 0;
    bool good = false, unset = is_null && may_be_unset(row);
    switch (row->type) {
    case OPTION_STRING:
    case OPTION_STRINGS:
        return parse_text(row, text, is_null, append, field, e);
    case OPTION_NUMBERS:
        return parse_numbers(row, text, is_null, append, field) ? OK : fail_value(row, text, e);
    case OPTION_BOOL:
        good = parse_bool(text, &v.b);
        size = sizeof v.b;
        break;
    case OPTION_SIZE:
        good = unset || parse_size(row, text, &v.z);
        size = sizeof v.z;
        break;
    case OPTION_INT:
        good = unset || parse_int(row, text, &v.i);
        size = sizeof v.i;
        break;
    case OPTION_FLOAT:
        good = unset || parse_float(row, text, &v.f);
        size = sizeof v.f;
        break;
    case OPTION_ENUM:
        good = parse_enum(row, text, &v.i);
        size = sizeof v.i;
        break;
    }
    if (!good)
        return fail_value(row, text, e);
    if (field)
        memcpy(field, &v, size);
    return OK;
}

/* Anything that YAML, in whatever version, might not read as this very text gets quotes. */
static bool is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n",   NULL};
    for (size_t i = 0; words[i]; i++)
        if (strcasecmp(s, words[i]) == 0)
            return false;
    if (!isalpha((unsigned char)*s) && *s != '/' && *s != '_')
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("_-./+", *s))
            return false;
    return true;
}

static void print_string(const char *s, struct buffer *out)
{
    if (is_plain(s)) {
        buffer_string(out, s);
        return;
    }
    buffer_byte(out, '"');
    for (size_t n, left = strlen(s); left; s += n, left -= n) {
        uint32_t c;
        n = utf8_decode(s, left, &c);
        CHECK(n > 0);
        bool printable = (c >= 0x20 && c < 0x7F) ||
                         (c > 0xA0 && c < 0xFFFE && c != 0xFEFF && c != 0x2028 && c != 0x2029) ||
                         c >= 0x10000;
        if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", (int)c);
        else if (c == '\n')
            buffer_string(out, "\\n");
        else if (c == '\t')
            buffer_string(out, "\\t");
        else if (printable)
            buffer_append(out, s, n);
        else
            buffer_printf(out, "\\u%04x", (unsigned)c);
    }
    buffer_byte(out, '"');
}

void option_print_value(const struct option *row, const void *object, struct buffer *out)
{
    const void *field = (const char *)object + row->offset;
    if (is_unset(row, field)) {
        buffer_string(out, "null");
        return;
    }
    switch (row->type) {
    case OPTION_BOOL:
        buffer_string(out, *(const bool *)field ? "true" : "false");
        break;
    case OPTION_SIZE:
        buffer_printf(out, "%zu", *(const size_t *)field);
        break;
    case OPTION_INT:
        buffer_printf(out, "%d", *(const int *)field);
        break;
    case OPTION_FLOAT:
        print_number(*(const double *)field, out);
        break;
    case OPTION_ENUM:
        buffer_string(out, row->choices[*(const int *)field]);
        break;
    case OPTION_STRING:
        if (*(char *const *)field)
            print_string(*(char *const *)field, out);
        else
            buffer_string(out, "null");
        break;
    case OPTION_STRINGS: {
        const struct option_strings *s = field;
        buffer_byte(out, '[');
        for (size_t i = 0; i < s->count; i++) {
            buffer_string(out, i ? ", " : "");
            print_string(s->items[i], out);
        }
        buffer_byte(out, ']');
        break;
    }
    case OPTION_NUMBERS: {
        const struct option_numbers *numbers = field;
        buffer_byte(out, '[');
        for (size_t i = 0; i < numbers->count; i++) {
            buffer_string(out, i ? ", " : "");
            print_number(numbers->items[i], out);
        }
        buffer_byte(out, ']');
        break;
    }
    }
}
