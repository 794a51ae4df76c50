/* Filters of lists and dicts. */
#include "chat/filters.h"
#include "chat/print.h"
#include "chat/strings.h"

#include <string.h>

struct value render_generator(struct render *r, size_t capacity)
{
    return value_list(&r->g, GENERATOR, capacity);
}

FILTER(filter_list)
{
    UNUSED;
    const struct list *l = value_items(&r->g, self);
    struct value out = value_list(&r->g, LIST, l->count);
    for (size_t i = 0; i < l->count; i++)
        list_append(&r->g, out.list, l->items[i]);
    return out;
}

FILTER(filter_join)
{
    UNUSED;
    struct engine *g = &r->g;
    const struct list *l = value_items(g, self);
    struct value by = a[0].kind == V_ABSENT ? value_string("", 0) : value_to_string(g, a[0]);
    struct text t = {0};
    for (size_t i = 0; i < l->count; i++) {
        if (i)
            text_append(g, &t, by.s, by.size);
        print_value(g, &t, render_path(r, l->items[i], a[1]));
    }
    return value_text(&t);
}

FILTER(filter_first)
{
    UNUSED;
    if (self.kind == V_STRING && self.size)
        return string_at(&r->g, self, 0);
    if (self.kind == V_LIST && self.list->kind == GENERATOR && self.list->count) {
        self.list->count--; /* the others are still to come */
        self.list->capacity = 0;
        return *self.list->items++;
    }
    const struct list *l = value_items(&r->g, self);
    return l->count ? l->items[0] : value_undefined("first", 5, V_LIST);
}

FILTER(filter_last)
{
    UNUSED;
    if (self.kind == V_STRING && self.size)
        return string_at(&r->g, self, -1);
    value_length(&r->g, self); /* what has none has no last item in Python either */
    const struct list *l = value_items(&r->g, self);
    return l->count ? l->items[l->count - 1] : value_undefined("last", 4, V_LIST);
}

FILTER(filter_reverse)
{
    UNUSED;
    if (self.kind == V_STRING)
        return value_slice(&r->g, self, value_of(V_NONE), value_of(V_NONE), value_int(-1));
    const struct list *l = value_items(&r->g, self);
    struct value out = render_generator(r, l->count);
    for (size_t i = l->count; i-- > 0;)
        list_append(&r->g, out.list, l->items[i]);
    return out;
}

FILTER(filter_items)
{
    UNUSED;
    if (self.kind == V_UNDEFINED)
        return render_generator(r, 0);
    if (self.kind != V_DICT)
        engine_fail(&r->g, "items are those of a dict, not of %s", value_kind_name(self));
    struct value out = render_generator(r, self.dict->count);
    for (size_t i = 0; i < self.dict->count; i++) {
        struct value pair = value_list(&r->g, TUPLE, 2);
        list_append(&r->g, pair.list, self.dict->items[i].key);
        list_append(&r->g, pair.list, self.dict->items[i].value);
        list_append(&r->g, out.list, pair);
    }
    return out;
}

/* What is compared: text in lower case unless case counts. */
static struct value sort_key(struct render *r, struct value v, struct value attribute,
                             bool case_sensitive)
{
    v = render_path(r, v, attribute);
    return v.kind == V_STRING && !case_sensitive ? string_case(&r->g, v, LOWER) : v;
}

/* Several attributes, separated by commas, compare one after the other. */
static struct value sort_keys(struct render *r, struct value v, struct value attribute,
                              bool case_sensitive)
{
    if (attribute.kind != V_STRING)
        return sort_key(r, v, attribute, case_sensitive);
    struct value keys = value_list(&r->g, TUPLE, 1);
    const struct list *parts = string_split(&r->g, attribute, value_string(",", 1), -1, false).list;
    for (size_t i = 0; i < parts->count; i++)
        list_append(&r->g, keys.list, sort_key(r, v, parts->items[i], case_sensitive));
    return keys;
}

struct keyed {
    struct value key, item;
};

/* Stable merge sort; equal keys keep their order in reverse too. */
static void sort(struct render *r, struct keyed *items, struct keyed *scratch, size_t n,
                 bool reverse)
{
    if (n < 2)
        return;
    size_t half = n / 2, a = 0, b = half, k = 0;
    sort(r, items, scratch, half, reverse);
    sort(r, items + half, scratch, n - half, reverse);
    while (a < half || b < n) {
        bool second = a == half;
        engine_work(&r->g, 1);
        if (a < half && b < n) {
            struct value x = items[a].key, y = items[b].key;
            second = value_compare(&r->g, reverse ? x : y, reverse ? y : x) == -1;
        }
        scratch[k++] = second ? items[b++] : items[a++];
    }
    memcpy(items, scratch, n * sizeof *items);
}

