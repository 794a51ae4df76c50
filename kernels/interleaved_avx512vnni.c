/* A type is one function: from the 16 blocks at `b`, side by side, the 32 elements number g of each. q[t]: elements
 * 4 t to 4 t + 3, one byte each, as unsigned levels; the scale (and offset) of the 32, or of both halves. Where fields
 * lie follows from kernels/blocks.h: a field of 32 bits of 16 blocks is 64 bytes. */
#if defined(__x86_64__)
#include "kernels/interleaved_avx512vnni.h"

#include "base/check.h"
#include "kernels/blocks.h"
#include "kernels/interleave.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m512i vb;
typedef __m512 vf;

struct levels {
    vb q[8];
    vf scale[2], offset[2];
};

/* --- fields --- */

INLINE vb words(const unsigned char *b, int i)
{
    return _mm512_loadu_si512(b + 64 * i);
}

/* Halves as floats: sixteen of their own, or the lower or upper of 32 bits. */
INLINE vf halves(const unsigned char *b)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)b));
}

INLINE vf half_of_words(vb x, int shift)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(x, (unsigned)shift)));
}

INLINE vb bytes_of(int x)
{
    return _mm512_set1_epi8((char)x);
}

INLINE vf floats(vb x)
{
    return _mm512_cvtepi32_ps(x);
}

/* (x >> shift) & mask of each byte; the mask keeps what came from the neighbour out. */
INLINE vb bits(vb x, int shift, int mask)
{
    return _mm512_and_si512(shift ? _mm512_srli_epi16(x, (unsigned)shift) : x, bytes_of(mask));
}

/* Adds `value` to the bytes of x whose byte of y has one of the bits. */
INLINE vb add_where(vb x, vb y, vb with, int value)
{
    return _mm512_mask_add_epi8(x, _mm512_test_epi8_mask(y, with), x, bytes_of(value));
}

/* Of 32 bits: (x >> shift) & mask. */
INLINE vb field(vb x, int shift, int mask)
{
    return _mm512_and_si512(_mm512_srli_epi32(x, (unsigned)shift), _mm512_set1_epi32(mask));
}

/* --- types --- */

/* Low nibbles of four words, then their high ones. */
INLINE void nibbles_of_four(const unsigned char *qs, vb q[8])
{
    for (int i = 0; i < 4; i++) {
        const vb x = words(qs, i);
        q[i] = bits(x, 0, 15);
        q[i + 4] = bits(x, 4, 15);
    }
}

INLINE void look_up(const int8_t table[16], vb q[8])
{
    const __m128i t = _mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)128));
    const vb all = _mm512_broadcast_i32x4(t);
    for (int i = 0; i < 8; i++)
        q[i] = _mm512_shuffle_epi8(all, q[i]);
}

/* Bit e of a word to byte e % 4 of level e / 4, as its fifth. */
INLINE void fifth_bits(vb qh, vb q[8])
{
    const vb low = _mm512_set1_epi32(0x08040201), high = _mm512_set1_epi32((int)0x80402010);
    for (int t = 0; t < 8; t++) {
        const int n = t / 2;
        const vb copy = _mm512_shuffle_epi8(
            qh, _mm512_broadcast_i32x4(_mm_setr_epi8((char)n, (char)n, (char)n, (char)n, (char)(4 + n), (char)(4 + n),
                                                     (char)(4 + n), (char)(4 + n), (char)(8 + n), (char)(8 + n),
                                                     (char)(8 + n), (char)(8 + n), (char)(12 + n), (char)(12 + n),
                                                     (char)(12 + n), (char)(12 + n))));
        q[t] = add_where(q[t], copy, t % 2 ? high : low, 16);
    }
}

INLINE void levels_q4_0(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    l->scale[0] = halves(b);
    nibbles_of_four(b + 32, l->q);
}

INLINE void levels_q4_1(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    l->scale[0] = halves(b);
    l->offset[0] = halves(b + 32);
    nibbles_of_four(b + 64, l->q);
}

INLINE void levels_q5_0(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    l->scale[0] = halves(b);
    nibbles_of_four(b + 96, l->q);
    fifth_bits(words(b + 32, 0), l->q);
}

