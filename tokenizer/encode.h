/* The two halves of encoding: encode.c makes ids of words, encode_text.c words of a text. */
#ifndef LINNET_TOKENIZER_ENCODE_H
#define LINNET_TOKENIZER_ENCODE_H

#include "tokenizer/pipeline.h"
#include "tokenizer/unigram.h"

enum {
    KEY_SIZE = 16, /* longer words are rare and not cached */
    CACHED_IDS = 11,
};

struct cached_word {
    uint64_t key[2];
    uint8_t size, n_ids; /* size 0: free */
    int32_t ids[CACHED_IDS];
};

struct candidate {  /* two neighbours that may merge */
    uint64_t order; /* rank << 32 | position */
    int32_t id;
};

struct encoder {
    struct encoder *next;
    struct cached_word *cache;
    struct tokens word; /* the ids of the word in hand */
    int32_t *symbols;
    uint32_t *start, *before, *after; /* per initial symbol: its first byte, and its neighbours */
    size_t capacity;
    struct candidate *heap;
    size_t n_heap, heap_capacity;
    struct buffer normal;  /* text after normalisation */
    struct buffer spelled; /* a word in the byte alphabet */
    struct lattice lattice;
    struct pipeline_scratch pipeline;
};

struct encoder *encoder_take(struct encoder_pool *p);
void encoder_give_back(struct encoder_pool *p, struct encoder *c);

/* Appends the ids of n normalised bytes, cut by the splitter; SPLITTER_GENERAL's are one word. */
void encode_words(const struct tokenizer *t, struct encoder *c, const char *p, size_t n,
                  struct tokens *out);

#endif
