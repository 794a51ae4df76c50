#include "chat/strings.h"

#include "base/utf8.h"
#include "tokenizer/unicode.h"

#include <string.h>

static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* The first byte of the character that ends at s + n. */
static size_t last_begin(const char *s, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && n - i < 4 && (s[i] & 0xC0) == 0x80)
        i--;
    return i;
}

size_t string_space_at(const char *s, size_t n)
{
    uint32_t c = 0;
    if (n && (unsigned char)*s < 0x80)
        return is_space((unsigned char)*s);
    size_t size = utf8_decode(s, n, &c);
    return size && is_space(c) ? size : 0;
}

size_t string_space_before(const char *s, size_t n)
{
    if (n == 0)
        return 0;
    size_t i = last_begin(s, n);
    return string_space_at(s + i, n - i);
}

static size_t length_at(const char *s, size_t n)
{
    uint32_t c;
    size_t size = utf8_decode(s, n, &c);
    return size ? size : 1;
}

static bool given(struct value v)
{
    return v.kind != V_ABSENT && v.kind != V_NONE;
}

/* Whether the n bytes of one character are in the set, or white space without one. */
static bool strips(struct value set, const char *s, size_t n)
{
    if (!given(set))
        return string_space_at(s, n) != 0;
    return memmem(set.s, set.size, s, n) != NULL;
}

struct value string_strip(struct engine *g, struct value v, struct value set, bool left, bool right)
{
    if (given(set))
        value_expect(g, set, V_STRING, "what is to be stripped");
    engine_work(g, 1 + (given(set) ? set.size : 0) / 16);
    while (left && v.size) {
        size_t n = length_at(v.s, v.size);
        if (!strips(set, v.s, n))
            break;
        engine_work(g, 1 + (given(set) ? set.size : 0) / 16);
        v.s += n;
        v.size -= n;
    }
    while (right && v.size) {
        size_t i = last_begin(v.s, v.size);
        if (!strips(set, v.s + i, v.size - i))
            break;
        engine_work(g, 1 + (given(set) ? set.size : 0) / 16);
        v.size = i;
    }
    return v;
}

static struct value part(struct value v, size_t begin, size_t end)
{
    return value_string(v.s + begin, end - begin);
}

static void split_at_spaces(struct engine *g, struct value v, int64_t most, struct list *out)
{
    size_t i = 0, n;
    for (;;) {
        while (i < v.size && (n = string_space_at(v.s + i, v.size - i)) != 0)
            i += n;
        if (i == v.size)
            return;
        size_t begin = i;
        if (most >= 0 && out->count == (size_t)most) {
            list_append(g, out, part(v, begin, v.size));
            return;
        }
        while (i < v.size && !string_space_at(v.s + i, v.size - i))
            i += length_at(v.s + i, v.size - i);
        list_append(g, out, part(v, begin, i));
    }
}

static void rsplit_at_spaces(struct engine *g, struct value v, int64_t most, struct list *out)
{
    size_t end = v.size, n;
    for (;;) {
        while ((n = string_space_before(v.s, end)) != 0)
            end -= n;
        if (end == 0)
            return;
        size_t begin = end;
        if (most >= 0 && out->count == (size_t)most) {
            list_append(g, out, part(v, 0, end));
            return;
        }
        while (begin > 0 && !string_space_before(v.s, begin))
            begin = last_begin(v.s, begin);
        list_append(g, out, part(v, begin, end));
        end = begin;
    }
}

/* The last occurrence that ends at or before `end`; NULL when there is none. */
static const char *find_last(const char *s, size_t end, struct value what)
{
    for (size_t i = end; i >= what.size; i--)
        if (memcmp(s + i - what.size, what.s, what.size) == 0)
            return s + i - what.size;
    return NULL;
}

static void split_at(struct engine *g, struct value v, struct value by, int64_t most,
                     struct list *out)
{
    size_t begin = 0;
    while (most < 0 || out->count < (size_t)most) {
        const char *p = memmem(v.s + begin, v.size - begin, by.s, by.size);
        if (!p)
            break;
        list_append(g, out, part(v, begin, (size_t)(p - v.s)));
        begin = (size_t)(p - v.s) + by.size;
    }
    list_append(g, out, part(v, begin, v.size));
}

static void rsplit_at(struct engine *g, struct value v, struct value by, int64_t most,
                      struct list *out)
{
    size_t end = v.size;
    while (most < 0 || out->count < (size_t)most) {
        const char *p = find_last(v.s, end, by);
        if (!p)
            break;
        list_append(g, out, part(v, (size_t)(p - v.s) + by.size, end));
        end = (size_t)(p - v.s);
    }
    list_append(g, out, part(v, 0, end));
}

