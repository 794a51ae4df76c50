#include "tokenizer/trie.h"

#include "base/memory.h"

static size_t slot_of(const struct trie *t, uint64_t key)
{
    uint64_t h = key * 0x9E3779B97F4A7C15ull; /* Fibonacci hashing */
    size_t mask = t->size - 1, i = (h ^ h >> 32) & mask;
    while (t->edges[i].key && t->edges[i].key != key)
        i = (i + 1) & mask;
    return i;
}

static void grow(struct trie *t)
{
    if (t->n_edges * 2 < t->size)
        return;
    struct trie_edge *old = t->edges;
    size_t n = t->size;
    t->size = n ? n * 2 : 64;
    t->edges = mem_zero(t->size, sizeof *t->edges);
    for (size_t i = 0; i < n; i++)
        if (old[i].key)
            t->edges[slot_of(t, old[i].key)] = old[i];
    mem_free(old);
}

static uint32_t new_node(struct trie *t)
{
    void *values = t->values;
    mem_grow(&values, &t->capacity, t->n_nodes, sizeof *t->values);
    t->values = values;
    t->values[t->n_nodes] = TRIE_NONE;
    return (uint32_t)t->n_nodes++;
}

void trie_init(struct trie *t)
{
    *t = (struct trie){0};
    grow(t);
    new_node(t);
}

void trie_free(struct trie *t)
{
    mem_free(t->edges);
    mem_free(t->values);
    *t = (struct trie){0};
}

static uint64_t key_of(uint32_t node, unsigned char byte)
{
    return ((uint64_t)node << 8 | byte) + 1;
}

bool trie_add(struct trie *t, const char *text, size_t n, int32_t value)
{
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = key_of(node, (unsigned char)text[i]);
        size_t slot = slot_of(t, key);
        if (t->edges[slot].key) {
            node = t->edges[slot].child;
            continue;
        }
        node = new_node(t);
        t->edges[slot] = (struct trie_edge){key, node};
        t->n_edges++;
        grow(t);
    }
    t->first[(unsigned char)text[0]] = true;
    if (t->values[node] != TRIE_NONE)
        return false;
    t->values[node] = value;
    return true;
}

uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte)
{
    return t->edges[slot_of(t, key_of(node, byte))].child;
}
