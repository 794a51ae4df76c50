#include "grammar/grammar_private.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A stack of open calls: where the innermost goes on, and the rest. Equal stacks have one number; 0 is empty. */
struct frame {
    uint32_t node, rest, depth;
    uint32_t next; /* of the same hash; 0: the last */
};

/* One way to have read the text: a NODE_SET that waits for a character, and what is open around it. */
#define ITEM(node, frame) ((uint64_t)(node) << 32 | (frame))
#define ITEM_NODE(item) ((uint32_t)((item) >> 32))
#define ITEM_FRAME(item) ((uint32_t)(item))

/* All ways together. Equal ones have one number; 0 has no way at all. */
struct config {
    size_t first;     /* its items, in order, in machine.items */
    uint32_t count;
    uint32_t partial; /* bytes of a character so far: value | bytes missing << 21 | bytes in all << 24; 0: none */
    bool may_end;
    uint32_t next;    /* of the same hash; 0: the last */
};

#ifndef GRAMMAR_MOST_CONFIGS /* a test has other thoughts */
#define GRAMMAR_MOST_CONFIGS (1 << 14)
#endif
enum {
    DEAD = 0,
    TABLE = 1 << 13, /* buckets, for frames and for configs */
    MOST_CONFIGS = GRAMMAR_MOST_CONFIGS, /* beyond these a machine begins anew */
    MOST_FRAMES = 1 << 17,
    MOST_ITEMS = 1 << 19,
    MOST_WORK = 1 << 25, /* items looked at in one call: about a second */
    MASKS = 16,          /* the last ones are kept: inside a string, say, it is the same one for each token */
};
#define UNKNOWN UINT32_MAX

struct known_mask {
    uint32_t config; /* DEAD: none */
    size_t count;    /* tokens allowed */
    uint32_t *bits;
};

struct grammar_machine {
    const struct grammar *g;
    struct frame *frames;
    size_t n_frames, frames_capacity;
    struct config *configs;
    size_t n_configs, configs_capacity;
    uint64_t *items;
    size_t n_items, items_capacity;
    uint32_t *to; /* (n_configs, n_classes) the config behind a byte, or UNKNOWN */
    size_t to_capacity;
    uint32_t frame_table[TABLE], config_table[TABLE];
    /* The closure in the making: all items met, splits, calls and returns too; and where to look them up. */
    uint64_t *met;
    size_t n_met, met_capacity;
    uint32_t *seen; /* open addressing: 1 + index in met */
    size_t seen_size;
    struct known_mask masks[MASKS];
    const struct token_trie *trie; /* that they are for */
    size_t next_mask;
    size_t work;
    bool too_many; /* more than GRAMMAR_MOST_STATES or MOST_WORK */
};

/* --- Numbers for equal things ----------------------------------------------------------------------------- */

