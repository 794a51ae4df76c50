/* Filters of text and numbers, and what turns values into them. */
#include "chat/filters.h"
#include "chat/print.h"
#include "chat/strings.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT_MOST = 1000, JSON_BYTES = 128 };

int64_t filter_number(struct render *r, struct value v, int64_t otherwise, const char *what)
{
    if (!filter_given(v))
        return otherwise;
    value_expect(&r->g, v, V_INT, what);
    return value_integer(v);
}

struct value filter_call(struct render *r, const char *name, size_t n, struct value self,
                         const struct arguments *all)
{
    const struct builtin *b = builtin_find(text_filters, text_filter_count, name, n);
    if (!b)
        b = builtin_find(list_filters, list_filter_count, name, n);
    if (!b)
        engine_fail(&r->g, "the filter \"%.*s\" is not supported",
                    engine_clip(name, n, ENGINE_CLIP), name);
    return builtin_call(r, "the filter", b, self, all);
}

/* A number of spaces, or the text itself. */
static struct value indentation(struct render *r, struct value v)
{
    if (v.kind == V_STRING)
        return v;
    int64_t n = filter_number(r, v, 4, "the width of an indentation");
    if (n > INDENT_MOST)
        engine_fail(&r->g, "an indentation has at most %d spaces", INDENT_MOST);
    n = n < 0 ? 0 : n;
    char *spaces = engine_alloc(&r->g, (size_t)n + 1, 1);
    memset(spaces, ' ', (size_t)n);
    return value_string(spaces, (size_t)n);
}

FILTER(filter_tojson)
{
    UNUSED;
    struct json_style style = {.ensure_ascii = value_truth(a[0]), .sort_keys = value_truth(a[3])};
    struct text t = {0};
    style.pretty = filter_given(a[1]);
    if (style.pretty)
        style.indent = indentation(r, a[1]);
    style.item_separator = style.pretty ? value_string(",", 1) : value_string(", ", 2);
    style.key_separator = value_string(": ", 2);
    if (filter_given(a[2])) {
        const struct list *l = value_items(&r->g, a[2]);
        if (l->count != 2 || l->items[0].kind != V_STRING || l->items[1].kind != V_STRING)
            engine_fail(&r->g, "separators must be two strings");
        style.item_separator = l->items[0];
        style.key_separator = l->items[1];
    }
    print_as_json(&r->g, &t, self, &style);
    return value_text(&t);
}

FILTER(filter_from_json)
{
    UNUSED;
    struct engine *g = &r->g;
    struct error why;
    value_expect(g, self, V_STRING, "what is read as JSON");
    engine_work(g, self.size);
    /* No value that jansson makes takes more memory for each byte of its text than an empty object
     * ("{},": some 250 bytes). It counts as ours. */
    if (self.size > (g->pool.limit - g->pool.used) / JSON_BYTES)
        engine_fail(g, "the JSON is too long for the limit of memory");
    g->pool.used += self.size * JSON_BYTES;
    struct pending_json *p = engine_alloc(g, 1, sizeof *p);
    if (json_parse(self.s, self.size, &p->json, &why))
        engine_fail(g, "%s", why.message);
    p->next = r->json;
    r->json = p;
    return value_from_json(g, p->json);
}

FILTER(filter_string)
{
    UNUSED;
    return value_to_string(&r->g, self);
}

FILTER(filter_safe)
{
    UNUSED;
    struct value v = value_to_string(&r->g, self);
    v.safe = true;
    return v;
}

FILTER(filter_escape)
{
    UNUSED;
    return string_escape(&r->g, value_to_string(&r->g, self));
}

FILTER(filter_upper)
{
    UNUSED;
    return string_case(&r->g, value_to_string(&r->g, self), UPPER);
}

FILTER(filter_lower)
{
    UNUSED;
    return string_case(&r->g, value_to_string(&r->g, self), LOWER);
}

FILTER(filter_capitalize)
{
    UNUSED;
    return string_case(&r->g, value_to_string(&r->g, self), CAPITALIZE);
}