struct value string_split(struct engine *g, struct value v, struct value separator, int64_t most,
                          bool from_right)
{
    struct value out = value_list(g, LIST, 0);
    struct list *l = out.list;
    engine_work_bytes(g, v.size * (from_right || !given(separator) ? 8 : 1));
    if (!given(separator)) {
        (from_right ? rsplit_at_spaces : split_at_spaces)(g, v, most, l);
    } else {
        value_expect(g, separator, V_STRING, "the separator");
        if (!separator.size)
            engine_fail(g, "cannot split at an empty separator");
        /* memcmp of an adversary's separator at every place */
        engine_work(g, from_right ? v.size / 16 * (separator.size / 16) : 0);
        (from_right ? rsplit_at : split_at)(g, v, separator, most, l);
    }
    for (size_t i = 0; from_right && i < l->count / 2; i++) {
        struct value swap = l->items[i];
        l->items[i] = l->items[l->count - 1 - i];
        l->items[l->count - 1 - i] = swap;
    }
    return out;
}

struct value string_lines(struct engine *g, struct value v)
{
    struct value out = value_list(g, LIST, 0);
    size_t begin = 0;
    engine_work_bytes(g, v.size);
    for (size_t i = 0, n; i < v.size; i += n) {
        uint32_t c = 0;
        n = utf8_decode(v.s + i, v.size - i, &c);
        n = n ? n : 1;
        bool end = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                   c == 0x2028 || c == 0x2029;
        if (!end)
            continue;
        list_append(g, out.list, part(v, begin, i));
        if (c == '\r' && i + 1 < v.size && v.s[i + 1] == '\n')
            n = 2;
        begin = i + n;
    }
    if (begin < v.size)
        list_append(g, out.list, part(v, begin, v.size));
    return out;
}

/* Python puts `by` before, between and after all characters. */
static struct value replace_nothing(struct engine *g, struct value v, struct value by, int64_t most)
{
    struct text t = {0};
    size_t i = 0;
    for (int64_t count = 0; most < 0 || count < most; count++) {
        text_append(g, &t, by.s, by.size);
        if (i == v.size)
            return value_text(&t);
        size_t n = length_at(v.s + i, v.size - i);
        text_append(g, &t, v.s + i, n);
        i += n;
    }
    text_append(g, &t, v.s + i, v.size - i);
    return value_text(&t);
}

struct value string_replace(struct engine *g, struct value v, struct value old, struct value by,
                            int64_t most)
{
    value_expect(g, old, V_STRING, "what is to be replaced");
    value_expect(g, by, V_STRING, "the replacement");
    engine_work_bytes(g, v.size);
    if (!old.size)
        return replace_nothing(g, v, by, most);
    struct text t = {0};
    size_t begin = 0;
    for (int64_t count = 0; most < 0 || count < most; count++) {
        const char *p = memmem(v.s + begin, v.size - begin, old.s, old.size);
        if (!p)
            break;
        text_append(g, &t, v.s + begin, (size_t)(p - v.s) - begin);
        text_append(g, &t, by.s, by.size);
        begin = (size_t)(p - v.s) + old.size;
    }
    if (!begin)
        return v;
    text_append(g, &t, v.s + begin, v.size - begin);
    return value_text(&t);
}

struct value string_case(struct engine *g, struct value v, enum string_case how)
{
    struct text t = {0};
    bool inside = false; /* of a word, or behind the first character */
    for (size_t i = 0, n; i < v.size; i += n) {
        uint32_t c = 0xFFFD;
        char bytes[4];
        n = utf8_decode(v.s + i, v.size - i, &c);
        n = n ? n : 1;
        bool upper = how == UPPER || (how != LOWER && !inside);
        if (upper && c == 0xDF) {
            text_string(g, &t, how == UPPER ? "SS" : "Ss");
        } else {
            size_t size = utf8_encode(upper ? unicode_to_upper(c) : unicode_to_lower(c), bytes);
            text_append(g, &t, bytes, size);
        }
        inside = how == CAPITALIZE || unicode_to_upper(c) != c || unicode_to_lower(c) != c;
    }
    struct value out = value_text(&t);
    out.safe = v.safe;
    return out;
}