static uint32_t push_frame(struct grammar_machine *m, uint32_t node, uint32_t rest)
{
    uint64_t h = hash64_combine(hash64_combine(0, node), rest);
    uint32_t *bucket = &m->frame_table[h % TABLE];
    for (uint32_t f = *bucket; f; f = m->frames[f].next)
        if (m->frames[f].node == node && m->frames[f].rest == rest)
            return f;
    mem_grow((void **)&m->frames, &m->frames_capacity, m->n_frames, sizeof *m->frames);
    m->frames[m->n_frames] = (struct frame){node, rest, m->frames[rest].depth + 1, *bucket};
    return *bucket = (uint32_t)m->n_frames++;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The config of these items, which are put in order. */
static uint32_t make_config(struct grammar_machine *m, uint64_t *items, size_t n, uint32_t partial, bool may_end)
{
    if (n == 0 && !may_end)
        return DEAD;
    if (n > 1)
        qsort(items, n, sizeof *items, by_value);
    uint64_t h = hash64(items, n * sizeof *items, partial << 1 | may_end);
    uint32_t *bucket = &m->config_table[h % TABLE];
    for (uint32_t c = *bucket; c; c = m->configs[c].next) {
        const struct config *k = &m->configs[c];
        if (k->count == n && k->partial == partial && k->may_end == may_end &&
            (n == 0 || memcmp(m->items + k->first, items, n * sizeof *items) == 0))
            return c;
    }
    mem_grow((void **)&m->configs, &m->configs_capacity, m->n_configs, sizeof *m->configs);
    if (n > 0)
        mem_grow((void **)&m->items, &m->items_capacity, m->n_items + n - 1, sizeof *m->items);
    mem_grow((void **)&m->to, &m->to_capacity, (m->n_configs + 1) * m->g->n_classes - 1, sizeof *m->to);
    if (n > 0)
        memcpy(m->items + m->n_items, items, n * sizeof *items);
    memset(m->to + m->n_configs * m->g->n_classes, 0xFF, m->g->n_classes * sizeof *m->to);
    m->configs[m->n_configs] = (struct config){m->n_items, (uint32_t)n, partial, may_end, *bucket};
    m->n_items += n;
    return *bucket = (uint32_t)m->n_configs++;
}

static struct grammar_machine *machine_new(const struct grammar *g)
{
    struct grammar_machine *m = mem_zero(1, sizeof *m);
    m->g = g;
    mem_grow((void **)&m->frames, &m->frames_capacity, 0, sizeof *m->frames);
    mem_grow((void **)&m->configs, &m->configs_capacity, 0, sizeof *m->configs);
    mem_grow((void **)&m->to, &m->to_capacity, g->n_classes - 1, sizeof *m->to);
    m->frames[0] = (struct frame){.node = NO_NODE};
    m->configs[DEAD] = (struct config){0};
    memset(m->to, 0, g->n_classes * sizeof *m->to);
    m->n_frames = m->n_configs = 1;
    return m;
}

static void machine_free(struct grammar_machine *m)
{
    if (!m)
        return;
    mem_free(m->frames);
    mem_free(m->configs);
    mem_free(m->items);
    mem_free(m->to);
    mem_free(m->met);
    mem_free(m->seen);
    for (size_t i = 0; i < MASKS; i++)
        mem_free(m->masks[i].bits);
    mem_free(m);
}

/* --- From items to items ---------------------------------------------------------------------------------- */

static size_t seen_home(const struct grammar_machine *m, uint64_t item)
{
    return (item * 0x9E3779B97F4A7C15ull) >> 32 & (m->seen_size - 1); /* Fibonacci hashing */
}

static size_t seen_slot(const struct grammar_machine *m, uint64_t item)
{
    size_t slot = seen_home(m, item);
    while (m->seen[slot] && m->met[m->seen[slot] - 1] != item)
        slot = (slot + 1) & (m->seen_size - 1);
    return slot;
}

static void meet(struct grammar_machine *m, uint32_t node, uint32_t frame)
{
    while (m->g->nodes[node].kind == NODE_RETURN && frame) { /* to where the call goes on */
        node = m->frames[frame].node;
        frame = m->frames[frame].rest;
    }
    if (2 * (m->n_met + 1) > m->seen_size) {
        mem_free(m->seen);
        m->seen_size = m->seen_size ? 2 * m->seen_size : 64;
        m->seen = mem_zero(m->seen_size, sizeof *m->seen);
        for (size_t i = 0; i < m->n_met; i++)
            m->seen[seen_slot(m, m->met[i])] = (uint32_t)i + 1;
    }
    uint64_t item = ITEM(node, frame);
    size_t slot = seen_slot(m, item);
    if (m->seen[slot])
        return;
    mem_grow((void **)&m->met, &m->met_capacity, m->n_met, sizeof *m->met);
    m->met[m->n_met++] = item;
    m->seen[slot] = (uint32_t)m->n_met;
}

/* Empties the table for the next closure; m->met stays until then. How many those are.
 * A run of full slots is emptied from where an item would begin to look, so that what lies behind goes with it.
 */
static size_t forget_met(struct grammar_machine *m)
{
    size_t n = m->n_met;
    for (size_t i = 0; i < n; i++)
        for (size_t slot = seen_home(m, m->met[i]); m->seen[slot]; slot = (slot + 1) & (m->seen_size - 1))
            m->seen[slot] = 0;
    m->n_met = 0;
    return n;
}

/* A call: a frame for its return, unless nothing is left to do there. */
static void enter(struct grammar_machine *m, struct node call, uint32_t frame)
{
    if (m->g->nodes[call.b].kind != NODE_RETURN) {
        if (m->frames[frame].depth == GRAMMAR_MOST_DEPTH)
            return;
        frame = push_frame(m, call.b, frame);
    }
    meet(m, call.a, frame);
}

/* What was met and all that follows from it without a character. */
static uint32_t close_items(struct grammar_machine *m)
{
    bool may_end = false;
    size_t kept = 0, i;
    for (i = 0; i < m->n_met && !m->too_many; i++) {
        struct node node = m->g->nodes[ITEM_NODE(m->met[i])];
        uint32_t frame = ITEM_FRAME(m->met[i]);
        if (node.kind == NODE_SPLIT)
            meet(m, node.a, frame), meet(m, node.b, frame);
        else if (node.kind == NODE_CALL)
            enter(m, node, frame);
        else
            may_end |= node.kind == NODE_RETURN;
        m->too_many = m->n_met > GRAMMAR_MOST_STATES || ++m->work > MOST_WORK;
    }
    size_t n = forget_met(m);
    for (i = 0; i < n; i++)
        if (m->g->nodes[ITEM_NODE(m->met[i])].kind == NODE_SET)
            m->met[kept++] = m->met[i];
    return m->too_many ? DEAD : make_config(m, m->met, kept, 0, may_end);
}

/* Whether the set has a character from low to high. */
static bool set_meets(const struct grammar *g, uint32_t set, uint32_t low, uint32_t high)
{
    const struct code_range *r = g->ranges + g->sets[set].first;
    size_t from = 0, n = g->sets[set].count;
    while (from < n) { /* the first range that does not end before low */
        size_t middle = (from + n) / 2;
        if (r[middle].high < low)
            from = middle + 1;
        else
            n = middle;
    }
    return from < g->sets[set].count && r[from].low <= high;
}

/* A byte after `partial`: false when they begin no character. Else the characters they can begin. */
static bool read_byte(uint32_t *partial, unsigned char byte, uint32_t *low, uint32_t *high)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t value = *partial & 0x1FFFFF, missing = *partial >> 21 & 7, size = *partial >> 24;
    if (*partial == 0) {
        size = byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF8 ? 4 : 0;
        if (size == 0)
            return false;
        missing = size - 1;
        value = size == 1 ? byte : byte & (0x7Fu >> size);
    } else {
        if ((byte & 0xC0) != 0x80)
            return false;
        value = value << 6 | (byte & 0x3F);
        missing--;
    }
    *low = value << 6 * missing;
    *high = *low + (1u << 6 * missing) - 1;
    if (*low < smallest[size])
        *low = smallest[size];
    *partial = missing ? value | missing << 21 | size << 24 : 0;
    return *low <= *high && *low <= 0x10FFFF;
}

