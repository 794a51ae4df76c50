/* The decoder's one forward and one backward pass: embedding, blocks, final norm.
 *
 * Activations kept for the backward pass are the few that are dear to compute again: what the
 * products and attention made. Norm outputs and gated activations are recomputed. */
#ifndef LINNET_MODEL_DECODER_H
#define LINNET_MODEL_DECODER_H

#include "base/memory.h"
#include "data/batch.h"
#include "model/model.h"

#include <stdbool.h>
#include <stdint.h>

/* N = n_rows * seq_len tokens; C hidden, Q = heads * head_dim, K = kv heads * head_dim, F ffn. What
 * products read and write is of the activations' `type` (void *), f32 or bf16; the residual stream and
 * sums are always f32. */
struct layer_activations {
    float *input;      /* (N, C) residual stream entering the block */
    float *attn_rstd;  /* (N) */
    void *q, *k, *v;   /* (N, Q), (N, K), (N, K), after rotation */
    void *attn;        /* (N, Q) attention's output */
    float *lse;        /* (B, heads, T) */
    float *middle;     /* (N, C) residual stream between attention and feed-forward */
    float *ffn_rstd;   /* (N) */
    void *gate, *up;   /* (N, F) */
};

/* What a forward pass leaves for a backward pass. */
enum kept {
    KEEP_NOTHING, /* there is none */
    KEEP_INPUTS,  /* each block's input: the rest of a block is computed again when its turn comes (Chen et
                     al., 2016), a third more work for a fraction of the memory and the same bits */
    KEEP_ALL,
};

struct activations {
    enum dtype type;
    size_t n_rows, seq_len;     /* capacity */
    enum kept kept;             /* unless all are, the layers share one set */
    struct layer_activations *layers; /* num_hidden_layers */
    float *last;                /* (N, C) residual stream after the last block */
    float *last_rstd;           /* (N) */
    void *hidden;               /* (N, C) after the final norm: the result */
    void *normed;               /* (N, max(C, F)) scratch: a norm's or the gate's output */
    void *branch;               /* (N, C) scratch: what a block adds, and its gradient */
    /* backward only */
    float *dx, *dnormed;        /* (N, C) gradients of the residual stream and of a norm's output */
    float *dq, *dk, *delta;     /* (N, Q), (N, K), (B, heads, T) */
    void *dq_rotated, *dk_rotated; /* dq and dk before the rotation; the same memory in f32 */
    void *dv, *dattn;           /* (N, K), (N, Q) */
    void *dgate, *dup;          /* (N, F) */
};

/* Takes its memory from the arena; one whose base is NULL only measures. The array `layers` is on
 * the heap in both cases: activations_free. With `type` bf16 the model must be split when it runs. */
void activations_init(struct activations *a, const struct model_config *c, enum dtype type,
                      size_t n_rows, size_t seq_len, enum kept kept, struct arena *arena);
void activations_free(struct activations *a);

/* Keys and values of one sequence, for generation: (layers, capacity, K) each. */
struct kv_cache {
    size_t capacity, length; /* positions */
    float *k, *v;
    struct arena arena;
};
int kv_cache_init(struct kv_cache *cache, const struct model_config *c, size_t capacity,
                  struct error *e);
void kv_cache_free(struct kv_cache *cache);

/* Runs b->n_rows x b->seq_len tokens (at most the activations' capacity) and returns a->hidden, (N, C)
 * of the activations' type. With a cache (activations in f32): one row, whose tokens follow the cache's;
 * they are added to it. Rotary angles must have been reserved for every position. dropout_seed: of this
 * call's masks; 0 turns dropout off. */
const void *decoder_forward(const struct model *m, struct activations *a, const struct batch *b,
                             struct kv_cache *cache, uint64_t dropout_seed);

/* The derivative of the last decoder_forward on the same batch: adds to every parameter's gradient.
 * dhidden: (N, C), f32; it may be a->dnormed, which is free until this call. */
void decoder_backward(struct model *m, struct activations *a, const struct batch *b,
                      const float *dhidden, uint64_t dropout_seed);

#endif
