/* Statements: {% if %}, {% for %}, {% set %}, {% macro %}, {% call %}, {% filter %}, {% with %},
 * {% generation %}, {% break %}, {% continue %}, and what is printed. */
#include "chat/ast.h"

#include <string.h>

/* Up to one of the words, separated by spaces, that end the block; it stays the current token. */
static struct node *parse_body(struct parser *p, const char *block, const char *ends);

/* The tag's end, the body, and the word that ends it, which is skipped. */
static struct node *parse_block(struct parser *p, const char *block, const char *end)
{
    if (p->token->kind != T_BLOCK_END)
        parser_unexpected(p, "%}");
    struct node *body = parse_body(p, block, end);
    p->token++;
    return body;
}

/* A body whose text is handled as a whole, so that no loop outside can be left from within. */
static void parse_captured(struct parser *p, struct node *n, const char *block, const char *end)
{
    unsigned loops = p->loops;
    p->loops = 0;
    n->items = parse_block(p, block, end);
    p->loops = loops;
}

static bool is_target(const struct node *n)
{
    if (n->kind != N_TUPLE)
        return n->kind == N_NAME || n->kind == N_NAMESPACE_ATTR;
    for (const struct node *item = n->items; item; item = item->next)
        if (!is_target(item))
            return false;
    return true;
}

/* a, (a, b), namespace.attribute: what `for` and `set` assign to. */
static struct node *parse_target(struct parser *p, bool with_namespace)
{
    struct node *tuple = parser_node(p, N_TUPLE), **end = &tuple->items;
    bool comma = false;
    p->g->at = tuple->at;
    for (;;) {
        struct node *n = parser_primary(p);
        if (with_namespace && n->kind == N_NAME && parser_skip(p, T_OPERATOR, ".")) {
            struct node *attr = parser_node(p, N_NAMESPACE_ATTR);
            if (p->token->kind != T_NAME)
                parser_unexpected(p, "a name after the dot");
            p->token++;
            attr->a = n;
            n = attr;
        }
        if (!is_target(n))
            engine_fail(p->g, "only names can be assigned to");
        *end = n;
        if (!parser_skip(p, T_OPERATOR, ","))
            return comma ? tuple : tuple->items;
        comma = true;
        if (parser_is(p, T_NAME, "in") || parser_is(p, T_OPERATOR, "="))
            return tuple;
        end = &n->next;
    }
}

static struct node *parse_if(struct parser *p)
{
    struct node *first = parser_node(p, N_IF), *n = first;
    for (;;) {
        n->a = parser_tuple(p, false);
        if (p->token->kind != T_BLOCK_END)
            parser_unexpected(p, "%}");
        n->items = parse_body(p, "if", "elif else endif");
        if (!parser_skip(p, T_NAME, "elif"))
            break;
        n->c = parser_node(p, N_IF);
        n->c->op = 1; /* tells the elif from an `else` that begins with an if */
        n = n->c;
    }
    if (parser_skip(p, T_NAME, "else"))
        n->c = parse_block(p, "if", "endif");
    else
        p->token++;
    return first;
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = parser_node(p, N_FOR);
    n->a = parse_target(p, false);
    parser_expect(p, T_NAME, "in");
    n->b = parser_tuple(p, false);
    if (parser_skip(p, T_NAME, "if"))
        n->c = parser_expression(p);
    if (parser_is(p, T_NAME, "recursive")) {
        p->g->at = p->token->at;
        engine_fail(p->g, "a recursive loop is not supported; a macro can call itself");
    }
    if (p->token->kind != T_BLOCK_END)
        parser_unexpected(p, "%}");
    p->loops++;
    n->items = parse_body(p, "for", "else endfor");
    p->loops--;
    if (parser_skip(p, T_NAME, "else"))
        n->d = parse_block(p, "for", "endfor");
    else
        p->token++;
    return n;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = parser_node(p, N_SET);
    n->a = parse_target(p, true);
    if (parser_skip(p, T_OPERATOR, "=")) {
        n->b = parser_tuple(p, true);
        return n;
    }
    n->kind = N_SET_BLOCK;
    n->b = parser_filters(p, NULL, false);
    parse_captured(p, n, "set", "endset");
    return n;
}

/* (a, b=1): N_KEYWORD nodes whose a is the default or NULL. */
static struct node *parse_parameters(struct parser *p)
{
    struct node *first = NULL, **end = &first;
    bool defaults = false;
    parser_expect(p, T_OPERATOR, "(");
    while (!parser_skip(p, T_OPERATOR, ")")) {
        if (first)
            parser_expect(p, T_OPERATOR, ",");
        if (p->token->kind != T_NAME)
            parser_unexpected(p, "the name of a parameter");
        struct node *n = parser_node(p, N_KEYWORD);
        p->token++;
        if (parser_skip(p, T_OPERATOR, "="))
            n->a = parser_expression(p);
        else if (defaults)
            parser_unexpected(p, "a default like that of the parameter before");
        defaults = n->a != NULL;
        *end = n;
        end = &n->next;
    }
    return first;
}

/* The parameters and body of a macro or call block, from which no loop outside can be left. */
static void parse_callable(struct parser *p, struct node *n, const char *block, const char *end)
{
    unsigned uses = p->uses;
    p->uses = 0;
    parse_captured(p, n, block, end);
    n->op = (uint8_t)p->uses;
    p->uses = uses;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = parser_node(p, N_MACRO);
    if (p->token->kind != T_NAME)
        parser_unexpected(p, "the macro's name");
    p->token++;
    n->b = parse_parameters(p);
    parse_callable(p, n, "macro", "endmacro");
    return n;
}

