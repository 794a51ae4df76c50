/* Rows of stored keys or values as f32. Included by the variant files after kernels/simd.h. The same bits as
 * dtype_to_f32's. */
#include "kernels/blocks.h"
#include "kernels/simd.h"

/* How far elements of a type lie apart: blocks of them. */
struct packing {
    size_t block, bytes;
};

INLINE struct packing packing_of(enum dtype type)
{
    switch (type) {
    case DTYPE_Q8_0:
        return (struct packing){32, sizeof(struct block_q8_0)};
    case DTYPE_Q4_0:
        return (struct packing){32, sizeof(struct block_q4_0)};
    case DTYPE_F32:
        return (struct packing){1, 4};
    default: /* f16, bf16 */
        return (struct packing){1, 2};
    }
}

/* Element `at`, the first of a block. */
INLINE const char *packed_at(struct packing p, const void *x, size_t at)
{
    return (const char *)x + at / p.block * p.bytes;
}

INLINE float block_scale(uint16_t half)
{
#if SIMD_WIDTH > 4
    return _cvtsh_ss(half);
#else
    return half_to_f32(half);
#endif
}

/* W bytes as whole numbers, with and without a sign. */
INLINE vi vi_from_i8(const int8_t *p)
{
#if SIMD_WIDTH == 16
    return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)p));
#elif SIMD_WIDTH == 8
    return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i_u *)p));
#else
    return (vi){p[0], p[1], p[2], p[3]};
#endif
}

INLINE vi vi_from_u8(const uint8_t *p)
{
#if SIMD_WIDTH == 16
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i_u *)p));
#elif SIMD_WIDTH == 8
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i_u *)p));
#else
    return (vi){p[0], p[1], p[2], p[3]};
#endif
}

INLINE void widen_q8_0(float *to, const struct block_q8_0 *from)
{
    vf d = vf_set(block_scale(from->d));
#pragma GCC unroll 8
    for (size_t i = 0; i < 32; i += W)
        vf_store(to + i, __builtin_convertvector(vi_from_i8(from->qs + i), vf) * d);
}

INLINE void widen_q4_0(float *to, const struct block_q4_0 *from)
{
    vf d = vf_set(block_scale(from->d));
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += W) {
        vi q = vi_from_u8(from->qs + i);
        vf_store(to + i, __builtin_convertvector((q & 15) - 8, vf) * d);
        vf_store(to + 16 + i, __builtin_convertvector((q >> 4) - 8, vf) * d);
    }
}

/* to = d elements of `type` (f16, q8_0 or q4_0, a constant after inlining), and zeros up to a whole vector. */
INLINE void widen_row(const enum dtype type, float *to, const void *from, size_t d)
{
    if (type == DTYPE_F16) {
        size_t i = 0;
        for (; i + W <= d; i += W)
            vf_store(to + i, vf_load_type(DTYPE_F16, from, i));
        if (i < d)
            vf_store(to + i, vf_load_n_type(DTYPE_F16, from, i, d - i));
        return;
    }
    for (size_t i = 0; i < d / 32; i++) {
        if (type == DTYPE_Q8_0)
            widen_q8_0(to + 32 * i, (const struct block_q8_0 *)from + i);
        else
            widen_q4_0(to + 32 * i, (const struct block_q4_0 *)from + i);
    }
}

/* to (n, ld) = n rows of d elements of `type`, `stride` bytes apart; ld is whole vectors. */
INLINE void widen_rows_as(const enum dtype type, float *to, size_t ld, const char *from, size_t stride, size_t n,
                          size_t d)
{
    for (size_t r = 0; r < n; r++)
        widen_row(type, to + r * ld, from + r * stride, d);
}

static void widen_rows(enum dtype type, float *to, size_t ld, const char *from, size_t stride, size_t n, size_t d)
{
    if (type == DTYPE_F16)
        widen_rows_as(DTYPE_F16, to, ld, from, stride, n, d);
    else if (type == DTYPE_Q8_0)
        widen_rows_as(DTYPE_Q8_0, to, ld, from, stride, n, d);
    else
        widen_rows_as(DTYPE_Q4_0, to, ld, from, stride, n, d);
}
