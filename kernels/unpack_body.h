/* Blocks to bytes, compiled once per instruction set: strips of kernels/quantized_kernels.h. The layouts are those
 * of kernels/blocks.h, and kernels/dequantize_body.h says the same in f32.
 *
 * SIGNED_SHIFT is added to signed bytes: 0, or 128 where products want unsigned ones. */
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/quantized_kernels.h"

#include <string.h>
#if defined(__SSSE3__)
#include <immintrin.h>
#endif

static inline float one_half(uint16_t h)
{
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    return half_to_f32(h);
#endif
}

/* to[i] = the half at from + i * stride, for 16 blocks; each is followed by two bytes or more. */
static inline void halves_16(const void *from, size_t stride, float *to)
{
#if defined(__AVX512F__)
    const __m512i at = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                          _mm512_set1_epi32((int)stride));
    const __m512i words = _mm512_i32gather_epi32(at, from, 1);
    _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)));
#else
    for (size_t i = 0; i < 16; i++) {
        uint16_t half;
        memcpy(&half, (const char *)from + i * stride, sizeof half);
        to[i] = one_half(half);
    }
#endif
}

/* The scales of 16 blocks: to[i] = b[i].field */
#define HALVES(to, b, field) halves_16(&(b)->field, sizeof *(b), to)

/* 64 bytes at a time, stored whole: a vector read back from two halves would have to wait for them. */
#if defined(__AVX512BW__)
#define PAIRS 1

/* The nibbles of two blocks' 16 bytes each, in order: low ones, high ones, and again. */
static inline __m512i nibbles_of_two(const uint8_t *a, const uint8_t *b)
{
    const __m512i shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                           0x0004000400040004, 0, 0);
    __m512i x = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)a));
    x = _mm512_mask_broadcast_i32x4(x, 0xff00, _mm_loadu_si128((const void *)b));
    return _mm512_and_si512(_mm512_srlv_epi16(x, shift), _mm512_set1_epi8(15));
}

/* The nibbles of 32 bytes: low ones, then high ones. */
static inline __m512i nibbles_of_32(const uint8_t *qs)
{
    const __m512i shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0x0004000400040004,
                                           0x0004000400040004, 0, 0, 0, 0);
    __m512i x = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)qs));
    return _mm512_and_si512(_mm512_srlv_epi16(x, shift), _mm512_set1_epi8(15));
}

/* Bit n of each of 64 bits becomes `value` in byte n. */
static inline __m512i bits_to_bytes(uint64_t bits, int value)
{
    return _mm512_maskz_set1_epi8(bits, (char)value);
}

static inline uint64_t two_words(const uint8_t a[4], const uint8_t b[4])
{
    uint32_t low, high;
    memcpy(&low, a, sizeof low);
    memcpy(&high, b, sizeof high);
    return low | (uint64_t)high << 32;
}

static inline __m512i table_of_16(const int8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)SIGNED_SHIFT)));
}
#else
#define PAIRS 0
#endif

static inline void nibbles(const uint8_t *restrict qs, uint8_t *restrict q)
{
    for (int j = 0; j < 16; j++) {
        q[j] = qs[j] & 15;
        q[j + 16] = qs[j] >> 4;
    }
}

/* Adds bit j of 32 to byte j, as its fifth. */
static inline void fifth_bits(const uint8_t bits[4], uint8_t *restrict q)
{
    static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)(q[j] | (bits[j / 8] & bit[j % 8] ? 16 : 0));
}

/* The entries of a table that 16 bytes' nibbles name. */
static inline void look_up(const int8_t table[16], const uint8_t *restrict qs, uint8_t *restrict q)
{
#if defined(__SSSE3__)
    __m128i t = _mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)SIGNED_SHIFT));
    __m128i x = _mm_loadu_si128((const void *)qs), low = _mm_set1_epi8(15);
    _mm_storeu_si128((void *)q, _mm_shuffle_epi8(t, _mm_and_si128(x, low)));
    _mm_storeu_si128((void *)(q + 16), _mm_shuffle_epi8(t, _mm_and_si128(_mm_srli_epi16(x, 4), low)));
#else
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)(table[qs[j] & 15] + SIGNED_SHIFT);
        q[j + 16] = (uint8_t)(table[qs[j] >> 4] + SIGNED_SHIFT);
    }
#endif
}

/* --- blocks of 32: sixteen in a strip --- */

/* The nibbles of 16 blocks to s->q; `fifths` is true where the blocks have a field qh. Constants after inlining. */
#if PAIRS
#define NIBBLES(s, b)                                                                              \
    for (int i = 0; i < 16; i += 2)                                                                \
        _mm512_store_si512((s)->q + 32 * i, nibbles_of_two((b)[i].qs, (b)[i + 1].qs))
