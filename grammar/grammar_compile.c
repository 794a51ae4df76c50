#include "grammar/grammar_private.h"

#include "base/buffer.h"
#include "base/memory.h"

#include <string.h>

/* --- Trees to nodes, from the last to the first: each is made knowing what follows it --------------------- */

struct compiler {
    struct grammar_source *s;
    struct grammar *g;
    struct error *e;
    size_t rule; /* that is compiled now */
};

static uint32_t add_node(struct grammar *g, enum node_kind kind, uint32_t a, uint32_t b)
{
    mem_grow((void **)&g->nodes, &g->nodes_capacity, g->n_nodes, sizeof *g->nodes);
    g->nodes[g->n_nodes] = (struct node){kind, a, b};
    return (uint32_t)g->n_nodes++;
}

/* A rule of its own for what is repeated, so that each copy is one node, and nothing is compiled twice. */
static uint32_t add_rule(struct compiler *c, uint32_t tree)
{
    struct grammar_source *s = c->s;
    mem_grow((void **)&s->rules, &s->rules_capacity, s->n_rules, sizeof *s->rules);
    s->rules[s->n_rules] = s->rules[c->rule];
    s->rules[s->n_rules].tree = tree;
    return (uint32_t)s->n_rules++;
}

static int compile(struct compiler *c, uint32_t tree, uint32_t next, uint32_t *out);

static int compile_list(struct compiler *c, uint32_t item, uint32_t next, uint32_t *out)
{
    *out = next;
    for (; item != NO_NODE; item = c->s->trees[item].before) {
        int code = compile(c, item, *out, out);
        if (code)
            return code;
    }
    return OK;
}

static int compile_choice(struct compiler *c, uint32_t item, uint32_t next, uint32_t *out)
{
    int code = compile(c, item, next, out);
    for (item = c->s->trees[item].before; !code && item != NO_NODE; item = c->s->trees[item].before) {
        uint32_t one;
        code = compile(c, item, next, &one);
        *out = add_node(c->g, NODE_SPLIT, one, *out);
    }
    return code;
}

/* x{2,4} is x x (x (x)?)?, and x{2,} is x x x*. */
static int compile_repeat(struct compiler *c, struct tree t, uint32_t next, uint32_t *out)
{
    size_t copies = t.high == REPEAT_ENDLESS ? (size_t)t.low + 1 : t.high;
    uint32_t body = t.a, end = next;
    int code = OK;
    if (copies > 1 && c->s->trees[body].kind > TREE_CALL) {
        body = add_rule(c, body);
        mem_grow((void **)&c->s->trees, &c->s->trees_capacity, c->s->n_trees, sizeof *c->s->trees);
        c->s->trees[c->s->n_trees] = (struct tree){.kind = TREE_CALL, .a = body, .before = NO_NODE};
        body = (uint32_t)c->s->n_trees++;
    }
    *out = next;
    if (t.high == REPEAT_ENDLESS) {
        uint32_t loop = add_node(c->g, NODE_SPLIT, NO_NODE, next), first;
        code = compile(c, body, loop, &first);
        c->g->nodes[loop].a = first;
        *out = loop;
    }
    for (size_t i = t.high == REPEAT_ENDLESS ? 0 : t.high - t.low; !code && i > 0; i--) {
        code = compile(c, body, *out, out);
        *out = add_node(c->g, NODE_SPLIT, *out, end);
    }
    for (size_t i = t.low; !code && i > 0; i--)
        code = compile(c, body, *out, out);
    return code;
}

/* *out: where the tree begins. */
static int compile(struct compiler *c, uint32_t tree, uint32_t next, uint32_t *out)
{
    struct tree t = c->s->trees[tree];
    if (c->g->n_nodes > GRAMMAR_MOST_NODES)
        return grammar_error(c->s, c->s->rules[c->rule].place, c->e,
                             "the grammar grows beyond %d nodes here; repeat less", GRAMMAR_MOST_NODES);
    switch (t.kind) {
    case TREE_LIST:
        return compile_list(c, t.a, next, out);
    case TREE_CHOICE:
        return compile_choice(c, t.a, next, out);
    case TREE_REPEAT:
        return compile_repeat(c, t, next, out);
    case TREE_SET:
        *out = add_node(c->g, NODE_SET, t.a, next);
        return OK;
    case TREE_CALL:
        *out = add_node(c->g, NODE_CALL, t.a, next); /* the rule; its start once all are compiled */
        return OK;
    }
    return OK;
}

static int compile_rules(struct compiler *c)
{
    for (c->rule = 0; c->rule < c->s->n_rules; c->rule++) { /* there become more */
        uint32_t start, end = add_node(c->g, NODE_RETURN, 0, 0);
        int code = compile(c, c->s->rules[c->rule].tree, end, &start);
        if (code)
            return code;
        c->s->rules[c->rule].start = start;
    }
    for (size_t i = 0; i < c->g->n_nodes; i++)
        if (c->g->nodes[i].kind == NODE_CALL)
            c->g->nodes[i].a = c->s->rules[c->g->nodes[i].a].start;
    return OK;
}

