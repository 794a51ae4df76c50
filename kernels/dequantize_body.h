/* Dequantisation of whole blocks, compiled once per instruction set by kernels/dequantize*.c, which
 * define DEQUANTIZE(type). The order of operations is ggml's (dequantize_row_*), in plain f32
 * without fused operations, so every build gives the same bits. */
#include "kernels/blocks.h"
#include "kernels/half.h"

#include <stddef.h>

static void from_q4_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_q4_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32) {
        const float d = half_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)((b->qs[j] & 15) - 8) * d;
            y[j + 16] = (float)((b->qs[j] >> 4) - 8) * d;
        }
    }
}

static void from_q4_1(const void *from, float *y, size_t n_blocks)
{
    const struct block_q4_1 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32) {
        const float d = half_to_f32(b->d), m = half_to_f32(b->m);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)(b->qs[j] & 15) * d + m;
            y[j + 16] = (float)(b->qs[j] >> 4) * d + m;
        }
    }
}

/* The fifth bit of element j, in place. */
static inline int fifth_bit(uint32_t qh, int j)
{
    return (int)(qh >> j & 1) << 4;
}

static void from_q5_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_q5_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32) {
        const float d = half_to_f32(b->d);
        uint32_t qh;
        memcpy(&qh, b->qh, sizeof qh);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)(((b->qs[j] & 15) | fifth_bit(qh, j)) - 16) * d;
            y[j + 16] = (float)((b->qs[j] >> 4 | fifth_bit(qh, j + 16)) - 16) * d;
        }
    }
}

static void from_q5_1(const void *from, float *y, size_t n_blocks)
{
    const struct block_q5_1 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32) {
        const float d = half_to_f32(b->d), m = half_to_f32(b->m);
        uint32_t qh;
        memcpy(&qh, b->qh, sizeof qh);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)((b->qs[j] & 15) | fifth_bit(qh, j)) * d + m;
            y[j + 16] = (float)(b->qs[j] >> 4 | fifth_bit(qh, j + 16)) * d + m;
        }
    }
}

static void from_q8_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_q8_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32) {
        const float d = half_to_f32(b->d);
        for (int j = 0; j < 32; j++)
            y[j] = (float)b->qs[j] * d;
    }
}

/* 32 elements by a table of 16 levels. */
static inline void from_levels(const int8_t levels[16], const uint8_t qs[16], float d, float *y)
{
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)levels[qs[j] & 15];
        y[j + 16] = d * (float)levels[qs[j] >> 4];
    }
}

static void from_iq4_nl(const void *from, float *y, size_t n_blocks)
{
    const struct block_iq4_nl *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32)
        from_levels(iq4_values, b->qs, half_to_f32(b->d), y);
}

static void from_mxfp4(const void *from, float *y, size_t n_blocks)
{
    const struct block_mxfp4 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 32)
        from_levels(mxfp4_values, b->qs, mxfp4_scale(b->e), y);
}

static void from_nvfp4(const void *from, float *y, size_t n_blocks)
{
    const struct block_nvfp4 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++)
        for (int s = 0; s < 4; s++, y += 16) {
            const float d = nvfp4_scale(b->scales[s]);
            for (int j = 0; j < 8; j++) {
                const uint8_t q = b->qs[s * 8 + j];
                y[j] = (float)mxfp4_values[q & 15] * d;
                y[j + 8] = (float)mxfp4_values[q >> 4] * d;
            }
        }
}

static void from_q1_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_q1_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 128) {
        const float d = half_to_f32(b->d);
        for (int j = 0; j < 128; j++)
            y[j] = b->qs[j / 8] >> j % 8 & 1 ? d : -d;
    }
}

static void from_q2_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_q2_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++, y += 64) {
        const float d = half_to_f32(b->d);
        for (int j = 0; j < 64; j++)
            y[j] = (float)((b->qs[j / 4] >> j % 4 * 2 & 3) - 1) * d;
    }
}

/* n digits of each of `width` bytes. A byte is its digits' fraction of 256, rounded up: times 3^k
 * it loses the first k digits over the top, and times 3 the next stands above the eighth bit. */
static float *from_trits(const uint8_t *q, int width, int n, float d, float *y)
{
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    for (int k = 0; k < n; k++, y += width)
        for (int j = 0; j < width; j++) {
            const uint8_t rest = (uint8_t)(q[j] * powers[k]);
            y[j] = (float)((rest * 3 >> 8) - 1) * d;
        }
    return y;
}

static void from_tq1_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_tq1_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d);
        y = from_trits(b->qs, 32, 5, d, y);
        y = from_trits(b->qs + 32, 16, 5, d, y);
        y = from_trits(b->qh, 4, 4, d, y);
    }
}

static void from_tq2_0(const void *from, float *y, size_t n_blocks)
{
    const struct block_tq2_0 *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d);
        for (int s = 0; s < 8; s++, y += 32) { /* as in q2_k: half s/4, bits of pair s%4 */
            const uint8_t *q = b->qs + s / 4 * 32;
            for (int j = 0; j < 32; j++)
                y[j] = (float)((q[j] >> s % 4 * 2 & 3) - 1) * d;
        }
    }
}

