/* The variants behind kernels/dtype.h, for dispatch and for the tests that compare them. */
#ifndef LINNET_KERNELS_DTYPE_VARIANTS_H
#define LINNET_KERNELS_DTYPE_VARIANTS_H

#include "kernels/dtype.h"

void f32_from_f16_ref(const uint16_t *from, float *to, size_t n);
void f16_from_f32_ref(const float *from, uint16_t *to, size_t n);

/* Whole blocks to f32; NULL for a type that has no blocks. */
typedef void dequantizer(const void *from, float *to, size_t n_blocks);
dequantizer *dequantizer_ref(enum dtype type);

#if defined(__x86_64__)
void f32_from_f16_avx2(const uint16_t *from, float *to, size_t n);
void f16_from_f32_avx2(const float *from, uint16_t *to, size_t n);
dequantizer *dequantizer_avx2(enum dtype type);
#endif

#endif
