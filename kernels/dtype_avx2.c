#include "kernels/dtype_variants.h"

#if defined(__x86_64__)

#include <immintrin.h>

void f32_from_f16_avx2(const uint16_t *from, float *to, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(from + i));
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(h));
    }
    f32_from_f16_ref(from + i, to + i, n - i);
}

void f16_from_f32_avx2(const float *from, uint16_t *to, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        __m256 f = _mm256_loadu_ps(from + i);
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(f, _MM_FROUND_TO_NEAREST_INT));
    }
    f16_from_f32_ref(from + i, to + i, n - i);
}

#endif
