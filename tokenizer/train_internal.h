/* The two halves of the trainer: train.c counts words, train_merge.c merges pairs. */
#ifndef LINNET_TOKENIZER_TRAIN_INTERNAL_H
#define LINNET_TOKENIZER_TRAIN_INTERNAL_H

#include "tokenizer/tokenizer_internal.h"

struct counted_word {
    size_t offset; /* into the table's bytes */
    uint32_t size;
    uint32_t tag; /* the upper half of its hash */
    uint64_t count;
};

struct word_table { /* distinct words and how often each was seen */
    struct counted_word *words;
    size_t n_words, words_capacity;
    struct buffer bytes;
    uint32_t *slots; /* open addressing: index + 1, 0 is free */
    size_t size;
};

/* Appends merges to `t` (whose specials and 256 bytes are in) until it has vocab_size tokens or no
 * pair is seen min_frequency times. Frees the words' memory as soon as it can. */
void train_merges(struct tokenizer *t, struct word_table *words, size_t vocab_size,
                  size_t min_frequency, bool progress);

void word_table_free(struct word_table *w);

#endif
