/* The variants behind kernels/dtype.h, for dispatch and for the tests that compare them. */
#ifndef LINNET_KERNELS_DTYPE_VARIANTS_H
#define LINNET_KERNELS_DTYPE_VARIANTS_H

#include <stddef.h>
#include <stdint.h>

void f32_from_f16_ref(const uint16_t *from, float *to, size_t n);
void f16_from_f32_ref(const float *from, uint16_t *to, size_t n);
#if defined(__x86_64__)
void f32_from_f16_avx2(const uint16_t *from, float *to, size_t n);
void f16_from_f32_avx2(const float *from, uint16_t *to, size_t n);
#endif

#endif
