/* Gated activations and the residual stream, elementwise. */
#ifndef LINNET_KERNELS_ACTIVATION_H
#define LINNET_KERNELS_ACTIVATION_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

/* SwiGLU (Shazeer, 2020): y = silu(gate) * up, all (n) and of `type` (f32 or bf16; computed in f32).
 * exp is accurate to 2 ulp. y may be gate or up. */
void swiglu_forward(void *y, const void *gate, const void *up, enum dtype type, size_t n);
/* dgate and dup (n) are written; each may be dy, gate or up. */
void swiglu_backward(void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                     enum dtype type, size_t n);

/* out (n) = x (n) + y (n, of `type`), each element of y kept with probability 1 - p and scaled by
 * 1 / (1 - p). Which are kept is a function of (seed, index) alone; p = 0 is a plain sum. out may be
 * x. */
void residual_add(float *out, const float *x, const void *y, enum dtype type, float p,
                  uint64_t seed, size_t n);
/* dy (n, of `type`) = dx (n) through the same mask. */
void residual_add_backward(void *dy, enum dtype type, const float *dx, float p, uint64_t seed,
                           size_t n);

#endif
