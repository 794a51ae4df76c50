/* Expressions, by the strength of their operators: if-else, or, and, not, comparisons and in, + -,
 * ~, * / // %, **, the signs, then attributes, calls, filters and tests. */
#include "chat/ast.h"
#include "chat/template.h"

#include <string.h>

bool parser_is(const struct parser *p, enum token_kind kind, const char *text)
{
    const struct token *t = p->token;
    return t->kind == kind && t->size == strlen(text) && memcmp(t->s, text, t->size) == 0;
}

bool parser_skip(struct parser *p, enum token_kind kind, const char *text)
{
    if (!parser_is(p, kind, text))
        return false;
    p->token++;
    return true;
}

void parser_unexpected(struct parser *p, const char *wanted)
{
    const struct token *t = p->token;
    int n = engine_clip(t->s, t->size, ENGINE_CLIP);
    p->g->at = t->at;
    if (t->kind == T_END)
        engine_fail(p->g, "expected %s, but the template ends", wanted);
    if (t->kind == T_PRINT_END || t->kind == T_BLOCK_END)
        engine_fail(p->g, "expected %s, but the tag ends", wanted);
    if (t->kind == T_NUMBER || t->kind == T_STRING)
        engine_fail(p->g, "expected %s, not a %s", wanted,
                    t->kind == T_NUMBER ? "number" : "string");
    engine_fail(p->g, "expected %s, not \"%.*s\"", wanted, n, t->s);
}

void parser_expect(struct parser *p, enum token_kind kind, const char *text)
{
    if (!parser_skip(p, kind, text))
        parser_unexpected(p, text);
}

struct node *parser_node(struct parser *p, enum node_kind kind)
{
    struct node *n = engine_alloc(p->g, 1, sizeof *n);
    n->kind = (uint8_t)kind;
    n->at = (uint32_t)p->token->at;
    n->name = p->token->s;
    n->name_size = p->token->size;
    return n;
}

static bool op(struct parser *p, const char *text)
{
    return parser_skip(p, T_OPERATOR, text);
}

static void expect_name(struct parser *p, struct node *n, const char *wanted)
{
    if (p->token->kind != T_NAME)
        parser_unexpected(p, wanted);
    n->name = p->token->s;
    n->name_size = p->token->size;
    p->token++;
}

static void note_use(struct parser *p, const struct token *t)
{
    static const char *const names[] = {"varargs", "kwargs", "caller"};
    for (size_t i = 0; i < 3; i++)
        if (t->size == strlen(names[i]) && memcmp(t->s, names[i], t->size) == 0)
            p->uses |= 1u << i;
}

static struct node *parse_name_or_constant(struct parser *p)
{
    static const struct {
        const char *word;
        enum value_kind kind;
        bool b;
    } words[] = {{"true", V_BOOL, true},   {"True", V_BOOL, true},  {"false", V_BOOL, false},
                 {"False", V_BOOL, false}, {"none", V_NONE, false}, {"None", V_NONE, false}};
    struct node *n = parser_node(p, N_NAME);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (parser_is(p, T_NAME, words[i].word)) {
            n->kind = N_CONSTANT;
            n->constant = (struct value){.kind = (uint8_t)words[i].kind, .b = words[i].b};
        }
    }
    note_use(p, p->token);
    p->token++;
    return n;
}

static struct node *parse_strings(struct parser *p)
{
    struct node *n = parser_node(p, N_CONSTANT);
    struct text t = {0};
    n->constant = value_string(p->token->s, p->token->size);
    for (p->token++; p->token->kind == T_STRING; p->token++) { /* neighbours are joined */
        if (!t.data)
            text_append(p->g, &t, n->constant.s, n->constant.size);
        text_append(p->g, &t, p->token->s, p->token->size);
        n->constant = value_text(&t);
    }
    return n;
}

