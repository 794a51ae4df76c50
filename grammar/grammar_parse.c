#include "grammar/grammar_private.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct grammar_source *s;
    size_t at;
    unsigned groups; /* parentheses open */
    struct code_range *class; /* scratch */
    size_t class_capacity;
    struct error *e;
};

int grammar_error(const struct grammar_source *s, size_t place, struct error *e, const char *format, ...)
{
    char what[512];
    size_t line = 1, column = 1;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    for (size_t i = 0; i < place && i < s->n; i++) {
        column++;
        if (s->text[i] == '\n')
            line++, column = 1;
    }
    return error_set(e, ERR_FORMAT, "grammar: line %zu, column %zu: %s", line, column, what);
}

static int peek(const struct parser *p)
{
    return p->at < p->s->n ? (unsigned char)p->s->text[p->at] : -1;
}

static bool starts(const struct parser *p, const char *what)
{
    size_t n = strlen(what);
    return p->s->n - p->at >= n && memcmp(p->s->text + p->at, what, n) == 0;
}

/* Blanks and comments; lines too where a rule goes on behind them. */
static void skip(struct parser *p, bool lines)
{
    for (int c; (c = peek(p)) >= 0; p->at++) {
        if (c == '#')
            while (p->at + 1 < p->s->n && p->s->text[p->at + 1] != '\n')
                p->at++;
        else if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static bool is_name(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* --- The tree --------------------------------------------------------------------------------------------- */

static uint32_t add_tree(struct parser *p, struct tree t)
{
    struct grammar_source *s = p->s;
    mem_grow((void **)&s->trees, &s->trees_capacity, s->n_trees, sizeof *s->trees);
    s->trees[s->n_trees] = t;
    return (uint32_t)s->n_trees++;
}

static void append(struct parser *p, uint32_t list, uint32_t item)
{
    p->s->trees[item].before = p->s->trees[list].a;
    p->s->trees[list].a = item;
}

static uint64_t name_hash(const struct grammar_source *s, const struct rule *r)
{
    return hash64(s->text + r->name, r->n_name, 0);
}

static void find_grow(struct grammar_source *s)
{
    mem_free(s->find);
    s->find_size = s->find_size ? 2 * s->find_size : 64;
    s->find = mem_zero(s->find_size, sizeof *s->find);
    for (size_t i = 0; i < s->n_rules; i++) {
        size_t slot = name_hash(s, &s->rules[i]) & (s->find_size - 1);
        while (s->find[slot])
            slot = (slot + 1) & (s->find_size - 1);
        s->find[slot] = (uint32_t)i + 1;
    }
}

/* The rule with the name at p->at, which is read; made when it is new. */
static uint32_t read_name(struct parser *p)
{
    struct grammar_source *s = p->s;
    struct rule r = {.name = p->at, .place = p->at, .tree = NO_NODE, .start = NO_NODE};
    while (is_name(peek(p)))
        p->at++;
    r.n_name = p->at - r.name;
    if (2 * (s->n_rules + 1) > s->find_size)
        find_grow(s);
    size_t slot = name_hash(s, &r) & (s->find_size - 1);
    for (; s->find[slot]; slot = (slot + 1) & (s->find_size - 1)) {
        const struct rule *known = &s->rules[s->find[slot] - 1];
        if (known->n_name == r.n_name && memcmp(s->text + known->name, s->text + r.name, r.n_name) == 0)
            return s->find[slot] - 1;
    }
    mem_grow((void **)&s->rules, &s->rules_capacity, s->n_rules, sizeof *s->rules);
    s->rules[s->n_rules] = r;
    s->find[slot] = (uint32_t)++s->n_rules;
    return (uint32_t)s->n_rules - 1;
}

/* --- Characters ------------------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int read_escape(struct parser *p, uint32_t *code)
{
    static const struct { char name, code; unsigned char digits; } escapes[] = {
        {'n', '\n', 0}, {'r', '\r', 0}, {'t', '\t', 0}, {'\\', '\\', 0}, {'"', '"', 0}, {'[', '[', 0},
        {']', ']', 0},  {'-', '-', 0},  {'^', '^', 0},  {'x', 0, 2},     {'u', 0, 4},   {'U', 0, 8}};
    size_t place = p->at++, i = 0;
    int c = peek(p);
    while (i < sizeof escapes / sizeof *escapes && escapes[i].name != c)
        i++;
    if (c < 0 || i == sizeof escapes / sizeof *escapes)
        return grammar_error(
            p->s, place, p->e,
            "unknown escape; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH");
    p->at++;
    *code = (unsigned char)escapes[i].code;
    for (int k = 0; k < escapes[i].digits; k++, p->at++) {
        int digit = hex_digit(peek(p));
        if (digit < 0)
            return grammar_error(p->s, place, p->e, "\\%c needs %d hexadecimal digits", escapes[i].name,
                                 escapes[i].digits);
        *code = *code << 4 | (uint32_t)digit;
    }
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
        return grammar_error(p->s, place, p->e, "U+%04X is not a character", *code);
    return OK;
}

/* A character of a literal or a class; `open` is where that began. */
static int read_char(struct parser *p, size_t open, uint32_t *code)
{
    int c = peek(p);
    if (c < 0 || c == '\n')
        return grammar_error(p->s, open, p->e, "%c has no closing %c on its line", p->s->text[open],
                             p->s->text[open] == '"' ? '"' : ']');
    if (c == '\\')
        return read_escape(p, code);
    size_t size = utf8_decode(p->s->text + p->at, p->s->n - p->at, code);
    if (size == 0)
        return grammar_error(p->s, p->at, p->e, "not UTF-8");
    p->at += size;
    return OK;
}

static int by_low(const void *a, const void *b)
{
    const struct code_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

static void add_range(struct grammar *g, struct code_set *set, uint32_t low, uint32_t high)
{
    if (low <= 0xDFFF && high >= 0xD800) { /* without surrogates */
        if (low < 0xD800)
            add_range(g, set, low, 0xD7FF);
        if (high > 0xDFFF)
            add_range(g, set, 0xE000, high);
        return;
    }
    mem_grow((void **)&g->ranges, &g->ranges_capacity, g->n_ranges, sizeof *g->ranges);
    g->ranges[g->n_ranges++] = (struct code_range){low, high};
    set->count++;
}

uint32_t grammar_add_set(struct grammar *g, struct code_range *r, size_t n, bool negated)
{
    struct code_set set = {.first = (uint32_t)g->n_ranges};
    uint32_t next = 0; /* the first character that no range so far holds or lies behind */
    if (n > 1)
        qsort(r, n, sizeof *r, by_low);
    for (size_t i = 0; i < n;) {
        uint32_t low = r[i].low, high = r[i].high;
        for (i++; i < n && r[i].low <= high + 1; i++)
            high = r[i].high > high ? r[i].high : high;
        if (!negated)
            add_range(g, &set, low, high);
        else if (low > next)
            add_range(g, &set, next, low - 1);
        next = high + 1;
    }
    if (negated && next <= 0x10FFFF)
        add_range(g, &set, next, 0x10FFFF);
    mem_grow((void **)&g->sets, &g->sets_capacity, g->n_sets, sizeof *g->sets);
    g->sets[g->n_sets] = set;
    return (uint32_t)g->n_sets++;
}

static uint32_t add_set(struct parser *p, struct code_range *ranges, size_t n, bool negated)
{
    return add_tree(p, (struct tree){.kind = TREE_SET, .a = grammar_add_set(p->s->grammar, ranges, n, negated)});
}

static int read_literal(struct parser *p, uint32_t *out)
{
    size_t open = p->at++;
    *out = add_tree(p, (struct tree){.kind = TREE_LIST, .a = NO_NODE});
    while (peek(p) != '"') {
        struct code_range r;
        int code = read_char(p, open, &r.low);
        if (code)
            return code;
        r.high = r.low;
        append(p, *out, add_set(p, &r, 1, false));
    }
    p->at++;
    return OK;
}

static int read_class(struct parser *p, uint32_t *out)
{
    size_t open = p->at++, n = 0;
    bool negated = peek(p) == '^';
    p->at += negated;
    while (peek(p) != ']') {
        struct code_range r;
        size_t place = p->at;
        int code = read_char(p, open, &r.low);
        r.high = r.low;
        if (!code && starts(p, "-") && !starts(p, "-]")) {
            p->at++;
            code = read_char(p, open, &r.high);
        }
        if (code)
            return code;
        if (r.low > r.high)
            return grammar_error(p->s, place, p->e, "the range ends before it begins");
        mem_grow((void **)&p->class, &p->class_capacity, n, sizeof *p->class);
        p->class[n++] = r;
    }
    p->at++;
    *out = add_set(p, p->class, n, negated);
    if (p->s->grammar->sets[p->s->grammar->n_sets - 1].count == 0)
        return grammar_error(p->s, open, p->e, "a class without characters matches nothing");
    return OK;
}

/* --- Repetition, sequences, alternatives, rules ----------------------------------------------------------- */

static int read_count(struct parser *p, size_t open, uint32_t *count)
{
    *count = 0;
    if (!(peek(p) >= '0' && peek(p) <= '9'))
        return grammar_error(p->s, open, p->e, "a repetition is {m}, {m,} or {m,n}");
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *count = *count * 10 + (uint32_t)(peek(p) - '0');
        if (*count > GRAMMAR_MOST_REPEATS)
            return grammar_error(p->s, open, p->e, "a repetition of more than %d", GRAMMAR_MOST_REPEATS);
    }
    skip(p, p->groups > 0);
    return OK;
}

static int read_braces(struct parser *p, uint32_t *low, uint32_t *high)
{
    size_t open = p->at++;
    skip(p, p->groups > 0);
    int code = read_count(p, open, low);
    *high = *low;
    if (!code && peek(p) == ',') {
        p->at++;
        skip(p, p->groups > 0);
        *high = REPEAT_ENDLESS;
        if (peek(p) != '}')
            code = read_count(p, open, high);
    }
    if (code)
        return code;
    if (peek(p) != '}')
        return grammar_error(p->s, open, p->e, "{ has no closing }");
    if (*low > *high)
        return grammar_error(p->s, open, p->e, "{%u,%u}: the first must not be more than the second", *low,
                             *high);
    p->at++;
    return OK;
}

/* An operator behind an item, if there is one. */
static int read_repeat(struct parser *p, uint32_t *item)
{
    struct tree t = {.kind = TREE_REPEAT, .a = *item, .high = REPEAT_ENDLESS};
    int c = peek(p), code = OK;
    if (c == '{')
        code = read_braces(p, &t.low, &t.high);
    else if (c == '*' || c == '+' || c == '?')
        p->at++, t.low = c == '+', t.high = c == '?' ? 1 : REPEAT_ENDLESS;
    else
        return OK;
    if (code)
        return code;
    *item = add_tree(p, t);
    skip(p, p->groups > 0);
    c = peek(p);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return grammar_error(p->s, p->at, p->e,
                             "an operator behind an operator; put parentheses around the first");
    return OK;
}

static int read_choice(struct parser *p, uint32_t *out);

static int read_group(struct parser *p, uint32_t *out)
{
    size_t open = p->at++;
    if (++p->groups > GRAMMAR_MOST_GROUPS)
        return grammar_error(p->s, open, p->e, "more than %d parentheses within each other", GRAMMAR_MOST_GROUPS);
    skip(p, true);
    int code = read_choice(p, out);
    if (code)
        return code;
    if (peek(p) != ')')
        return grammar_error(p->s, open, p->e, "( has no closing )");
    p->at++, p->groups--;
    return OK;
}

/* One item, or *out = NO_NODE where none begins. */
static int read_item(struct parser *p, uint32_t *out)
{
    int c = peek(p);
    *out = NO_NODE;
    if (c == '"')
        return read_literal(p, out);
    if (c == '[')
        return read_class(p, out);
    if (c == '(')
        return read_group(p, out);
    if (c == '.') {
        p->at++;
        *out = add_set(p, NULL, 0, true);
    } else if (is_name(c)) {
        *out = add_tree(p, (struct tree){.kind = TREE_CALL, .a = read_name(p)});
    } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        return grammar_error(p->s, p->at, p->e, "%c has nothing to repeat", c);
    }
    return OK;
}

static int read_sequence(struct parser *p, uint32_t *out)
{
    *out = add_tree(p, (struct tree){.kind = TREE_LIST, .a = NO_NODE});
    for (;;) {
        uint32_t item;
        int code = read_item(p, &item);
        if (code || item == NO_NODE)
            return code;
        skip(p, p->groups > 0);
        code = read_repeat(p, &item);
        if (code)
            return code;
        append(p, *out, item);
    }
}

/* Whether another alternative follows, here or at the beginning of a later line. */
static bool read_bar(struct parser *p)
{
    size_t place = p->at;
    skip(p, true);
    if (peek(p) == '|') {
        p->at++;
        skip(p, true);
        return true;
    }
    p->at = place;
    return false;
}

static int read_choice(struct parser *p, uint32_t *out)
{
    *out = add_tree(p, (struct tree){.kind = TREE_CHOICE, .a = NO_NODE});
    do {
        uint32_t sequence;
        int code = read_sequence(p, &sequence);
        if (code)
            return code;
        append(p, *out, sequence);
    } while (read_bar(p));
    return OK;
}

static int read_rule(struct parser *p)
{
    struct grammar_source *s = p->s;
    size_t place = p->at;
    if (!is_name(peek(p)))
        return grammar_error(s, place, p->e, "expected a rule: name ::= ...");
    uint32_t rule = read_name(p), tree;
    skip(p, false);
    if (!starts(p, "::="))
        return grammar_error(s, p->at, p->e, "expected ::= behind the name of a rule");
    if (s->rules[rule].tree != NO_NODE)
        return grammar_error(s, place, p->e, "the rule %.*s is there already",
                             s->rules[rule].n_name < 200 ? (int)s->rules[rule].n_name : 200, s->text + place);
    p->at += 3;
    skip(p, true);
    int code = read_choice(p, &tree);
    if (code)
        return code;
    s->rules[rule].tree = tree;
    int c = peek(p);
    if (c == '<' || c == '!')
        return grammar_error(s, p->at, p->e, "tokens by name or number (<...>) are not supported");
    if (c >= 0 && c != '\n' && c != '\r')
        return grammar_error(s, p->at, p->e,
                             c == ')' ? ") without (" : "unexpected character; a rule ends with its line");
    skip(p, true);
    return OK;
}

int grammar_source_parse(struct grammar_source *s, struct error *e)
{
    struct parser p = {.s = s, .e = e};
    int code = s->n > GRAMMAR_MOST_BYTES
                   ? error_set(e, ERR_FORMAT, "grammar: longer than %d bytes", GRAMMAR_MOST_BYTES) : OK;
    skip(&p, true);
    while (!code && peek(&p) >= 0)
        code = read_rule(&p);
    mem_free(p.class);
    for (size_t i = 0; !code && i < s->n_rules; i++)
        if (s->rules[i].tree == NO_NODE)
            code = grammar_error(s, s->rules[i].place, e, "there is no rule %.*s",
                                 s->rules[i].n_name < 200 ? (int)s->rules[i].n_name : 200,
                                 s->text + s->rules[i].name);
    return code;
}

void grammar_source_free(struct grammar_source *s)
{
    mem_free(s->trees);
    mem_free(s->rules);
    mem_free(s->find);
    *s = (struct grammar_source){0};
}
