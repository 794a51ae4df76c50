/* The methods of strings, dicts, lists and tuples. A row without a function is one that Python has
 * and templates have not been seen to use: it is refused instead of being undefined. */
#include "chat/print.h"
#include "chat/render.h"
#include "chat/strings.h"

#include <string.h>

#define METHOD(name)                                                                               \
    static struct value name(struct render *r, struct value self, const struct value *a,           \
                             const struct arguments *all)

/* Parameters that a method does not look at. */
#define UNUSED (void)r, (void)self, (void)a, (void)all

static bool given(struct value v)
{
    return v.kind != V_ABSENT && v.kind != V_NONE;
}

static int64_t number_or(struct render *r, struct value v, int64_t otherwise, const char *what)
{
    if (!given(v))
        return otherwise;
    value_expect(&r->g, v, V_INT, what);
    return value_integer(v);
}

METHOD(str_split)
{
    UNUSED;
    return string_split(&r->g, self, a[0], number_or(r, a[1], -1, "maxsplit"), false);
}

METHOD(str_rsplit)
{
    UNUSED;
    return string_split(&r->g, self, a[0], number_or(r, a[1], -1, "maxsplit"), true);
}

METHOD(str_splitlines)
{
    UNUSED;
    return string_lines(&r->g, self);
}

METHOD(str_strip)
{
    UNUSED;
    return string_strip(&r->g, self, a[0], true, true);
}

METHOD(str_lstrip)
{
    UNUSED;
    return string_strip(&r->g, self, a[0], true, false);
}

METHOD(str_rstrip)
{
    UNUSED;
    return string_strip(&r->g, self, a[0], false, true);
}

static bool has_affix(struct render *r, struct value s, struct value affix, bool at_end)
{
    if (affix.kind == V_LIST && affix.list->kind == TUPLE) {
        for (size_t i = 0; i < affix.list->count; i++) {
            engine_work(&r->g, 1);
            if (affix.list->items[i].kind == V_STRING &&
                has_affix(r, s, affix.list->items[i], at_end))
                return true;
        }
        return false;
    }
    value_expect(&r->g, affix, V_STRING, "what the string may begin or end with");
    engine_work_bytes(&r->g, affix.size);
    return affix.size <= s.size && (!affix.size || memcmp(s.s + (at_end ? s.size - affix.size : 0),
                                                          affix.s, affix.size) == 0);
}

METHOD(str_startswith)
{
    UNUSED;
    return value_bool(has_affix(r, self, a[0], false));
}

METHOD(str_endswith)
{
    UNUSED;
    return value_bool(has_affix(r, self, a[0], true));
}

METHOD(str_removeprefix)
{
    UNUSED;
    value_expect(&r->g, a[0], V_STRING, "the prefix");
    if (has_affix(r, self, a[0], false))
        return value_string(self.s + a[0].size, self.size - a[0].size);
    return self;
}

METHOD(str_removesuffix)
{
    UNUSED;
    value_expect(&r->g, a[0], V_STRING, "the suffix");
    if (has_affix(r, self, a[0], true))
        return value_string(self.s, self.size - a[0].size);
    return self;
}

METHOD(str_replace)
{
    UNUSED;
    return string_replace(&r->g, self, a[0], a[1], number_or(r, a[2], -1, "count"));
}

METHOD(str_upper)
{
    UNUSED;
    return string_case(&r->g, self, UPPER);
}

METHOD(str_lower)
{
    UNUSED;
    return string_case(&r->g, self, LOWER);
}

METHOD(str_title)
{
    UNUSED;
    return string_case(&r->g, self, TITLE);
}

METHOD(str_capitalize)
{
    UNUSED;
    return string_case(&r->g, self, CAPITALIZE);
}

METHOD(str_find)
{
    UNUSED;
    return value_int(string_find(&r->g, self, a[0], false));
}

METHOD(str_rfind)
{
    UNUSED;
    return value_int(string_find(&r->g, self, a[0], true));
}

METHOD(str_index)
{
    UNUSED;
    int64_t i = string_find(&r->g, self, a[0], false);
    if (i < 0)
        engine_fail(&r->g, "index: the string does not contain it");
    return value_int(i);
}