static struct value sorted(struct render *r, struct keyed *items, size_t n, bool reverse)
{
    struct value out = value_list(&r->g, LIST, n);
    sort(r, items, engine_alloc(&r->g, n, sizeof *items), n, reverse);
    for (size_t i = 0; i < n; i++)
        list_append(&r->g, out.list, items[i].item);
    return out;
}

FILTER(filter_sort)
{
    UNUSED;
    const struct list *l = value_items(&r->g, self);
    struct keyed *items = engine_alloc(&r->g, l->count, sizeof *items);
    for (size_t i = 0; i < l->count; i++)
        items[i] = (struct keyed){sort_keys(r, l->items[i], a[2], value_truth(a[1])), l->items[i]};
    return sorted(r, items, l->count, value_truth(a[0]));
}

FILTER(filter_dictsort)
{
    UNUSED;
    value_expect(&r->g, self, V_DICT, "what dictsort sorts");
    const struct dict *d = self.dict;
    bool by_value = value_is_text(a[1], "value");
    if (a[1].kind != V_ABSENT && !by_value && !value_is_text(a[1], "key"))
        engine_fail(&r->g, "dictsort sorts by key or value");
    struct keyed *items = engine_alloc(&r->g, d->count, sizeof *items);
    for (size_t i = 0; i < d->count; i++) {
        struct value pair = value_list(&r->g, TUPLE, 2);
        list_append(&r->g, pair.list, d->items[i].key);
        list_append(&r->g, pair.list, d->items[i].value);
        struct value key = by_value ? d->items[i].value : d->items[i].key;
        items[i] = (struct keyed){sort_key(r, key, value_of(V_ABSENT), value_truth(a[0])), pair};
    }
    return sorted(r, items, d->count, value_truth(a[2]));
}

FILTER(filter_unique)
{
    UNUSED;
    const struct list *l = value_items(&r->g, self);
    struct value out = render_generator(r, 0), seen = value_dict(&r->g);
    for (size_t i = 0; i < l->count; i++) {
        struct value key = sort_key(r, l->items[i], a[1], value_truth(a[0]));
        if (dict_find(&r->g, seen.dict, key))
            continue;
        dict_set(&r->g, seen.dict, key, value_of(V_NONE));
        list_append(&r->g, out.list, l->items[i]);
    }
    return out;
}

static struct value extreme(struct render *r, struct value self, const struct value *a, int sign)
{
    const struct list *l = value_items(&r->g, self);
    struct keyed best = {value_of(V_ABSENT), value_undefined("an item", 7, V_LIST)};
    for (size_t i = 0; i < l->count; i++) {
        struct value key = sort_key(r, l->items[i], a[1], value_truth(a[0]));
        if (best.key.kind == V_ABSENT || value_compare(&r->g, key, best.key) == sign)
            best = (struct keyed){key, l->items[i]};
    }
    return best.item;
}

FILTER(filter_min)
{
    UNUSED;
    return extreme(r, self, a, -1);
}

FILTER(filter_max)
{
    UNUSED;
    return extreme(r, self, a, 1);
}

FILTER(filter_sum)
{
    UNUSED;
    const struct list *l = value_items(&r->g, self);
    struct value sum = a[1].kind == V_ABSENT ? value_int(0) : a[1];
    for (size_t i = 0; i < l->count; i++)
        sum = render_binary(r, OP_ADD, sum, render_path(r, l->items[i], a[0]));
    return sum;
}

FILTER(filter_attr)
{
    UNUSED;
    value_expect(&r->g, a[0], V_STRING, "the attribute");
    if (self.kind == V_DICT) /* attributes only: a key is none in Python */
        return value_undefined(a[0].s, a[0].size, V_DICT);
    return render_attribute(r, self, a[0].s, a[0].size);
}

static struct arguments rest_of(const struct arguments *all, size_t skip)
{
    struct arguments rest = *all;
    skip = skip < rest.count ? skip : rest.count;
    if (skip) /* NULL may not even be added 0 to */
        rest.items += skip;
    rest.count -= skip;
    return rest;
}

