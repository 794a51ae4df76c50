/* The variants behind kernels/quantize.h, for dispatch. All give the same bits. One for AVX-512 was no
 * faster: a better minimum makes more lanes useless (kernels/quantize_search.h). */
#ifndef LINNET_KERNELS_QUANTIZE_VARIANTS_H
#define LINNET_KERNELS_QUANTIZE_VARIANTS_H

#include "kernels/dtype.h"

/* One row of n weights, whole blocks; importance (n) or NULL. */
typedef void row_quantizer(const float *x, void *to, size_t n, const float *importance);

/* NULL for a type that cannot be made. */
row_quantizer *row_quantizer_ref(enum dtype type);
#if defined(__x86_64__)
row_quantizer *row_quantizer_avx2(enum dtype type);
#endif

#endif
