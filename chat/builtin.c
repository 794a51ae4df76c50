/* Calling what is built in, the functions, and `loop`. */
#include "chat/print.h"
#include "chat/render.h"

#include <string.h>
#include <time.h>

const struct builtin *builtin_find(const struct builtin *table, size_t count, const char *name,
                                   size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0)
            return &table[i];
    return NULL;
}

struct value builtin_call(struct render *r, const char *what, const struct builtin *b,
                          struct value self, const struct arguments *all)
{
    struct value a[PARAMETERS_MOST] = {{0}};
    size_t count = 0;
    if (b->any_arguments)
        return b->call(r, self, NULL, all);
    while (count < PARAMETERS_MOST && b->parameters[count])
        count++;
    if (all->count > count)
        engine_fail(&r->g, "%s %s takes at most %zu arguments, not %zu", what, b->name, count,
                    all->count);
    for (size_t i = 0; i < all->count; i++)
        a[i] = all->items[i];
    for (size_t k = 0; k < all->n_keywords; k++) {
        const struct keyword *w = &all->keywords[k];
        size_t i = 0;
        while (i < count && (strlen(b->parameters[i]) != w->size ||
                             memcmp(b->parameters[i], w->name, w->size) != 0))
            i++;
        if (i == count)
            engine_fail(&r->g, "%s %s has no argument \"%.*s\", or it is not supported", what,
                        b->name, engine_clip(w->name, w->size, ENGINE_CLIP), w->name);
        if (a[i].kind != V_ABSENT)
            engine_fail(&r->g, "%s %s is given \"%s\" twice", what, b->name, b->parameters[i]);
        a[i] = w->value;
    }
    for (size_t i = 0; i < b->required; i++)
        if (a[i].kind == V_ABSENT)
            engine_fail(&r->g, "%s %s needs the argument \"%s\"", what, b->name, b->parameters[i]);
    return b->call(r, self, a, all);
}

