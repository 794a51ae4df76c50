/* A parsed template: tokens and the tree. Everything lies in the pool of the engine that parsed. */
#ifndef LINNET_CHAT_AST_H
#define LINNET_CHAT_AST_H

#include "chat/value.h"

enum token_kind {
    T_END,
    T_DATA,        /* text between tags, white space trimmed */
    T_PRINT_BEGIN, /* {{ */
    T_PRINT_END,   /* }} */
    T_BLOCK_BEGIN, /* {% */
    T_BLOCK_END,   /* %} */
    T_NAME,
    T_STRING,
    T_NUMBER,
    T_OPERATOR,
};

struct token {
    enum token_kind kind;
    size_t at;     /* offset in the source */
    const char *s; /* data, name, operator; a string's value */
    size_t size;
    struct value number;
};

/* Turns the whole source of the engine into tokens, the last of them T_END. */
struct token *lexer_tokens(struct engine *g);

enum node_kind {
    /* expressions */
    N_CONSTANT,
    N_NAME,
    N_LIST,   /* items */
    N_TUPLE,  /* items */
    N_DICT,   /* items: key, value, key, value, ... */
    N_ATTR,   /* a.name */
    N_ITEM,   /* a[b] */
    N_SLICE,  /* a[b:c:d] */
    N_CALL,   /* a(items) */
    N_FILTER, /* a|name(items); a is NULL where the input is a block's text */
    N_TEST,   /* a is name(items) */
    N_NOT,
    N_AND,
    N_OR,
    N_NEGATE,
    N_PLUS,
    N_BINARY,  /* a op b */
    N_CONCAT,  /* items joined by ~ */
    N_COMPARE, /* a, then each of items with its own op */
    N_COND,    /* a if b else c; c may be NULL */
    N_KEYWORD, /* name=a, among a call's items */
    /* statements */
    N_DATA,         /* constant */
    N_PRINT,        /* a */
    N_IF,           /* if a: items, else: c */
    N_FOR,          /* for a in b if c: items, else: d */
    N_SET,          /* a = b */
    N_SET_BLOCK,    /* a = text of items, through the filters b (may be NULL) */
    N_MACRO,        /* name, b: the parameters (N_KEYWORD), items */
    N_CALL_BLOCK,   /* a: N_CALL, b: the parameters, items */
    N_FILTER_BLOCK, /* b: filters, items */
    N_WITH,         /* b: N_SET after N_SET, items */
    N_GENERATION,   /* items */
    N_BREAK,
    N_CONTINUE,
    /* assignment: N_NAME, N_TUPLE and this */
    N_NAMESPACE_ATTR, /* a.name, where a is N_NAME */
};

enum operator{
    OP_NONE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN,
};

/* What a macro's body asks for by name. */
enum { USES_VARARGS = 1, USES_KWARGS = 2, USES_CALLER = 4 };

struct node {
    uint8_t kind;      /* enum node_kind */
    uint8_t op;        /* enum operator; of a macro: USES_... */
    uint32_t at;       /* offset in the source */
    struct node *next; /* sibling in a list */
    struct node *a, *b, *c, *d, *items;
    const char *name; /* borrowed from the source */
    size_t name_size;
    struct value constant;
};

struct node *parser_template(struct engine *g, bool *has_generation);

/* What the two halves of the parser share. */
struct parser {
    struct engine *g;
    const struct token *token; /* the current one */
    unsigned loops;            /* that a break could leave */
    unsigned uses;             /* USES_... seen in the macro so far */
    bool has_generation;
};
bool parser_is(const struct parser *p, enum token_kind kind, const char *text);
bool parser_skip(struct parser *p, enum token_kind kind, const char *text); /* if it is there */
void parser_expect(struct parser *p, enum token_kind kind, const char *text);
_Noreturn void parser_unexpected(struct parser *p, const char *wanted);
struct node *parser_node(struct parser *p, enum node_kind kind);
struct node *parser_expression(struct parser *p);
/* One expression, or several separated by commas as a tuple. */
struct node *parser_tuple(struct parser *p, bool with_condition);
struct node *parser_filters(struct parser *p, struct node *input, bool first_without_bar);
struct node *parser_primary(struct parser *p);

#endif
