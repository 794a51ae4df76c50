/* The parameter table and the decoder built from it.
 *
 * One table lists every parameter: what it is for, shape, initialisation, whether it decays, where
 * its values and its gradient lie. Sizes, checkpoints, optimiser groups, import and export all
 * iterate over it; model/tensors.h says how parameters lie in the files of others. */
#ifndef LINNET_MODEL_MODEL_H
#define LINNET_MODEL_MODEL_H

#include "base/memory.h"
#include "kernels/rope.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/param.h"

#include <stdint.h>

/* weight is NULL where there is no norm, bias where there is none; both are vectors but for
 * QK_NORM_EACH, whose weights are (heads, head_dim). */
struct layer_norm {
    struct param *weight, *bias;
};

/* A gated feed-forward: dense, shared by all tokens, or one expert of many. */
struct feed_forward {
    struct linear gate, up, down;
};

struct experts {
    struct linear router;            /* (n, hidden); its weight is NULL where there are no experts */
    struct feed_forward *experts;    /* n of them */
    struct linear shared_router;     /* (1, hidden): how much of the shared expert; NULL weight: none */
};

struct layer {
    struct layer_shape shape;
    struct layer_norm attn_norm, attn_post_norm, ffn_norm, ffn_post_norm, q_norm, k_norm;
    struct linear q, k, v, output;
    struct feed_forward ffn;         /* the shared expert where there are experts; NULL weights: none */
    struct experts moe;
};

/* Angles of positions [0, n_positions): (n_positions, rotary_dim / 2). */
struct rope_angles {
    float *cosine, *sine;
};

struct model {
    struct model_config config;
    struct param *params;
    size_t n_params;       /* entries of the table */
    size_t n_weights;      /* elements of all of them */
    struct param_list all; /* pointers to them, in their order */
    struct param *token_embd;
    struct layer_norm output_norm;
    struct linear head;    /* the embedding when tied */
    struct layer *layers;
    struct feed_forward *experts; /* those of all layers */
    struct rope_angles rope, local_rope;
    size_t n_positions;
    uint64_t dropout_seed; /* of the masks of hooks in the passes that come: the same in a forward and its backward pass;
                              0: none. The decoder's own masks have it as an argument */
    struct arena values;
    struct arena interleaved; /* matrices in another order: model_interleave */
    struct model_file *file; /* what the weights are mapped from, or NULL; see model/load.h */
};

/* Checks the configuration and builds the table; allocates no weights. */
int model_init(struct model *m, const struct model_config *config, struct error *e);
void model_free(struct model *m);

/* Bytes of all weights, of the types that they are held in: f32 before there are any. */
size_t model_stored_bytes(const struct model *m);
/* Whether any weight lies in blocks of few bits. */
bool model_has_blocks(const struct model *m);
/* Reserves memory for the weights (zeros), of their types: f32 unless another was set. */
int model_allocate(struct model *m, struct error *e);
/* Splits every matrix in place into halves, one of which products in bf16 read, and back.
 * Only decoder and optimiser know what to do with a split model. No-ops where that is done. */
void model_split(struct model *m);
void model_join(struct model *m);
bool model_is_split(const struct model *m);
/* From now on products with weights in blocks round what they are multiplied with to 8 bits, and are several times
 * as fast (kernels/quantized.h): for inference. Without it they are as exact as those with f32. */
void model_use_integers(struct model *m);
/* Copies matrices in blocks into an order that products are faster with on this processor (kernels/interleave.h), and lets
 * the pages go that they were in, the file's or the model's: as much memory as before, and reading all of it now. After
 * model_use_integers, for models that only run. Those for which it does not pay, and those that have a view, stay where
 * they are; all of them do on ERR_MEMORY. */
int model_interleave(struct model *m, struct error *e);
/* Random initial weights, a function of the seed alone. */
void model_initialize(struct model *m, uint64_t seed);
/* Makes rotary angles for positions [0, n) available. Where the angles depend on the length of the
 * context (dynamic and longrope scaling), n is that length. */
void model_reserve_positions(struct model *m, size_t n);

struct param *model_find(const struct model *m, const char *name); /* or NULL */

/* Widths of all heads of a layer, and the largest of each kind. */
size_t layer_query_width(const struct model *m, const struct layer *l);
size_t layer_key_width(const struct model *m, const struct layer *l);
/* How a layer that rotates does it; its angles are good until more positions are reserved. */
struct rope layer_rope(const struct model *m, const struct layer *l);
struct model_widths {
    size_t query, key, heads, ffn;
};
struct model_widths model_widths(const struct model *m);

#endif
