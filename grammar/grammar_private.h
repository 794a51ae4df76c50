/* The inside of struct grammar, shared by grammar_parse.c (text to tree), grammar_compile.c (tree to network)
 * and grammar.c (matching). */
#ifndef LINNET_GRAMMAR_GRAMMAR_PRIVATE_H
#define LINNET_GRAMMAR_GRAMMAR_PRIVATE_H

#include "grammar/grammar.h"

#define NO_NODE UINT32_MAX

/* --- The network ------------------------------------------------------------------------------------------ */

enum node_kind {
    NODE_SET,    /* one character of set a, then b */
    NODE_SPLIT,  /* a or b */
    NODE_CALL,   /* the rule that begins at a, then b */
    NODE_RETURN, /* the rule ends */
};

struct node {
    enum node_kind kind;
    uint32_t a, b;
};

struct code_range {
    uint32_t low, high; /* inclusive */
};

struct code_set { /* sorted, disjoint, without surrogates */
    uint32_t first, count; /* in grammar.ranges */
};

struct grammar {
    struct node *nodes;
    size_t n_nodes, nodes_capacity;
    struct code_range *ranges;
    size_t n_ranges, ranges_capacity;
    struct code_set *sets;
    size_t n_sets, sets_capacity;
    uint32_t start;
    uint8_t byte_class[256]; /* bytes that no set tells apart */
    size_t n_classes;
};

/* --- The tree that a text is parsed into ----------------------------------------------------------------- */

enum tree_kind {
    TREE_SET,    /* a: set */
    TREE_CALL,   /* a: rule */
    TREE_REPEAT, /* child a, from low to high times (REPEAT_ENDLESS) */
    TREE_LIST,   /* a: last item, in reverse order through `before`; one after the other */
    TREE_CHOICE, /* the same; one of them */
};
#define REPEAT_ENDLESS UINT32_MAX

struct tree {
    enum tree_kind kind;
    uint32_t a, low, high;
    uint32_t before; /* the sibling before it, or NO_NODE */
};

struct rule {
    size_t name, n_name; /* in the text; a rule made for a repetition has that of the rule it is in */
    size_t place;        /* where it was first named */
    uint32_t tree;       /* NO_NODE: not defined */
    uint32_t start;      /* in the network */
};

struct grammar_source {
    const char *text;
    size_t n;
    struct grammar *grammar; /* gets the sets */
    struct tree *trees;
    size_t n_trees, trees_capacity;
    struct rule *rules;
    size_t n_rules, rules_capacity;
    uint32_t *find; /* open addressing over names: rule + 1, 0 is free */
    size_t find_size;
};

int grammar_source_parse(struct grammar_source *s, struct error *e);
void grammar_source_free(struct grammar_source *s);
/* "line 3, column 7: ..." */
int grammar_error(const struct grammar_source *s, size_t place, struct error *e, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A set of n ranges in any order, overlapping or not, which are sorted in place; negated on request. */
uint32_t grammar_add_set(struct grammar *g, struct code_range *ranges, size_t n, bool negated);

int grammar_compile(struct grammar_source *s, struct error *e);
/* That the beginning of a text can be held: ERR_FORMAT when there are too many ways to begin one. */
int grammar_check_start(const struct grammar *g, struct error *e);

#endif
