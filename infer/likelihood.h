/* How likely continuations are: ln p of the last tokens of a sequence, for many sequences one after
 * the other. What a sequence has in common with the one before it, such as the question before each
 * of its answers, is computed once: its keys and values stay in the cache. */
#ifndef LINNET_INFER_LIKELIHOOD_H
#define LINNET_INFER_LIKELIHOOD_H

#include "infer/runner.h"

struct likelihood {
    struct model *model;
    size_t capacity;    /* most inputs of a sequence */
    size_t room;        /* inputs there is memory for now */
    struct runner runner;
    struct kv_cache cache;
    struct arena arena;
    int32_t *cached; /* the cache.length tokens in the cache */
    int32_t *targets; /* (chunk) */
    float *scratch;
    size_t n_fed; /* tokens computed so far, for whoever wants to know what was saved */
};

/* Takes no memory yet: that grows with the sequences. Where rotary scaling depends on the length of the context
 * (longrope, dynamic), that is the longest sequence so far, rounded up to the room made for it. */
void likelihood_init(struct likelihood *l, struct model *m, size_t capacity);
void likelihood_free(struct likelihood *l);

/* *sum = ln p of the last n_counted of n tokens, each given all before it; 0 < n_counted < n
 * (CHECK). The last token is no input, so that n - 1 must fit the capacity: where they do not, the
 * sequence loses its first tokens. ERR_USAGE when even the counted ones do not fit or an id is no
 * row of the embedding, ERR_FORMAT when the output is not a number, ERR_MEMORY. */
int likelihood_of(struct likelihood *l, const int32_t *ids, size_t n, size_t n_counted, double *sum,
                  struct error *e);

#endif
