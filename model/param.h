/* Parameters: one entry of the table of a model, or of an adapter's; and lists of them.
 *
 * What trains is a list: every parameter of a model, those of an adapter, or some of both. Gradients, optimiser and
 * checkpoints iterate over that list and know nothing else of what is frozen. */
#ifndef LINNET_MODEL_PARAM_H
#define LINNET_MODEL_PARAM_H

#include "base/memory.h"
#include "kernels/dtype.h"
#include "model/roles.h"

#include <stdbool.h>
#include <stddef.h>

enum { PARAM_NAME_SIZE = 96 };

struct param;

/* A matrix as a product reads it: `ld` elements between the starts of its rows. */
struct matrix {
    const void *data;
    size_t ld;
    enum dtype type;
    bool in_integers, interleaved;
};

/* What the model computes with instead of a parameter's own values: fake quantisation (qat/qat.h). */
struct param_view {
    void *context;
    /* Good until the next call of any view of this context. */
    struct matrix (*matrix)(void *context, const struct param *p);
};

struct param {
    enum param_role role;         /* PARAM_NONE: an adapter's */
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
    const struct param_view *view; /* NULL: the model computes with the values */
    void *grad;                   /* count of grad_type; NULL when frozen */
    enum dtype grad_type;         /* f32 or bf16 */
    float rate;                   /* the learning rate is multiplied by it; 0 stands for 1 */
    bool grad_is_stale;           /* what grad holds is of an earlier step: write, do not add */
};

/* The parameter as it is stored; its bf16 half if the model is split. */
struct matrix param_matrix(const struct param *p);
/* What the model computes with: the view's, or as it is stored. Every product and every lookup of a model asks here; the
 * gradient goes to the parameter in any case. */
struct matrix param_computed(const struct param *p);
/* Row `row` of the parameter's own values as f32 (cols), whatever the view; of a split model both halves. */
void param_row(const struct param *p, size_t row, float *to);

/* Row `row` of the parameter's matrix as f32 (cols), however it is stored. */
void matrix_row(const struct matrix *m, const struct param *p, size_t row, float *to);

/* 0 for the first product of a step that goes to this gradient, then 1: the gemm's beta. */
float param_grad_beta(struct param *p);

struct param_list {
    struct param **items; /* borrowed; names differ */
    size_t count, capacity;
};
void params_add(struct param_list *l, struct param *p);
void params_free(struct param_list *l);

/* Gives every parameter of the list a gradient from the arena (or measures, and takes it away). Those of the blocks'
 * matrices are of `type`, f32 or bf16; bf16 is exact enough where each is the result of one product, rounded once, as
 * under PyTorch's autocast, and not where several are summed. The others, and all of adapters, are always f32. */
void params_attach_gradients(const struct param_list *l, enum dtype type, struct arena *arena);
size_t params_gradient_bytes(const struct param_list *l, enum dtype type);
/* The gradients are used up: the next backward pass begins at zero. */
void params_clear_gradients(const struct param_list *l);

#endif
