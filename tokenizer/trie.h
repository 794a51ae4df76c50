/* A set of byte strings with a number each, asked for all members that begin at a place: the added
 * tokens in a text, the pieces of a Unigram lattice. */
#ifndef LINNET_TOKENIZER_TRIE_H
#define LINNET_TOKENIZER_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIE_NONE = -1, TRIE_ROOT = 0 };

struct trie_edge { /* open addressing, key = node << 8 | byte, plus 1; 0 is free */
    uint64_t key;
    uint32_t child;
};

struct trie {
    struct trie_edge *edges;
    size_t size, n_edges;
    int32_t *values; /* of nodes; TRIE_NONE inside a string */
    size_t n_nodes, capacity;
    bool first[256]; /* whether any member begins with the byte */
};

void trie_init(struct trie *t);
void trie_free(struct trie *t); /* harmless on zeroes */
/* False, and nothing changed, when the string is a member already. n >= 1. */
bool trie_add(struct trie *t, const char *text, size_t n, int32_t value);
/* The node after one more byte, or 0, which is no node's child. */
uint32_t trie_step(const struct trie *t, uint32_t node, unsigned char byte);

#endif