/* Where each character begins, and the end; NULL when all are of one byte. */
static size_t *offsets(struct engine *g, struct value v, size_t *count)
{
    *count = value_length(g, v);
    if (*count == v.size)
        return NULL;
    size_t *at = engine_alloc(g, *count + 1, sizeof *at), k = 0;
    for (size_t i = 0; i < v.size; i++)
        if ((v.s[i] & 0xC0) != 0x80)
            at[k++] = i;
    at[k] = v.size;
    return at;
}

struct value string_at(struct engine *g, struct value v, int64_t index)
{
    size_t count = value_length(g, v);
    index += index < 0 ? (int64_t)count : 0;
    if (index < 0 || (uint64_t)index >= count)
        return value_of(V_ABSENT);
    if (count == v.size)
        return part(v, (size_t)index, (size_t)index + 1);
    size_t i = 0;
    for (int64_t k = 0; k < index; k++)
        i += length_at(v.s + i, v.size - i);
    return part(v, i, i + length_at(v.s + i, v.size - i));
}

/* A bound of a slice as Python clamps it to what a step of that sign can reach. */
static int64_t bound(struct engine *g, struct value v, int64_t otherwise, int64_t n, int64_t step)
{
    if (!given(v))
        return otherwise;
    value_expect(g, v, V_INT, "a bound of a slice");
    int64_t i = value_integer(v), low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

struct value value_slice(struct engine *g, struct value v, struct value start, struct value stop,
                         struct value step_value)
{
    if (v.kind == V_UNDEFINED)
        value_fail_undefined(g, v);
    if (v.kind != V_STRING && (v.kind != V_LIST || v.list->kind > RANGE))
        engine_fail(g, "%s cannot be sliced", value_kind_name(v));
    if (given(step_value))
        value_expect(g, step_value, V_INT, "the step of a slice");
    int64_t step = given(step_value) ? value_integer(step_value) : 1;
    if (step == 0)
        engine_fail(g, "the step of a slice cannot be 0");
    size_t count = 0;
    size_t *at = v.kind == V_STRING ? offsets(g, v, &count) : NULL;
    if (v.kind == V_LIST)
        count = v.list->count;
    int64_t n = (int64_t)count;
    step = step > n ? n + 1 : step < -n ? -n - 1 : step; /* so that i + step cannot overflow */
    int64_t first = bound(g, start, step < 0 ? n - 1 : 0, n, step);
    int64_t end = bound(g, stop, step < 0 ? -1 : n, n, step);
    if (v.kind == V_STRING && step == 1) {
        size_t b = (size_t)first, e = (size_t)(end < first ? first : end);
        return at ? part(v, at[b], at[e]) : part(v, b, e);
    }
    struct text t = {0};
    struct value out = v.kind == V_LIST ? value_list(g, v.list->kind, 0) : v;
    for (int64_t i = first; step > 0 ? i < end : i > end; i += step) {
        size_t k = (size_t)i;
        if (v.kind == V_LIST)
            list_append(g, out.list, v.list->items[k]);
        else
            text_append(g, &t, v.s + (at ? at[k] : k), at ? at[k + 1] - at[k] : 1);
    }
    return v.kind == V_LIST ? out : value_text(&t);
}

int64_t string_find(struct engine *g, struct value v, struct value what, bool last)
{
    value_expect(g, what, V_STRING, "what is looked for");
    engine_work_bytes(g, v.size * (last ? 8 : 1));
    if (last)
        engine_work(g, v.size / 16 * (what.size / 16));
    const char *p = last ? find_last(v.s, v.size, what) : memmem(v.s, v.size, what.s, what.size);
    return p ? (int64_t)value_length(g, part(v, 0, (size_t)(p - v.s))) : -1;
}

size_t string_count(struct engine *g, struct value v, struct value what)
{
    value_expect(g, what, V_STRING, "what is counted");
    if (!what.size)
        return value_length(g, v) + 1;
    engine_work_bytes(g, v.size);
    size_t count = 0, begin = 0;
    for (const char *p; (p = memmem(v.s + begin, v.size - begin, what.s, what.size)); count++)
        begin = (size_t)(p - v.s) + what.size;
    return count;
}

struct value string_escape(struct engine *g, struct value v)
{
    static const char *const entities[128] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&#34;", ['\''] = "&#39;"};
    if (!v.safe) {
        struct text t = {0};
        for (size_t i = 0; i < v.size; i++) {
            unsigned char c = (unsigned char)v.s[i];
            const char *entity = c < 128 ? entities[c] : NULL;
            if (entity)
                text_string(g, &t, entity);
            else
                text_byte(g, &t, v.s[i]);
        }
        v = value_text(&t);
    }
    v.safe = true;
    return v;
}
