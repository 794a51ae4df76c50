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
    uint16_t *bf16;               /* the same rounded, for products in bf16; NULL without those */
    float *grad;                  /* NULL when frozen */
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
    struct arena values, bf16;
};

/* Checks the configuration and builds the table; allocates no weights. */
int model_init(struct model *m, const struct model_config *config, struct error *e);
void model_free(struct model *m);

/* Bytes of all weights in f32, each padded to ARENA_ALIGN. */
size_t model_value_bytes(const struct model *m);
/* Reserves memory for the weights (zeros). */
int model_allocate(struct model *m, struct error *e);
/* Bytes of the copies that products in bf16 read: every matrix. */
size_t model_bf16_bytes(const struct model *m);
/* Reserves memory for those copies, contents undefined until model_round. */
int model_allocate_bf16(struct model *m, struct error *e);
/* Makes the copies those of the weights as they are now. */
void model_round(struct model *m);
/* Random initial weights, a function of the seed alone. */
void model_initialize(struct model *m, uint64_t seed);
/* Gives every parameter a gradient from the arena (or counts, when it measures). */
void model_attach_gradients(struct model *m, struct arena *arena);
/* Makes rotary angles for positions [0, n) available. */
void model_reserve_positions(struct model *m, size_t n);

/* The parameter's values as `type`: f32, or bf16 where there is such a copy. */
const void *param_values(const struct param *p, enum dtype type);

struct param *model_find(const struct model *m, const char *name); /* by either name; or NULL */

#endif
