/* The output layer: from hidden states to logits. */
#ifndef LINNET_KERNELS_OUTPUT_LAYER_H
#define LINNET_KERNELS_OUTPUT_LAYER_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

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

#endif
