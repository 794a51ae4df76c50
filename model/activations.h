/* What a forward pass keeps for the backward pass, and what both work in.
 *
 * Kept are the few things that are dear to compute again: what the products and attention made. Norm
 * outputs and gated activations are recomputed. */
#ifndef LINNET_MODEL_ACTIVATIONS_H
#define LINNET_MODEL_ACTIVATIONS_H

#include "base/memory.h"
#include "data/batch.h"
#include "model/model.h"

#include <stdint.h>

/* What a backward pass needs of a norm: (rows) each; mean is NULL for RMSNorm, both where there is no norm. */
struct norm_activations {
    float *mean, *rstd;
};

/* N = n_rows * seq_len tokens; C hidden, Q = heads * head_dim, K = kv heads * head_dim, F ffn; E experts, k of
 * them a token, A = N * k rows that go to experts, X their width. What products read and write is of the
 * activations' `type` (void *), f32 or bf16; the residual stream and sums are always f32. What a model does
 * not have is NULL. */
struct layer_activations {
    float *input;             /* (N, C) residual stream entering the block */
    struct norm_activations attn_norm;
    void *q_raw, *k_raw;      /* (N, Q), (N, K), before their norms */
    struct norm_activations q_norm, k_norm;
    void *q, *k, *v;          /* (N, Q), (N, K), (N, K), after rotation */
    void *attn;               /* (N, Q) attention's output */
    float *lse;               /* (B, heads, T) */
    void *attn_out;           /* (N, C) the branch before its own norm */
    struct norm_activations attn_post_norm;
    float *middle;            /* (N, C) residual stream between attention and feed-forward */
    struct norm_activations ffn_norm;
    void *gate, *up;          /* (N, F) dense, or the shared expert's */
    float *router;            /* (N, E) logits */
    int32_t *chosen;          /* (N, k) experts of each token */
    float *chosen_weight;     /* (N, k) */
    void *expert_gate, *expert_up; /* (A, X) row by row as struct routing says */
    float *shared_weight;     /* (N) of the shared expert */
    void *ffn_out;            /* (N, C) */
    struct norm_activations ffn_post_norm;
};

/* The rows that go to experts, those of one expert after those of another, in the order of the tokens. */
struct routing {
    size_t *begin;      /* (E + 1) rows [begin[e], begin[e + 1]) are expert e's */
    int32_t *row_token; /* (A) */
    int32_t *token_row; /* (N, k) */
};

/* What a forward pass leaves for a backward pass. */
enum kept {
    KEEP_NOTHING, /* there is none */
    KEEP_INPUTS,  /* each block's input: the rest of a block is computed again when its turn comes (Chen et
                     al., 2016), a third more work for a fraction of the memory and the same bits */
    KEEP_ALL,
};

/* The residual stream between blocks. */
struct stream {
    const struct batch *batch;
    size_t layer;   /* the block that it leaves, from 0; behind the last it is what the final norm gets */
    const float *x; /* (N, C) */
    bool stays;     /* x is left as it is until the backward pass: something is kept for one */
};

/* What looks at the stream, and pulls at it, without the decoder knowing why. Any member may be NULL. */
struct stream_hook {
    void *context;
    /* In the forward pass behind every block, in order. */
    void (*see)(void *context, const struct stream *s);
    /* In the backward pass before every block, from the last to the first: dx (N, C) is the gradient of s->x so far; what
     * else is differentiated that depends on s->x adds its own, scaled as all of it is. */
    void (*add_gradient)(void *context, const struct stream *s, float *dx);
};

struct activations {
    enum dtype type;
    const struct stream_hook *stream_hook; /* NULL, as activations_init leaves it: none. Borrowed */
    size_t n_rows, seq_len;     /* capacity */
    enum kept kept;             /* unless all are, the layers share one set */
    struct layer_activations *layers; /* num_hidden_layers */
    float *last;                /* (N, C) residual stream after the last block */
    struct norm_activations last_norm;
    void *hidden;               /* (N, C) after the final norm: the result */
    void *normed;               /* (N, max(C, F)) scratch: a norm's output, or where no experts are the gate's */
    void *gated;                /* (max(N F, A X)) a gate's output */
    void *branch;               /* (N, C) scratch: what a block adds, and its gradient */
    int32_t *window_start;      /* (N) first keys within a sliding window */
    struct routing routing;
    void *routed, *expert_out;  /* (A, C) */
    float *row_weight;          /* (A) of routed rows */
    float *balance;             /* (2, E) */
    /* backward only */
    float *dx, *dnormed;        /* (N, C) gradients of the residual stream and of a norm's output */
    float *dblock;              /* (N, C) gradient of a block's output, where its branches are parallel */
    float *dq, *dk, *delta;     /* (N, Q), (N, K), (B, heads, T) */
    void *dq_rotated, *dk_rotated; /* dq and dk before the rotation; the same memory in f32 */
    void *dv, *dattn;           /* (N, K), (N, Q) */
    void *dgate, *dup;          /* (max(N F, A X)) */
    void *drouted;              /* (A, C) gradient of what experts gave */
    float *dexperts;            /* (A, C) of what they got */
    float *dweight;             /* (max(A, N)) */
    float *drouter;             /* (N, E) */
    void *drouter_rounded;      /* (N, E); the same memory in f32 */
    /* The load-balancing loss of experts (Fedus et al., 2021): E * sum over experts of the share of tokens
     * they get times their mean probability, averaged over the layers. */
    float router_loss_scale;    /* its weight in what is differentiated: set before decoder_backward */
    double router_loss;         /* of the last decoder_forward that kept anything */
};

/* Takes its memory from the arena; one whose base is NULL only measures. The array `layers` is on
 * the heap in both cases: activations_free. With `type` bf16 the model must be split when it runs. */
void activations_init(struct activations *a, const struct model *m, enum dtype type, size_t n_rows,
                      size_t seq_len, enum kept kept, struct arena *arena);
void activations_free(struct activations *a);

/* The stream that leaves block `layer` of n_layers, (N, C): where the forward pass writes it. It is there afterwards if
 * anything was kept. */
float *activations_stream(const struct activations *a, size_t layer, size_t n_layers);

#endif
