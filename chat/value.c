#include "chat/value.h"

#include "chat/template.h"

#include <math.h>
#include <string.h>

struct value value_undefined(const char *name, size_t n, enum value_kind owner)
{
    return (struct value){.kind = V_UNDEFINED, .owner = (uint8_t)owner, .s = name, .size = n};
}

struct value value_list(struct engine *g, enum list_kind kind, size_t capacity)
{
    struct value v = {.kind = V_LIST, .list = engine_alloc(g, 1, sizeof(struct list))};
    v.list->kind = kind;
    v.list->items = capacity ? engine_alloc(g, capacity, sizeof(struct value)) : NULL;
    v.list->capacity = capacity;
    return v;
}

struct value value_dict(struct engine *g)
{
    return (struct value){.kind = V_DICT, .dict = engine_alloc(g, 1, sizeof(struct dict))};
}

void list_append(struct engine *g, struct list *l, struct value v)
{
    engine_work(g, 1);
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 4;
        struct value *items = engine_alloc(g, capacity, sizeof *items);
        if (l->count)
            memcpy(items, l->items, l->count * sizeof *items);
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = v;
}

/* Adds an entry whose key is known to be new. */
static void dict_append(struct engine *g, struct dict *d, struct value key, struct value v)
{
    if (d->count == d->capacity) {
        size_t capacity = d->capacity ? 2 * d->capacity : 4;
        struct entry *items = engine_alloc(g, capacity, sizeof *items);
        if (d->count)
            memcpy(items, d->items, d->count * sizeof *items);
        d->items = items;
        d->capacity = capacity;
    }
    d->items[d->count++] = (struct entry){key, v};
}

struct value *dict_find(struct engine *g, const struct dict *d, struct value key)
{
    engine_work(g, 1 + d->count / 4);
    for (size_t i = 0; i < d->count; i++)
        if (value_equal(g, d->items[i].key, key))
            return &d->items[i].value;
    return NULL;
}

struct value *dict_find_name(struct engine *g, const struct dict *d, const char *name, size_t n)
{
    return dict_find(g, d, value_string(name, n));
}

static bool hashable(struct engine *g, struct value v)
{
    if (v.kind == V_DICT || v.kind == V_NAMESPACE)
        return false;
    if (v.kind != V_LIST)
        return true;
    if (v.list->kind != TUPLE)
        return v.list->kind == GENERATOR || v.list->kind == RANGE;
    bool yes = true;
    engine_enter(g);
    engine_work(g, 1 + v.list->count);
    for (size_t i = 0; i < v.list->count && yes; i++)
        yes = hashable(g, v.list->items[i]);
    engine_leave(g);
    return yes;
}

static void check_key(struct engine *g, struct value key)
{
    if (!hashable(g, key))
        engine_fail(g, "%s cannot be a key", value_kind_name(key));
}

void dict_set(struct engine *g, struct dict *d, struct value key, struct value v)
{
    check_key(g, key);
    struct value *old = dict_find(g, d, key);
    if (old)
        *old = v;
    else
        dict_append(g, d, key, v);
}

struct value value_from_json(struct engine *g, const json_t *json)
{
    engine_work(g, 1);
    struct value v = value_of(V_NONE);
    if (!json || json_is_null(json))
        return v;
    if (json_is_string(json))
        return value_string(json_string_value(json), json_string_length(json));
    if (json_is_boolean(json))
        return value_bool(json_is_true(json));
    if (json_is_integer(json))
        return value_int(json_integer_value(json));
    if (json_is_real(json))
        return value_float(json_real_value(json));
    engine_enter(g);
    if (json_is_array(json)) {
        v = value_list(g, LIST, json_array_size(json));
        for (size_t i = 0; i < json_array_size(json); i++)
            list_append(g, v.list, value_from_json(g, json_array_get(json, i)));
    } else {
        /* Iterators of jansson take the object without const and leave it as it is. */
        json_t *object = (json_t *)(uintptr_t)json;
        v = value_dict(g);
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
            const char *key = json_object_iter_key(i);
            dict_append(g, v.dict, value_string(key, strlen(key)),
                        value_from_json(g, json_object_iter_value(i)));
        }
    }
    engine_leave(g);
    return v;
}

