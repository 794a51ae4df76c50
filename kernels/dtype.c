#include "kernels/dtype.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "kernels/dtype_variants.h"

#include <string.h>
#include <strings.h>

/* Block sizes: ggml/docs/gguf.md and formats of the K-quants; a test asserts the structs of
 * kernels/blocks.h against them. */
static const struct dtype_info table[] = {
    {DTYPE_F32, "f32", 1, 4},        {DTYPE_F16, "f16", 1, 2},
    {DTYPE_Q4_0, "q4_0", 32, 18},    {DTYPE_Q4_1, "q4_1", 32, 20},
    {DTYPE_Q5_0, "q5_0", 32, 22},    {DTYPE_Q5_1, "q5_1", 32, 24},
    {DTYPE_Q8_0, "q8_0", 32, 34},    {DTYPE_Q2_K, "q2_k", 256, 84},
    {DTYPE_Q3_K, "q3_k", 256, 110},  {DTYPE_Q4_K, "q4_k", 256, 144},
    {DTYPE_Q5_K, "q5_k", 256, 176},  {DTYPE_Q6_K, "q6_k", 256, 210},
    {DTYPE_IQ4_NL, "iq4_nl", 32, 18}, {DTYPE_IQ4_XS, "iq4_xs", 256, 136},
    {DTYPE_I8, "i8", 1, 1},          {DTYPE_I16, "i16", 1, 2},
    {DTYPE_I32, "i32", 1, 4},        {DTYPE_I64, "i64", 1, 8},
    {DTYPE_F64, "f64", 1, 8},        {DTYPE_BF16, "bf16", 1, 2},
    {DTYPE_MXFP4, "mxfp4", 32, 17},
};

enum { TABLE_ROWS = sizeof table / sizeof table[0] };

const struct dtype_info *dtype_info(int type)
{
    for (size_t i = 0; i < TABLE_ROWS; i++)
        if ((int)table[i].type == type)
            return &table[i];
    return NULL;
}

const struct dtype_info *dtype_by_name(const char *name)
{
    for (size_t i = 0; i < TABLE_ROWS; i++)
        if (strcasecmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

bool dtype_bytes(int type, size_t n, size_t *bytes)
{
    const struct dtype_info *info = dtype_info(type);
    return info && n % info->block == 0 && size_mul(n / info->block, info->block_bytes, bytes);
}

/* A NaN is made quiet and keeps the upper bits of its payload, as the processors do. */
static float float_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t bits_from_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static float one_from_f16(uint16_t h)
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

static uint16_t one_f16_from_f32(float f)
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

void f32_from_f16_ref(const uint16_t *from, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = one_from_f16(from[i]);
}

void f16_from_f32_ref(const float *from, uint16_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = one_f16_from_f32(from[i]);
}

void f32_from_f16(const uint16_t *from, float *to, size_t n)
{
#if defined(__x86_64__)
    if (cpu_level() >= CPU_AVX2) {
        f32_from_f16_avx2(from, to, n);
        return;
    }
#endif
    f32_from_f16_ref(from, to, n);
}

void f16_from_f32(const float *from, uint16_t *to, size_t n)
{
#if defined(__x86_64__)
    if (cpu_level() >= CPU_AVX2) {
        f16_from_f32_avx2(from, to, n);
        return;
    }
#endif
    f16_from_f32_ref(from, to, n);
}

void f32_from_bf16(const uint16_t *from, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = float_from_bits((uint32_t)from[i] << 16);
}

void bf16_from_f32(const float *from, uint16_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = bits_from_float(from[i]);
        uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
        to[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
    }
}

bool dtype_to_f32(enum dtype type, const void *from, float *to, size_t n)
{
    switch (type) {
    case DTYPE_F32:
        memcpy(to, from, n * sizeof *to);
        return true;
    case DTYPE_F16:
        f32_from_f16(from, to, n);
        return true;
    case DTYPE_BF16:
        f32_from_bf16(from, to, n);
        return true;
    case DTYPE_F64:
        for (size_t i = 0; i < n; i++)
            to[i] = (float)((const double *)from)[i];
        return true;
    default:
        return false;
    }
}

bool dtype_from_f32(enum dtype type, const float *from, void *to, size_t n)
{
    switch (type) {
    case DTYPE_F32:
        memcpy(to, from, n * sizeof *from);
        return true;
    case DTYPE_F16:
        f16_from_f32(from, to, n);
        return true;
    case DTYPE_BF16:
        bf16_from_f32(from, to, n);
        return true;
    default:
        return false;
    }
}
