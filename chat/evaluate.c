/* Expressions: names, attributes, calls, and the operators with Python's rules. */
#include "chat/print.h"
#include "chat/render.h"
#include "chat/strings.h"

#include <math.h>
#include <string.h>

static void repeat(struct render *r, struct value *v, int64_t times)
{
    struct engine *g = &r->g;
    times = times < 0 ? 0 : times;
    if (v->kind == V_STRING) {
        struct text t = {0};
        for (int64_t i = 0; i < times && v->size; i++)
            text_append(g, &t, v->s, v->size);
        *v = value_text(&t);
        return;
    }
    struct value out = value_list(g, v->list->kind, 0);
    for (int64_t i = 0; i < times && v->list->count; i++)
        for (size_t k = 0; k < v->list->count; k++)
            list_append(g, out.list, v->list->items[k]);
    *v = out;
}

static struct value join_strings(struct render *r, struct value a, struct value b)
{
    struct text t = {0};
    bool safe = a.safe || b.safe;
    if (safe) {
        a = string_escape(&r->g, a);
        b = string_escape(&r->g, b);
    }
    text_append(&r->g, &t, a.s, a.size);
    text_append(&r->g, &t, b.s, b.size);
    a = value_text(&t);
    a.safe = safe;
    return a;
}

_Noreturn static void too_large(struct render *r)
{
    engine_fail(&r->g, "the number does not fit 64 bits");
}

static struct value power(struct render *r, struct value a, struct value b)
{
    if (a.kind == V_FLOAT || b.kind == V_FLOAT || value_integer(b) < 0) {
        if (value_number(a) == 0 && value_number(b) < 0)
            engine_fail(&r->g, "division by zero");
        double f = pow(value_number(a), value_number(b));
        if (isnan(f) && !isnan(value_number(a)) && !isnan(value_number(b)))
            engine_fail(&r->g, "complex numbers are not supported");
        return value_float(f);
    }
    int64_t base = value_integer(a), result = 1;
    for (uint64_t exponent = (uint64_t)value_integer(b); exponent; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            too_large(r);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            too_large(r);
    }
    return value_int(result);
}

/* Division rounds down and the remainder has the divisor's sign. */
static struct value divide(struct render *r, enum operator op, struct value a, struct value b)
{
    if (value_number(b) == 0)
        engine_fail(&r->g, "division by zero");
    if (op == OP_DIV)
        return value_float(value_number(a) / value_number(b));
    if (a.kind == V_FLOAT || b.kind == V_FLOAT) {
        double x = value_number(a), y = value_number(b), rest = fmod(x, y);
        if (rest != 0 && (rest < 0) != (y < 0))
            rest += y;
        return value_float(op == OP_MOD ? rest : floor((x - rest) / y + 0.5));
    }
    int64_t x = value_integer(a), y = value_integer(b);
    if (y == -1) { /* the one quotient that may overflow */
        if (op == OP_MOD)
            return value_int(0);
        if (__builtin_sub_overflow((int64_t)0, x, &x))
            too_large(r);
        return value_int(x);
    }
    int64_t rest = x % y, quotient = x / y;
    if (rest != 0 && (rest < 0) != (y < 0)) {
        rest += y;
        quotient--;
    }
    return value_int(op == OP_MOD ? rest : quotient);
}

static struct value arithmetic(struct render *r, enum operator op, struct value a, struct value b)
{
    if (op == OP_POW)
        return power(r, a, b);
    if (op >= OP_DIV)
        return divide(r, op, a, b);
    if (a.kind == V_FLOAT || b.kind == V_FLOAT) {
        double x = value_number(a), y = value_number(b);
        return value_float(op == OP_ADD ? x + y : op == OP_SUB ? x - y : x * y);
    }
    int64_t x = value_integer(a), y = value_integer(b), z;
    if (op == OP_ADD   ? __builtin_add_overflow(x, y, &z)
        : op == OP_SUB ? __builtin_sub_overflow(x, y, &z)
                       : __builtin_mul_overflow(x, y, &z))
        too_large(r);
    return value_int(z);
}

static bool is_row(struct value v)
{
    return v.kind == V_LIST && v.list->kind <= TUPLE;
}

