/* Unigram vocabularies (Kudo, "Subword Regularization", 2018): of all ways to cut a word into
 * pieces the one with the highest sum of scores, by Viterbi's algorithm. A character without a
 * piece scores ten less than the worst piece; such characters in a row are one unknown, or their
 * bytes. */
#ifndef LINNET_TOKENIZER_UNIGRAM_H
#define LINNET_TOKENIZER_UNIGRAM_H

#include "tokenizer/tokenizer_internal.h"

struct lattice_node {  /* a place between two characters */
    double score;      /* of the best path from the start to here */
    uint32_t from, to; /* where the best path's last piece begins; where its next one ends */
    int32_t id;        /* of its last piece */
};

struct lattice { /* scratch memory of one thread */
    struct lattice_node *nodes;
    size_t capacity;
};

/* A score in the fewest digits that give it back. */
void unigram_score_text(double score, char text[64]);
/* Fills t->pieces, t->weights and t->unknown_score; part of tokenizer_ready. */
void unigram_prepare(struct tokenizer *t);
/* Appends the ids of n bytes, in time n times the longest piece. */
void unigram_encode(const struct tokenizer *t, struct lattice *l, const char *p, size_t n,
                    struct tokens *out);

#endif