static uint32_t advance(struct grammar_machine *m, uint32_t from, unsigned char byte)
{
    uint32_t partial = m->configs[from].partial, low, high;
    if (!read_byte(&partial, byte, &low, &high))
        return DEAD;
    struct config c = m->configs[from];
    for (size_t i = 0; i < c.count; i++) {
        uint64_t item = m->items[c.first + i];
        struct node node = m->g->nodes[ITEM_NODE(item)];
        if (!set_meets(m->g, node.a, low, high))
            continue;
        if (partial)
            meet(m, ITEM_NODE(item), ITEM_FRAME(item));
        else
            meet(m, node.b, ITEM_FRAME(item));
    }
    m->work += c.count;
    if (!partial)
        return close_items(m);
    return make_config(m, m->met, forget_met(m), partial, false);
}

static uint32_t step(struct grammar_machine *m, uint32_t from, unsigned char byte)
{
    size_t place = from * m->g->n_classes + m->g->byte_class[byte];
    uint32_t to = m->to[place];
    if (to == UNKNOWN) {
        to = m->too_many ? DEAD : advance(m, from, byte);
        if (!m->too_many)
            m->to[place] = to;
    }
    return to;
}

/* --- States ------------------------------------------------------------------------------------------------- */

static uint32_t begin_machine(struct grammar_machine *m)
{
    meet(m, m->g->start, 0);
    return close_items(m);
}