INLINE void levels_q5_1(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    l->scale[0] = halves(b);
    l->offset[0] = halves(b + 32);
    nibbles_of_four(b + 128, l->q);
    fifth_bits(words(b + 64, 0), l->q);
}

INLINE void levels_q8_0(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    l->scale[0] = halves(b);
    for (int t = 0; t < 8; t++)
        l->q[t] = _mm512_xor_si512(words(b + 32, t), bytes_of(128));
}

INLINE void levels_iq4_nl(const unsigned char *b, int g, struct levels *l)
{
    levels_q4_0(b, g, l);
    look_up(iq4_values, l->q);
}

INLINE void levels_mxfp4(const unsigned char *b, int g, struct levels *l)
{
    (void)g;
    const vb e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)b));
    const vb tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e),
             normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    l->scale[0] = _mm512_castsi512_ps(
        _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), normal, tiny));
    nibbles_of_four(b + 16, l->q);
    look_up(mxfp4_values, l->q);
}

/* Scale or minimum g of q4_k and q5_k: of the three words u, those at `own` are its first four. */
INLINE vb k_field(const unsigned char *u, int own, int upper_shift, int g)
{
    if (g < 4)
        return field(words(u, own), 8 * g, 63);
    const int at = 8 * (g - 4);
    return _mm512_or_si512(field(words(u, 2), at + upper_shift, 15),
                           _mm512_slli_epi32(field(words(u, own), at + 6, 3), 4));
}

INLINE void k_scales(const unsigned char *b, int g, struct levels *l)
{
    const vb d = words(b, 0);
    l->scale[0] = _mm512_mul_ps(half_of_words(d, 0), floats(k_field(b + 64, 0, 0, g)));
    l->offset[0] = _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), half_of_words(d, 16)),
                                 floats(k_field(b + 64, 1, 4, g)));
}

INLINE void levels_q4_k(const unsigned char *b, int g, struct levels *l)
{
    k_scales(b, g, l);
    for (int t = 0; t < 8; t++)
        l->q[t] = bits(words(b + 256, g / 2 * 8 + t), g % 2 * 4, 15);
}

INLINE void levels_q5_k(const unsigned char *b, int g, struct levels *l)
{
    k_scales(b, g, l);
    for (int t = 0; t < 8; t++)
        l->q[t] = add_where(bits(words(b + 768, g / 2 * 8 + t), g % 2 * 4, 15), words(b + 256, t),
                            bytes_of(1 << g), 16);
}

INLINE void levels_q6_k(const unsigned char *b, int g, struct levels *l)
{
    const int half = g / 4, pair = g % 4;
    const vf d = halves(b + 64 * 52);
    for (int i = 0; i < 2; i++) {
        const int s = 2 * g + i;
        const vb scale = _mm512_srai_epi32(_mm512_slli_epi32(words(b + 64 * 48, s / 4), (unsigned)(24 - s % 4 * 8)), 24);
        l->scale[i] = _mm512_mul_ps(d, floats(scale));
    }
    for (int t = 0; t < 8; t++) {
        const vb low = bits(words(b, half * 16 + pair % 2 * 8 + t), pair / 2 * 4, 15),
                 h = words(b + 64 * 32, half * 8 + t);
        const vb high = pair == 0   ? _mm512_slli_epi16(h, 4)
                        : pair == 1 ? _mm512_slli_epi16(h, 2)
                        : pair == 2 ? h
                                    : _mm512_srli_epi16(h, 2);
        l->q[t] = _mm512_or_si512(low, _mm512_and_si512(high, bytes_of(0x30)));
    }
}

INLINE void levels_q3_k(const unsigned char *b, int g, struct levels *l)
{
    const int half = g / 4, pair = g % 4;
    const vf d = halves(b + 64 * 27);
    for (int i = 0; i < 2; i++) {
        const int s = 2 * g + i;
        const vb low = field(words(b + 64 * 24, s % 8 / 4), s % 4 * 8 + s / 8 * 4, 15),
                 high = field(words(b + 64 * 26, 0), s % 4 * 8 + s / 4 * 2, 3);
        const vb scale = _mm512_or_si512(low, _mm512_slli_epi32(high, 4));
        l->scale[i] = _mm512_mul_ps(d, floats(_mm512_sub_epi32(scale, _mm512_set1_epi32(32))));
    }
    for (int t = 0; t < 8; t++)
        l->q[t] = add_where(bits(words(b + 64 * 8, half * 8 + t), 2 * pair, 3), words(b, t), bytes_of(1 << g), 4);
}