struct value render_binary(struct render *r, enum operator op, struct value a, struct value b)
{
    static const char *const names[] = {
        [OP_ADD] = "+",       [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/",
        [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**"};
    if (value_is_number(a) && value_is_number(b))
        return arithmetic(r, op, a, b);
    if (op == OP_ADD && a.kind == V_STRING && b.kind == V_STRING)
        return join_strings(r, a, b);
    if (op == OP_ADD && is_row(a) && is_row(b) && a.list->kind == b.list->kind) {
        struct value out = value_list(&r->g, a.list->kind, a.list->count + b.list->count);
        for (size_t i = 0; i < a.list->count; i++)
            list_append(&r->g, out.list, a.list->items[i]);
        for (size_t i = 0; i < b.list->count; i++)
            list_append(&r->g, out.list, b.list->items[i]);
        return out;
    }
    if (op == OP_MUL && value_is_integer(a))
        return render_binary(r, op, b, a);
    if (op == OP_MUL && value_is_integer(b) && (a.kind == V_STRING || is_row(a))) {
        repeat(r, &a, value_integer(b));
        return a;
    }
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, a.kind == V_UNDEFINED ? a : b);
    if (op == OP_MOD && a.kind == V_STRING)
        engine_fail(&r->g, "formatting a string with %% is not supported");
    engine_fail(&r->g, "%s and %s cannot be combined by %s", value_kind_name(a), value_kind_name(b),
                names[op]);
}

bool render_compare(struct render *r, enum operator op, struct value a, struct value b)
{
    struct engine *g = &r->g;
    if (op == OP_EQ || op == OP_NE)
        return value_equal(g, a, b) == (op == OP_EQ);
    if (op == OP_IN || op == OP_NOT_IN)
        return value_contains(g, b, a) == (op == OP_IN);
    int order = value_compare(g, a, b);
    if (order == VALUE_UNORDERED)
        return false;
    return op == OP_LT   ? order < 0
           : op == OP_LE ? order <= 0
           : op == OP_GT ? order > 0
                         : order >= 0;
}

struct value render_attribute(struct render *r, struct value v, const char *name, size_t n)
{
    if (v.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, v);
    if (v.kind == V_LOOP)
        return loop_attribute(r, v.loop, name, n);
    if (v.kind == V_DICT || v.kind == V_STRING || v.kind == V_LIST) {
        struct value method = builtin_method(r, v, name, n);
        if (method.kind != V_ABSENT)
            return method;
    }
    if (v.kind == V_DICT || v.kind == V_NAMESPACE) {
        const struct value *found = dict_find_name(&r->g, v.dict, name, n);
        if (found)
            return *found;
    }
    return value_undefined(name, n, v.kind);
}

struct value render_item(struct render *r, struct value v, struct value key)
{
    struct engine *g = &r->g;
    if (v.kind == V_UNDEFINED)
        value_fail_undefined(g, v);
    if (v.kind == V_DICT) {
        const struct value *found = dict_find(g, v.dict, key);
        if (found)
            return *found;
    } else if (v.kind == V_LIST && v.list->kind <= RANGE && value_is_integer(key)) {
        int64_t i = value_integer(key), n = (int64_t)v.list->count;
        i += i < 0 ? n : 0;
        if (i >= 0 && i < n)
            return v.list->items[i];
    } else if (v.kind == V_STRING && value_is_integer(key)) {
        struct value c = string_at(g, v, value_integer(key));
        if (c.kind != V_ABSENT)
            return c;
    }
    if (key.kind == V_STRING)
        return render_attribute(r, v, key.s, key.size);
    struct value name = key.kind == V_INT ? value_to_string(g, key) : value_string("item", 4);
    return value_undefined(name.s, name.size, v.kind);
}

struct value render_path(struct render *r, struct value v, struct value path)
{
    if (path.kind == V_ABSENT || path.kind == V_NONE)
        return v;
    if (path.kind == V_INT)
        return render_item(r, v, path);
    value_expect(&r->g, path, V_STRING, "the attribute");
    for (size_t begin = 0, end; begin <= path.size; begin = end + 1) {
        int64_t index = 0;
        bool digits = true;
        for (end = begin; end < path.size && path.s[end] != '.'; end++) {
            digits = digits && path.s[end] >= '0' && path.s[end] <= '9' && end - begin < 9;
            index = digits ? 10 * index + (path.s[end] - '0') : 0;
        }
        struct value key = value_string(path.s + begin, end - begin);
        v = render_item(r, v, digits && end > begin ? value_int(index) : key);
    }
    return v;
}

static struct arguments evaluate_arguments(struct render *r, const struct node *n)
{
    struct arguments all = {0};
    for (const struct node *i = n->items; i; i = i->next) {
        all.count += i->kind != N_KEYWORD;
        all.n_keywords += i->kind == N_KEYWORD;
    }
    if (all.count)
        all.items = engine_alloc(&r->g, all.count, sizeof *all.items);
    if (all.n_keywords)
        all.keywords = engine_alloc(&r->g, all.n_keywords, sizeof *all.keywords);
    size_t items = 0, keywords = 0;
    for (const struct node *i = n->items; i; i = i->next) {
        if (i->kind == N_KEYWORD)
            all.keywords[keywords++] =
                (struct keyword){i->name, i->name_size, render_expression(r, i->a)};
        else
            all.items[items++] = render_expression(r, i);
    }
    return all;
}

struct value render_call(struct render *r, const struct node *n, struct value caller)
{
    struct value f = render_expression(r, n->a);
    struct arguments all = evaluate_arguments(r, n);
    r->g.at = n->at;
    if (f.kind == V_MACRO)
        return macro_call(r, f.macro, &all, caller);
    if (caller.kind != V_ABSENT)
        engine_fail(&r->g, "{%% call %%} needs the call of a macro");
    if (f.kind == V_FUNCTION)
        return builtin_call(r, "the function", f.function, value_of(V_NONE), &all);
    if (f.kind == V_METHOD)
        return builtin_call(r, "the method", f.method->builtin, f.method->self, &all);
    if (f.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, f);
    if (f.kind == V_LOOP)
        engine_fail(&r->g, "a recursive loop is not supported; a macro can call itself");
    engine_fail(&r->g, "%s cannot be called", value_kind_name(f));
}

struct value render_filters(struct render *r, const struct node *filters, struct value text)
{
    if (!filters)
        return text;
    text = render_filters(r, filters->a, text);
    struct arguments all = evaluate_arguments(r, filters);
    r->g.at = filters->at;
    return filter_call(r, filters->name, filters->name_size, text, &all);
}

static struct value evaluate_name(struct render *r, const struct node *n)
{
    const struct value *v = scope_find(r, n->name, n->name_size);
    if (v)
        return *v;
    const struct builtin *f = builtin_function(n->name, n->name_size);
    if (f)
        return (struct value){.kind = V_FUNCTION, .function = f};
    return value_undefined(n->name, n->name_size, V_ABSENT);
}

static struct value evaluate_row(struct render *r, const struct node *n)
{
    struct value v = value_list(&r->g, n->kind == N_LIST ? LIST : TUPLE, 0);
    for (const struct node *i = n->items; i; i = i->next)
        list_append(&r->g, v.list, render_expression(r, i));
    return v;
}

static struct value evaluate_dict(struct render *r, const struct node *n)
{
    struct value v = value_dict(&r->g);
    for (const struct node *i = n->items; i; i = i->next->next) {
        struct value key = render_expression(r, i), item = render_expression(r, i->next);
        r->g.at = i->at;
        dict_set(&r->g, v.dict, key, item);
    }
    return v;
}

static struct value evaluate_slice(struct render *r, const struct node *n)
{
    struct value v[4] = {render_expression(r, n->a)};
    const struct node *bounds[] = {n->b, n->c, n->d};
    for (size_t i = 0; i < 3; i++)
        v[i + 1] = bounds[i] ? render_expression(r, bounds[i]) : value_of(V_ABSENT);
    r->g.at = n->at;
    return value_slice(&r->g, v[0], v[1], v[2], v[3]);
}

static struct value evaluate_compare(struct render *r, const struct node *n)
{
    struct value left = render_expression(r, n->a);
    for (const struct node *i = n->items; i; i = i->next) {
        struct value right = render_expression(r, i->a);
        r->g.at = i->at;
        if (!render_compare(r, (enum operator)i->op, left, right))
            return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

/* Unlike +, escapes nothing where a part is safe: without autoescape jinja2 joins plain strings. */
static struct value evaluate_concat(struct render *r, const struct node *n)
{
    struct text t = {0};
    for (const struct node *i = n->items; i; i = i->next) {
        struct value v = render_expression(r, i);
        r->g.at = n->at;
        print_value(&r->g, &t, v);
    }
    return value_text(&t);
}

static struct value evaluate_sign(struct render *r, const struct node *n)
{
    struct value v = render_expression(r, n->a);
    r->g.at = n->at;
    if (v.kind == V_UNDEFINED)
        value_fail_undefined(&r->g, v);
    if (!value_is_number(v))
        engine_fail(&r->g, "%s has no sign", value_kind_name(v));
    if (n->kind == N_PLUS)
        return v.kind == V_FLOAT ? v : value_int(value_integer(v));
    return v.kind == V_FLOAT ? value_float(-v.f) : render_binary(r, OP_SUB, value_int(0), v);
}

static struct value evaluate_filter(struct render *r, const struct node *n)
{
    struct value v = render_expression(r, n->a);
    struct arguments all = evaluate_arguments(r, n);
    r->g.at = n->at;
    return filter_call(r, n->name, n->name_size, v, &all);
}

static struct value evaluate_test(struct render *r, const struct node *n)
{
    struct value v = render_expression(r, n->a);
    struct arguments all = evaluate_arguments(r, n);
    r->g.at = n->at;
    return value_bool(test_call(r, n->name, n->name_size, v, &all));
}

static struct value evaluate_member(struct render *r, const struct node *n)
{
    struct value v = render_expression(r, n->a);
    if (n->kind == N_ATTR) {
        r->g.at = n->at;
        return render_attribute(r, v, n->name, n->name_size);
    }
    struct value key = render_expression(r, n->b);
    r->g.at = n->at;
    return render_item(r, v, key);
}

static struct value evaluate_binary(struct render *r, const struct node *n)
{
    struct value a = render_expression(r, n->a), b = render_expression(r, n->b);
    r->g.at = n->at;
    return render_binary(r, (enum operator)n->op, a, b);
}

static struct value evaluate_logic(struct render *r, const struct node *n)
{
    struct value v;
    switch ((enum node_kind)n->kind) {
    case N_NOT:
        return value_bool(!value_truth(render_expression(r, n->a)));
    case N_AND:
        v = render_expression(r, n->a);
        return value_truth(v) ? render_expression(r, n->b) : v;
    case N_OR:
        v = render_expression(r, n->a);
        return value_truth(v) ? v : render_expression(r, n->b);
    default: /* N_COND */
        if (value_truth(render_expression(r, n->b)))
            return render_expression(r, n->a);
        return n->c ? render_expression(r, n->c)
                    : value_undefined("the if without else", 19, V_ABSENT);
    }
}

static struct value evaluate_constant(struct render *r, const struct node *n)
{
    (void)r;
    return n->constant;
}

static struct value evaluate_plain_call(struct render *r, const struct node *n)
{
    return render_call(r, n, value_of(V_ABSENT));
}

struct value render_expression(struct render *r, const struct node *n)
{
    static struct value (*const table[])(struct render *, const struct node *) = {
        [N_CONSTANT] = evaluate_constant, [N_NAME] = evaluate_name,
        [N_LIST] = evaluate_row,          [N_TUPLE] = evaluate_row,
        [N_DICT] = evaluate_dict,         [N_ATTR] = evaluate_member,
        [N_ITEM] = evaluate_member,       [N_SLICE] = evaluate_slice,
        [N_CALL] = evaluate_plain_call,   [N_FILTER] = evaluate_filter,
        [N_TEST] = evaluate_test,         [N_NOT] = evaluate_logic,
        [N_AND] = evaluate_logic,         [N_OR] = evaluate_logic,
        [N_NEGATE] = evaluate_sign,       [N_PLUS] = evaluate_sign,
        [N_BINARY] = evaluate_binary,     [N_CONCAT] = evaluate_concat,
        [N_COMPARE] = evaluate_compare,   [N_COND] = evaluate_logic,
    };
    engine_enter(&r->g);
    engine_work(&r->g, 1);
    r->g.at = n->at;
    struct value v = table[n->kind](r, n);
    engine_leave(&r->g);
    return v;
}
