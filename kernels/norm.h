/* RMSNorm (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + eps) * w. */
#ifndef LINNET_KERNELS_NORM_H
#define LINNET_KERNELS_NORM_H

#include "kernels/dtype.h"

#include <stddef.h>

/* y, x: (n, c), y of `type` (f32 or bf16); w: (c); rstd: (n) receives 1 / sqrt(mean(x^2) + eps), NULL
 * when not wanted. y may be x when it is f32. */
void rmsnorm_forward(void *y, enum dtype type, float *rstd, const float *x, const float *w,
                     float eps, size_t n, size_t c);

/* dx (n, c) += d loss / d x; dw (c) += d loss / d w, skipped when NULL. Sums over rows are in a
 * fixed order. dx may not overlap dy. */
void rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *rstd,
                      const float *w, size_t n, size_t c);

#endif