static void from_q2_k(const void *from, float *y, size_t n_blocks)
{
    const struct block_q2_k *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d), dmin = half_to_f32(b->dmin);
        for (int s = 0; s < 16; s++, y += 16) { /* sub-block s: half s/8, bits of pair s/2 % 4 */
            const uint8_t *q = b->qs + s / 8 * 32 + s % 2 * 16;
            const int shift = s / 2 % 4 * 2;
            const float scale = d * (float)(b->scales[s] & 15);
            const float min = dmin * (float)(b->scales[s] >> 4);
            for (int j = 0; j < 16; j++)
                y[j] = scale * (float)(q[j] >> shift & 3) - min;
        }
    }
}

static void from_q3_k(const void *from, float *y, size_t n_blocks)
{
    const struct block_q3_k *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d);
        for (int s = 0; s < 16; s++, y += 16) {
            const uint8_t *q = b->qs + s / 8 * 32 + s % 2 * 16, *h = b->hmask + s % 2 * 16;
            const int shift = s / 2 % 4 * 2;
            const float scale = d * (float)(q3_k_scale(b->scales, s) - 32);
            for (int j = 0; j < 16; j++) {
                const int upper = h[j] >> s / 2 & 1;
                y[j] = scale * (float)((q[j] >> shift & 3) - 4 + 4 * upper);
            }
        }
    }
}

static void from_q4_k(const void *from, float *y, size_t n_blocks)
{
    const struct block_q4_k *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d), dmin = half_to_f32(b->dmin);
        for (int s = 0; s < 8; s++, y += 32) {
            uint8_t scale_bits, min_bits;
            k_scale_min(b->scales, s, &scale_bits, &min_bits);
            const float scale = d * (float)scale_bits, min = dmin * (float)min_bits;
            const uint8_t *q = b->qs + s / 2 * 32;
            const int shift = s % 2 * 4;
            for (int j = 0; j < 32; j++)
                y[j] = scale * (float)(q[j] >> shift & 15) - min;
        }
    }
}

static void from_q5_k(const void *from, float *y, size_t n_blocks)
{
    const struct block_q5_k *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d), dmin = half_to_f32(b->dmin);
        for (int s = 0; s < 8; s++, y += 32) {
            uint8_t scale_bits, min_bits;
            k_scale_min(b->scales, s, &scale_bits, &min_bits);
            const float scale = d * (float)scale_bits, min = dmin * (float)min_bits;
            const uint8_t *q = b->qs + s / 2 * 32;
            const int shift = s % 2 * 4;
            for (int j = 0; j < 32; j++)
                y[j] = scale * (float)((q[j] >> shift & 15) + ((b->qh[j] >> s & 1) << 4)) - min;
        }
    }
}

static void from_q6_k(const void *from, float *y, size_t n_blocks)
{
    const struct block_q6_k *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d);
        for (int s = 0; s < 16; s++, y += 16) {
            const int half = s / 8, pair = s / 2 % 4, odd = s % 2 * 16;
            const uint8_t *l = b->ql + half * 64 + pair % 2 * 32 + odd;
            const uint8_t *h = b->qh + half * 32 + odd;
            const float scale = d * (float)b->scales[s];
            for (int j = 0; j < 16; j++) {
                const int q = (l[j] >> pair / 2 * 4 & 15) | (h[j] >> pair * 2 & 3) << 4;
                y[j] = scale * (float)(q - 32);
            }
        }
    }
}

static void from_iq4_xs(const void *from, float *y, size_t n_blocks)
{
    const struct block_iq4_xs *b = from;
    for (size_t i = 0; i < n_blocks; i++, b++) {
        const float d = half_to_f32(b->d);
        for (int s = 0; s < 8; s++, y += 32) {
            const int low = b->scales_l[s / 2] >> s % 2 * 4 & 15, high = b->scales_h >> 2 * s & 3;
            from_levels(iq4_values, b->qs + s * 16, d * (float)((low | high << 4) - 32), y);
        }
    }
}

dequantizer *DEQUANTIZE(enum dtype type)
{
    static dequantizer *const table[] = {
        [DTYPE_Q4_0] = from_q4_0,   [DTYPE_Q4_1] = from_q4_1,     [DTYPE_Q5_0] = from_q5_0,
        [DTYPE_Q5_1] = from_q5_1,   [DTYPE_Q8_0] = from_q8_0,     [DTYPE_Q2_K] = from_q2_k,
        [DTYPE_Q3_K] = from_q3_k,   [DTYPE_Q4_K] = from_q4_k,     [DTYPE_Q5_K] = from_q5_k,
        [DTYPE_Q6_K] = from_q6_k,   [DTYPE_IQ4_NL] = from_iq4_nl, [DTYPE_IQ4_XS] = from_iq4_xs,
        [DTYPE_MXFP4] = from_mxfp4, [DTYPE_NVFP4] = from_nvfp4,   [DTYPE_Q1_0] = from_q1_0,
        [DTYPE_Q2_0] = from_q2_0,   [DTYPE_TQ1_0] = from_tq1_0,   [DTYPE_TQ2_0] = from_tq2_0,
    };
    return (size_t)type < sizeof table / sizeof table[0] ? table[type] : NULL;
}
