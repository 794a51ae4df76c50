/* Gated activations and the residual stream, elementwise. */
#ifndef LINNET_KERNELS_ACTIVATION_H
#define LINNET_KERNELS_ACTIVATION_H

#include <stddef.h>
#include <stdint.h>

/* SwiGLU (Shazeer, 2020): y = silu(gate) * up, all (n). exp is accurate to 2 ulp. y may be gate or
 * up. */
void swiglu_forward(float *y, const float *gate, const float *up, size_t n);
/* dgate and dup (n) are written; dgate may be gate, dup may be up, neither may be dy. */
void swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n);

/* x (n) += y (n), each element of y kept with probability 1 - p and scaled by 1 / (1 - p). Which
 * are kept is a function of (seed, index) alone; p = 0 is a plain sum. */
void residual_add(float *x, const float *y, float p, uint64_t seed, size_t n);
/* dy (n) = dx (n) through the same mask. */
void residual_add_backward(float *dy, const float *dx, float p, uint64_t seed, size_t n);

#endif