void grammar_state_init(struct grammar_state *s, const struct grammar *g)
{
    *s = (struct grammar_state){.grammar = g, .machine = machine_new(g)};
    s->at = begin_machine(s->machine);
}

int grammar_check_start(const struct grammar *g, struct error *e)
{
    struct grammar_machine *m = machine_new(g);
    int code = begin_machine(m)
                   ? OK
                   : error_set(e, ERR_FORMAT, "grammar: too ambiguous: there are more than %d ways to begin",
                               GRAMMAR_MOST_STATES);
    machine_free(m);
    return code;
}

void grammar_state_free(struct grammar_state *s)
{
    machine_free(s->machine);
    *s = (struct grammar_state){0};
}

/* A frame of another machine; known[f]: what it is here already, or 0. */
static uint32_t take_frame(struct grammar_machine *m, const struct grammar_machine *from, uint32_t frame,
                           uint32_t *known)
{
    uint32_t chain[GRAMMAR_MOST_DEPTH];
    size_t n = 0;
    for (; frame && !known[frame]; frame = from->frames[frame].rest)
        chain[n++] = frame;
    uint32_t here = frame ? known[frame] : 0;
    while (n-- > 0)
        here = known[chain[n]] = push_frame(m, from->frames[chain[n]].node, here);
    return here;
}

/* A config of another machine of the same grammar. */
static uint32_t take_config(struct grammar_machine *m, const struct grammar_machine *from, uint32_t config)
{
    const struct config *c = &from->configs[config];
    uint32_t *known = mem_zero(from->n_frames, sizeof *known);
    uint64_t *items = mem_alloc(c->count ? c->count : 1, sizeof *items);
    for (size_t i = 0; i < c->count; i++) {
        uint64_t item = from->items[c->first + i];
        items[i] = ITEM(ITEM_NODE(item), take_frame(m, from, ITEM_FRAME(item), known));
    }
    uint32_t here = make_config(m, items, c->count, c->partial, c->may_end);
    mem_free(known);
    mem_free(items);
    return here;
}

void grammar_state_copy(struct grammar_state *to, const struct grammar_state *from)
{
    CHECK(to->grammar == from->grammar);
    if (to != from)
        to->at = take_config(to->machine, from->machine, from->at);
}

static bool is_full(const struct grammar_machine *m)
{
    return m->n_configs > MOST_CONFIGS || m->n_frames > MOST_FRAMES || m->n_items > MOST_ITEMS;
}

/* A new machine that knows nothing but a config of an old one; *at is then its number there. */
static struct grammar_machine *machine_anew(const struct grammar_machine *old, uint32_t *at)
{
    struct grammar_machine *m = machine_new(old->g);
    m->work = old->work + old->n_frames + old->n_items;
    m->too_many = old->too_many || m->work > MOST_WORK;
    *at = take_config(m, old, *at);
    return m;
}

static void forget(struct grammar_state *s)
{
    struct grammar_machine *m = machine_anew(s->machine, &s->at);
    machine_free(s->machine);
    s->machine = m;
}

static void begin_work(struct grammar_state *s)
{
    if (is_full(s->machine))
        forget(s);
    s->machine->work = 0;
    s->machine->too_many = false;
}

static int too_many(struct error *e)
{
    return error_set(e, ERR_FORMAT,
                     "the grammar is too ambiguous: there are too many ways to read the text so far");
}

int grammar_accept(struct grammar_state *s, const char *bytes, size_t n, struct error *e)
{
    begin_work(s);
    struct grammar_machine *m = s->machine; /* or a new one, which the state gets in the end */
    uint32_t at = s->at;
    for (size_t i = 0; i < n && at; i++) {
        if (is_full(m)) {
            struct grammar_machine *anew = machine_anew(m, &at);
            if (m != s->machine)
                machine_free(m);
            m = anew;
        }
        at = step(m, at, (unsigned char)bytes[i]);
    }
    bool exceeded = m->too_many;
    if (m != s->machine) {
        machine_free(at ? s->machine : m);
        s->machine = at ? m : s->machine;
    }
    if (at) {
        s->at = at;
        return OK;
    }
    return exceeded ? too_many(e) : error_set(e, ERR_FORMAT, "the grammar does not allow this text");
}

