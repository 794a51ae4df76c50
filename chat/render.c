/* Statements, scopes, and the two ends of a render. Every loop iteration, macro call and captured
 * block has a scope of its own, whose assignments end with it, as in jinja2. */
#include "chat/render.h"

#include "base/memory.h"
#include "chat/print.h"

#include <string.h>

/* How a run of statements ended. */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

static enum flow run(struct render *r, const struct node *first);

struct value *scope_find(struct render *r, const char *name, size_t n)
{
    for (struct scope *s = r->scope; s; s = s->parent) {
        size_t steps = 1;
        for (struct binding *b = s->first; b; b = b->next, steps++) {
            if (b->size == n && memcmp(b->name, name, n) == 0) {
                engine_work(&r->g, steps / 4);
                return &b->value;
            }
        }
        engine_work(&r->g, steps / 4);
    }
    return NULL;
}

void scope_set(struct render *r, struct scope *s, const char *name, size_t n, struct value v)
{
    size_t steps = 1;
    for (struct binding *b = s->first; b; b = b->next, steps++) {
        if (b->size == n && memcmp(b->name, name, n) == 0) {
            b->value = v;
            return;
        }
    }
    engine_work(&r->g, steps / 4);
    struct binding *b = engine_alloc(&r->g, 1, sizeof *b);
    *b = (struct binding){.next = s->first, .name = name, .size = n, .value = v};
    s->first = b;
}

struct scope *scope_push(struct render *r)
{
    struct scope *s = engine_alloc(&r->g, 1, sizeof *s);
    s->parent = r->scope;
    return r->scope = s;
}

static void print(struct render *r, struct value v)
{
    struct text *t = r->out;
    print_value(&r->g, t, v);
    if (t->size > r->output_most)
        engine_fail(&r->g, "the output is longer than the limit of %zu bytes", r->output_most);
}

static void assign(struct render *r, const struct node *target, struct value v)
{
    r->g.at = target->at;
    if (target->kind == N_NAME) {
        scope_set(r, r->scope, target->name, target->name_size, v);
    } else if (target->kind == N_NAMESPACE_ATTR) {
        const struct value *ns = scope_find(r, target->a->name, target->a->name_size);
        if (!ns || ns->kind != V_NAMESPACE)
            engine_fail(&r->g, "only a namespace's attributes can be set, not those of %s",
                        ns ? value_kind_name(*ns) : "an undefined value");
        dict_set(&r->g, ns->dict, value_string(target->name, target->name_size), v);
    } else {
        const struct list *l = value_items(&r->g, v);
        size_t i = 0;
        for (const struct node *n = target->items; n; n = n->next, i++)
            if (i < l->count)
                assign(r, n, l->items[i]);
        r->g.at = target->at;
        if (i != l->count)
            engine_fail(&r->g, "%zu values cannot be assigned to %zu names", l->count, i);
    }
}

struct value render_capture(struct render *r, const struct node *body, struct scope *scope)
{
    struct text text = {0}, *out = r->out;
    struct scope *outside = r->scope;
    bool captured = r->captured;
    r->out = &text;
    r->scope = scope;
    r->captured = true;
    run(r, body);
    r->out = out;
    r->scope = outside;
    r->captured = captured;
    return value_text(&text);
}

static struct value capture_block(struct render *r, const struct node *body)
{
    struct scope *outside = r->scope, *inside = scope_push(r);
    r->scope = outside;
    return render_capture(r, body, inside);
}

static void bind_parameters(struct render *r, const struct macro *m, const struct arguments *all)
{
    struct engine *g = &r->g;
    size_t i = 0, used = 0;
    for (const struct node *p = m->node->b; p; p = p->next, i++) {
        struct value v = value_of(V_ABSENT);
        if (i < all->count)
            v = all->items[i];
        for (size_t k = 0; k < all->n_keywords; k++) {
            const struct keyword *w = &all->keywords[k];
            if (w->size != p->name_size || memcmp(w->name, p->name, w->size))
                continue;
            if (v.kind != V_ABSENT)
                engine_fail(g, "the argument \"%.*s\" is given twice",
                            engine_clip(w->name, w->size, ENGINE_CLIP), w->name);
            v = w->value;
            used++;
        }
        size_t at = g->at;
        if (v.kind == V_ABSENT)
            v = p->a ? render_expression(r, p->a)
                     : value_undefined(p->name, p->name_size, V_ABSENT);
        g->at = at;
        scope_set(r, r->scope, p->name, p->name_size, v);
    }
    struct value rest = value_list(g, TUPLE, 0), named = value_dict(g);
    for (; i < all->count; i++)
        list_append(g, rest.list, all->items[i]);
    if (rest.list->count && !(m->node->op & USES_VARARGS))
        engine_fail(g, "the macro takes fewer arguments than the %zu given", all->count);
    if (m->node->op & USES_VARARGS)
        scope_set(r, r->scope, "varargs", 7, rest);
    for (size_t k = 0; k < all->n_keywords && all->n_keywords > used; k++) {
        const struct keyword *w = &all->keywords[k];
        bool parameter = false;
        for (const struct node *p = m->node->b; p && !parameter; p = p->next)
            parameter = w->size == p->name_size && !memcmp(w->name, p->name, w->size);
        if (!parameter && !(m->node->op & USES_KWARGS))
            engine_fail(g, "the macro has no parameter \"%.*s\"",
                        engine_clip(w->name, w->size, ENGINE_CLIP), w->name);
        if (!parameter)
            dict_set(g, named.dict, value_string(w->name, w->size), w->value);
    }
    if (m->node->op & USES_KWARGS)
        scope_set(r, r->scope, "kwargs", 6, named);
}

