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

/* Words shifted right by `low` bits in the first half, by `high` in the second. */
static inline __m512i shift_halves(__m512i x, int low, int high)
{
    return _mm512_srlv_epi16(x, _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1));
}

static inline __m512i twice_32(const uint8_t *from)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)from));
}

/* Bytes of the first half that have bit n, of the second that have bit n + 1. */
static inline __mmask64 with_bit(__m512i x, int n)
{
    return _mm512_test_epi8_mask(
        x, _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << n)), _mm256_set1_epi8((char)(2 << n)), 1));
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
__attribute__((unused)) static inline void fifth_bits(const uint8_t bits[4], uint8_t *restrict q)
{
    static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)(q[j] | (bits[j / 8] & bit[j % 8] ? 16 : 0));
}

/* The entries of a table that 16 bytes below 16 name. */
__attribute__((unused)) static inline void look_up_bytes(const int8_t table[16], const uint8_t *restrict names, uint8_t *restrict q)
{
#if defined(__SSSE3__)
    const __m128i t = _mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)SIGNED_SHIFT));
    _mm_storeu_si128((void *)q, _mm_shuffle_epi8(t, _mm_loadu_si128((const void *)names)));
#else
    for (int j = 0; j < 16; j++)
        q[j] = (uint8_t)(table[names[j]] + SIGNED_SHIFT);
#endif
}

/* And that 16 bytes' nibbles name. */
__attribute__((unused)) static inline void look_up(const int8_t table[16], const uint8_t *restrict qs,
                                                   uint8_t *restrict q)
{
    uint8_t names[32];
    nibbles(qs, names);
    look_up_bytes(table, names, q);
    look_up_bytes(table, names + 16, q + 16);
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
#if PAIRS
    for (int i = 0; i < 16; i += 2) {
        const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)b[i].qs));
        const __m512i x = _mm512_inserti64x4(first, _mm256_loadu_si256((const void *)b[i + 1].qs), 1);
        _mm512_store_si512(s->q + 32 * i, _mm512_xor_si512(x, _mm512_set1_epi8((char)SIGNED_SHIFT)));
    }
#else
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 32; j++)
            s->q[32 * i + j] = (uint8_t)(b[i].qs[j] + SIGNED_SHIFT);
#endif
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
#if PAIRS
    const __m512i order = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), low = _mm512_set1_epi8(15);
    uint8_t scales[32];
    for (int i = 0; i < 8; i++) {
        const __m512i x = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)b[i].qs));
        const __m512i names = _mm512_permutex2var_epi64(_mm512_and_si512(x, low), order,
                                                        _mm512_and_si512(_mm512_srli_epi16(x, 4), low));
        _mm512_store_si512(s->q + 64 * i, _mm512_shuffle_epi8(table_of_16(mxfp4_values), names));
        memcpy(scales + 4 * i, b[i].scales, 4);
    }
    for (int i = 0; i < 32; i += 16) { /* nvfp4_scale of sixteen */
        const __m512i v = _mm512_and_si512(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(scales + i))),
                                           _mm512_set1_epi32(0x7f));
        const __m512 normal = _mm512_castsi512_ps(
            _mm512_add_epi32(_mm512_slli_epi32(v, 20), _mm512_set1_epi32((127 - 8) << 23)));
        const __m512 tiny = _mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_set1_ps(0x1p-10f));
        const __m512 d = _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(v, _mm512_set1_epi32(8)), normal, tiny);
        _mm512_storeu_ps(s->scale + i, _mm512_maskz_mov_ps(_mm512_cmpneq_epi32_mask(v, _mm512_set1_epi32(0x7f)), d));
    }
#else
    uint8_t *q = s->q;
    for (int g = 0; g < 32; g++, q += 16) {
        const uint8_t *qs = b[g / 4].qs + g % 4 * 8;
        uint8_t nibble[16];
        s->scale[g] = nvfp4_scale(b[g / 4].scales[g % 4]);
        for (int j = 0; j < 8; j++) {
            nibble[j] = qs[j] & 15;
            nibble[j + 8] = qs[j] >> 4;
        }
        look_up_bytes(mxfp4_values, nibble, q);
    }
#endif
}