INLINE void levels_q2_k(const unsigned char *b, int g, struct levels *l)
{
    const int half = g / 4, pair = g % 4;
    const vb d = words(b + 64 * 20, 0);
    for (int i = 0; i < 2; i++) {
        const int s = 2 * g + i;
        const vb x = words(b, s / 4);
        l->scale[i] = _mm512_mul_ps(half_of_words(d, 0), floats(field(x, s % 4 * 8, 15)));
        l->offset[i] = _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), half_of_words(d, 16)),
                                     floats(field(x, s % 4 * 8 + 4, 15)));
    }
    for (int t = 0; t < 8; t++)
        l->q[t] = bits(words(b + 64 * 4, half * 8 + t), 2 * pair, 3);
}

INLINE void levels_iq4_xs(const unsigned char *b, int g, struct levels *l)
{
    const vb upper = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(b + 32)));
    const vb scale = _mm512_or_si512(field(words(b + 64, 0), 4 * g, 15), _mm512_slli_epi32(field(upper, 2 * g, 3), 4));
    l->scale[0] = _mm512_mul_ps(halves(b), floats(_mm512_sub_epi32(scale, _mm512_set1_epi32(32))));
    nibbles_of_four(b + 128 + 256 * g, l->q);
    look_up(iq4_values, l->q);
}

/* X(type, name, elements of a block, elements that share a scale, whether there is an offset) */
#define TYPES(X)                             \
    X(DTYPE_Q4_0, q4_0, 32, 32, false)       \
    X(DTYPE_Q4_1, q4_1, 32, 32, true)        \
    X(DTYPE_Q5_0, q5_0, 32, 32, false)       \
    X(DTYPE_Q5_1, q5_1, 32, 32, true)        \
    X(DTYPE_Q8_0, q8_0, 32, 32, false)       \
    X(DTYPE_IQ4_NL, iq4_nl, 32, 32, false)   \
    X(DTYPE_MXFP4, mxfp4, 32, 32, false)     \
    X(DTYPE_Q2_K, q2_k, 256, 16, true)       \
    X(DTYPE_Q3_K, q3_k, 256, 16, false)      \
    X(DTYPE_Q4_K, q4_k, 256, 32, true)       \
    X(DTYPE_Q5_K, q5_k, 256, 32, true)       \
    X(DTYPE_Q6_K, q6_k, 256, 16, false)      \
    X(DTYPE_IQ4_XS, iq4_xs, 256, 32, false)

/* --- products --- */

typedef void levels_of(const unsigned char *b, int g, struct levels *l);

enum { AHEAD = 8192 }; /* bytes to fetch before they are needed */

INLINE void prefetch(const unsigned char *from, size_t size)
{
    for (size_t i = 0; i < size; i += 64)
        _mm_prefetch((const void *)(from + AHEAD + i), _MM_HINT_T0);
}

/* total[r] += the elements [at, at + 32) of row r of the activations times l. The order of operations is that of
 * tile() in kernels/quantized_body.h. */
INLINE void add_32(const int group, const bool has_offset, const struct levels *l, const struct activation_rows *a,
                   size_t at, size_t m, vf *total)
{
    const size_t padded = a->n_strips * STRIP, parts = 32 / (size_t)group, groups = padded / (size_t)group;
    for (size_t r = 0; r < m; r++) {
        const int8_t *x = a->q + r * padded + at;
        const vf scale = _mm512_set1_ps(a->scale[r * (padded / 32) + at / 32]);
        for (size_t p = 0; p < parts; p++) {
            const size_t g = r * groups + at / (size_t)group + p, n = 8 / parts;
            vb sum = _mm512_set1_epi32(a->shift[g]);
            for (size_t t = 0; t < n; t++) {
                int32_t four;
                memcpy(&four, x + 4 * (p * n + t), sizeof four);
                sum = _mm512_dpbusd_epi32(sum, l->q[p * n + t], _mm512_set1_epi32(four));
            }
            total[r] = _mm512_fmadd_ps(floats(sum), _mm512_mul_ps(l->scale[p], scale), total[r]);
            if (has_offset)
                total[r] = _mm512_fmadd_ps(l->offset[p], _mm512_set1_ps(a->sum[g]), total[r]);
        }
    }
}

