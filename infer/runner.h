/* Forward passes of a model over tokens of one or of several sequences at once. Activations are reserved once for
 * `chunk` tokens; the sequences' keys and values are their owners'. */
#ifndef LINNET_INFER_RUNNER_H
#define LINNET_INFER_RUNNER_H

#include "model/decoder.h"

enum { RUNNER_CHUNK = 256 }; /* tokens of a prompt at a time: enough for products of matrices */

struct runner {
    struct model *model;
    size_t chunk;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    struct kv_span *spans; /* (chunk) */
};

/* The model must outlive the runner; rotary angles are the caller's to reserve (model_reserve_positions). */
int runner_init(struct runner *r, struct model *m, size_t chunk, struct error *e);
/* The bytes that runner_init reserves. */
size_t runner_bytes(const struct model *m, size_t chunk);
void runner_free(struct runner *r);

/* n > 0 tokens that follow those in the cache. */
struct runner_tokens {
    struct kv_cache *cache;
    const int32_t *ids;
    size_t n;
};

/* Appends the tokens of n sequences, together at most r->chunk, each to its own cache, which must have room for
 * them (CHECK). Returns the final hidden states (N, C), one sequence's after another's, good until the next call. */
const float *runner_forward(struct runner *r, const struct runner_tokens *sequences, size_t n);

/* logits (n, vocab_size) of n hidden states. */
void runner_logits(const struct runner *r, const float *hidden, size_t n, float *logits);

/* ERR_USAGE when one of n ids is no row of the embedding. */
int runner_check_tokens(const struct model *m, const int32_t *ids, size_t n, struct error *e);

#endif
