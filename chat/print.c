#include "chat/print.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest digits that read back as the same number, with an exponent where Python has one:
 * below 1e-4 and from 1e16 on. */
static void print_float(struct engine *g, struct text *t, double f, bool json)
{
    if (isnan(f) || isinf(f)) {
        text_string(g, t,
                    isnan(f) ? json ? "NaN" : "nan"
                    : f < 0  ? json ? "-Infinity" : "-inf"
                    : json   ? "Infinity"
                             : "inf");
        return;
    }
    char digits[40], out[64];
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, f);
    while (strtod(digits, NULL) != f && ++precision <= 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        int places = precision - exponent;
        snprintf(out, sizeof out, "%.*f", places > 1 ? places : 1, f);
        text_string(g, t, out);
        return;
    }
    char *e = strchr(digits, 'e');
    *e = 0;
    snprintf(out, sizeof out, "%se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent));
    text_string(g, t, out);
}

static bool printable(uint32_t c)
{
    /* Of what Python's repr escapes beyond ASCII: controls, separators other than the space. */
    return !(c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD || c == 0x1680 ||
             (c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) ||
             (c >= 0x205F && c <= 0x206F) || c == 0x3000 || (c >= 0xE000 && c <= 0xF8FF) ||
             c == 0xFEFF || c >= 0xE0000);
}