#define FIVE_BITS(s, b)                                                                            \
    for (int i = 0; i < 16; i += 2)                                                                \
        _mm512_store_si512((s)->q + 32 * i,                                                        \
                           _mm512_or_si512(nibbles_of_two((b)[i].qs, (b)[i + 1].qs),               \
                                           bits_to_bytes(two_words((b)[i].qh, (b)[i + 1].qh), 16)))
#define LOOK_UP(s, b, table)                                                                       \
    for (int i = 0; i < 16; i += 2)                                                                \
        _mm512_store_si512((s)->q + 32 * i, _mm512_shuffle_epi8(table_of_16(table),                \
                                                                nibbles_of_two((b)[i].qs, (b)[i + 1].qs)))
#else
#define NIBBLES(s, b)                                                                              \
    for (int i = 0; i < 16; i++)                                                                   \
        nibbles((b)[i].qs, (s)->q + 32 * i)
#define FIVE_BITS(s, b)                                                                            \
    for (int i = 0; i < 16; i++) {                                                                 \
        nibbles((b)[i].qs, (s)->q + 32 * i);                                                       \
        fifth_bits((b)[i].qh, (s)->q + 32 * i);                                                    \
    }
#define LOOK_UP(s, b, table)                                                                       \
    for (int i = 0; i < 16; i++)                                                                   \
        look_up(table, (b)[i].qs, (s)->q + 32 * i)
#endif

static void unpack_q4_0(const void *from, struct weight_strip *s)
{
    const struct block_q4_0 *b = from;
    HALVES(s->scale, b, d);
    NIBBLES(s, b);
}

static void unpack_q4_1(const void *from, struct weight_strip *s)
{
    const struct block_q4_1 *b = from;
    HALVES(s->scale, b, d);
    HALVES(s->offset, b, m);
    NIBBLES(s, b);
}

static void unpack_q5_0(const void *from, struct weight_strip *s)
{
    const struct block_q5_0 *b = from;
    HALVES(s->scale, b, d);
    FIVE_BITS(s, b);
}

static void unpack_q5_1(const void *from, struct weight_strip *s)
{
    const struct block_q5_1 *b = from;
    HALVES(s->scale, b, d);
    HALVES(s->offset, b, m);
    FIVE_BITS(s, b);
}

static void unpack_q8_0(const void *from, struct weight_strip *s)
{
    const struct block_q8_0 *b = from;
    HALVES(s->scale, b, d);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 32; j++)
            s->q[32 * i + j] = (uint8_t)(b[i].qs[j] + SIGNED_SHIFT);
}

static void unpack_iq4_nl(const void *from, struct weight_strip *s)
{
    const struct block_iq4_nl *b = from;
    HALVES(s->scale, b, d);
    LOOK_UP(s, b, iq4_values);
}

static void unpack_mxfp4(const void *from, struct weight_strip *s)
{
    const struct block_mxfp4 *b = from;
    for (int i = 0; i < 16; i++)
        s->scale[i] = mxfp4_scale(b[i].e);
    LOOK_UP(s, b, mxfp4_values);
}

/* --- blocks of 64 and 128 --- */

static void unpack_nvfp4(const void *from, struct weight_strip *s)
{
    const struct block_nvfp4 *b = from;
    uint8_t *q = s->q;
    for (int g = 0; g < 32; g++, q += 16) {
        const uint8_t *qs = b[g / 4].qs + g % 4 * 8;
        s->scale[g] = nvfp4_scale(b[g / 4].scales[g % 4]);
        for (int j = 0; j < 8; j++) {
            q[j] = (uint8_t)(mxfp4_values[qs[j] & 15] + SIGNED_SHIFT);
            q[j + 8] = (uint8_t)(mxfp4_values[qs[j] >> 4] + SIGNED_SHIFT);
        }
    }
}

static void unpack_q1_0(const void *from, struct weight_strip *s)
{
    const struct block_q1_0 *b = from;
    for (int g = 0; g < 16; g++)
        s->scale[g] = one_half(b[g / 4].d);
    for (int i = 0; i < STRIP; i++)
        s->q[i] = (uint8_t)((b[i / 128].qs[i % 128 / 8] >> i % 8 & 1) * 2);
}

static void unpack_q2_0(const void *from, struct weight_strip *s)
{
    const struct block_q2_0 *b = from;
    for (int g = 0; g < 16; g++)
        s->scale[g] = one_half(b[g / 2].d);
    for (int i = 0; i < STRIP; i++)
        s->q[i] = b[i / 64].qs[i % 64 / 4] >> i % 4 * 2 & 3;
}