/* Unlike str.title: words begin behind white space, a hyphen or an opening bracket. */
FILTER(filter_title)
{
    UNUSED;
    struct engine *g = &r->g;
    struct value v = value_to_string(g, self);
    struct text t = {0};
    for (size_t i = 0, begin = 0; i < v.size;) {
        size_t space = string_space_at(v.s + i, v.size - i);
        bool ends = space || strchr("-({[<", v.s[i] ? v.s[i] : 'x');
        i += space ? space : 1;
        if (!ends && i < v.size)
            continue;
        struct value word = value_string(v.s + begin, i - begin);
        word = string_case(g, word, CAPITALIZE);
        text_append(g, &t, word.s, word.size);
        begin = i;
    }
    return value_text(&t);
}

FILTER(filter_trim)
{
    UNUSED;
    return string_strip(&r->g, value_to_string(&r->g, self), a[0], true, true);
}

FILTER(filter_replace)
{
    UNUSED;
    struct engine *g = &r->g;
    return string_replace(g, value_to_string(g, self), value_to_string(g, a[0]),
                          value_to_string(g, a[1]), filter_number(r, a[2], -1, "count"));
}

FILTER(filter_indent)
{
    UNUSED;
    struct engine *g = &r->g;
    struct value width = indentation(r, a[0]);
    struct text whole = {0}, t = {0};
    value_expect(g, self, V_STRING, "what is indented");
    text_append(g, &whole, self.s, self.size);
    text_byte(g, &whole, '\n'); /* so that a last newline counts as an empty line behind it */
    const struct list *lines = string_lines(g, value_text(&whole)).list;
    for (size_t i = 0; i < lines->count; i++) {
        struct value line = lines->items[i];
        if (i)
            text_byte(g, &t, '\n');
        if (i ? line.size || value_truth(a[2]) : value_truth(a[1]))
            text_append(g, &t, width.s, width.size);
        text_append(g, &t, line.s, line.size);
    }
    return value_text(&t);
}

FILTER(filter_default)
{
    UNUSED;
    if (self.kind == V_UNDEFINED || (value_truth(a[1]) && !value_truth(self)))
        return a[0].kind == V_ABSENT ? value_string("", 0) : a[0];
    return self;
}

FILTER(filter_length)
{
    UNUSED;
    return value_int((int64_t)value_length(&r->g, self));
}

/* Text as Python's int and float take it: white space around, _ between digits. *n is 0 when it is
 * no number for sure or too long to be one. */
static void number_text(struct render *r, struct value v, char *out, size_t capacity, size_t *n)
{
    v = string_strip(&r->g, v, value_of(V_ABSENT), true, true);
    *n = 0;
    if (v.size >= capacity)
        return;
    size_t used = 0;
    for (size_t i = 0; i < v.size; i++) {
        bool between = i > 0 && i + 1 < v.size && v.s[i - 1] != '_' && v.s[i + 1] != '_';
        if (v.s[i] == '_' && between)
            continue;
        if (!v.s[i] || v.s[i] == '_' || string_space_at(v.s + i, v.size - i))
            return;
        out[used++] = v.s[i];
    }
    out[used] = 0;
    *n = used;
}

static bool text_to_float(struct render *r, struct value v, double *f)
{
    char text[400], *end;
    size_t n;
    number_text(r, v, text, sizeof text, &n);
    if (!n || strpbrk(text, "xXpP("))
        return false;
    *f = strtod(text, &end);
    return *end == 0;
}

static bool text_to_int(struct render *r, struct value v, int base, int64_t *i)
{
    char text[100], *end;
    size_t n;
    number_text(r, v, text, sizeof text, &n);
    if (!n)
        return false;
    errno = 0;
    *i = strtoll(text, &end, base);
    if (*end)
        return false;
    if (errno)
        engine_fail(&r->g, "the number does not fit 64 bits");
    return true;
}

static struct value whole_part(struct render *r, double f)
{
    if (!(fabs(f) < 9.2e18))
        engine_fail(&r->g, "the number does not fit 64 bits");
    return value_int((int64_t)f);
}