struct value macro_call(struct render *r, const struct macro *m, const struct arguments *all,
                        struct value caller)
{
    struct scope *outside = r->scope;
    engine_enter(&r->g);
    r->scope = m->scope;
    struct scope *inside = scope_push(r);
    if (caller.kind != V_ABSENT && !(m->node->op & USES_CALLER))
        engine_fail(&r->g, "the macro does not use caller(), so it cannot be called by a block");
    if (m->node->op & USES_CALLER)
        scope_set(r, inside, "caller", 6,
                  caller.kind == V_ABSENT ? value_undefined("caller", 6, V_ABSENT) : caller);
    bind_parameters(r, m, all);
    struct value v = render_capture(r, m->node->items, inside);
    r->scope = outside;
    engine_leave(&r->g);
    return v;
}

static struct value new_macro(struct render *r, const struct node *n)
{
    struct macro *m = engine_alloc(&r->g, 1, sizeof *m);
    *m = (struct macro){.node = n, .scope = r->scope};
    return (struct value){.kind = V_MACRO, .macro = m};
}

/* The items a loop goes through: those that pass its `if`. */
static const struct list *loop_items(struct render *r, const struct node *n)
{
    struct value v = render_expression(r, n->b);
    r->g.at = n->b->at;
    const struct list *all = value_items(&r->g, v);
    if (!n->c)
        return all;
    struct list *l = value_list(&r->g, LIST, 0).list;
    struct scope *outside = r->scope;
    for (size_t i = 0; i < all->count; i++) {
        scope_push(r);
        assign(r, n->a, all->items[i]);
        if (value_truth(render_expression(r, n->c)))
            list_append(&r->g, l, all->items[i]);
        r->scope = outside;
    }
    return l;
}

static enum flow run_for(struct render *r, const struct node *n)
{
    struct scope *outside = r->scope;
    const struct list *items = loop_items(r, n);
    struct loop *loop = engine_alloc(&r->g, 1, sizeof *loop);
    struct value loop_value = {.kind = V_LOOP, .loop = loop};
    loop->items = items;
    for (size_t i = 0; i < items->count; i++) {
        engine_work(&r->g, 1);
        loop->index = i;
        struct scope *inside = scope_push(r);
        scope_set(r, inside, "loop", 4, loop_value);
        assign(r, n->a, items->items[i]);
        enum flow flow = run(r, n->items);
        r->scope = outside;
        if (flow == FLOW_BREAK)
            break;
    }
    if (items->count == 0 && n->d) {
        scope_push(r);
        enum flow flow = run(r, n->d);
        r->scope = outside;
        return flow;
    }
    return FLOW_NEXT;
}

static enum flow run_if(struct render *r, const struct node *n)
{
    for (; n; n = n->c) {
        if (value_truth(render_expression(r, n->a)))
            return run(r, n->items);
        if (!n->c || n->c->kind != N_IF || !(n->c->op & 1))
            return run(r, n->c);
    }
    return FLOW_NEXT;
}

static void run_generation(struct render *r, const struct node *n)
{
    if (r->spans && r->captured)
        engine_fail(&r->g, "{%% generation %%} inside a macro, block set, filter or call block has "
                           "no known place in the output");
    struct scope *outside = r->scope;
    bool outer = r->in_generation;
    size_t begin = r->out->size;
    r->in_generation = true;
    scope_push(r);
    run(r, n->items);
    r->scope = outside;
    r->in_generation = outer;
    if (!r->spans || outer || r->out->size == begin)
        return;
    struct chat_spans *s = r->spans;
    void *items = s->items;
    mem_grow(&items, &s->capacity, s->count, sizeof *s->items);
    s->items = items;
    s->items[s->count++] = (struct chat_span){begin, r->out->size};
}

static enum flow run_with(struct render *r, const struct node *n)
{
    struct scope *outside = r->scope, *inside = scope_push(r);
    for (const struct node *set = n->b; set; set = set->next) {
        r->scope = outside; /* the values see none of the names */
        struct value v = render_expression(r, set->b);
        r->scope = inside;
        assign(r, set->a, v);
    }
    r->scope = inside;
    enum flow flow = run(r, n->items);
    r->scope = outside;
    return flow;
}

static enum flow run_one(struct render *r, const struct node *n)
{
    switch ((enum node_kind)n->kind) {
    case N_DATA:
        print(r, n->constant);
        break;
    case N_PRINT:
        print(r, render_expression(r, n->a));
        break;
    case N_IF:
        return run_if(r, n);
    case N_FOR:
        return run_for(r, n);
    case N_SET:
        assign(r, n->a, render_expression(r, n->b));
        break;
    case N_SET_BLOCK:
        assign(r, n->a, render_filters(r, n->b, capture_block(r, n->items)));
        break;
    case N_MACRO:
        scope_set(r, r->scope, n->name, n->name_size, new_macro(r, n));
        break;
    case N_CALL_BLOCK:
        print(r, render_call(r, n->a, new_macro(r, n)));
        break;
    case N_FILTER_BLOCK:
        print(r, render_filters(r, n->b, capture_block(r, n->items)));
        break;
    case N_WITH:
        return run_with(r, n);
    case N_GENERATION:
        run_generation(r, n);
        break;
    case N_BREAK:
        return FLOW_BREAK;
    default:
        return FLOW_CONTINUE;
    }
    return FLOW_NEXT;
}

static enum flow run(struct render *r, const struct node *first)
{
    enum flow flow = FLOW_NEXT;
    engine_enter(&r->g);
    for (const struct node *n = first; n && flow == FLOW_NEXT; n = n->next) {
        engine_work(&r->g, 1);
        r->g.at = n->at;
        flow = run_one(r, n);
    }
    engine_leave(&r->g);
    return flow;
}

void render_body(struct render *r, const struct node *body)
{
    run(r, body);
}
