/* Vectors of SIMD_WIDTH floats (4, 8 or 16), for the body files that are compiled once per kernel
 * level: SIMD_WIDTH 16 needs AVX-512, 8 AVX2 and FMA, 4 nothing but a C compiler with GCC's vector
 * extensions. Everything that differs between the three is in this file. */
#ifndef LINNET_KERNELS_SIMD_H
#define LINNET_KERNELS_SIMD_H

#include "kernels/dtype.h"
#include "kernels/half.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SIMD_WIDTH
#error "define SIMD_WIDTH before including kernels/simd.h"
#endif
#if SIMD_WIDTH > 4
#include <immintrin.h>
#endif

enum { W = SIMD_WIDTH };
/* Vector types have no spelling but a typedef. */
typedef float vf __attribute__((vector_size(4 * SIMD_WIDTH), may_alias));
typedef float vf_unaligned __attribute__((vector_size(4 * SIMD_WIDTH), may_alias, aligned(4)));
typedef int32_t vi __attribute__((vector_size(4 * SIMD_WIDTH), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vf vf_load(const float *p)
{
    return *(const vf_unaligned *)p;
}

INLINE void vf_store(float *p, vf x)
{
    *(vf_unaligned *)p = x;
}

INLINE vf vf_set(float x)
{
    return x - (vf){0};
}

/* Lanes of a where the mask is all ones, of b where it is 0. */
INLINE vf vf_where(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* vf_load_n: the first n < W floats, zeros behind. vf_fma: a * b + c, rounded once where the
 * hardware can. vf_max and vf_min: the second operand where either is NaN. vf_scale: x * 2^n for
 * whole -300 < n < 300. */
#if SIMD_WIDTH == 16

INLINE vf vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void vf_store_n(float *p, vf x, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

INLINE vf vf_round(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vf vf_scale(vf x, vf n)
{
    return _mm512_scalef_ps(x, n);
}

INLINE float vf_sum(vf x)
{
    return _mm512_reduce_add_ps(x);
}

INLINE float vf_largest(vf x)
{
    return _mm512_reduce_max_ps(x);
}

#elif SIMD_WIDTH == 8

INLINE __m256i vf_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vf vf_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vf_first(n));
}

INLINE void vf_store_n(float *p, vf x, size_t n)
{
    _mm256_maskstore_ps(p, vf_first(n), x);
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

INLINE vf vf_round(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#else

INLINE vf vf_load_n(const float *p, size_t n)
{
    vf x = {0};
    memcpy(&x, p, n * sizeof *p);
    return x;
}

INLINE void vf_store_n(float *p, vf x, size_t n)
{
    memcpy(p, &x, n * sizeof *p);
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

INLINE vf vf_max(vf a, vf b)
{
    return vf_where(a > b, a, b);
}

INLINE vf vf_min(vf a, vf b)
{
    return vf_where(a < b, a, b);
}

/* Adding 1.5 * 2^23 leaves no bits behind the point; for |x| < 2^22. */
INLINE vf vf_round(vf x)
{
    vf magic = vf_set(12582912.0f);
    return (x + magic) - magic;
}

#endif
#if SIMD_WIDTH < 16

/* In two factors, since 2^n itself may be out of range. */
INLINE vf vf_scale(vf x, vf n)
{
    vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
    return x * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

INLINE float vf_sum(vf x)
{
    float lanes[W];
    vf_store(lanes, x);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            lanes[i] += lanes[i + n];
    return lanes[0];
}

INLINE float vf_largest(vf x)
{
    float lanes[W];
    vf_store(lanes, x);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            lanes[i] = lanes[i] > lanes[i + n] ? lanes[i] : lanes[i + n];
    return lanes[0];
}

#endif

/* Elements of f32 or bf16 (kernels/dtype.h) as vectors: `bf16` is a constant after inlining, x an
 * array of that type, `at` the element to start from. Whole vectors, or the first n lanes of one. */
typedef uint16_t vh __attribute__((vector_size(2 * SIMD_WIDTH), may_alias));
typedef uint16_t vh_unaligned __attribute__((vector_size(2 * SIMD_WIDTH), may_alias, aligned(2)));
typedef uint32_t vu __attribute__((vector_size(4 * SIMD_WIDTH), may_alias)); /* bits, which may wrap around */

INLINE vf vf_from_bf16(vh x)
{
    return (vf)(__builtin_convertvector(x, vu) << 16);
}

/* Rounds to nearest even; a NaN stays one and becomes quiet. */
INLINE vh vf_to_bf16(vf x)
{
    vu bits = (vu)x, nan = (vu)(x != x);
    vu rounded = bits + 0x7fff + (bits >> 16 & 1);
    return __builtin_convertvector(((nan & (bits | 0x400000)) | (~nan & rounded)) >> 16, vh);
}

#if SIMD_WIDTH == 16

INLINE vh vh_load_n(const uint16_t *x, size_t n)
{
    return (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), x);
}

INLINE void vh_store_n(uint16_t *x, vh value, size_t n)
{
    _mm256_mask_storeu_epi16(x, (__mmask16)((1u << n) - 1), (__m256i)value);
}

#else

INLINE vh vh_load_n(const uint16_t *x, size_t n)
{
    vh lanes = {0};
    memcpy(&lanes, x, n * sizeof *x);
    return lanes;
}

INLINE void vh_store_n(uint16_t *x, vh value, size_t n)
{
    memcpy(x, &value, n * sizeof *x);
}

#endif

INLINE vf vf_load_as(bool bf16, const void *x, size_t at)
{
    if (bf16)
        return vf_from_bf16(*(const vh_unaligned *)((const uint16_t *)x + at));
    return vf_load((const float *)x + at);
}

INLINE void vf_store_as(bool bf16, void *x, size_t at, vf value)
{
    if (bf16)
        *(vh_unaligned *)((uint16_t *)x + at) = vf_to_bf16(value);
    else
        vf_store((float *)x + at, value);
}

INLINE vf vf_load_n_as(bool bf16, const void *x, size_t at, size_t n)
{
    return bf16 ? vf_from_bf16(vh_load_n((const uint16_t *)x + at, n))
                : vf_load_n((const float *)x + at, n);
}

INLINE void vf_store_n_as(bool bf16, void *x, size_t at, vf value, size_t n)
{
    if (bf16)
        vh_store_n((uint16_t *)x + at, vf_to_bf16(value), n);
    else
        vf_store_n((float *)x + at, value, n);
}

INLINE vf vf_from_f16(vh x)
{
#if SIMD_WIDTH == 16
    return _mm512_cvtph_ps((__m256i)x);
#elif SIMD_WIDTH == 8
    return _mm256_cvtph_ps((__m128i)x);
#else /* as half_to_f32 */
    vu bits = __builtin_convertvector(x, vu), sign = (bits & 0x8000) << 16, rest = (bits & 0x7fff) << 13;
    vi exponent = (vi)(rest & 0x0f800000), small = exponent == 0, special = exponent == 0x0f800000;
    vf subnormal = (vf)(rest + 0x38800000) - (vf)((vu){0} + 0x38800000);
    vi quiet = (vi)((vi)(rest & 0x7fffff) != 0) & 0x400000;
    vu plain = ((vu)small & (vu)subnormal) | (~(vu)small & (rest + 0x38000000));
    vu other = 0x70000000 | rest | (vu)quiet;
    return (vf)(sign | ((vu)special & other) | (~(vu)special & plain));
#endif
}

/* The same of any type that is read where it lies, f32, bf16 or f16: a constant after inlining. */
INLINE vf vf_load_type(const enum dtype type, const void *x, size_t at)
{
    if (type == DTYPE_F16)
        return vf_from_f16(*(const vh_unaligned *)((const uint16_t *)x + at));
    return vf_load_as(type == DTYPE_BF16, x, at);
}

INLINE vf vf_load_n_type(const enum dtype type, const void *x, size_t at, size_t n)
{
    if (type == DTYPE_F16)
        return vf_from_f16(vh_load_n((const uint16_t *)x + at, n));
    return vf_load_n_as(type == DTYPE_BF16, x, at, n);
}

/* f32 as two halves (kernels/halves.h): bf16, and the signed difference of bits that it lacks. That is 2^15
 * for a tie that was rounded down, one too many for 16 bits. */
typedef int16_t vs __attribute__((vector_size(2 * SIMD_WIDTH), may_alias));

INLINE vf vf_from_halves(vh high, vh low)
{
    return (vf)((vu)vf_from_bf16(high) + (vu)__builtin_convertvector((vs)low, vi));
}

INLINE vh vf_low_half(vf x, vh high)
{
    vi difference = (vi)((vu)x - (vu)vf_from_bf16(high));
    return __builtin_convertvector(difference + (vi)(difference > 0x7fff), vh);
}

/* 32 pseudo-random bits for each lane's number (the finaliser of MurmurHash3). */
INLINE vu vu_hash(vu x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* The same of first, first + 1, ... */
INLINE vu vu_noise(uint32_t first)
{
    static const uint32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vu lanes;
    memcpy(&lanes, numbers, sizeof lanes);
    return vu_hash(lanes + first);
}

/* Rounds up or down at random, so that the mean is exact; `noise`: 16 random bits. */
INLINE vh vf_to_bf16_noisy(vf x, vu noise)
{
    return __builtin_convertvector(((vu)x + noise) >> 16, vh);
}

INLINE vf vf_sqrt(vf x)
{
#if SIMD_WIDTH == 16
    return _mm512_sqrt_ps(x);
#elif SIMD_WIDTH == 8
    return _mm256_sqrt_ps(x);
#else
    for (int i = 0; i < W; i++)
        x[i] = sqrtf(x[i]);
    return x;
#endif
}

/* One element. */
INLINE float load_as(bool bf16, const void *x, size_t at)
{
    return bf16 ? float_from_bits((uint32_t)((const uint16_t *)x)[at] << 16)
                : ((const float *)x)[at];
}

INLINE void store_as(bool bf16, void *x, size_t at, float value)
{
    if (bf16)
        ((uint16_t *)x)[at] = bf16_from_float(value);
    else
        ((float *)x)[at] = value;
}

/* Lane numbers 0, 1, ... */
INLINE vf vf_lanes(void)
{
    static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vf_load(numbers);
}

/* x in lanes from <= i < to, `other` elsewhere. */
INLINE vf vf_keep(vf x, vf other, float from, float to)
{
    vf lanes = vf_lanes();
    vi inside = (vi)(lanes >= from) & (vi)(lanes < to);
    return (vf)((inside & (vi)x) | (~inside & (vi)other));
}

/* Lane i is element index[i] of a's lanes followed by b's. */
INLINE vf vf_shuffle(vf a, vf b, vi index)
{
#if SIMD_WIDTH == 16
    return _mm512_permutex2var_ps(a, (__m512i)index, b);
#elif defined(__clang__) /* which shuffles by literal numbers only */
    vf x;
    for (int i = 0; i < W; i++)
        x[i] = index[i] < W ? a[index[i]] : b[index[i] - W];
    return x;
#else
    return __builtin_shuffle(a, b, index);
#endif
}

/* |x|, and the lanes of a where x < 0, of b elsewhere (b for NaN). */
INLINE vf vf_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

INLINE vf vf_where_negative(vf x, vf a, vf b)
{
    vi negative = (vi)(x < 0);
    return (vf)((negative & (vi)a) | (~negative & (vi)b));
}

/* e^r - 1 and n of x = n ln 2 + r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 p(r), p the minimax polynomial
 * (relative error 3.1e-9, Remez' algorithm). ln 2 is taken in two parts, the first of 9 bits, so that n times
 * it is exact (Cody and Waite, 1980). */
INLINE vf vf_exp_reduced(vf x, vf *n)
{
    *n = vf_round(x * 1.44269504f);
    vf r = vf_fma(*n, vf_set(-0.693359375f), x);
    r = vf_fma(*n, vf_set(2.12194440e-4f), r);
    vf p = vf_fma(vf_set(1.38145988e-3f), r, vf_set(8.36871658e-3f));
    p = vf_fma(p, r, vf_set(4.16683890e-2f));
    p = vf_fma(p, r, vf_set(0.166665211f));
    p = vf_fma(p, r, vf_set(0.49999994f));
    return vf_fma(p, r * r, r);
}

/* e^x within 2 ulp of normal results; 0 below -104, infinity above 88.73; NaN stays. */
INLINE vf vf_exp(vf x)
{
    vf n, p = vf_exp_reduced(vf_min(vf_set(90), vf_max(vf_set(-105), x)), &n);
    return vf_scale(p + 1, n);
}

/* tanh(x) within 4 ulp; NaN stays. From m = e^2|x| - 1, which keeps the digits of small x: tanh|x| =
 * m / (m + 2), 1 in f32 from 9.02 on. */
INLINE vf vf_tanh(vf x)
{
    vf n, p = vf_exp_reduced(2 * vf_min(vf_set(10), vf_abs(x)), &n), power = vf_scale(vf_set(1), n);
    vf m = vf_fma(power, p, power - 1), y = m / (m + 2);
    return (vf)((vi)y | ((vi)x & INT32_MIN));
}

/* log x within 3 ulp for normal x; what is smaller counts as the least of them; NaN stays. x = 2^n (1 + f) with
 * sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = f - f^2 / 2 + f^3 p(f), p the minimax polynomial (relative error 6e-9,
 * Remez' algorithm). ln 2 in two parts as above. */
INLINE vf vf_log(vf x)
{
    x = vf_max(vf_set(1.17549435e-38f), x);
    vi whole = ((vi)x - 0x3f3504f3) >> 23;
    vf n = __builtin_convertvector(whole, vf), f = (vf)((vu)x - ((vu)whole << 23)) - 1;
    vf p = vf_fma(vf_set(-0.0763449371f), f, vf_set(0.127615765f));
    p = vf_fma(p, f, vf_set(-0.131601825f));
    p = vf_fma(p, f, vf_set(0.142017588f));
    p = vf_fma(p, f, vf_set(-0.166233569f));
    p = vf_fma(p, f, vf_set(0.200012267f));
    p = vf_fma(p, f, vf_set(-0.250008196f));
    p = vf_fma(p, f, vf_set(0.333333313f));
    vf square = f * f, small = vf_fma(p, square * f, vf_fma(n, vf_set(-2.12194440e-4f), -0.5f * square));
    return vf_where((vi)(x == x), vf_fma(n, vf_set(0.693359375f), f + small), x);
}

/* 2^x within 2 ulp; 0 below -151, infinity above 128. */
INLINE vf vf_exp2(vf x)
{
    x = vf_min(vf_set(130), vf_max(vf_set(-152), x));
    vf n = vf_round(x), r = x - n;
    vf p = vf_fma(vf_set(1.55947579e-4f), r, vf_set(1.34066748e-3f));
    p = vf_fma(p, r, vf_set(9.61769279e-3f));
    p = vf_fma(p, r, vf_set(5.55031039e-2f));
    p = vf_fma(p, r, vf_set(0.240226522f));
    p = vf_fma(p, r, vf_set(0.693147242f));
    p = vf_fma(p, r, vf_set(1));
    return vf_scale(p, n);
}

#endif
