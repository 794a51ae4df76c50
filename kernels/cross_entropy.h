/* The output layer and its loss in one pass over blocks of rows, so that the logits of a whole
 * batch never exist. */
#ifndef LINNET_KERNELS_CROSS_ENTROPY_H
#define LINNET_KERNELS_CROSS_ENTROPY_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many of n rows are computed at a time, with a vocabulary of v. */
size_t linear_cross_entropy_rows(size_t n, size_t v);
/* Floats of scratch for n rows of c and a vocabulary of v. */
size_t linear_cross_entropy_scratch(size_t n, size_t c, size_t v);

/* logits = (hidden w^T + added + bias) * logit_scale, then softcap * tanh(logits / softcap). */
struct output_layer {
    size_t v, c;
    enum dtype w_type; /* any that gemm takes as b */
    const void *w;     /* (v, c) */
    size_t ld;         /* elements of w between the starts of its rows */
    bool interleaved;  /* w is laid out as kernels/interleave.h says; only output_logits, with hidden in f32, reads it */
    bool in_integers;  /* output_logits multiplies as kernels/quantized.h does; w_type must be one of its types */
    const float *bias; /* (v); NULL: none */
    float logit_scale; /* 0 is 1 */
    float softcap;     /* 0: none */
    /* logits (n, v) += what is added to the product; NULL: nothing. */
    void (*add)(const void *context, float *logits, enum dtype type, const void *hidden, size_t n);
    /* The derivative: dhidden (n, c), f32, += through it, and gradients of its own, from dlogits (n, v) of `type`. NULL:
     * what is added has none, and no loss of it may be differentiated (CHECK). */
    void (*add_backward)(const void *context, float *dhidden, const void *dlogits, enum dtype type, const void *hidden,
                         size_t n);
    const void *add_context;
    float *dw;         /* (v, c); NULL: not wanted */
    float *dbias;      /* (v); NULL: not wanted */
    float dw_beta;     /* dw = gradient + dw_beta * dw, and so dbias */
};

/* logits (n, v) in f32 of hidden (n, c), of `type`, f32 or bf16. */
void output_logits(const struct output_layer *layer, enum dtype type, const void *hidden,
                   float *logits, size_t n);

/* loss = sum over rows of -log softmax(logits)[target], rows with target < 0 left out (they
 * cost nothing); returned in f64, not scaled. hidden (n, c) is of `type`, f32 or bf16; logits and
 * all sums are f32. targets: (n). row_loss (n): each row's own loss, 0 where left out; NULL when not wanted.
 * When dhidden is not NULL, dhidden (n, c) is written and dw and dbias updated, all f32 and of scale * loss. What is
 * added gets block after block of the rows that have a target, each forward and, at once, backward.
 * scratch: linear_cross_entropy_scratch floats. */
double linear_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                            const int32_t *targets, float scale, float *row_loss, float *dhidden,
                            size_t n, float *scratch);

#endif