/* Bit j of x, doubled, in byte j: x in each byte of a word, of which each keeps its own bit. */
__attribute__((unused)) static inline void eight_bits(uint8_t x, uint8_t *restrict q)
{
    static const uint8_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    for (int j = 0; j < 8; j++)
        q[j] = x & bit[j] ? 2 : 0;
}

static void unpack_q1_0(const void *from, struct weight_strip *s)
{
    const struct block_q1_0 *b = from;
    for (int g = 0; g < 16; g++)
        s->scale[g] = one_half(b[g / 4].d);
#if PAIRS
    for (int i = 0; i < STRIP; i += 64) {
        uint64_t bits;
        memcpy(&bits, b[i / 128].qs + i % 128 / 8, sizeof bits);
        _mm512_store_si512(s->q + i, bits_to_bytes(bits, 2));
    }
#else
    for (int i = 0; i < STRIP; i += 8)
        eight_bits(b[i / 128].qs[i % 128 / 8], s->q + i);
#endif
}

static void unpack_q2_0(const void *from, struct weight_strip *s)
{
    const struct block_q2_0 *b = from;
    for (int g = 0; g < 16; g++)
        s->scale[g] = one_half(b[g / 2].d);
#if PAIRS
    for (int i = 0; i < STRIP; i += 64) {
        const __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)b[i / 64].qs));
        const __m512i y = _mm512_or_si512(x, _mm512_slli_epi32(x, 6));
        _mm512_store_si512(s->q + i, _mm512_and_si512(_mm512_or_si512(y, _mm512_slli_epi32(y, 12)),
                                                      _mm512_set1_epi8(3)));
    }
#else
    for (int i = 0; i < STRIP; i += 4) {
        const uint32_t x = b[i / 64].qs[i % 64 / 4], four = (x | x << 6 | x << 12 | x << 18) & 0x03030303;
        memcpy(s->q + i, &four, sizeof four);
    }
#endif
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
    for (int half = 0; half < 2; half++, qs += 32, q += 128) {
#if PAIRS
        const __m512i x = twice_32(qs), three = _mm512_set1_epi8(3);
        _mm512_store_si512(q, _mm512_and_si512(shift_halves(x, 0, 2), three));
        _mm512_store_si512(q + 64, _mm512_and_si512(shift_halves(x, 4, 6), three));
#else
        for (int j = 0; j < 32; j++) {
            q[j] = qs[j] & 3;
            q[j + 32] = qs[j] >> 2 & 3;
            q[j + 64] = qs[j] >> 4 & 3;
            q[j + 96] = qs[j] >> 6;
        }
#endif
    }
}

/* Adds 2^place to the bytes of 256 of which bit n of `bits` (32 bytes, n the 32 at hand) is set. */
static inline void upper_bits(const uint8_t *restrict bits, int place, uint8_t *restrict q)
{
#if PAIRS
    const __m512i x = twice_32(bits);
    for (int n = 0; n < 8; n += 2) {
        const __m512i y = _mm512_load_si512(q + 32 * n);
        _mm512_store_si512(q + 32 * n,
                           _mm512_mask_add_epi8(y, with_bit(x, n), y, _mm512_set1_epi8((char)(1 << place))));
    }
#else
    for (int n = 0; n < 8; n++)
        for (int j = 0; j < 32; j++)
            q[32 * n + j] = (uint8_t)(q[32 * n + j] | (bits[j] >> n & 1) << place);
#endif
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

/* to[j] = a * (byte j of the first word + add), to[8 + j] = b * (byte j of the second + add); bytes are signed. */
static inline void byte_scales(uint64_t first, uint64_t second, int add, float a, float b, float *restrict to)
{
#if PAIRS
    const __m512i x = _mm512_cvtepi8_epi32(_mm_set_epi64x((long long)second, (long long)first));
    _mm512_storeu_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(x, _mm512_set1_epi32(add))),
                                       _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(a), _mm512_set1_ps(b))));
#else
    for (int j = 0; j < 8; j++) {
        to[j] = a * (float)((int8_t)(first >> 8 * j) + add);
        to[j + 8] = b * (float)((int8_t)(second >> 8 * j) + add);
    }
#endif
}