/* jinja2 lets map, select and the like go through none, 0 and false, as if they were empty. */
static const struct list *items_or_none(struct render *r, struct value v)
{
    return value_items(&r->g, value_truth(v) ? v : value_list(&r->g, LIST, 0));
}

/* map(attribute=..., default=...) or map(filter, its arguments...). */
FILTER(filter_map)
{
    UNUSED;
    struct engine *g = &r->g;
    struct value attribute = value_of(V_ABSENT), otherwise = value_of(V_ABSENT);
    if (all->count)
        value_expect(g, all->items[0], V_STRING, "the filter for map");
    for (size_t i = 0; i < all->n_keywords && !all->count; i++) {
        struct value name = value_string(all->keywords[i].name, all->keywords[i].size);
        if (value_is_text(name, "attribute"))
            attribute = all->keywords[i].value;
        else if (value_is_text(name, "default"))
            otherwise = all->keywords[i].value;
        else
            engine_fail(g, "map takes attribute= and default=, or a filter");
    }
    if (!all->count && attribute.kind == V_ABSENT)
        engine_fail(g, "map needs a filter or attribute=");
    const struct list *l = items_or_none(r, self);
    struct arguments rest = rest_of(all, 1);
    struct value out = render_generator(r, l->count);
    for (size_t i = 0; i < l->count; i++) {
        struct value v = l->items[i];
        v = all->count ? filter_call(r, all->items[0].s, all->items[0].size, v, &rest)
                       : render_path(r, v, attribute);
        if (v.kind == V_UNDEFINED && otherwise.kind != V_ABSENT)
            v = otherwise;
        list_append(g, out.list, v);
    }
    return out;
}

/* select, reject, selectattr, rejectattr: [attribute,] [test, its arguments...]. */
static struct value choose(struct render *r, struct value self, const struct arguments *all,
                           bool wanted, bool by_attribute)
{
    struct engine *g = &r->g;
    size_t used = by_attribute;
    if (all->count < used)
        engine_fail(g, "the filter needs an attribute");
    struct value attribute = by_attribute ? all->items[0] : value_of(V_ABSENT);
    bool has_test = all->count > used;
    struct value test = has_test ? all->items[used] : value_of(V_ABSENT);
    if (has_test)
        value_expect(g, test, V_STRING, "the test");
    struct arguments rest = rest_of(all, used + 1);
    const struct list *l = items_or_none(r, self);
    struct value out = render_generator(r, 0);
    for (size_t i = 0; i < l->count; i++) {
        struct value v = render_path(r, l->items[i], attribute);
        bool yes = has_test ? test_call(r, test.s, test.size, v, &rest) : value_truth(v);
        if (yes == wanted)
            list_append(g, out.list, l->items[i]);
    }
    return out;
}

FILTER(filter_select)
{
    UNUSED;
    return choose(r, self, all, true, false);
}

FILTER(filter_reject)
{
    UNUSED;
    return choose(r, self, all, false, false);
}

FILTER(filter_selectattr)
{
    UNUSED;
    return choose(r, self, all, true, true);
}

FILTER(filter_rejectattr)
{
    UNUSED;
    return choose(r, self, all, false, true);
}

const struct builtin list_filters[] = {
    {"list", filter_list, 0, {NULL}, false},
    {"join", filter_join, 0, {"d", "attribute"}, false},
    {"first", filter_first, 0, {NULL}, false},
    {"last", filter_last, 0, {NULL}, false},
    {"reverse", filter_reverse, 0, {NULL}, false},
    {"items", filter_items, 0, {NULL}, false},
    {"sort", filter_sort, 0, {"reverse", "case_sensitive", "attribute"}, false},
    {"dictsort", filter_dictsort, 0, {"case_sensitive", "by", "reverse"}, false},
    {"unique", filter_unique, 0, {"case_sensitive", "attribute"}, false},
    {"min", filter_min, 0, {"case_sensitive", "attribute"}, false},
    {"max", filter_max, 0, {"case_sensitive", "attribute"}, false},
    {"sum", filter_sum, 0, {"attribute", "start"}, false},
    {"attr", filter_attr, 1, {"name"}, false},
    {.name = "map", .call = filter_map, .any_arguments = true},
    {.name = "select", .call = filter_select, .any_arguments = true},
    {.name = "reject", .call = filter_reject, .any_arguments = true},
    {.name = "selectattr", .call = filter_selectattr, .any_arguments = true},
    {.name = "rejectattr", .call = filter_rejectattr, .any_arguments = true},
};
const size_t list_filter_count = sizeof list_filters / sizeof *list_filters;
