/* What may follow `is`. */
#include "chat/print.h"
#include "chat/render.h"
#include "chat/strings.h"

#include <string.h>

static bool is_kind(struct value v, enum value_kind kind)
{
    return v.kind == kind;
}

/* Tests that only look at what kind of value it is. */
static bool test_kind(struct value v, const char *name, size_t n, bool *known)
{
    bool integer = is_kind(v, V_INT), real = is_kind(v, V_FLOAT), boolean = is_kind(v, V_BOOL);
    bool undefined = is_kind(v, V_UNDEFINED), string = is_kind(v, V_STRING);
    bool dict = is_kind(v, V_DICT), list = is_kind(v, V_LIST);
    bool sequence = undefined || string || dict || (list && v.list->kind <= RANGE);
    const struct {
        const char *name;
        bool result;
    } rows[] = {
        {"defined", !undefined},
        {"undefined", undefined},
        {"none", is_kind(v, V_NONE)},
        {"boolean", boolean},
        {"true", boolean && v.b},
        {"false", boolean && !v.b},
        {"integer", integer},
        {"float", real},
        {"number", integer || real || boolean},
        {"string", string},
        {"mapping", dict},
        {"sequence", sequence},
        {"iterable", sequence || list || is_kind(v, V_LOOP)},
        {"callable", undefined || v.kind >= V_LOOP},
    };
    *known = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
            return rows[i].result;
    *known = false;
    return false;
}

#define TEST(name)                                                                                 \
    static struct value name(struct render *r, struct value self, const struct value *a,           \
                             const struct arguments *all)
#define UNUSED (void)r, (void)self, (void)a, (void)all

static bool remainder_is(struct render *r, struct value v, struct value by, int rest)
{
    return value_equal(&r->g, render_binary(r, OP_MOD, v, by), value_int(rest));
}

TEST(test_odd)
{
    UNUSED;
    return value_bool(remainder_is(r, self, value_int(2), 1));
}

TEST(test_even)
{
    UNUSED;
    return value_bool(remainder_is(r, self, value_int(2), 0));
}

TEST(test_divisibleby)
{
    UNUSED;
    return value_bool(remainder_is(r, self, a[0], 0));
}

static bool has_case(struct render *r, struct value v, enum string_case how)
{
    struct value text = value_to_string(&r->g, v);
    struct value same = string_case(&r->g, text, how);
    struct value other = string_case(&r->g, text, how == LOWER ? UPPER : LOWER);
    return value_equal(&r->g, text, same) && !value_equal(&r->g, same, other);
}

TEST(test_lower)
{
    UNUSED;
    return value_bool(has_case(r, self, LOWER));
}

TEST(test_upper)
{
    UNUSED;
    return value_bool(has_case(r, self, UPPER));
}

TEST(test_sameas)
{
    UNUSED;
    if (self.kind != a[0].kind)
        return value_bool(false);
    if (self.kind == V_LIST)
        return value_bool(self.list == a[0].list);
    if (self.kind == V_DICT)
        return value_bool(self.dict == a[0].dict);
    return value_bool(value_equal(&r->g, self, a[0]));
}

TEST(test_in)
{
    UNUSED;
    return value_bool(render_compare(r, OP_IN, self, a[0]));
}

static const struct {
    const char *name;
    enum operator op;
} comparisons[] = {
    {"eq", OP_EQ}, {"equalto", OP_EQ},     {"==", OP_EQ}, {"ne", OP_NE}, {"!=", OP_NE},
    {"lt", OP_LT}, {"lessthan", OP_LT},    {"<", OP_LT},  {"le", OP_LE}, {"<=", OP_LE},
    {"gt", OP_GT}, {"greaterthan", OP_GT}, {">", OP_GT},  {"ge", OP_GE}, {">=", OP_GE},
};

bool test_call(struct render *r, const char *name, size_t n, struct value self,
               const struct arguments *all)
{
    static const struct builtin tests[] = {
        {"odd", test_odd, 0, {NULL}, false},
        {"even", test_even, 0, {NULL}, false},
        {"divisibleby", test_divisibleby, 1, {"num"}, false},
        {"lower", test_lower, 0, {NULL}, false},
        {"upper", test_upper, 0, {NULL}, false},
        {"sameas", test_sameas, 1, {"other"}, false},
        {"in", test_in, 1, {"seq"}, false},
    };
    bool known;
    bool result = test_kind(self, name, n, &known);
    if (known) {
        if (all->count || all->n_keywords)
            engine_fail(&r->g, "the test \"%.*s\" takes no arguments", (int)n, name);
        return result;
    }
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (strlen(comparisons[i].name) != n || memcmp(comparisons[i].name, name, n) != 0)
            continue;
        if (all->count != 1 || all->n_keywords)
            engine_fail(&r->g, "the test \"%.*s\" takes one argument", (int)n, name);
        return render_compare(r, comparisons[i].op, self, all->items[0]);
    }
    const struct builtin *b = builtin_find(tests, sizeof tests / sizeof *tests, name, n);
    if (!b)
        engine_fail(&r->g, "the test \"%.*s\" is not supported", engine_clip(name, n, ENGINE_CLIP),
                    name);
    return builtin_call(r, "the test", b, self, all).b;
}