/* Behind the opening bracket: items up to `close`, which may follow a comma. */
static void parse_items(struct parser *p, struct node *n, const char *close, bool pairs)
{
    struct node **end = &n->items;
    while (!op(p, close)) {
        if (n->items) {
            parser_expect(p, T_OPERATOR, ",");
            if (op(p, close))
                return;
        }
        *end = parser_expression(p);
        end = &(*end)->next;
        if (pairs) {
            parser_expect(p, T_OPERATOR, ":");
            *end = parser_expression(p);
            end = &(*end)->next;
        }
    }
}

static struct node *parse_parenthesis(struct parser *p)
{
    struct node *n = parser_node(p, N_TUPLE);
    p->token++;
    if (op(p, ")"))
        return n;
    n = parser_tuple(p, true);
    parser_expect(p, T_OPERATOR, ")");
    return n;
}

struct node *parser_primary(struct parser *p)
{
    struct node *n;
    switch (p->token->kind) {
    case T_NAME:
        return parse_name_or_constant(p);
    case T_STRING:
        return parse_strings(p);
    case T_NUMBER:
        n = parser_node(p, N_CONSTANT);
        n->constant = p->token->number;
        p->token++;
        return n;
    default:
        break;
    }
    if (parser_is(p, T_OPERATOR, "("))
        return parse_parenthesis(p);
    n = parser_node(p, parser_is(p, T_OPERATOR, "[") ? N_LIST : N_DICT);
    if (op(p, "["))
        parse_items(p, n, "]", false);
    else if (op(p, "{"))
        parse_items(p, n, "}", true);
    else
        parser_unexpected(p, "an expression");
    return n;
}

/* At the opening parenthesis. */
static void parse_arguments(struct parser *p, struct node *call)
{
    struct node **end = &call->items;
    bool keywords = false;
    parser_expect(p, T_OPERATOR, "(");
    while (!op(p, ")")) {
        if (call->items) {
            parser_expect(p, T_OPERATOR, ",");
            if (op(p, ")"))
                return;
        }
        if (parser_is(p, T_OPERATOR, "*") || parser_is(p, T_OPERATOR, "**")) {
            p->g->at = p->token->at;
            engine_fail(p->g, "* and ** in a call are not supported");
        }
        const struct token *following = p->token + 1; /* there is one: the last is T_END */
        if (p->token->kind == T_NAME && following->kind == T_OPERATOR && following->size == 1 &&
            *following->s == '=') {
            struct node *keyword = parser_node(p, N_KEYWORD);
            p->token += 2;
            keyword->a = parser_expression(p);
            *end = keyword;
            keywords = true;
        } else {
            if (keywords)
                parser_unexpected(p, "a keyword argument after keyword arguments");
            *end = parser_expression(p);
        }
        end = &(*end)->next;
    }
}

static struct node *parse_subscript(struct parser *p, struct node *object)
{
    struct node *n = parser_node(p, N_ITEM);
    n->a = object;
    p->token++; /* [ */
    if (!parser_is(p, T_OPERATOR, ":"))
        n->b = parser_expression(p);
    if (n->b && op(p, "]"))
        return n;
    if (parser_is(p, T_OPERATOR, ","))
        engine_fail(p->g, "several subscripts are not supported");
    n->kind = N_SLICE;
    parser_expect(p, T_OPERATOR, ":");
    if (!parser_is(p, T_OPERATOR, ":") && !parser_is(p, T_OPERATOR, "]"))
        n->c = parser_expression(p);
    if (op(p, ":") && !parser_is(p, T_OPERATOR, "]"))
        n->d = parser_expression(p);
    parser_expect(p, T_OPERATOR, "]");
    return n;
}