/* --- What a text from a node on can be -------------------------------------------------------------------- */

/* With `empty`, whether the rule can end from here without a character; else whether it can end at all. */
static bool ends_here(const struct node *n, const bool *ends, bool empty)
{
    switch (n->kind) {
    case NODE_SET:
        return !empty && ends[n->b];
    case NODE_SPLIT:
        return ends[n->a] || ends[n->b];
    case NODE_CALL:
        return ends[n->a] && ends[n->b];
    case NODE_RETURN:
        return true;
    }
    return false;
}

/* The least fixed point, from nodes that end back to those before them: time grows with the nodes alone. */
static bool *find_ends(const struct grammar *g, bool empty)
{
    size_t n = g->n_nodes, waiting = 0;
    bool *ends = mem_zero(n, sizeof *ends);
    uint32_t *first = mem_zero(n + 1, sizeof *first), *before = mem_alloc(2 * n, sizeof *before);
    uint32_t *queue = mem_alloc(n, sizeof *queue);
    for (int pass = 0; pass < 2; pass++) { /* count, then fill from the back of each node's part */
        for (uint32_t i = 0; i < n; i++) {
            const struct node *node = &g->nodes[i];
            uint32_t to[2] = {node->b, node->a};
            size_t n_to = node->kind == NODE_RETURN ? 0 : node->kind == NODE_SET ? 1 : 2;
            for (size_t k = 0; k < n_to; k++)
                if (pass)
                    before[--first[to[k]]] = i;
                else
                    first[to[k]]++;
        }
        for (size_t i = 0; !pass && i < n; i++)
            first[i + 1] += first[i];
    }
    for (uint32_t i = 0; i < n; i++)
        if (g->nodes[i].kind == NODE_RETURN)
            ends[i] = true, queue[waiting++] = i;
    while (waiting > 0) {
        uint32_t from = queue[--waiting];
        for (uint32_t k = first[from]; k < first[from + 1]; k++) {
            uint32_t i = before[k];
            if (!ends[i] && ends_here(&g->nodes[i], ends, empty))
                ends[i] = true, queue[waiting++] = i;
        }
    }
    mem_free(first), mem_free(before), mem_free(queue);
    return ends;
}

/* --- Left recursion ----------------------------------------------------------------------------------------- */

struct calls {       /* of rules that a rule may call before it has read a character */
    uint32_t *rules; /* those of rule r: rules[first[r]] up to rules[first[r + 1]] */
    size_t count, capacity;
    size_t *first;
};

/* Adds the calls of one rule. seen (n_nodes) is shared: a node is in one rule only. */
static void find_calls(const struct grammar *g, const bool *empty, const uint32_t *rule_at, uint32_t start,
                       bool *seen, uint32_t *stack, struct calls *c)
{
    size_t n = 0;
    seen[start] = true;
    for (stack[n++] = start; n > 0;) {
        const struct node *node = &g->nodes[stack[--n]];
        if (node->kind == NODE_CALL) {
            mem_grow((void **)&c->rules, &c->capacity, c->count, sizeof *c->rules);
            c->rules[c->count++] = rule_at[node->a];
        }
        bool both[2] = {node->kind == NODE_SPLIT,
                        node->kind == NODE_SPLIT || (node->kind == NODE_CALL && empty[node->a])};
        uint32_t to[2] = {node->a, node->b};
        for (int k = 0; k < 2; k++)
            if (both[k] && !seen[to[k]])
                seen[to[k]] = true, stack[n++] = to[k];
    }
}

/* Depth first; *length rules of `path` are a circle, 0 when there is none. `next` (n_rules + 1): where each
 * stands. */
static const uint32_t *find_circle(const struct calls *c, size_t n_rules, size_t *next, uint32_t *path,
                                   size_t *length)
{
    enum { NEW, OPEN, DONE };
    uint8_t *colour = mem_zero(n_rules, 1);
    const uint32_t *circle = NULL;
    memcpy(next, c->first, n_rules * sizeof *next);
    *length = 0;
    for (uint32_t r = 0; r < n_rules && !circle; r++) {
        size_t depth = 0;
        if (colour[r] == NEW)
            path[depth++] = r, colour[r] = OPEN;
        while (depth > 0 && !circle) {
            uint32_t top = path[depth - 1];
            if (next[top] == c->first[top + 1]) {
                colour[top] = DONE, depth--;
                continue;
            }
            uint32_t to = c->rules[next[top]++];
            if (colour[to] == NEW)
                path[depth++] = to, colour[to] = OPEN;
            else if (colour[to] == OPEN)
                for (circle = path; *circle != to; )
                    circle++;
        }
        if (circle)
            *length = (size_t)(path + depth - circle);
    }
    mem_free(colour);
    return circle;
}