static void print_quoted(struct engine *g, struct text *t, struct value v)
{
    char quote = memchr(v.s, '\'', v.size) && !memchr(v.s, '"', v.size) ? '"' : '\'';
    text_byte(g, t, quote);
    for (size_t i = 0, n; i < v.size; i += n) {
        uint32_t c = 0;
        char escape[16];
        n = utf8_decode(v.s + i, v.size - i, &c);
        n = n ? n : 1;
        if (c == (unsigned char)quote || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (printable(c))
            escape[0] = 0;
        else
            snprintf(escape, sizeof escape,
                     c < 0x100     ? "\\x%02" PRIx32
                     : c < 0x10000 ? "\\u%04" PRIx32
                                   : "\\U%08" PRIx32,
                     c);
        if (escape[0])
            text_string(g, t, escape);
        else
            text_append(g, t, v.s + i, n);
    }
    text_byte(g, t, quote);
}

static void print_repr(struct engine *g, struct text *t, struct value v)
{
    if (v.kind == V_STRING)
        print_quoted(g, t, v);
    else if (v.kind == V_UNDEFINED)
        text_string(g, t, "Undefined");
    else
        print_value(g, t, v);
}

static void print_list(struct engine *g, struct text *t, const struct list *l)
{
    if (l->kind > TUPLE)
        engine_fail(g, "%s cannot be printed",
                    value_kind_name((struct value){.kind = V_LIST, .list = (struct list *)l}));
    text_byte(g, t, l->kind == LIST ? '[' : '(');
    for (size_t i = 0; i < l->count; i++) {
        if (i)
            text_string(g, t, ", ");
        print_repr(g, t, l->items[i]);
    }
    if (l->kind == TUPLE && l->count == 1)
        text_byte(g, t, ',');
    text_byte(g, t, l->kind == LIST ? ']' : ')');
}

static void print_dict(struct engine *g, struct text *t, const struct dict *d)
{
    text_byte(g, t, '{');
    for (size_t i = 0; i < d->count; i++) {
        if (i)
            text_string(g, t, ", ");
        print_repr(g, t, d->items[i].key);
        text_string(g, t, ": ");
        print_repr(g, t, d->items[i].value);
    }
    text_byte(g, t, '}');
}

void print_value(struct engine *g, struct text *t, struct value v)
{
    char number[32];
    switch ((enum value_kind)v.kind) {
    case V_ABSENT:
    case V_UNDEFINED:
        break;
    case V_NONE:
        text_string(g, t, "None");
        break;
    case V_BOOL:
        text_string(g, t, v.b ? "True" : "False");
        break;
    case V_INT:
        snprintf(number, sizeof number, "%" PRId64, v.i);
        text_string(g, t, number);
        break;
    case V_FLOAT:
        print_float(g, t, v.f, false);
        break;
    case V_STRING:
        text_append(g, t, v.s, v.size);
        break;
    case V_LIST:
        engine_enter(g);
        print_list(g, t, v.list);
        engine_leave(g);
        break;
    case V_DICT:
        engine_enter(g);
        print_dict(g, t, v.dict);
        engine_leave(g);
        break;
    default:
        engine_fail(g, "%s cannot be printed", value_kind_name(v));
    }
}

struct value value_to_string(struct engine *g, struct value v)
{
    if (v.kind == V_STRING)
        return v;
    struct text t = {0};
    print_value(g, &t, v);
    return value_text(&t);
}

static void print_json_string(struct engine *g, struct text *t, struct value v, bool ensure_ascii)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, its letter */
    text_byte(g, t, '"');
    for (size_t i = 0, n; i < v.size; i += n) {
        uint32_t c = 0;
        char escape[16] = "";
        n = utf8_decode(v.s + i, v.size - i, &c);
        n = n ? n : 1;
        for (size_t k = 0; k + 1 < sizeof named && !escape[0]; k += 2)
            if (c == (unsigned char)named[k])
                snprintf(escape, sizeof escape, "\\%c", named[k + 1]);
        if (!escape[0] && c >= 0x10000 && ensure_ascii)
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x",
                     (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
                     (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
        else if (!escape[0] && (c < 0x20 || (c >= 0x7F && ensure_ascii && n > 1)))
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
        if (escape[0])
            text_string(g, t, escape);
        else
            text_append(g, t, v.s + i, n);
    }
    text_byte(g, t, '"');
}

static void new_line(struct engine *g, struct text *t, const struct json_style *s, unsigned level)
{
    if (!s->pretty)
        return;
    text_byte(g, t, '\n');
    for (unsigned i = 0; i < level; i++)
        text_append(g, t, s->indent.s, s->indent.size);
}

static void print_json_value(struct engine *g, struct text *t, struct value v,
                             const struct json_style *s, unsigned level);

static int by_key(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    size_t n = x->size < y->size ? x->size : y->size;
    int order = n ? memcmp(x->s, y->s, n) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static struct dict *sorted(struct engine *g, const struct dict *d)
{
    struct dict *copy = value_dict(g).dict;
    if (!d->count)
        return copy;
    copy->items = engine_alloc(g, d->count, sizeof *copy->items);
    copy->count = d->count;
    memcpy(copy->items, d->items, d->count * sizeof *copy->items);
    for (size_t i = 0; i < d->count; i++)
        value_expect(g, d->items[i].key, V_STRING, "a key to be sorted");
    engine_work(g, 16 * d->count); /* log n comparisons each */
    qsort(copy->items, copy->count, sizeof *copy->items, by_key);
    return copy;
}

static void print_json_dict(struct engine *g, struct text *t, const struct dict *d,
                            const struct json_style *s, unsigned level)
{
    if (s->sort_keys)
        d = sorted(g, d);
    text_byte(g, t, '{');
    for (size_t i = 0; i < d->count; i++) {
        struct value key = d->items[i].key;
        if (i)
            text_append(g, t, s->item_separator.s, s->item_separator.size);
        new_line(g, t, s, level + 1);
        if (key.kind == V_LIST)
            engine_fail(g, "%s cannot be a key in JSON", value_kind_name(key));
        if (key.kind != V_STRING) { /* as Python: numbers, booleans and none become strings */
            struct text name = {0};
            print_json_value(g, &name, key, s, level);
            key = value_text(&name);
        }
        print_json_string(g, t, key, s->ensure_ascii);
        text_append(g, t, s->key_separator.s, s->key_separator.size);
        print_json_value(g, t, d->items[i].value, s, level + 1);
    }
    if (d->count)
        new_line(g, t, s, level);
    text_byte(g, t, '}');
}

static void print_json_list(struct engine *g, struct text *t, const struct list *l,
                            const struct json_style *s, unsigned level)
{
    text_byte(g, t, '[');
    for (size_t i = 0; i < l->count; i++) {
        if (i)
            text_append(g, t, s->item_separator.s, s->item_separator.size);
        new_line(g, t, s, level + 1);
        print_json_value(g, t, l->items[i], s, level + 1);
    }
    if (l->count)
        new_line(g, t, s, level);
    text_byte(g, t, ']');
}

static void print_json_value(struct engine *g, struct text *t, struct value v,
                             const struct json_style *s, unsigned level)
{
    engine_enter(g);
    if (v.kind == V_NONE)
        text_string(g, t, "null");
    else if (v.kind == V_BOOL)
        text_string(g, t, v.b ? "true" : "false");
    else if (v.kind == V_FLOAT)
        print_float(g, t, v.f, true);
    else if (v.kind == V_INT)
        print_value(g, t, v);
    else if (v.kind == V_STRING)
        print_json_string(g, t, v, s->ensure_ascii);
    else if (v.kind == V_LIST && v.list->kind <= TUPLE)
        print_json_list(g, t, v.list, s, level);
    else if (v.kind == V_DICT)
        print_json_dict(g, t, v.dict, s, level);
    else if (v.kind == V_UNDEFINED)
        value_fail_undefined(g, v);
    else
        engine_fail(g, "%s cannot be written as JSON", value_kind_name(v));
    engine_leave(g);
}

void print_as_json(struct engine *g, struct text *t, struct value v, const struct json_style *style)
{
    print_json_value(g, t, v, style, 0);
}
