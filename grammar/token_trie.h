/* The vocabulary by its bytes: what grammar_mask walks through. Made once, for any number of grammars. */
#ifndef LINNET_GRAMMAR_TOKEN_TRIE_H
#define LINNET_GRAMMAR_TOKEN_TRIE_H

#include "tokenizer/tokenizer.h"

enum { TOKEN_TRIE_DEPTH = 1024 }; /* bytes of a token; longer ones are left out */

struct trie_node {      /* in the order of their strings, so that those below a node follow it */
    uint32_t end;       /* the first node that is not below this one */
    uint32_t first;     /* its tokens: ids[first] up to the next node's first */
    uint16_t depth;     /* bytes from the root, which is no node: at least 1 */
    unsigned char byte; /* the last of them */
};

struct token_trie {
    size_t n_tokens;         /* ids from 0 on that a mask covers */
    struct trie_node *nodes; /* (n_nodes + 1): one more that ends the last */
    size_t n_nodes;
    int32_t *ids;            /* tokens with bytes, in byte order */
    int32_t *ends;           /* (n_ends) tokens that end a text */
    size_t n_ends;
    char *bytes;             /* of token i: offsets[i] up to offsets[i + 1]; none for special tokens */
    size_t *offsets;         /* (n_tokens + 1) */
};

/* The first n_tokens of the vocabulary, or all it has where that is less; each has the bytes it adds behind
 * other text (SentencePiece's first space is there). Keeps nothing of the tokenizer. */
struct token_trie *token_trie_new(const struct tokenizer *t, size_t n_tokens);
void token_trie_free(struct token_trie *t);

/* 32-bit words of a mask. */
size_t token_trie_words(const struct token_trie *t);

#endif