METHOD(str_count)
{
    UNUSED;
    return value_int((int64_t)string_count(&r->g, self, a[0]));
}

METHOD(str_join)
{
    UNUSED;
    const struct list *l = value_items(&r->g, a[0]);
    struct text t = {0};
    for (size_t i = 0; i < l->count; i++) {
        value_expect(&r->g, l->items[i], V_STRING, "what is joined");
        if (i)
            text_append(&r->g, &t, self.s, self.size);
        text_append(&r->g, &t, l->items[i].s, l->items[i].size);
    }
    return value_text(&t);
}

METHOD(str_isdigit)
{
    UNUSED;
    bool digits = self.size > 0;
    engine_work_bytes(&r->g, self.size);
    for (size_t i = 0; i < self.size && digits; i++) {
        if (self.s[i] & 0x80)
            engine_fail(&r->g, "isdigit is supported for ASCII only");
        digits = self.s[i] >= '0' && self.s[i] <= '9';
    }
    return value_bool(digits);
}

METHOD(dict_get)
{
    UNUSED;
    const struct value *found = dict_find(&r->g, self.dict, a[0]);
    if (found)
        return *found;
    return a[1].kind == V_ABSENT ? value_of(V_NONE) : a[1];
}

static struct value view(struct render *r, const struct dict *d, bool keys, bool values)
{
    struct value out = value_list(&r->g, VIEW, d->count);
    for (size_t i = 0; i < d->count; i++) {
        struct value v = keys ? d->items[i].key : d->items[i].value;
        if (keys && values) {
            v = value_list(&r->g, TUPLE, 2);
            list_append(&r->g, v.list, d->items[i].key);
            list_append(&r->g, v.list, d->items[i].value);
        }
        list_append(&r->g, out.list, v);
    }
    return out;
}

METHOD(dict_items)
{
    UNUSED;
    return view(r, self.dict, true, true);
}

METHOD(dict_keys)
{
    UNUSED;
    return view(r, self.dict, true, false);
}

METHOD(dict_values)
{
    UNUSED;
    return view(r, self.dict, false, true);
}

METHOD(dict_pop)
{
    UNUSED;
    struct dict *d = self.dict;
    struct value *found = dict_find(&r->g, d, a[0]);
    if (!found) {
        if (a[1].kind == V_ABSENT)
            engine_fail(&r->g, "pop: the dict has no such key");
        return a[1];
    }
    struct value v = *found;
    struct entry *entry = (struct entry *)((char *)found - offsetof(struct entry, value));
    size_t behind = (size_t)(d->items + d->count - (entry + 1));
    memmove(entry, entry + 1, behind * sizeof *entry);
    d->count--;
    return v;
}

METHOD(list_append_method)
{
    UNUSED;
    list_append(&r->g, self.list, a[0]);
    return value_of(V_NONE);
}

METHOD(list_pop)
{
    UNUSED;
    struct list *l = self.list;
    int64_t n = (int64_t)l->count, i = number_or(r, a[0], -1, "the index");
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n)
        engine_fail(&r->g, "pop: the list has no such item");
    engine_work(&r->g, l->count / 16);
    struct value v = l->items[i];
    memmove(l->items + i, l->items + i + 1, (size_t)(n - i - 1) * sizeof *l->items);
    l->count--;
    return v;
}

METHOD(list_index)
{
    UNUSED;
    for (size_t i = 0; i < self.list->count; i++) {
        engine_work(&r->g, 1);
        if (value_equal(&r->g, self.list->items[i], a[0]))
            return value_int((int64_t)i);
    }
    engine_fail(&r->g, "index: the list does not contain it");
}

METHOD(list_count)
{
    UNUSED;
    int64_t count = 0;
    for (size_t i = 0; i < self.list->count; i++) {
        engine_work(&r->g, 1);
        count += value_equal(&r->g, self.list->items[i], a[0]);
    }
    return value_int(count);
}