/* --- blocks of 256: two in a strip --- */

/* n digits of each of `width` bytes, the highest first (kernels/dequantize_body.h). */
static inline uint8_t *trits(const uint8_t *restrict from, int width, int n, uint8_t *restrict q)
{
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    for (int k = 0; k < n; k++, q += width)
        for (int j = 0; j < width; j++)
            q[j] = (uint8_t)((uint8_t)(from[j] * powers[k]) * 3 >> 8);
    return q;
}

static void unpack_tq1_0(const void *from, struct weight_strip *s)
{
    const struct block_tq1_0 *b = from;
    uint8_t *q = s->q;
    for (int i = 0; i < 2; i++, b++) {
        for (int g = 0; g < 8; g++)
            s->scale[8 * i + g] = one_half(b->d);
        q = trits(b->qs, 32, 5, q);
        q = trits(b->qs + 32, 16, 5, q);
        q = trits(b->qh, 4, 4, q);
    }
}

/* 256 numbers of 2 bits: of each 32 bytes the lowest bits are the first 32. */
static inline void pairs_of_bits(const uint8_t *restrict qs, uint8_t *restrict q)
{
    for (int half = 0; half < 2; half++, qs += 32, q += 128)
        for (int j = 0; j < 32; j++) {
            q[j] = qs[j] & 3;
            q[j + 32] = qs[j] >> 2 & 3;
            q[j + 64] = qs[j] >> 4 & 3;
            q[j + 96] = qs[j] >> 6;
        }
}

static void unpack_tq2_0(const void *from, struct weight_strip *s)
{
    const struct block_tq2_0 *b = from;
    for (int i = 0; i < 2; i++, b++) {
        for (int g = 0; g < 8; g++)
            s->scale[8 * i + g] = one_half(b->d);
        pairs_of_bits(b->qs, s->q + 256 * i);
    }
}

static void unpack_q2_k(const void *from, struct weight_strip *s)
{
    const struct block_q2_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        const float d = one_half(b->d), dmin = -one_half(b->dmin);
        for (int g = 0; g < 16; g++) {
            s->scale[16 * i + g] = d * (float)(b->scales[g] & 15);
            s->offset[16 * i + g] = dmin * (float)(b->scales[g] >> 4);
        }
        pairs_of_bits(b->qs, s->q + 256 * i);
    }
}

static void unpack_q3_k(const void *from, struct weight_strip *s)
{
    const struct block_q3_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        const float d = one_half(b->d);
        uint32_t packed[3], scale[4];
        uint8_t bytes[16], *q = s->q + 256 * i;
        memcpy(packed, b->scales, sizeof packed);
        for (int w = 0; w < 4; w++)
            scale[w] = (packed[w % 2] >> w / 2 * 4 & 0x0f0f0f0f) | (packed[2] >> 2 * w & 0x03030303) << 4;
        memcpy(bytes, scale, sizeof bytes);
        for (int g = 0; g < 16; g++)
            s->scale[16 * i + g] = d * (float)(bytes[g] - 32);
        pairs_of_bits(b->qs, q);
        for (int n = 0; n < 8; n++)
            for (int j = 0; j < 32; j++)
                q[32 * n + j] = (uint8_t)(q[32 * n + j] | (b->hmask[j] >> n & 1) << 2);
    }
}

/* The eight scales and minima of q4_k and q5_k, four bytes at a time. */
static inline void k_scales(const uint8_t packed[12], float d, float dmin, float *scale, float *offset)
{
    uint32_t u[3], scales[2], mins[2];
    uint8_t bytes[16];
    memcpy(u, packed, sizeof u);
    scales[0] = u[0] & 0x3f3f3f3f;
    scales[1] = (u[2] & 0x0f0f0f0f) | (u[0] >> 6 & 0x03030303) << 4;
    mins[0] = u[1] & 0x3f3f3f3f;
    mins[1] = (u[2] >> 4 & 0x0f0f0f0f) | (u[1] >> 6 & 0x03030303) << 4;
    memcpy(bytes, scales, 8);
    memcpy(bytes + 8, mins, 8);
    for (int j = 0; j < 8; j++) {
        scale[j] = d * (float)bytes[j];
        offset[j] = -dmin * (float)bytes[8 + j];
    }
}

/* 256 nibbles: of each 32 bytes the low ones are the first 32. */
static inline void k_nibbles(const uint8_t *restrict qs, uint8_t *restrict q)
{
    for (int i = 0; i < 4; i++, qs += 32, q += 64)
#if PAIRS
        _mm512_store_si512(q, nibbles_of_32(qs));
#else
        for (int j = 0; j < 32; j++) {
            q[j] = qs[j] & 15;
            q[j + 32] = qs[j] >> 4;
        }
#endif
}