int grammar_accept_token(struct grammar_state *s, const struct token_trie *t, int32_t id, struct error *e)
{
    CHECK(id >= 0 && (size_t)id < t->n_tokens);
    return grammar_accept(s, t->bytes + t->offsets[id], t->offsets[id + 1] - t->offsets[id], e);
}

bool grammar_may_end(const struct grammar_state *s)
{
    return s->machine->configs[s->at].may_end;
}

bool grammar_must_end(const struct grammar_state *s)
{
    return s->machine->configs[s->at].may_end && s->machine->configs[s->at].count == 0;
}

/* --- Masks -------------------------------------------------------------------------------------------------- */

/* The configs along the way to a node of the trie. */
struct walk {
    uint32_t at[TOKEN_TRIE_DEPTH + 1];
    unsigned char bytes[TOKEN_TRIE_DEPTH + 1];
};

/* As forget, in the middle of a walk that has come to `depth`. */
static void walk_anew(struct walk *w, struct grammar_state *s, size_t depth)
{
    forget(s);
    w->at[0] = s->at;
    for (size_t i = 1; i <= depth; i++)
        w->at[i] = step(s->machine, w->at[i - 1], w->bytes[i]);
}

static void allow(uint32_t *allowed, int32_t id)
{
    allowed[id / 32] |= 1u << id % 32;
}

/* How many tokens the grammar allows. */
static size_t walk(struct grammar_state *s, const struct token_trie *t, uint32_t *allowed)
{
    struct walk w;
    size_t count = 0;
    w.at[0] = s->at;
    for (size_t i = 0; i < t->n_nodes && !s->machine->too_many;) {
        const struct trie_node *node = &t->nodes[i];
        size_t depth = node->depth;
        if (is_full(s->machine))
            walk_anew(&w, s, depth - 1);
        w.at[depth] = step(s->machine, w.at[depth - 1], node->byte);
        w.bytes[depth] = node->byte;
        if (w.at[depth] == DEAD) {
            i = node->end;
            continue;
        }
        for (uint32_t k = node[0].first; k < node[1].first; k++, count++)
            allow(allowed, t->ids[k]);
        i++;
    }
    return count;
}

static struct known_mask *find_mask(struct grammar_machine *m, const struct token_trie *t, uint32_t config)
{
    if (m->trie != t)
        for (size_t i = 0; i < MASKS; i++) {
            mem_free(m->masks[i].bits);
            m->masks[i] = (struct known_mask){0};
        }
    m->trie = t;
    for (size_t i = 0; i < MASKS; i++)
        if (m->masks[i].config == config)
            return &m->masks[i];
    return NULL;
}

static void keep_mask(struct grammar_machine *m, uint32_t config, const uint32_t *bits, size_t words,
                      size_t count)
{
    struct known_mask *k = &m->masks[m->next_mask++ % MASKS];
    if (!k->bits)
        k->bits = mem_alloc(words, sizeof *bits);
    memcpy(k->bits, bits, words * sizeof *bits);
    k->config = config;
    k->count = count;
}

int grammar_mask(struct grammar_state *s, const struct token_trie *t, uint32_t *allowed, struct error *e)
{
    size_t words = token_trie_words(t), count = 0;
    begin_work(s);
    const struct known_mask *known = find_mask(s->machine, t, s->at);
    if (known) {
        memcpy(allowed, known->bits, words * sizeof *allowed);
        count = known->count;
    } else {
        memset(allowed, 0, words * sizeof *allowed);
        count = walk(s, t, allowed);
        if (s->machine->too_many)
            return too_many(e);
        for (size_t i = 0; i < t->n_ends && grammar_may_end(s); i++, count++)
            allow(allowed, t->ends[i]);
        s->machine->trie = t; /* a walk may have made a new machine */
        keep_mask(s->machine, s->at, allowed, words, count);
    }
    if (count == 0)
        return error_set(e, ERR_FORMAT,
                         "the grammar asks for something that no token of the vocabulary begins with");
    return OK;
}
