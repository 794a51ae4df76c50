/* Gated activations, the residual stream and biases, elementwise. */
#ifndef LINNET_KERNELS_ACTIVATION_H
#define LINNET_KERNELS_ACTIVATION_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum activation {
    ACTIVATION_SILU,      /* SwiGLU's: x sigmoid(x) */
    ACTIVATION_GELU_TANH, /* GEGLU's, by tanh (Hendrycks and Gimpel, 2016) */
};

/* Gated linear units (Shazeer, 2020): y = activation(gate) * up, all (n) and of `type` (f32 or bf16; computed in
 * f32). exp is accurate to 2 ulp. y may be gate or up. */
void glu_forward(enum activation activation, void *y, const void *gate, const void *up,
                 enum dtype type, size_t n);
/* dgate and dup (n) are written; each may be dy, gate or up. */
void glu_backward(enum activation activation, void *dgate, void *dup, const void *dy,
                  const void *gate, const void *up, enum dtype type, size_t n);

/* out (n) = x (n) + scale * y (n, of `type`), each element of y kept with probability 1 - p and then multiplied
 * by 1 / (1 - p) too. Which are kept is a function of (seed, index) alone; p = 0 keeps all. out may be x. */
void residual_add(float *out, const float *x, const void *y, enum dtype type, float scale, float p,
                  uint64_t seed, size_t n);
/* dy (n, of `type`) = scale * dx (n) through the same mask. */
void residual_add_backward(void *dy, enum dtype type, const float *dx, float scale, float p,
                           uint64_t seed, size_t n);

/* y (n, c, of `type`) += bias (c). */
void bias_add(void *y, enum dtype type, const float *bias, size_t n, size_t c);
/* dbias (c) = sums of the columns of dy (n, c, of `type`) + beta * dbias, which is not read when beta is 0. The
 * order of the sums is the same for any number of threads. */
void bias_backward(float *dbias, float beta, const void *dy, enum dtype type, size_t n, size_t c);
/* The same for rows of dy that begin ld elements apart. */
void bias_backward_strided(float *dbias, float beta, const void *dy, enum dtype type, size_t ld,
                           size_t n, size_t c);

#endif