static void unpack_q3_k(const void *from, struct weight_strip *s)
{
    const struct block_q3_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        const float d = one_half(b->d);
        uint64_t low;
        uint32_t high;
        uint8_t *q = s->q + 256 * i;
        memcpy(&low, b->scales, sizeof low);
        memcpy(&high, b->scales + 8, sizeof high);
        const uint64_t pairs[2] = {(high & 0x03030303) | (uint64_t)(high >> 2 & 0x03030303) << 32,
                                   (high >> 4 & 0x03030303) | (uint64_t)(high >> 6 & 0x03030303) << 32};
        const uint64_t nibble = 0x0f0f0f0f0f0f0f0f;
        byte_scales((low & nibble) | pairs[0] << 4, (low >> 4 & nibble) | pairs[1] << 4, -32, d, d,
                    s->scale + 16 * i);
        pairs_of_bits(b->qs, q);
        upper_bits(b->hmask, 2, q);
    }
}

/* The eight scales and minima of q4_k and q5_k, one in a byte, four bytes at a time. */
static inline void k_bytes(const uint8_t packed[12], uint64_t *scales, uint64_t *mins)
{
    uint32_t u[3];
    memcpy(u, packed, sizeof u);
    const uint32_t scale = (u[2] & 0x0f0f0f0f) | (u[0] >> 6 & 0x03030303) << 4,
                   min = (u[2] >> 4 & 0x0f0f0f0f) | (u[1] >> 6 & 0x03030303) << 4;
    *scales = (u[0] & 0x3f3f3f3f) | (uint64_t)scale << 32;
    *mins = (u[1] & 0x3f3f3f3f) | (uint64_t)min << 32;
}

/* Of two blocks with the same fields d, dmin and scales. */
#define K_SCALES(s, b)                                                                             \
    do {                                                                                           \
        uint64_t scales_[2], mins_[2];                                                             \
        k_bytes((b)[0].scales, &scales_[0], &mins_[0]);                                            \
        k_bytes((b)[1].scales, &scales_[1], &mins_[1]);                                            \
        byte_scales(scales_[0], scales_[1], 0, one_half((b)[0].d), one_half((b)[1].d), (s)->scale);   \
        byte_scales(mins_[0], mins_[1], 0, -one_half((b)[0].dmin), -one_half((b)[1].dmin), (s)->offset); \
    } while (0)

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
    K_SCALES(s, b);
    for (int i = 0; i < 2; i++)
        k_nibbles(b[i].qs, s->q + 256 * i);
}

static void unpack_q5_k(const void *from, struct weight_strip *s)
{
    const struct block_q5_k *b = from;
    K_SCALES(s, b);
    for (int i = 0; i < 2; i++) {
        k_nibbles(b[i].qs, s->q + 256 * i);
        upper_bits(b[i].qh, 4, s->q + 256 * i);
    }
}

/* 128 numbers of 6 bits: the low four in 64 bytes, low nibbles first; the others in pairs of bits of 32. */
static inline void six_bits(const uint8_t *restrict l, const uint8_t *restrict h, uint8_t *restrict q)
{
#if PAIRS
    const __m512i x = _mm512_loadu_si512(l), y = twice_32(h), low = _mm512_set1_epi8(15),
                  pair = _mm512_set1_epi8(0x30);
    const __m512i up = _mm512_slli_epi16(y, 2), first = _mm512_mask_slli_epi16(up, 0xffff, y, 4),
                  second = _mm512_mask_srli_epi16(y, 0xffff0000, y, 2);
    _mm512_store_si512(q, _mm512_or_si512(_mm512_and_si512(x, low), _mm512_and_si512(first, pair)));
    _mm512_store_si512(q + 64, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(x, 4), low),
                                               _mm512_and_si512(second, pair)));
#else
    for (int j = 0; j < 32; j++) {
        q[j] = (uint8_t)((l[j] & 15) | (h[j] & 3) << 4);
        q[j + 32] = (uint8_t)((l[j + 32] & 15) | (h[j] >> 2 & 3) << 4);
        q[j + 64] = (uint8_t)(l[j] >> 4 | (h[j] >> 4 & 3) << 4);
        q[j + 96] = (uint8_t)(l[j + 32] >> 4 | h[j] >> 6 << 4);
    }
#endif
}

static void unpack_q6_k(const void *from, struct weight_strip *s)
{
    const struct block_q6_k *b = from;
    for (int i = 0; i < 2; i++, b++) {
        uint64_t scales[2];
        memcpy(scales, b->scales, sizeof scales);
        const float d = one_half(b->d);
        byte_scales(scales[0], scales[1], 0, d, d, s->scale + 16 * i);
        six_bits(b->ql, b->qh, s->q + 256 * i);
        six_bits(b->ql + 64, b->qh + 32, s->q + 256 * i + 128);
    }
}