static int report_circle(const struct grammar_source *s, const uint32_t *circle, size_t length, struct error *e)
{
    struct buffer names = {0};
    const struct rule *first = &s->rules[circle[0]], *last = NULL;
    for (size_t i = 0; i <= length && names.size < 300; i++) {
        const struct rule *r = &s->rules[circle[i % length]];
        if (last && last->name == r->name && i < length)
            continue; /* a repetition in the same rule */
        if (i > 0)
            buffer_string(&names, " -> ");
        buffer_append(&names, s->text + r->name, r->n_name < 100 ? r->n_name : 100);
        last = r;
    }
    int code = grammar_error(
        s, first->place, e,
        "left recursion: a rule calls itself before it has read anything (%s); repeat with * or put "
        "the call at the end",
        names.data);
    buffer_free(&names);
    return code;
}

static int check_left_recursion(const struct grammar_source *s, struct error *e)
{
    const struct grammar *g = s->grammar;
    size_t n = s->n_rules, length;
    bool *empty = find_ends(g, true), *seen = mem_zero(g->n_nodes, sizeof *seen);
    uint32_t *rule_at = mem_zero(g->n_nodes, sizeof *rule_at), *stack = mem_alloc(g->n_nodes, sizeof *stack);
    struct calls c = {.first = mem_alloc(n + 1, sizeof *c.first)};
    for (uint32_t r = 0; r < n; r++)
        rule_at[s->rules[r].start] = r;
    for (size_t r = 0; r < n; r++) {
        c.first[r] = c.count;
        find_calls(g, empty, rule_at, s->rules[r].start, seen, stack, &c);
    }
    c.first[n] = c.count;
    size_t *next = mem_alloc(n, sizeof *next);
    uint32_t *path = mem_alloc(n, sizeof *path);
    const uint32_t *circle = find_circle(&c, n, next, path, &length);
    int code = circle ? report_circle(s, circle, length, e) : OK;
    mem_free(empty), mem_free(seen), mem_free(rule_at), mem_free(stack), mem_free(next), mem_free(path);
    mem_free(c.rules), mem_free(c.first);
    return code;
}

/* --- Bytes that no set tells apart ------------------------------------------------------------------------ */

/* Beyond ASCII, sets mostly hold all characters or none. Then what matters is where a character may begin and
 * go on (Unicode 15, table 3-7); else every byte is a class. */
static void find_byte_classes(struct grammar *g)
{
    static const unsigned char structure[] = {0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xE0, 0xE1,
                                              0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5};
    bool begins[257] = {true}, fine = false;
    for (size_t i = 0; i < sizeof structure; i++)
        begins[structure[i]] = true;
    for (size_t i = 0; i < g->n_ranges; i++) {
        uint32_t edges[2] = {g->ranges[i].low, g->ranges[i].high + 1};
        for (int k = 0; k < 2; k++)
            if (edges[k] <= 0x80)
                begins[edges[k]] = true;
            else if (edges[k] != 0xD800 && edges[k] != 0xE000 && edges[k] != 0x110000)
                fine = true;
    }
    for (size_t b = 0, class = 0; b < 256; b++) {
        class += b > 0 && (begins[b] || (fine && b >= 0x80));
        g->byte_class[b] = (uint8_t)class;
        g->n_classes = class + 1;
    }
}

/* --- All of it ---------------------------------------------------------------------------------------------- */

static int find_root(const struct grammar_source *s, uint32_t *root, struct error *e)
{
    for (uint32_t i = 0; i < s->n_rules; i++)
        if (s->rules[i].n_name == 4 && memcmp(s->text + s->rules[i].name, "root", 4) == 0) {
            *root = i;
            return OK;
        }
    return error_set(e, ERR_FORMAT, "grammar: there is no rule root, where the text begins");
}

int grammar_compile(struct grammar_source *s, struct error *e)
{
    struct compiler c = {.s = s, .g = s->grammar, .e = e};
    uint32_t root = 0;
    int code = find_root(s, &root, e);
    if (!code)
        code = compile_rules(&c);
    if (!code)
        code = check_left_recursion(s, e);
    if (code)
        return code;
    s->grammar->start = s->rules[root].start;
    bool *ends = find_ends(s->grammar, false);
    if (!ends[s->grammar->start])
        code = grammar_error(s, s->rules[root].place, e, "root never ends: every way through it calls for more");
    mem_free(ends);
    find_byte_classes(s->grammar);
    return code;
}

int grammar_parse(const char *text, size_t n, struct grammar **g, struct error *e)
{
    struct grammar_source s = {.text = text, .n = n, .grammar = mem_zero(1, sizeof **g)};
    int code = grammar_source_parse(&s, e);
    if (!code)
        code = grammar_compile(&s, e);
    if (!code)
        code = grammar_check_start(s.grammar, e);
    *g = s.grammar;
    grammar_source_free(&s);
    if (code) {
        grammar_free(*g);
        *g = NULL;
    }
    return code;
}

void grammar_free(struct grammar *g)
{
    if (!g)
        return;
    mem_free(g->nodes);
    mem_free(g->ranges);
    mem_free(g->sets);
    mem_free(g);
}
