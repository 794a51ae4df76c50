#include "kernels/dtype.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "kernels/dtype_variants.h"
#include "kernels/half.h"

#include <string.h>
#include <strings.h>

/* Block sizes are those of the structs in kernels/blocks.h. */
static const struct dtype_info table[] = {
    {DTYPE_F32, "f32", 1, 4},         {DTYPE_F16, "f16", 1, 2},
    {DTYPE_Q4_0, "q4_0", 32, 18},     {DTYPE_Q4_1, "q4_1", 32, 20},
    {DTYPE_Q5_0, "q5_0", 32, 22},     {DTYPE_Q5_1, "q5_1", 32, 24},
    {DTYPE_Q8_0, "q8_0", 32, 34},     {DTYPE_Q2_K, "q2_k", 256, 84},
    {DTYPE_Q3_K, "q3_k", 256, 110},   {DTYPE_Q4_K, "q4_k", 256, 144},
    {DTYPE_Q5_K, "q5_k", 256, 176},   {DTYPE_Q6_K, "q6_k", 256, 210},
    {DTYPE_IQ4_NL, "iq4_nl", 32, 18}, {DTYPE_IQ4_XS, "iq4_xs", 256, 136},
    {DTYPE_I8, "i8", 1, 1},           {DTYPE_I16, "i16", 1, 2},
    {DTYPE_I32, "i32", 1, 4},         {DTYPE_I64, "i64", 1, 8},
    {DTYPE_F64, "f64", 1, 8},         {DTYPE_BF16, "bf16", 1, 2},
    {DTYPE_TQ1_0, "tq1_0", 256, 54},  {DTYPE_TQ2_0, "tq2_0", 256, 66},
    {DTYPE_MXFP4, "mxfp4", 32, 17},   {DTYPE_NVFP4, "nvfp4", 64, 36},
    {DTYPE_Q1_0, "q1_0", 128, 18},    {DTYPE_Q2_0, "q2_0", 64, 18},
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

bool dtype_is_floating(enum dtype type)
{
    return type != DTYPE_I8 && type != DTYPE_I16 && type != DTYPE_I32 && type != DTYPE_I64;
}

bool dtype_bytes(int type, size_t n, size_t *bytes)
{
    const struct dtype_info *info = dtype_info(type);
    return info && n % info->block == 0 && size_mul(n / info->block, info->block_bytes, bytes);
}

void f32_from_f16_ref(const uint16_t *from, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = half_to_f32(from[i]);
}

void f16_from_f32_ref(const float *from, uint16_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = half_from_f32(from[i]);
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
    for (size_t i = 0; i < n; i++)
        to[i] = bf16_from_float(from[i]);
}

static void plain_to_f32(enum dtype type, const void *from, float *to, size_t n)
{
    switch (type) {
    case DTYPE_F16:
        f32_from_f16(from, to, n);
        break;
    case DTYPE_BF16:
        f32_from_bf16(from, to, n);
        break;
    default:
        CHECK(type == DTYPE_F64);
        for (size_t i = 0; i < n; i++)
            to[i] = (float)((const double *)from)[i];
    }
}

bool dtype_to_f32(enum dtype type, const void *from, float *to, size_t n)
{
    if (type == DTYPE_F32) {
        memcpy(to, from, n * sizeof *to);
        return true;
    }
    const struct dtype_info *info = dtype_info(type);
    if (type != DTYPE_F16 && type != DTYPE_BF16 && type != DTYPE_F64) {
#if defined(__x86_64__)
        dequantizer *f = cpu_level() >= CPU_AVX2 ? dequantizer_avx2(type) : dequantizer_ref(type);
#else
        dequantizer *f = dequantizer_ref(type);
#endif
        if (f) {
            CHECK(n % info->block == 0);
            f(from, to, n / info->block);
        }
        return f != NULL;
    }
    if ((uintptr_t)from % info->block_bytes == 0) {
        plain_to_f32(type, from, to, n);
        return true;
    }
    enum { PIECE = 512 };
    double aligned[PIECE];
    for (size_t i = 0; i < n; i += PIECE) {
        size_t count = n - i < PIECE ? n - i : PIECE;
        memcpy(aligned, (const char *)from + i * info->block_bytes, count * info->block_bytes);
        plain_to_f32(type, aligned, to + i, count);
    }
    return true;
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