/* The eight scales of 6 bits, one in a byte. */
static inline uint64_t iq4_scales(const struct block_iq4_xs *b)
{
    uint32_t low;
    memcpy(&low, b->scales_l, sizeof low);
    uint64_t x = low, y = b->scales_h;
    x = (x | x << 16) & 0x0000ffff0000ffff; /* nibbles apart */
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    y = (y | y << 24) & 0x000000ff000000ff; /* pairs of bits apart */
    y = (y | y << 12) & 0x000f000f000f000f;
    y = (y | y << 6) & 0x0303030303030303;
    return x | y << 4;
}

static void unpack_iq4_xs(const void *from, struct weight_strip *s)
{
    const struct block_iq4_xs *b = from;
    uint64_t scales[2];
    float d[2];
    for (int i = 0; i < 2; i++, b++) {
        scales[i] = iq4_scales(b);
        d[i] = one_half(b->d);
#if PAIRS
        for (int n = 0; n < 8; n += 2)
            _mm512_store_si512(s->q + 256 * i + 32 * n,
                               _mm512_shuffle_epi8(table_of_16(iq4_values),
                                                   nibbles_of_two(b->qs + 16 * n, b->qs + 16 * n + 16)));
#else
        for (int n = 0; n < 8; n++)
            look_up(iq4_values, b->qs + 16 * n, s->q + 256 * i + 32 * n);
#endif
    }
    byte_scales(scales[0], scales[1], -32, d[0], d[1], s->scale);
}

/* Every type: X(type, name, elements that share a scale, bias, whether there is an offset, whether levels are signed) */
#define LEVEL_FORMS(X)                                                                             \
    X(DTYPE_Q4_0, q4_0, 32, 8, false, false)                                                       \
    X(DTYPE_Q4_1, q4_1, 32, 0, true, false)                                                        \
    X(DTYPE_Q5_0, q5_0, 32, 16, false, false)                                                      \
    X(DTYPE_Q5_1, q5_1, 32, 0, true, false)                                                        \
    X(DTYPE_Q8_0, q8_0, 32, SIGNED_SHIFT, false, true)                                             \
    X(DTYPE_IQ4_NL, iq4_nl, 32, SIGNED_SHIFT, false, true)                                         \
    X(DTYPE_MXFP4, mxfp4, 32, SIGNED_SHIFT, false, true)                                           \
    X(DTYPE_NVFP4, nvfp4, 16, SIGNED_SHIFT, false, true)                                           \
    X(DTYPE_Q1_0, q1_0, 32, 1, false, false)                                                       \
    X(DTYPE_Q2_0, q2_0, 32, 1, false, false)                                                       \
    X(DTYPE_TQ1_0, tq1_0, 32, 1, false, false)                                                     \
    X(DTYPE_TQ2_0, tq2_0, 32, 1, false, false)                                                     \
    X(DTYPE_Q2_K, q2_k, 16, 0, true, false)                                                        \
    X(DTYPE_Q3_K, q3_k, 16, 4, false, false)                                                       \
    X(DTYPE_Q4_K, q4_k, 32, 0, true, false)                                                        \
    X(DTYPE_Q5_K, q5_k, 32, 0, true, false)                                                        \
    X(DTYPE_Q6_K, q6_k, 16, 32, false, false)                                                      \
    X(DTYPE_IQ4_XS, iq4_xs, 32, SIGNED_SHIFT, false, true)

/* The table of them; ROW_DOT(name) is struct level_form's member row_dot. */
#define LEVEL_FORM(type, name, group, bias, has_offset, is_signed)                                 \
    [type] = {unpack_##name, ROW_DOT(name), group, bias, has_offset, is_signed},
#define DEFINE_LEVEL_FORM                                                                          \
    static const struct level_form *level_form(enum dtype type)                                    \
    {                                                                                              \
        static const struct level_form forms[] = {LEVEL_FORMS(LEVEL_FORM)};                        \
        bool known = (size_t)type < sizeof forms / sizeof *forms && forms[type].unpack;            \
        return known ? &forms[type] : NULL;                                                        \
    }