INLINE void few_panels(levels_of *levels, const size_t block, const int group, const bool has_offset,
                       const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *c,
                       size_t ldc)
{
    const size_t bytes = w->strip_bytes * block / STRIP * INTERLEAVED_ROWS; /* of 16 blocks */
    const unsigned char *b = w->data + j * w->row_bytes, *end = b + INTERLEAVED_ROWS * w->row_bytes;
    vf total[FEW_PANEL_ROWS];
    for (size_t r = 0; r < m; r++)
        total[r] = _mm512_setzero_ps();
    for (size_t at = 0; b < end; b += bytes, at += block) {
        prefetch(b, bytes);
#pragma GCC unroll 8
        for (int g = 0; g < (int)block / 32; g++) {
            struct levels l;
            levels(b, g, &l);
            add_32(group, has_offset, &l, a, at + 32 * (size_t)g, m, total);
        }
    }
    for (size_t r = 0; r < m; r++)
        _mm512_storeu_ps(c + r * ldc, total[r]);
}

INLINE void fill(levels_of *levels, const size_t block, const int group, const bool has_offset,
                 const struct level_panel *p, const struct weight_rows *w, size_t j, size_t s)
{
    const size_t bytes = w->strip_bytes * block / STRIP * INTERLEAVED_ROWS, parts = 32 / (size_t)group;
    const bool last = s + 1 == w->n_strips;
    const size_t n = (last ? w->tail_bytes : w->strip_bytes) * INTERLEAVED_ROWS / bytes; /* blocks there are */
    const unsigned char *b = w->data + j * w->row_bytes + s * w->strip_bytes * INTERLEAVED_ROWS;
    size_t i = 0, k = 0;
    for (; i < n * block / 32; b += bytes)
#pragma GCC unroll 8
        for (int g = 0; g < (int)block / 32; g++, i++) {
            struct levels l;
            levels(b, g, &l);
            for (size_t t = 0; t < 8; t++)
                _mm512_storeu_si512(p->levels + (8 * i + t) * p->line * 64, l.q[t]);
            for (k = 0; k < parts; k++) {
                _mm512_storeu_ps(p->scale + (i * parts + k) * p->line * 16, l.scale[k]);
                if (has_offset)
                    _mm512_storeu_ps(p->offset + (i * parts + k) * p->line * 16, l.offset[k]);
            }
        }
    for (; i < STRIP / 32; i++) {
        for (size_t t = 0; t < 8; t++)
            _mm512_storeu_si512(p->levels + (8 * i + t) * p->line * 64, _mm512_setzero_si512());
        for (k = 0; k < parts; k++) {
            _mm512_storeu_ps(p->scale + (i * parts + k) * p->line * 16, _mm512_setzero_ps());
            _mm512_storeu_ps(p->offset + (i * parts + k) * p->line * 16, _mm512_setzero_ps());
        }
    }
}

#define DEFINE(type, name, block, group, has_offset)                                                                \
    static void few_##name(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m,        \
                           float *c, size_t ldc)                                                                    \
    {                                                                                                               \
        few_panels(levels_##name, block, group, has_offset, w, j, a, m, c, ldc);                                    \
    }                                                                                                               \
    static void fill_##name(const struct level_panel *p, const struct weight_rows *w, size_t j, size_t s)           \
    {                                                                                                               \
        fill(levels_##name, block, group, has_offset, p, w, j, s);                                                  \
    }
TYPES(DEFINE)

#define ENTRY(type, name, block, group, has_offset) [type] = {few_##name, fill_##name},
static const struct {
    void (*few)(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *c, size_t ldc);
    void (*fill)(const struct level_panel *p, const struct weight_rows *w, size_t j, size_t s);
} types[] = {TYPES(ENTRY)};

void few_panels_avx512vnni(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *c,
                           size_t ldc)
{
    CHECK(m <= FEW_PANEL_ROWS && types[w->type].few);
    types[w->type].few(w, j, a, m, c, ldc);
}

void fill_panel_avx512vnni(const struct level_panel *p, const struct weight_rows *w, size_t j, size_t s)
{
    types[w->type].fill(p, w, j, s);
}
#endif
