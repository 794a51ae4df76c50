/* The parameter table and the decoder built from it.
 *
 * One table lists every parameter: its names in both containers, shape, initialisation, whether it
 * decays, where its values and its gradient lie. Sizes, checkpoints, optimiser groups, import and
 * export all iterate over it. */
#ifndef LINNET_MODEL_MODEL_H
#define LINNET_MODEL_MODEL_H

#include "base/memory.h"
#include "kernels/dtype.h"
#include "model/config.h"
#include "model/linear.h"

#include <stdint.h>

enum param_role {
    PARAM_TOKEN_EMBD,
    PARAM_ATTN_NORM,
    PARAM_ATTN_Q,
    PARAM_ATTN_K,
    PARAM_ATTN_V,
    PARAM_ATTN_OUTPUT,
    PARAM_FFN_NORM,
    PARAM_FFN_GATE,
    PARAM_FFN_UP,
    PARAM_FFN_DOWN,
    PARAM_OUTPUT_NORM,
    PARAM_OUTPUT,
    PARAM_ROLES,
};

enum { PARAM_NAME_SIZE = 96 };

struct param {
    enum param_role role;
    int layer;                    /* -1 outside the blocks */
    char name[PARAM_NAME_SIZE];   /* Hugging Face's; also linnet's own in checkpoints */
    char gguf_name[PARAM_NAME_SIZE];
    int n_dims;                   /* 2: (rows, cols) = (out, in); 1: (cols) with rows = 1 */
    size_t rows, cols, count;
    bool decay;                   /* matrices decay, vectors do not */
    bool ones;                    /* initialised to 1, else normal with init_std */
    float init_std;
    float *value;                 /* count floats; NULL until allocated */
    bool halves;                  /* value is split as kernels/halves.h says: see model_split */
    void *grad;                   /* count of grad_type; NULL when frozen */
    enum dtype grad_type;         /* f32 or bf16 */
    bool grad_is_stale;           /* what grad holds is of an earlier step: write, do not add */
};

struct layer {
    struct param *attn_norm, *ffn_norm;
    struct linear q, k, v, output, gate, up, down;
};

struct model {
    struct model_config config;
    struct param *params;
    size_t n_params;       /* entries of the table */
    size_t n_weights;      /* elements of all of them */
    struct param *token_embd, *output_norm;
    struct linear head;    /* the embedding when tied */
    struct layer *layers;
    float *rope_cosine, *rope_sine; /* (n_positions, head_dim / 2) */
    size_t n_positions;
    struct arena values;
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
/* Makes rotary angles for positions [0, n) available. */
void model_reserve_positions(struct model *m, size_t n);

/* A matrix as a product reads it: `ld` elements between the starts of its rows. */
struct matrix {
    const void *data;
    size_t ld;
};
/* The parameter as `type`: f32, or bf16 if the model is split. */
struct matrix param_matrix(const struct param *p, enum dtype type);

struct param *model_find(const struct model *m, const char *name); /* by either name; or NULL */

#endif