static void unpack_q4_k(const void *from, struct weight_strip *s)
{
    const struct block_q4_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        k_scales(b->scales, one_half(b->d), one_half(b->dmin), s->scale + 8 * i, s->offset + 8 * i);
        k_nibbles(b->qs, s->q + 256 * i);
    }
}

static void unpack_q5_k(const void *from, struct weight_strip *s)
{
    const struct block_q5_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        uint8_t *q = s->q + 256 * i;
        k_scales(b->scales, one_half(b->d), one_half(b->dmin), s->scale + 8 * i, s->offset + 8 * i);
        k_nibbles(b->qs, q);
        for (int n = 0; n < 8; n++)
            for (int j = 0; j < 32; j++)
                q[32 * n + j] = (uint8_t)(q[32 * n + j] | (b->qh[j] >> n & 1) << 4);
    }
}

static void unpack_q6_k(const void *from, struct weight_strip *s)
{
    const struct block_q6_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        const float d = one_half(b->d);
        for (int g = 0; g < 16; g++)
            s->scale[16 * i + g] = d * (float)b->scales[g];
        for (int half = 0; half < 2; half++) {
            const uint8_t *restrict l = b->ql + 64 * half, *restrict h = b->qh + 32 * half;
            uint8_t *restrict q = s->q + 256 * i + 128 * half;
            for (int j = 0; j < 32; j++) {
                q[j] = (uint8_t)((l[j] & 15) | (h[j] & 3) << 4);
                q[j + 32] = (uint8_t)((l[j + 32] & 15) | (h[j] >> 2 & 3) << 4);
                q[j + 64] = (uint8_t)(l[j] >> 4 | (h[j] >> 4 & 3) << 4);
                q[j + 96] = (uint8_t)(l[j + 32] >> 4 | h[j] >> 6 << 4);
            }
        }
    }
}

static void unpack_iq4_xs(const void *from, struct weight_strip *s)
{
    const struct block_iq4_xs *b = from;
    for (int i = 0; i < 2; i++, b++) {
        const float d = one_half(b->d);
        for (int n = 0; n < 8; n++) {
            const int low = b->scales_l[n / 2] >> n % 2 * 4 & 15, high = b->scales_h >> 2 * n & 3;
            s->scale[8 * i + n] = d * (float)((low | high << 4) - 32);
            look_up(iq4_values, b->qs + 16 * n, s->q + 256 * i + 32 * n);
        }
    }
}

static const struct level_form *level_form(enum dtype type)
{
    enum { SIGNED = SIGNED_SHIFT };
    static const struct level_form forms[] = {
        [DTYPE_Q4_0] = {unpack_q4_0, 32, 8, false, false},
        [DTYPE_Q4_1] = {unpack_q4_1, 32, 0, true, false},
        [DTYPE_Q5_0] = {unpack_q5_0, 32, 16, false, false},
        [DTYPE_Q5_1] = {unpack_q5_1, 32, 0, true, false},
        [DTYPE_Q8_0] = {unpack_q8_0, 32, SIGNED, false, true},
        [DTYPE_IQ4_NL] = {unpack_iq4_nl, 32, SIGNED, false, true},
        [DTYPE_MXFP4] = {unpack_mxfp4, 32, SIGNED, false, true},
        [DTYPE_NVFP4] = {unpack_nvfp4, 16, SIGNED, false, true},
        [DTYPE_Q1_0] = {unpack_q1_0, 32, 1, false, false},
        [DTYPE_Q2_0] = {unpack_q2_0, 32, 1, false, false},
        [DTYPE_TQ1_0] = {unpack_tq1_0, 32, 1, false, false},
        [DTYPE_TQ2_0] = {unpack_tq2_0, 32, 1, false, false},
        [DTYPE_Q2_K] = {unpack_q2_k, 16, 0, true, false},
        [DTYPE_Q3_K] = {unpack_q3_k, 16, 4, false, false},
        [DTYPE_Q4_K] = {unpack_q4_k, 32, 0, true, false},
        [DTYPE_Q5_K] = {unpack_q5_k, 32, 0, true, false},
        [DTYPE_Q6_K] = {unpack_q6_k, 16, 32, false, false},
        [DTYPE_IQ4_XS] = {unpack_iq4_xs, 32, SIGNED, false, true},
    };
    bool known = (size_t)type < sizeof forms / sizeof *forms && forms[type].unpack;
    return known ? &forms[type] : NULL;
}
