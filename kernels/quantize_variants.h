/* The variants behind kernels/quantize.h and kernels/quantize_scaled.h, for dispatch. All give the same bits. One for AVX-512 was no
 * faster: a better minimum makes more lanes useless (kernels/quantize_search.h). */
#ifndef LINNET_KERNELS_QUANTIZE_VARIANTS_H
#define LINNET_KERNELS_QUANTIZE_VARIANTS_H

#include "kernels/dtype.h"

/* One row of n weights, whole blocks; importance (n) or NULL. */
typedef void row_quantizer(const float *x, void *to, size_t n, const float *importance);

/* The same with scales that are given, and the derivative by these: one row of n. */
struct scaled_quantizer {
    void (*forward)(const float *x, const float *scales, void *to, size_t n);
    void (*backward)(const float *x, const float *scales, const float *d_to, float *d_scales, size_t n);
};

/* NULL for a type that cannot be made. */
row_quantizer *row_quantizer_ref(enum dtype type);
const struct scaled_quantizer *scaled_quantizer_ref(enum dtype type);
#if defined(__x86_64__)
row_quantizer *row_quantizer_avx2(enum dtype type);
const struct scaled_quantizer *scaled_quantizer_avx2(enum dtype type);
#endif

#endif