static struct node *parse_call_block(struct parser *p)
{
    struct node *n = parser_node(p, N_CALL_BLOCK);
    if (parser_is(p, T_OPERATOR, "("))
        n->b = parse_parameters(p);
    p->g->at = p->token->at;
    n->a = parser_expression(p);
    if (n->a->kind != N_CALL)
        engine_fail(p->g, "{%% call %%} needs the call of a macro");
    parse_callable(p, n, "call", "endcall");
    return n;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = parser_node(p, N_FILTER_BLOCK);
    n->b = parser_filters(p, NULL, true);
    parse_captured(p, n, "filter", "endfilter");
    return n;
}

static struct node *parse_with(struct parser *p)
{
    struct node *n = parser_node(p, N_WITH), **end = &n->b;
    while (p->token->kind != T_BLOCK_END) {
        if (n->b)
            parser_expect(p, T_OPERATOR, ",");
        struct node *set = parser_node(p, N_SET);
        set->a = parser_primary(p);
        p->g->at = set->at;
        if (!is_target(set->a))
            engine_fail(p->g, "only names can be assigned to");
        parser_expect(p, T_OPERATOR, "=");
        set->b = parser_expression(p);
        *end = set;
        end = &set->next;
    }
    n->items = parse_block(p, "with", "endwith");
    return n;
}

static struct node *parse_generation(struct parser *p)
{
    struct node *n = parser_node(p, N_GENERATION);
    p->has_generation = true;
    parse_captured(p, n, "generation", "endgeneration");
    return n;
}

static struct node *parse_jump(struct parser *p)
{
    const struct token *word = p->token - 1;
    p->g->at = word->at;
    if (!p->loops)
        engine_fail(p->g, "{%% %.*s %%} outside of a loop", (int)word->size, word->s);
    return parser_node(p, *word->s == 'b' ? N_BREAK : N_CONTINUE);
}

static const struct statement {
    const char *word;
    struct node *(*parse)(struct parser *p);
} statements[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_jump},      {"continue", parse_jump},
};

/* At the word of the tag; leaves behind the tag's end. */
static struct node *parse_statement(struct parser *p)
{
    const struct token *word = p->token;
    if (word->kind != T_NAME)
        parser_unexpected(p, "a statement");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!parser_skip(p, T_NAME, statements[i].word))
            continue;
        struct node *n = statements[i].parse(p);
        n->at = (uint32_t)word->at;
        if (p->token->kind != T_BLOCK_END)
            parser_unexpected(p, "%}");
        p->token++;
        return n;
    }
    p->g->at = word->at;
    int n = engine_clip(word->s, word->size, ENGINE_CLIP);
    if (word->size > 3 && memcmp(word->s, "end", 3) == 0)
        engine_fail(p->g, "\"%.*s\" ends no block", n, word->s);
    if (parser_is(p, T_NAME, "else") || parser_is(p, T_NAME, "elif"))
        engine_fail(p->g, "\"%.*s\" belongs to no block", n, word->s);
    engine_fail(p->g, "the statement \"%.*s\" is not supported", n, word->s);
}

static bool at_end(const struct parser *p, const char *ends)
{
    for (const char *word = ends; *word;) {
        size_t n = strcspn(word, " ");
        if (p->token->kind == T_NAME && p->token->size == n && memcmp(p->token->s, word, n) == 0)
            return true;
        word += n;
        word += strspn(word, " ");
    }
    return false;
}

/* The statements up to one of `ends` (empty: the template's end), which is the current token then.
 */
static struct node *parse_statements(struct parser *p, const char *block, size_t opened,
                                     const char *ends)
{
    struct node *first = NULL, **end = &first;
    for (; p->token->kind != T_END; end = &(*end)->next) {
        if (p->token->kind == T_DATA) {
            *end = parser_node(p, N_DATA);
            (*end)->constant = value_string(p->token->s, p->token->size);
            p->token++;
        } else if (p->token->kind == T_PRINT_BEGIN) {
            *end = parser_node(p, N_PRINT);
            p->token++;
            (*end)->a = parser_tuple(p, true);
            if (p->token->kind != T_PRINT_END)
                parser_unexpected(p, "}}");
            p->token++;
        } else {
            p->token++; /* T_BLOCK_BEGIN: the lexer lets nothing else stand here */
            if (at_end(p, ends))
                return first;
            *end = parse_statement(p);
        }
    }
    p->g->at = opened;
    if (*ends)
        engine_fail(p->g, "{%% %s %%} has no end", block);
    return first;
}

static struct node *parse_body(struct parser *p, const char *block, const char *ends)
{
    const struct token *begin = p->token++; /* from the tag's end back to its beginning */
    while (begin->kind != T_BLOCK_BEGIN)
        begin--;
    size_t opened = begin->at;
    engine_enter(p->g);
    struct node *body = parse_statements(p, block, opened, ends);
    engine_leave(p->g);
    return body;
}

struct node *parser_template(struct engine *g, bool *has_generation)
{
    struct parser p = {.g = g};
    p.token = lexer_tokens(g);
    struct node *body = parse_statements(&p, "", 0, "");
    *has_generation = p.has_generation;
    return body;
}
