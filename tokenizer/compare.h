/* Whether the tokens of one vocabulary are those of another. */
#ifndef LINNET_TOKENIZER_COMPARE_H
#define LINNET_TOKENIZER_COMPARE_H

#include "tokenizer/tokenizer.h"

struct tokenizer_difference {
    bool same;          /* equal hashes: the same ids for every text */
    size_t sizes[2];
    size_t n_different; /* ids of both that stand for other strings */
    int32_t first;      /* the lowest of them, or TOKEN_NONE */
};
struct tokenizer_difference tokenizer_compare(const struct tokenizer *a, const struct tokenizer *b);

/* Appends what differs in words: `32000 tokens against 50257, 31744 of them other strings; the first is 3: "a" against
 * "b"`. */
void tokenizer_describe_difference(const struct tokenizer_difference *d, const struct tokenizer *a,
                                   const struct tokenizer *b, struct buffer *out);

#endif
