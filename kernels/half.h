/* One IEEE binary16 or bfloat16 value at a time, in portable C: the reference for every variant. A
 * NaN is made quiet and keeps the upper bits of its payload, as the processors do. */
#ifndef LINNET_KERNELS_HALF_H
#define LINNET_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t bits_from_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* Rounds to nearest even. */
static inline uint16_t bf16_from_float(float f)
{
    uint32_t u = bits_from_float(f);
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

static inline float half_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    uint32_t exponent = rest & 0x0f800000;
    if (exponent == 0x0f800000) /* infinity, NaN */
        return float_from_bits(sign | 0x70000000 | rest | (rest & 0x7fffff ? 0x400000 : 0));
    if (exponent == 0) { /* 2^-14 * 0.mantissa, as (1.mantissa - 1) * 2^-14: exact */
        float f = float_from_bits(rest + 0x38800000) - float_from_bits(0x38800000);
        return float_from_bits(sign | bits_from_float(f));
    }
    return float_from_bits(sign | (rest + 0x38000000));
}

/* Rounds to nearest even. */
static inline uint16_t half_from_f32(float f)
{
    uint32_t u = bits_from_float(f), a = u & 0x7fffffff;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (a > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (a < 0x38800000) /* below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits */
        return (uint16_t)(sign | (bits_from_float(float_from_bits(a) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | ((a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13));
}

#endif
