/* Part of kernels/quantize_body.h: blocks of 32 weights whose scales are given (kernels/quantize_scaled.h). */
#include "kernels/quantize_scaled.h"

#include <float.h>

enum level_spacing { EVENLY, EVENLY_ABOUT_ZERO, AS_IQ4 };

/* What is rounded away from zero rounds otherwise than what is counted from the lowest level. */
struct scaled_form {
    float low, high;
    enum level_spacing spacing;
    bool has_min;
};
static const struct scaled_form form_q4_0 = {-8, 7, EVENLY, false}, form_q4_1 = {0, 15, EVENLY, true},
                                form_q5_0 = {-16, 15, EVENLY, false}, form_q5_1 = {0, 31, EVENLY, true},
                                form_q8_0 = {-127, 127, EVENLY_ABOUT_ZERO, false},
                                form_iq4_nl = {-127, 113, AS_IQ4, false};

INLINE float between(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

INLINE uint16_t scale_half(float scale)
{
    return half_from_f32(between(scale, -65504, 65504));
}

/* One block as numbers: the levels counted from the lowest, and where the weights lie among them. */
struct scaled_block {
    uint16_t d, m;
    float t[32];
    uint8_t numbers[32];
};

INLINE void scale_block(const struct scaled_form *f, const float *x, const float *scales, struct scaled_block *b)
{
    b->d = scale_half(scales[0]);
    b->m = f->has_min ? scale_half(scales[1] * f->high) : 0;
    const float d = half_to_f32(b->d), m = half_to_f32(b->m), inverse = d != 0 ? 1.0f / d : FLT_MAX;
    for (int j = 0; j < 32; j++)
        b->t[j] = between((x[j] - m) * inverse, -512, 512); /* beyond every level, and no infinity */
    if (f->spacing == AS_IQ4)
        iq4_numbers(b->t, 1, b->numbers);
    else if (f->spacing == EVENLY_ABOUT_ZERO)
        for (int j = 0; j < 32; j++)
            b->numbers[j] = (uint8_t)(between((float)rounded(b->t[j]), f->low, f->high) - f->low);
    else
        for (int j = 0; j < 32; j++)
            b->numbers[j] = (uint8_t)(int)between(b->t[j] + (0.5f - f->low), 0, f->high - f->low);
}

INLINE void scaled_backward(const struct scaled_form *f, const float *x, const float *scales, const float *d_to,
                            float *d_scales, size_t n)
{
    const size_t n_scales = f->has_min ? 2 : 1;
    for (size_t i = 0; i < n; i += 32, scales += n_scales, d_scales += n_scales) {
        struct scaled_block b;
        float sums[8] = {0}, sums_m[8] = {0}; /* in an order that every instruction set keeps */
        scale_block(f, x + i, scales, &b);
        for (int j = 0; j < 32; j++) {
            const float q = f->spacing == AS_IQ4 ? (float)iq4_values[b.numbers[j]] : (float)b.numbers[j] + f->low;
            const bool inside = b.t[j] > f->low && b.t[j] < f->high;
            const float dx = d_to[i + (size_t)j];
            sums[j % 8] += dx * (inside ? q - b.t[j] : q);
            sums_m[j % 8] += inside ? 0 : dx;
        }
        d_scales[0] = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
        if (f->has_min)
            d_scales[1] = f->high * (((sums_m[0] + sums_m[4]) + (sums_m[1] + sums_m[5])) +
                                     ((sums_m[2] + sums_m[6]) + (sums_m[3] + sums_m[7])));
    }
}

/* Both ways of a type; `store` puts the block `b` into the one at `to`. */
#define SCALED(name, store)                                                                        \
    static void scaled_##name(const float *x, const float *scales, void *blocks, size_t n)         \
    {                                                                                              \
        struct block_##name *to = blocks;                                                          \
        for (size_t i = 0; i < n; i += 32, to++, scales += form_##name.has_min ? 2 : 1) {          \
            struct scaled_block b;                                                                 \
            scale_block(&form_##name, x + i, scales, &b);                                          \
            to->d = b.d;                                                                           \
            store                                                                                  \
        }                                                                                          \
    }                                                                                              \
    static void backward_##name(const float *x, const float *scales, const float *d_to, float *d_scales, size_t n) \
    {                                                                                              \
        scaled_backward(&form_##name, x, scales, d_to, d_scales, n);                               \
    }

SCALED(q4_0, pack_nibbles(b.numbers, to->qs);)
SCALED(q4_1, to->m = b.m; pack_nibbles(b.numbers, to->qs);)
SCALED(q5_0, pack_nibbles(b.numbers, to->qs); pack_fifth_bits(b.numbers, to->qh);)
SCALED(q5_1, to->m = b.m; pack_nibbles(b.numbers, to->qs); pack_fifth_bits(b.numbers, to->qh);)
SCALED(q8_0, for (int j = 0; j < 32; j++) to->qs[j] = (int8_t)(b.numbers[j] - 127);)
SCALED(iq4_nl, pack_nibbles(b.numbers, to->qs);)
