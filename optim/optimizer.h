/* AdamW and Muon over the parameters that train.
 *
 * AdamW (Loshchilov and Hutter, 2019): Adam with decoupled weight decay,
 *
 *   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
 *   w -= lr * decay * w      (matrices only)
 *   w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * Muon (Jordan et al., 2024) for the blocks' matrices, AdamW for embeddings, output layer and vectors:
 *
 *   m = mu m + (1 - mu) g,   u = mu m + (1 - mu) g
 *   w -= lr * decay * w + lr * 0.2 sqrt(max(rows, cols)) * orthogonal(u)
 *
 * the factor being that of Liu et al. (2025), which gives updates the size of AdamW's, so that learning
 * rates and decays are of the same order for both. */
#ifndef LINNET_OPTIM_OPTIMIZER_H
#define LINNET_OPTIM_OPTIMIZER_H

#include "base/memory.h"
#include "kernels/moments.h"
#include "model/param.h"

#include <stddef.h>
#include <stdint.h>

enum optimizer_kind { OPTIMIZER_ADAMW, OPTIMIZER_MUON };

struct optimizer_settings {
    enum optimizer_kind kind;
    double beta1, beta2, epsilon, weight_decay;
    double momentum; /* Muon's mu */
    enum moment_type moment_type; /* of AdamW's moments */
};

struct optimizer {
    struct optimizer_settings settings;
    uint64_t step;   /* updates done */
    const struct param_list *params; /* borrowed */
    struct moment *m, *v; /* one each for a parameter; data of v is NULL where Muon needs none */
    float *scratch;  /* Muon's update and what muon_orthogonalize needs; NULL when nothing does */
};

/* Moments for every parameter of the list, from the arena (or measured), all zero. Those of matrices that AdamW updates
 * are of the settings' type, but f32 instead of 8 bits below 4096 elements, where there is nothing to gain; vectors are
 * small, and Muon's moment is part of a sum: those are f32. The list must outlive the optimiser; the arrays of
 * pointers are on the heap: optimizer_free. */
void optimizer_init(struct optimizer *o, const struct optimizer_settings *settings,
                    const struct param_list *params, struct arena *arena);
void optimizer_free(struct optimizer *o);
/* Bytes that optimizer_init takes. */
size_t optimizer_bytes(const struct optimizer_settings *settings, const struct param_list *params);

/* Euclidean norm of all gradients, summed in f64 in a fixed order. Not finite when any is not. */
double gradient_norm(const struct param_list *params);

/* One update of every parameter of the list, with each gradient multiplied by gradient_scale (clipping);
 * then the gradients are cleared. AdamW's is one sweep over memory. */
void optimizer_update(struct optimizer *o, double learning_rate, double gradient_scale);

/* x (rows, cols) becomes nearly the orthogonal matrix next to it (all singular values between about 0.7
 * and 1.2), by five steps of a Newton-Schulz iteration with Jordan's coefficients. All zero stays so.
 * scratch: muon_scratch floats. */
void muon_orthogonalize(float *x, size_t rows, size_t cols, float *scratch);
size_t muon_scratch(size_t rows, size_t cols);

#endif