static struct value function_range(struct render *r, struct value self, const struct value *a,
                                   const struct arguments *all)
{
    struct engine *g = &r->g;
    int64_t bounds[3] = {0, 0, 1};
    (void)self;
    (void)a;
    if (all->count < 1 || all->count > 3 || all->n_keywords)
        engine_fail(g, "range takes one to three numbers");
    for (size_t i = 0; i < all->count; i++) {
        value_expect(g, all->items[i], V_INT, "a number given to range");
        bounds[all->count == 1 ? 1 : i] = value_integer(all->items[i]);
    }
    int64_t step = bounds[2];
    if (step == 0)
        engine_fail(g, "the step of a range cannot be 0");
    struct value out = value_list(g, RANGE, 0);
    for (int64_t i = bounds[0]; step > 0 ? i < bounds[1] : i > bounds[1];) {
        if (out.list->count == CHAT_RANGE_MOST)
            engine_fail(g, "a range has at most %d numbers", (int)CHAT_RANGE_MOST);
        list_append(g, out.list, value_int(i));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return out;
}

static struct value function_dict(struct render *r, struct value self, const struct value *a,
                                  const struct arguments *all)
{
    struct value out = value_dict(&r->g);
    (void)self;
    (void)a;
    if (all->count > 1)
        engine_fail(&r->g, "at most one dict can be given");
    if (all->count) {
        value_expect(&r->g, all->items[0], V_DICT, "what is given");
        const struct dict *d = all->items[0].dict;
        for (size_t i = 0; i < d->count; i++)
            dict_set(&r->g, out.dict, d->items[i].key, d->items[i].value);
    }
    for (size_t i = 0; i < all->n_keywords; i++)
        dict_set(&r->g, out.dict, value_string(all->keywords[i].name, all->keywords[i].size),
                 all->keywords[i].value);
    return out;
}

static struct value function_namespace(struct render *r, struct value self, const struct value *a,
                                       const struct arguments *all)
{
    struct value out = function_dict(r, self, a, all);
    out.kind = V_NAMESPACE;
    return out;
}

static struct value function_raise(struct render *r, struct value self, const struct value *a,
                                   const struct arguments *all)
{
    (void)self;
    (void)all;
    struct value text = value_to_string(&r->g, a[0]);
    engine_fail(&r->g, "the template refuses the conversation: %.*s",
                engine_clip(text.s, text.size, 900), text.s);
}

struct value render_time(struct render *r, struct value format)
{
    /* The directives of C's strftime that Python has too. %f, %z and %Z are Python's own for a time
     * that knows neither fractions nor zone. */
    static const char directives[] = "aAbBcdDeFgGhHIjklmMnpPrRsStTuUVwWxXyY%C";
    struct engine *g = &r->g;
    struct text t = {0};
    struct tm tm;
    time_t now = (time_t)r->now;
    value_expect(g, format, V_STRING, "the format");
    if (!localtime_r(&now, &tm))
        engine_fail(g, "the time %lld has no date", (long long)r->now);
    for (size_t i = 0; i < format.size; i++) {
        char spec[4] = "%", out[128];
        size_t n = 1;
        if (format.s[i] != '%') {
            text_byte(g, &t, format.s[i]);
            continue;
        }
        if (i + 1 < format.size && format.s[i + 1] == '-') /* glibc's: without padding */
            spec[n++] = format.s[++i];
        char c = ++i < format.size ? format.s[i] : 0;
        spec[n] = c;
        if (c == 'f')
            text_string(g, &t, "000000");
        else if (c && strchr(directives, c))
            text_append(g, &t, out, strftime(out, sizeof out, spec, &tm));
        else if (c != 'z' && c != 'Z')
            engine_fail(g, "the time format has a %% without a directive that is supported");
    }
    return value_text(&t);
}

static struct value function_strftime(struct render *r, struct value self, const struct value *a,
                                      const struct arguments *all)
{
    (void)self;
    (void)all;
    return render_time(r, a[0]);
}

const struct builtin *builtin_function(const char *name, size_t n)
{
    static const struct builtin functions[] = {
        {.name = "range", .call = function_range, .any_arguments = true},
        {.name = "namespace", .call = function_namespace, .any_arguments = true},
        {.name = "dict", .call = function_dict, .any_arguments = true},
        {"raise_exception", function_raise, 1, {"message"}, false},
        {"strftime_now", function_strftime, 1, {"format"}, false},
    };
    return builtin_find(functions, sizeof functions / sizeof *functions, name, n);
}

static struct value item_at(const struct loop *l, size_t i, const char *name)
{
    return i < l->items->count ? l->items->items[i] : value_undefined(name, strlen(name), V_LOOP);
}

static struct value loop_cycle(struct render *r, struct value self, const struct value *a,
                               const struct arguments *all)
{
    (void)a;
    if (!all->count)
        engine_fail(&r->g, "loop.cycle needs items");
    return all->items[self.loop->index % all->count];
}

static struct value loop_changed(struct render *r, struct value self, const struct value *a,
                                 const struct arguments *all)
{
    struct loop *l = self.loop;
    struct value now = value_list(&r->g, TUPLE, all->count);
    (void)a;
    for (size_t i = 0; i < all->count; i++)
        list_append(&r->g, now.list, all->items[i]);
    bool changed = !l->has_changed || !value_equal(&r->g, l->changed, now);
    l->has_changed = true;
    l->changed = now;
    return value_bool(changed);
}

struct value loop_attribute(struct render *r, struct loop *l, const char *name, size_t n)
{
    static const struct builtin methods[] = {
        {.name = "cycle", .call = loop_cycle, .any_arguments = true},
        {.name = "changed", .call = loop_changed, .any_arguments = true},
    };
    const struct {
        const char *name;
        struct value value;
    } attributes[] = {
        {"index0", value_int((int64_t)l->index)},
        {"index", value_int((int64_t)l->index + 1)},
        {"first", value_bool(l->index == 0)},
        {"last", value_bool(l->index + 1 == l->items->count)},
        {"length", value_int((int64_t)l->items->count)},
        {"revindex", value_int((int64_t)(l->items->count - l->index))},
        {"revindex0", value_int((int64_t)(l->items->count - l->index) - 1)},
        {"depth", value_int(1)},
        {"depth0", value_int(0)},
        {"previtem", item_at(l, l->index - 1, "previtem")}, /* wraps around: there is none */
        {"nextitem", item_at(l, l->index + 1, "nextitem")},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (strlen(attributes[i].name) == n && memcmp(attributes[i].name, name, n) == 0)
            return attributes[i].value;
    const struct builtin *b = builtin_find(methods, 2, name, n);
    if (!b)
        return value_undefined(name, n, V_LOOP);
    struct method *m = engine_alloc(&r->g, 1, sizeof *m);
    *m = (struct method){.self = {.kind = V_LOOP, .loop = l}, .builtin = b};
    return (struct value){.kind = V_METHOD, .method = m};
}
