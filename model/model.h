/* The parameter table and the decoder built from it.
 *
 * One table lists every parameter: what it is for, shape, initialisation, whether it decays, where
 * its values and its gradient lie. Sizes, checkpoints, optimiser groups, import and export all
 * iterate over it; model/tensors.h says how parameters lie in the files of others. */
#ifndef LINNET_MODEL_MODEL_H
#define LINNET_MODEL_MODEL_H

#include "base/memory.h"
#include "kernels/dtype.h"
#include "kernels/rope.h"
#include "model/config.h"
#include "model/linear.h"

#include <stdint.h>

enum { PARAM_NAME_SIZE = 96 };

struct param {
    enum param_role role;
    int layer;                    /* -1 outside the blocks */
    int expert;                   /* -1: of none */
    char name[PARAM_NAME_SIZE];   /* in checkpoints, and Hugging Face's in most families */
    int n_dims;                   /* 2: (rows, cols) = (out, in); 1: (cols) with rows = 1 */
    size_t rows, cols, count;
    bool matrix;                  /* of a product, or the embedding: decays, and may be stored in any type */
    float init_mean, init_std;
    const void *data;             /* count elements of `type`: `value`, or in a mapped file */
    enum dtype type;
    float *value;                 /* own memory, f32; NULL until allocated, and where it is a file's */
    bool in_integers;             /* blocks whose products are computed in 8 bits: model_use_integers */
    bool interleaved;             /* data is laid out as kernels/interleave.h says: model_interleave */
    bool halves;                  /* value is split as kernels/halves.h says: see model_split */
    void *grad;                   /* count of grad_type; NULL when frozen */
    enum dtype grad_type;         /* f32 or bf16 */
    bool grad_is_stale;           /* what grad holds is of an earlier step: write, do not add */
};

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
    struct param *token_embd;
    struct layer_norm output_norm;
    struct linear head;    /* the embedding when tied */
    struct layer *layers;
    struct feed_forward *experts; /* those of all layers */
    struct rope_angles rope, local_rope;
    size_t n_positions;
    struct arena values;
    struct arena interleaved; /* matrices in another order: model_interleave */
    struct model_file *file; /* what the weights are mapped from, or NULL; see model/load.h */
};

/* Checks the configuration and builds the table; allocates no weights. */
int model_init(struct model *m, const struct model_config *config, struct error *e);
void model_free(struct model *m);

/* Bytes of all weights in f32, each padded to ARENA_ALIGN. */
size_t model_value_bytes(const struct model *m);
/* Reserves memory for the weights (zeros). */
int model_allocate(struct model *m, struct error *e);
/* Splits every matrix in place into halves, one of which products in bf16 read, and back.
 * Only decoder and optimiser know what to do with a split model. No-ops where that is done. */
void model_split(struct model *m);
void model_join(struct model *m);
/* From now on products with weights in blocks round what they are multiplied with to 8 bits, and are several times
 * as fast (kernels/quantized.h): for inference. Without it they are as exact as those with f32. */
void model_use_integers(struct model *m);
/* Copies mapped matrices in blocks into an order that products are faster with on this processor (kernels/interleave.h),
 * and lets the file's pages go: as much memory as the file took, and reading all of it now. After model_use_integers,
 * for models that only run. Those for which it does not pay stay where they are; all of them do on ERR_MEMORY. */
int model_interleave(struct model *m, struct error *e);
/* Random initial weights, a function of the seed alone. */
void model_initialize(struct model *m, uint64_t seed);
/* Gives every parameter a gradient from the arena (or measures). Those of the blocks' matrices
 * are of `type`, f32 or bf16; bf16 is exact enough where each is the result of one product, rounded once, as
 * under PyTorch's autocast, and not where several are summed. The others are always f32. */
void model_attach_gradients(struct model *m, enum dtype type, struct arena *arena);
size_t model_gradient_bytes(const struct model *m, enum dtype type);
/* The gradients are used up: the next backward pass begins at zero. */
void model_clear_gradients(struct model *m);
/* 0 for the first product of a step that goes to this gradient, then 1: the gemm's beta. */
float param_grad_beta(struct param *p);
/* Makes rotary angles for positions [0, n) available. Where the angles depend on the length of the
 * context (dynamic and longrope scaling), n is that length. */
void model_reserve_positions(struct model *m, size_t n);

/* A matrix as a product reads it: `ld` elements between the starts of its rows. */
struct matrix {
    const void *data;
    size_t ld;
    enum dtype type;
    bool in_integers, interleaved;
};
/* The parameter as it is stored; its bf16 half if the model is split. */
struct matrix param_matrix(const struct param *p);

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