bool value_is_text(struct value v, const char *s)
{
    return v.kind == V_STRING && v.size == strlen(s) && memcmp(v.s, s, v.size) == 0;
}

bool value_is_integer(struct value v)
{
    return v.kind == V_BOOL || v.kind == V_INT;
}

bool value_is_number(struct value v)
{
    return value_is_integer(v) || v.kind == V_FLOAT;
}

int64_t value_integer(struct value v)
{
    return v.kind == V_BOOL ? v.b : v.i;
}

double value_number(struct value v)
{
    return v.kind == V_FLOAT ? v.f : (double)value_integer(v);
}

bool value_truth(struct value v)
{
    switch ((enum value_kind)v.kind) {
    case V_ABSENT:
    case V_UNDEFINED:
    case V_NONE:
        return false;
    case V_BOOL:
        return v.b;
    case V_INT:
        return v.i != 0;
    case V_FLOAT:
        return v.f != 0;
    case V_STRING:
        return v.size != 0;
    case V_LIST:
        return v.list->kind == GENERATOR || v.list->count != 0;
    case V_DICT:
        return v.dict->count != 0;
    default:
        return true;
    }
}

/* Exact also where a double cannot tell two integers apart. */
static int compare_numbers(struct value a, struct value b)
{
    if (value_is_integer(a) && value_is_integer(b)) {
        int64_t x = value_integer(a), y = value_integer(b);
        return (x > y) - (x < y);
    }
    double x = value_number(a), y = value_number(b);
    if (isnan(x) || isnan(y))
        return VALUE_UNORDERED;
    return (x > y) - (x < y);
}

static bool equal_lists(struct engine *g, const struct list *a, const struct list *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->count != b->count || a->kind == GENERATOR)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!value_equal(g, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool equal_dicts(struct engine *g, const struct dict *a, const struct dict *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct value *other = dict_find(g, b, a->items[i].key);
        if (!other || !value_equal(g, a->items[i].value, *other))
            return false;
    }
    return true;
}

bool value_equal(struct engine *g, struct value a, struct value b)
{
    if (value_is_number(a) && value_is_number(b))
        return compare_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    bool same;
    switch ((enum value_kind)a.kind) {
    case V_STRING:
        if (a.size != b.size)
            return false;
        engine_work(g, a.size / 16);
        return a.size == 0 || memcmp(a.s, b.s, a.size) == 0;
    case V_LIST:
        engine_enter(g);
        engine_work(g, 1 + a.list->count);
        same = equal_lists(g, a.list, b.list);
        engine_leave(g);
        return same;
    case V_DICT:
        engine_enter(g);
        same = equal_dicts(g, a.dict, b.dict);
        engine_leave(g);
        return same;
    case V_NAMESPACE:
        return a.dict == b.dict;
    case V_LOOP:
        return a.loop == b.loop;
    case V_FUNCTION:
        return a.function == b.function;
    case V_METHOD:
        return a.method == b.method;
    case V_MACRO:
        return a.macro == b.macro;
    default: /* none and undefined */
        return true;
    }
}

int value_compare(struct engine *g, struct value a, struct value b)
{
    if (value_is_number(a) && value_is_number(b))
        return compare_numbers(a, b);
    if (a.kind == V_STRING && b.kind == V_STRING) {
        /* The order of UTF-8's bytes is that of the code points. */
        size_t n = a.size < b.size ? a.size : b.size;
        engine_work_bytes(g, n);
        int order = n ? memcmp(a.s, b.s, n) : 0;
        return order ? (order > 0) - (order < 0) : (a.size > b.size) - (a.size < b.size);
    }
    if (a.kind == V_LIST && b.kind == V_LIST && a.list->kind == b.list->kind &&
        a.list->kind <= TUPLE) {
        engine_enter(g);
        int order = 0;
        for (size_t i = 0; order == 0 && i < a.list->count && i < b.list->count; i++) {
            engine_work(g, 1);
            if (!value_equal(g, a.list->items[i], b.list->items[i]))
                order = value_compare(g, a.list->items[i], b.list->items[i]);
        }
        engine_leave(g);
        return order ? order : (a.list->count > b.list->count) - (a.list->count < b.list->count);
    }
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
        value_fail_undefined(g, a.kind == V_UNDEFINED ? a : b);
    engine_fail(g, "%s and %s have no order", value_kind_name(a), value_kind_name(b));
}

