/* Norms over rows: RMSNorm (Zhang and Sennrich, 2019), y = x / sqrt(mean(x^2) + eps) * w, and LayerNorm
 * (Ba et al., 2016), y = (x - mean(x)) / sqrt(var(x) + eps) * w + b. Computed in f32; the sums over rows
 * have a fixed order, so that threads change no bit. */
#ifndef LINNET_KERNELS_NORM_H
#define LINNET_KERNELS_NORM_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

enum norm_kind {
    NORM_RMS,
    NORM_LAYER,
};

struct norm {
    enum norm_kind kind;
    const float *weight; /* (weight_rows, c) */
    const float *bias;   /* likewise; NULL: none */
    float offset;        /* y = normed * (weight + offset): 0, or 1 where weights are kept as 1 less */
    float eps;
    size_t weight_rows;  /* row r of x uses row r % weight_rows: usually 1, or the number of heads */
};

/* y (n, c) of `type`, x (n, c) of x_type, each f32 or bf16. mean (n), of NORM_LAYER only, and rstd (n), 1 /
 * sqrt(mean(x^2) + eps) or 1 / sqrt(var(x) + eps), are what the backward pass needs; NULL when not wanted. y
 * may be x when the types are the same. */
void norm_forward(void *y, enum dtype type, float *mean, float *rstd, const void *x,
                  enum dtype x_type, const struct norm *w, size_t n, size_t c);

/* dx (n, c), of dx_type (f32 or bf16), = d loss / d x, or += with `accumulate`. dweight and dbias
 * (weight_rows, c) += theirs, each skipped when NULL. mean is read for NORM_LAYER only. dx may be dy when it is
 * f32 and not accumulated, else it overlaps nothing. */
void norm_backward(void *dx, enum dtype dx_type, bool accumulate, float *dweight, float *dbias,
                   const float *dy, const void *x, enum dtype x_type, const float *mean,
                   const float *rstd, const struct norm *w, size_t n, size_t c);

#endif