static struct node *parse_attribute(struct parser *p, struct node *object)
{
    struct node *n = parser_node(p, N_ATTR);
    n->a = object;
    p->token++;                                                         /* . */
    if (p->token->kind == T_NUMBER && p->token->number.kind == V_INT) { /* a.0 is a[0] */
        n->kind = N_ITEM;
        n->b = parser_primary(p);
    } else {
        n->at = (uint32_t)p->token->at;
        expect_name(p, n, "a name after the dot");
    }
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    for (;;) {
        if (parser_is(p, T_OPERATOR, ".")) {
            n = parse_attribute(p, n);
        } else if (parser_is(p, T_OPERATOR, "[")) {
            n = parse_subscript(p, n);
        } else if (parser_is(p, T_OPERATOR, "(")) {
            struct node *call = parser_node(p, N_CALL);
            call->at = n->at;
            call->a = n;
            parse_arguments(p, call);
            n = call;
        } else {
            return n;
        }
    }
}

struct node *parser_filters(struct parser *p, struct node *input, bool first_without_bar)
{
    while (first_without_bar || op(p, "|")) {
        struct node *n = parser_node(p, N_FILTER);
        n->a = input;
        expect_name(p, n, "the name of a filter");
        if (parser_is(p, T_OPERATOR, "("))
            parse_arguments(p, n);
        input = n;
        first_without_bar = false;
    }
    return input;
}

