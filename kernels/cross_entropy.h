/* The output layer and its loss in one pass over blocks of rows, so that the logits of a whole
 * batch never exist. */
#ifndef LINNET_KERNELS_CROSS_ENTROPY_H
#define LINNET_KERNELS_CROSS_ENTROPY_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

/* Floats of scratch for n rows of c and a vocabulary of v. */
size_t linear_cross_entropy_scratch(size_t n, size_t c, size_t v);

struct output_layer {
    size_t v, c;
    const void *w;  /* (v, c) */
    size_t ld;      /* elements of w between the starts of its rows */
    float *dw;      /* (v, c); NULL: not wanted */
    float dw_beta;  /* dw = gradient + dw_beta * dw */
};

/* loss = sum over rows of -log softmax(hidden w^T)[target], rows with target < 0 left out (they
 * cost nothing); returned in f64, not scaled. hidden (n, c) and w are of `type`, f32 or bf16; logits and
 * all sums are f32. targets: (n). row_loss (n): each row's own loss, 0 where left out; NULL when not wanted.
 * When dhidden is not NULL, dhidden (n, c) is written and dw updated, both f32 and of scale * loss.
 * scratch: linear_cross_entropy_scratch floats. */
double linear_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                            const int32_t *targets, float scale, float *row_loss, float *dhidden,
                            size_t n, float *scratch);

#endif