static const struct builtin string_methods[] = {
    {"split", str_split, 0, {"sep", "maxsplit"}, false},
    {"rsplit", str_rsplit, 0, {"sep", "maxsplit"}, false},
    {"splitlines", str_splitlines, 0, {NULL}, false},
    {"strip", str_strip, 0, {"chars"}, false},
    {"lstrip", str_lstrip, 0, {"chars"}, false},
    {"rstrip", str_rstrip, 0, {"chars"}, false},
    {"startswith", str_startswith, 1, {"prefix"}, false},
    {"endswith", str_endswith, 1, {"suffix"}, false},
    {"removeprefix", str_removeprefix, 1, {"prefix"}, false},
    {"removesuffix", str_removesuffix, 1, {"suffix"}, false},
    {"replace", str_replace, 2, {"old", "new", "count"}, false},
    {"upper", str_upper, 0, {NULL}, false},
    {"lower", str_lower, 0, {NULL}, false},
    {"title", str_title, 0, {NULL}, false},
    {"capitalize", str_capitalize, 0, {NULL}, false},
    {"find", str_find, 1, {"sub"}, false},
    {"rfind", str_rfind, 1, {"sub"}, false},
    {"index", str_index, 1, {"sub"}, false},
    {"count", str_count, 1, {"sub"}, false},
    {"join", str_join, 1, {"iterable"}, false},
    {"isdigit", str_isdigit, 0, {NULL}, false},
    {.name = "casefold"},
    {.name = "center"},
    {.name = "encode"},
    {.name = "expandtabs"},
    {.name = "format"},
    {.name = "format_map"},
    {.name = "isalnum"},
    {.name = "isalpha"},
    {.name = "isascii"},
    {.name = "isdecimal"},
    {.name = "isidentifier"},
    {.name = "islower"},
    {.name = "isnumeric"},
    {.name = "isprintable"},
    {.name = "isspace"},
    {.name = "istitle"},
    {.name = "isupper"},
    {.name = "ljust"},
    {.name = "maketrans"},
    {.name = "partition"},
    {.name = "rindex"},
    {.name = "rjust"},
    {.name = "rpartition"},
    {.name = "swapcase"},
    {.name = "translate"},
    {.name = "zfill"},
};
static const struct builtin dict_methods[] = {
    {"get", dict_get, 1, {"key", "default"}, false},
    {"items", dict_items, 0, {NULL}, false},
    {"keys", dict_keys, 0, {NULL}, false},
    {"values", dict_values, 0, {NULL}, false},
    {"pop", dict_pop, 1, {"key", "default"}, false},
    {.name = "clear"},
    {.name = "copy"},
    {.name = "fromkeys"},
    {.name = "popitem"},
    {.name = "setdefault"},
    {.name = "update"},
};
static const struct builtin list_methods[] = {
    {"append", list_append_method, 1, {"item"}, false},
    {"pop", list_pop, 0, {"index"}, false},
    {"index", list_index, 1, {"item"}, false},
    {"count", list_count, 1, {"item"}, false},
    {.name = "clear"},
    {.name = "copy"},
    {.name = "extend"},
    {.name = "insert"},
    {.name = "remove"},
    {.name = "reverse"},
    {.name = "sort"},
};
static const struct builtin tuple_methods[] = {
    {"index", list_index, 1, {"item"}, false},
    {"count", list_count, 1, {"item"}, false},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

struct value builtin_method(struct render *r, struct value self, const char *name, size_t n)
{
    const struct builtin *b = NULL;
    if (self.kind == V_STRING)
        b = builtin_find(string_methods, COUNT(string_methods), name, n);
    else if (self.kind == V_DICT)
        b = builtin_find(dict_methods, COUNT(dict_methods), name, n);
    else if (self.kind == V_LIST && self.list->kind == LIST)
        b = builtin_find(list_methods, COUNT(list_methods), name, n);
    else if (self.kind == V_LIST && (self.list->kind == TUPLE || self.list->kind == RANGE))
        b = builtin_find(tuple_methods, COUNT(tuple_methods), name, n);
    if (!b)
        return value_of(V_ABSENT);
    if (!b->call)
        engine_fail(&r->g, "the method %s of %s is not supported", b->name, value_kind_name(self));
    struct method *m = engine_alloc(&r->g, 1, sizeof *m);
    *m = (struct method){.self = self, .builtin = b};
    return (struct value){.kind = V_METHOD, .method = m};
}