FILTER(filter_int)
{
    UNUSED;
    int64_t i, base = filter_number(r, a[1], 10, "the base");
    double f;
    struct value otherwise = a[0].kind == V_ABSENT ? value_int(0) : a[0];
    if (base < 2 || base > 36)
        engine_fail(&r->g, "the base must be from 2 to 36");
    if (self.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, self);
    if (value_is_integer(self))
        return value_int(value_integer(self));
    if (self.kind == V_FLOAT)
        return isfinite(self.f) ? whole_part(r, self.f) : otherwise;
    if (self.kind != V_STRING)
        return otherwise;
    if (text_to_int(r, self, (int)base, &i))
        return value_int(i);
    if (!text_to_float(r, self, &f) || !isfinite(f))
        return otherwise;
    return whole_part(r, f);
}

FILTER(filter_float)
{
    UNUSED;
    double f;
    if (self.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, self);
    if (value_is_number(self))
        return value_float(value_number(self));
    if (self.kind == V_STRING && text_to_float(r, self, &f))
        return value_float(f);
    return a[0].kind == V_ABSENT ? value_float(0) : a[0];
}

FILTER(filter_abs)
{
    UNUSED;
    if (self.kind == V_FLOAT)
        return value_float(fabs(self.f));
    value_expect(&r->g, self, V_INT, "what abs is taken of");
    int64_t i = value_integer(self);
    return i < 0 ? render_binary(r, OP_SUB, value_int(0), self) : value_int(i);
}

FILTER(filter_round)
{
    UNUSED;
    char digits[400];
    int64_t places = filter_number(r, a[0], 0, "the precision");
    if (self.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, self);
    if (!value_is_number(self))
        engine_fail(&r->g, "%s cannot be rounded", value_kind_name(self));
    if (places < 0 || places > 15)
        engine_fail(&r->g, "the precision must be from 0 to 15");
    double f = value_number(self), scale = pow(10, (double)places);
    if (a[1].kind == V_ABSENT || value_is_text(a[1], "common")) {
        if (value_is_integer(self))
            return value_int(value_integer(self));
        snprintf(digits, sizeof digits, "%.*f", (int)places, f);
        return value_float(strtod(digits, NULL));
    }
    if (value_is_text(a[1], "ceil"))
        return value_float(ceil(f * scale) / scale);
    if (!value_is_text(a[1], "floor"))
        engine_fail(&r->g, "rounding is common, ceil or floor");
    return value_float(floor(f * scale) / scale);
}

const struct builtin text_filters[] = {
    {"tojson", filter_tojson, 0, {"ensure_ascii", "indent", "separators", "sort_keys"}, false},
    {"from_json", filter_from_json, 0, {NULL}, false},
    {"string", filter_string, 0, {NULL}, false},
    {"safe", filter_safe, 0, {NULL}, false},
    {"escape", filter_escape, 0, {NULL}, false},
    {"e", filter_escape, 0, {NULL}, false},
    {"upper", filter_upper, 0, {NULL}, false},
    {"lower", filter_lower, 0, {NULL}, false},
    {"capitalize", filter_capitalize, 0, {NULL}, false},
    {"title", filter_title, 0, {NULL}, false},
    {"trim", filter_trim, 0, {"chars"}, false},
    {"replace", filter_replace, 2, {"old", "new", "count"}, false},
    {"indent", filter_indent, 0, {"width", "first", "blank"}, false},
    {"default", filter_default, 0, {"default_value", "boolean"}, false},
    {"d", filter_default, 0, {"default_value", "boolean"}, false},
    {"length", filter_length, 0, {NULL}, false},
    {"count", filter_length, 0, {NULL}, false},
    {"int", filter_int, 0, {"default", "base"}, false},
    {"float", filter_float, 0, {"default"}, false},
    {"abs", filter_abs, 0, {NULL}, false},
    {"round", filter_round, 0, {"precision", "method"}, false},
};
const size_t text_filter_count = sizeof text_filters / sizeof *text_filters;