static const struct list *characters(struct engine *g, struct value v)
{
    struct list *l = value_list(g, LIST, v.size).list;
    for (size_t i = 0, n; i < v.size; i += n) {
        for (n = 1; i + n < v.size && (v.s[i + n] & 0xC0) == 0x80; n++)
            ;
        list_append(g, l, value_string(v.s + i, n));
    }
    return l;
}

const struct list *value_items(struct engine *g, struct value v)
{
    struct list *l;
    switch ((enum value_kind)v.kind) {
    case V_LIST:
        if (v.list->kind == GENERATOR) {
            if (v.list->spent)
                return value_list(g, LIST, 0).list;
            v.list->spent = true;
        }
        return v.list;
    case V_STRING:
        return characters(g, v);
    case V_DICT:
        l = value_list(g, LIST, v.dict->count).list;
        for (size_t i = 0; i < v.dict->count; i++)
            list_append(g, l, v.dict->items[i].key);
        return l;
    case V_UNDEFINED:
        return value_list(g, LIST, 0).list;
    default:
        engine_fail(g, "%s has no items to go through", value_kind_name(v));
    }
}

size_t value_length(struct engine *g, struct value v)
{
    size_t n = 0;
    switch ((enum value_kind)v.kind) {
    case V_UNDEFINED:
        return 0;
    case V_STRING:
        engine_work_bytes(g, v.size);
        for (size_t i = 0; i < v.size; i++)
            n += (v.s[i] & 0xC0) != 0x80;
        return n;
    case V_DICT:
        return v.dict->count;
    case V_LIST:
        if (v.list->kind != GENERATOR)
            return v.list->count;
        engine_fail(g, "what a filter generates has no length; put |list after the filter");
    default:
        engine_fail(g, "%s has no length", value_kind_name(v));
    }
}

bool value_contains(struct engine *g, struct value all, struct value one)
{
    if (all.kind == V_STRING) {
        if (one.kind != V_STRING)
            engine_fail(g, "only a string can be in a string, not %s", value_kind_name(one));
        engine_work_bytes(g, all.size);
        return one.size == 0 || memmem(all.s, all.size, one.s, one.size) != NULL;
    }
    if (all.kind == V_DICT) {
        check_key(g, one);
        return dict_find(g, all.dict, one) != NULL;
    }
    const struct list *l = value_items(g, all);
    for (size_t i = 0; i < l->count; i++) {
        engine_work(g, 1);
        if (value_equal(g, l->items[i], one))
            return true;
    }
    return false;
}

const char *value_kind_name(struct value v)
{
    static const char *const names[] = {
        [V_ABSENT] = "nothing",  [V_UNDEFINED] = "an undefined value",
        [V_NONE] = "none",       [V_BOOL] = "a boolean",
        [V_INT] = "an integer",  [V_FLOAT] = "a float",
        [V_STRING] = "a string", [V_LIST] = "a list",
        [V_DICT] = "a dict",     [V_NAMESPACE] = "a namespace",
        [V_LOOP] = "a loop",     [V_FUNCTION] = "a function",
        [V_METHOD] = "a method", [V_MACRO] = "a macro",
    };
    static const char *const lists[] = {[LIST] = "a list",
                                        [TUPLE] = "a tuple",
                                        [RANGE] = "a range",
                                        [VIEW] = "a view of a dict",
                                        [GENERATOR] = "a generator (put |list after the filter)"};
    return v.kind == V_LIST && v.list ? lists[v.list->kind] : names[v.kind];
}

void value_fail_undefined(struct engine *g, struct value v)
{
    int n = engine_clip(v.s, v.size, ENGINE_CLIP);
    if (v.owner == V_ABSENT)
        engine_fail(g, "'%.*s' is undefined", n, v.s);
    engine_fail(g, "%s has no '%.*s'", value_kind_name((struct value){.kind = v.owner}), n, v.s);
}

void value_expect(struct engine *g, struct value v, enum value_kind kind, const char *what)
{
    if (v.kind == kind || (kind == V_INT && v.kind == V_BOOL))
        return;
    if (v.kind == V_UNDEFINED)
        value_fail_undefined(g, v);
    engine_fail(g, "%s must be %s, not %s", what, value_kind_name((struct value){.kind = kind}),
                value_kind_name(v));
}