/* Whether what follows a test's name is its argument without parentheses: `is divisibleby 3`. */
static bool argument_follows(const struct parser *p)
{
    static const char *const words[] = {"else", "or", "and", "if", "in", "not", "is"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (parser_is(p, T_NAME, words[i]))
            return false;
    return p->token->kind == T_NAME || p->token->kind == T_STRING || p->token->kind == T_NUMBER ||
           parser_is(p, T_OPERATOR, "[") || parser_is(p, T_OPERATOR, "{");
}

static struct node *parse_test(struct parser *p, struct node *object)
{
    bool negated = parser_skip(p, T_NAME, "not");
    struct node *n = parser_node(p, N_TEST);
    n->a = object;
    expect_name(p, n, "the name of a test");
    if (parser_is(p, T_OPERATOR, "("))
        parse_arguments(p, n);
    else if (argument_follows(p))
        n->items = parse_postfix(p, parser_primary(p));
    if (!negated)
        return n;
    struct node *not = parser_node(p, N_NOT);
    not ->a = n;
    return not ;
}

static struct node *parse_unary(struct parser *p, bool with_filters)
{
    struct node *n;
    engine_enter(p->g);
    if (parser_is(p, T_OPERATOR, "-") || parser_is(p, T_OPERATOR, "+")) {
        n = parser_node(p, parser_is(p, T_OPERATOR, "-") ? N_NEGATE : N_PLUS);
        p->token++;
        n->a = parse_unary(p, false);
    } else {
        n = parser_primary(p);
    }
    n = parse_postfix(p, n);
    while (with_filters) {
        if (parser_is(p, T_OPERATOR, "|"))
            n = parser_filters(p, n, false);
        else if (parser_skip(p, T_NAME, "is"))
            n = parse_test(p, n);
        else if (parser_is(p, T_OPERATOR, "("))
            n = parse_postfix(p, n);
        else
            break;
    }
    engine_leave(p->g);
    return n;
}

enum {
    LEVEL_OR = 1,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_ADD,
    LEVEL_CONCAT,
    LEVEL_MUL,
    LEVEL_POW
};

static const struct infix {
    const char *text;
    enum token_kind token;
    int level;
    enum node_kind kind;
    enum operator op;
} infixes[] = {
    {"or", T_NAME, LEVEL_OR, N_OR, OP_NONE},
    {"and", T_NAME, LEVEL_AND, N_AND, OP_NONE},
    {"==", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_EQ},
    {"!=", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_NE},
    {"<", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_LT},
    {"<=", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_LE},
    {">", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_GT},
    {">=", T_OPERATOR, LEVEL_COMPARE, N_COMPARE, OP_GE},
    {"in", T_NAME, LEVEL_COMPARE, N_COMPARE, OP_IN},
    {"not", T_NAME, LEVEL_COMPARE, N_COMPARE, OP_NOT_IN},
    {"+", T_OPERATOR, LEVEL_ADD, N_BINARY, OP_ADD},
    {"-", T_OPERATOR, LEVEL_ADD, N_BINARY, OP_SUB},
    {"~", T_OPERATOR, LEVEL_CONCAT, N_CONCAT, OP_NONE},
    {"*", T_OPERATOR, LEVEL_MUL, N_BINARY, OP_MUL},
    {"/", T_OPERATOR, LEVEL_MUL, N_BINARY, OP_DIV},
    {"//", T_OPERATOR, LEVEL_MUL, N_BINARY, OP_FLOORDIV},
    {"%", T_OPERATOR, LEVEL_MUL, N_BINARY, OP_MOD},
    {"**", T_OPERATOR, LEVEL_POW, N_BINARY, OP_POW},
};

static const struct infix *infix_here(const struct parser *p)
{
    for (size_t i = 0; i < sizeof infixes / sizeof *infixes; i++)
        if (parser_is(p, infixes[i].token, infixes[i].text))
            return &infixes[i];
    return NULL;
}

static void skip_infix(struct parser *p, const struct infix *infix)
{
    p->token++;
    if (infix->op == OP_NOT_IN)
        parser_expect(p, T_NAME, "in");
}

static struct node *parse_binary(struct parser *p, int least);

/* `first` and all operands that infixes of this level join to it, as one node. */
static struct node *parse_row(struct parser *p, struct node *first, const struct infix *infix)
{
    struct node *row = parser_node(p, infix->kind), **end = &row->items;
    int level = infix->level;
    if (infix->kind == N_CONCAT) {
        row->items = first;
        end = &first->next;
    } else {
        row->a = first;
    }
    for (; infix && infix->level == level; infix = infix_here(p)) {
        skip_infix(p, infix);
        struct node *operand = parse_binary(p, level + 1);
        if (infix->kind == N_COMPARE) { /* the operand's own node may have an operator already */
            struct node *holder = parser_node(p, N_KEYWORD);
            holder->at = row->at;
            holder->a = operand;
            holder->op = (uint8_t)infix->op;
            operand = holder;
        }
        *end = operand;
        end = &operand->next;
    }
    return row;
}

static struct node *parse_binary(struct parser *p, int least)
{
    struct node *left;
    engine_enter(p->g);
    if (least <= LEVEL_NOT && parser_is(p, T_NAME, "not")) {
        left = parser_node(p, N_NOT);
        p->token++;
        left->a = parse_binary(p, LEVEL_NOT);
    } else {
        left = parse_unary(p, true);
    }
    const struct infix *infix;
    while ((infix = infix_here(p)) != NULL && infix->level >= least) {
        if (infix->kind == N_COMPARE || infix->kind == N_CONCAT) {
            left = parse_row(p, left, infix);
            continue;
        }
        struct node *n = parser_node(p, infix->kind);
        n->op = (uint8_t)infix->op;
        n->a = left;
        skip_infix(p, infix);
        n->b = parse_binary(p, infix->level + 1);
        left = n;
    }
    engine_leave(p->g);
    return left;
}

struct node *parser_expression(struct parser *p)
{
    engine_enter(p->g);
    struct node *n = parse_binary(p, LEVEL_OR);
    while (parser_is(p, T_NAME, "if")) {
        struct node *cond = parser_node(p, N_COND);
        p->token++;
        cond->a = n;
        cond->b = parse_binary(p, LEVEL_OR);
        if (parser_skip(p, T_NAME, "else"))
            cond->c = parser_expression(p);
        n = cond;
    }
    engine_leave(p->g);
    return n;
}

struct node *parser_tuple(struct parser *p, bool with_condition)
{
    struct node *n = parser_node(p, N_TUPLE), **end = &n->items;
    bool comma = false;
    for (;;) {
        if (comma && (p->token->kind == T_PRINT_END || p->token->kind == T_BLOCK_END ||
                      parser_is(p, T_OPERATOR, ")")))
            return n;
        *end = with_condition ? parser_expression(p) : parse_binary(p, LEVEL_OR);
        if (!op(p, ","))
            return comma ? n : n->items;
        comma = true;
        end = &(*end)->next;
    }
}
