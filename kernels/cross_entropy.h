/* The output layer and its loss in one pass over blocks of rows, so that the logits of a whole
 * batch never exist. */
#ifndef LINNET_KERNELS_CROSS_ENTROPY_H
#define LINNET_KERNELS_CROSS_ENTROPY_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

/* Floats of scratch for n rows of c and a vocabulary of v. */
size_t linear_cross_entropy_scratch(size_t n, size_t c, size_t v);

/* loss = sum over rows of -log softmax(hidden w^T)[target], rows with target < 0 left out (they
 * cost nothing); returned in f64, not scaled. hidden: (n, c), w: (v, c), both of `type`, f32 or bf16;
 * logits and all sums are f32. targets: (n). row_loss (n): each row's own loss, 0 where left out; NULL
 * when not wanted.
 * When dhidden is not NULL: dhidden (n, c) is written and dw (v, c) += (skipped when NULL), both f32 and
 * of scale * loss. scratch: linear_cross_entropy_scratch floats. */
double linear_cross_entropy(const void *hidden, const void *w, enum dtype type,
                            const int32_t *targets, float scale, float *row_loss, float *dhidden,
                            float *dw, size_t n, size_t c, size_t v, float *scratch);

#endif
