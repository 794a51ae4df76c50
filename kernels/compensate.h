/* Rounding a matrix to blocks so that what it makes of its inputs changes least: each column's error is made good by the
 * columns behind it that are not rounded yet. GPTQ (Frantar et al., 2023, arXiv:2210.17323) in the form that Chee et al.
 * (2023, arXiv:2307.13304) give it, over ggml's blocks.
 *
 * With inputs X (tokens, n) and H = X^T X, an error E of the weights costs tr(E H E^T), the sum of the squares of what it
 * changes in the layer's output. Let H = (I + U) D (I + U)^T, U strictly upper triangular and D diagonal. Then
 *
 *     tr(E H E^T) = sum over columns k of D_k |e_k + sum over j < k of e_j U_jk|^2
 *
 * so that a weight of column k is rounded to the level nearest to w_k + sum over j < k of e_j U_jk, where e_j = w_j - q_j
 * is known by then. D_k is what an error in column k costs after all later columns have done what they can against it. */
#ifndef LINNET_KERNELS_COMPENSATE_H
#define LINNET_KERNELS_COMPENSATE_H

#include "kernels/dtype.h"

/* H of the inputs of one layer, and then its factors. */
struct input_gram {
    size_t n;    /* columns */
    size_t rows; /* inputs that were added */
    float *h;    /* (n, n): on and below the diagonal H; above it, after gram_factor, U */
    float *d;    /* (n): after gram_factor D; before, zeros */
};

/* mem_free of both members in gram_free. */
void gram_init(struct input_gram *g, size_t n);
void gram_free(struct input_gram *g);
/* H += x^T x for x (rows, n). The sum does not depend on the number of threads. */
void gram_add(struct input_gram *g, const float *x, size_t rows);
/* Whether all that was added are numbers, whose squares f32 can sum. */
bool gram_is_finite(const struct input_gram *g);
/* Factors H + damping * (mean of H's diagonal) * I; columns whose inputs were all 0 become independent of the others.
 * What is not positive definite in f32 is damped ten times as much, until it is. Returns the damping that was needed. H
 * is not all 0 (CHECK), and is left as it is. */
double gram_factor(struct input_gram *g, double damping);

/* Rows w (rows, n) as blocks `to`, one row after the other; the type is one that relevel_supports, n is whole blocks (CHECK),
 * g was factored. The scales of each block are quantize_rows' for what its columns are by then, weighted with D, or
 * without weights, or those found in a second pass for what compensation within the block makes of them: whatever leaves
 * the least error. The same for any number of threads, and for each row whatever other rows there are. */
void compensate_rows(enum dtype type, const float *w, size_t rows, const struct input_gram *g, void *to);

#endif
