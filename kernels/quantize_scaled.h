/* Blocks whose scales are given, not searched for: what training learns (qat/learned.h).
 *
 * Where a type's blocks of 32 weights have numbers of their own, d and with some types m, a weight x is held as
 *
 *   x^ = d q + m,   q the level nearest to t = (x - m) / d, at least `low` and at most `high`
 *
 * (m is given as m / high here, so that a change of either number moves the outermost level `high` times as far.) It is
 * rounded as the type's own quantiser rounds once it has chosen d and m (kernels/quantize.h). d and m are first rounded
 * to the f16 they are stored in, of which the largest stands for what is beyond it. With d < 0 the levels run the other
 * way; with d = 0 all is m, and each level is the one that it would be for the smallest d above it. */
#ifndef LINNET_KERNELS_QUANTIZE_SCALED_H
#define LINNET_KERNELS_QUANTIZE_SCALED_H

#include "kernels/dtype.h"

struct scaled_type {
    float low, high;  /* the outermost levels */
    size_t n_scales;  /* of a block: 1: d; 2: d, m / high */
};

enum { SCALED_BLOCK = 32 };

/* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL; NULL: of other types blocks have no such numbers. */
const struct scaled_type *scaled_type(enum dtype type);

/* n_rows rows of n_cols finite weights, whole blocks (CHECK), to blocks one after another; scales: n_scales for each
 * block, finite. The bits do not depend on the number of threads. */
void quantize_rows_scaled(enum dtype type, const float *from, const float *scales, void *to, size_t n_rows, size_t n_cols);

/* Its derivative, as if rounding were none (Esser et al., 2020, arXiv:1902.08153; with m, Bhalgat et al., 2020,
 * arXiv:2004.09576): from dx^, d_to (n_rows, n_cols),
 *
 *   dd = sum of dx^ (q - t where low < t < high, else q),   dm = sum of dx^ where it is not
 *
 * written to d_scales, dd and high * dm for each block. */
void quantize_rows_scaled_backward(enum dtype type, const float *from, const float *scales, const float *d_to,
                                   float *d_scales, size_t n_rows, size_t n_cols);

/* The scales that blocks hold, n_scales for each. */
void quantized_scales(enum dtype type, const void *blocks, size_t n_blocks, float *scales);

#endif
