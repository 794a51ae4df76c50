#include "kernels/cached.h"

#include "base/check.h"
#include "kernels/blocks.h"
#include "kernels/half.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32, PIECE = 1024 };
static const float LARGEST_HALF = 65504;

bool cached_type(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
}

/* Within f16's range unless x is infinite or NaN. */
static inline float in_range(float x)
{
    float least = x < -LARGEST_HALF ? -LARGEST_HALF : x;
    float clamped = least > LARGEST_HALF ? LARGEST_HALF : least;
    return x - x == 0 ? clamped : x; /* 0 for finite x only */
}

static void to_f16(const float *from, uint16_t *to, size_t n)
{
    float clamped[PIECE];
    for (size_t i = 0; i < n; i++)
        clamped[i] = in_range(from[i]);
    f16_from_f32(clamped, to, n);
}

/* The largest size in a block, by its bits (which compare as the numbers do); NaN where not all is finite. */
static float block_size(const float *x)
{
    int32_t most = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        int32_t size = (int32_t)(bits_from_float(x[i]) & 0x7fffffff);
        most = size > most ? size : most;
    }
    return most < 0x7f800000 ? float_from_bits((uint32_t)most) : NAN;
}

/* The nearest whole number, for |x| < 2^22. */
static inline int nearest(float x)
{
    return (int)(bits_from_float(x + 12582912.0f) & 0x7fffff) - 0x400000;
}

static void to_q8_0(const float *x, struct block_q8_0 *to)
{
    float d = block_size(x) / 127, inverse = d > 0 ? 1 / d : 0;
    to->d = half_from_f32(in_range(d));
    if (!(inverse - inverse == 0)) /* of a scale that f32 hardly holds: nothing is left of it in f16 */
        inverse = 0;
    for (size_t i = 0; i < BLOCK; i++)
        to->qs[i] = (int8_t)(d > 0 ? nearest(x[i] * inverse) : 0);
}

static void to_q4_0(const float *x, struct block_q4_0 *to)
{
    float size = block_size(x), d = size / -8;
    for (size_t i = 0; i < BLOCK && size > 0; i++) /* the first of that size decides the sign */
        if (fabsf(x[i]) == size) {
            d = x[i] / -8;
            break;
        }
    float inverse = size > 0 ? 1 / d : 0;
    if (!(inverse - inverse == 0))
        inverse = 0;
    to->d = half_from_f32(in_range(d));
    for (size_t i = 0; i < BLOCK / 2; i++) {
        int a = inverse == 0 ? 8 : (int)(x[i] * inverse + 8.5f);
        int b = inverse == 0 ? 8 : (int)(x[i + BLOCK / 2] * inverse + 8.5f);
        to->qs[i] = (uint8_t)((a < 15 ? a : 15) | (b < 15 ? b : 15) << 4);
    }
}

/* n elements, whole blocks. */
static void store_row(enum dtype type, const float *from, void *to, size_t n)
{
    switch (type) {
    case DTYPE_F32:
        memcpy(to, from, n * sizeof *from);
        break;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i += PIECE)
            to_f16(from + i, (uint16_t *)to + i, n - i < PIECE ? n - i : PIECE);
        break;
    case DTYPE_Q8_0:
        for (size_t i = 0; i < n / BLOCK; i++)
            to_q8_0(from + i * BLOCK, (struct block_q8_0 *)to + i);
        break;
    default:
        for (size_t i = 0; i < n / BLOCK; i++)
            to_q4_0(from + i * BLOCK, (struct block_q4_0 *)to + i);
    }
}

void cached_from_f32(enum dtype type, const float *from, void *to, size_t n)
{
    CHECK(cached_type(type) && n % dtype_info(type)->block == 0);
    store_row(type, from, to, n);
}

void cached_heads_from_f32(enum dtype type, const float *from, size_t n, size_t n_heads, size_t head_dim, void *to,
                           size_t head_bytes)
{
    const struct dtype_info *info = dtype_info(type);
    size_t row_bytes = head_dim / info->block * info->block_bytes;
    CHECK(cached_type(type) && head_dim % info->block == 0);
#pragma omp parallel for schedule(static) if (n * n_heads * head_dim > 1 << 16)
    for (size_t r = 0; r < n; r++)
        for (size_t h = 0; h < n_heads; h++)
            store_row(type, from + (r * n_heads + h) * head_dim, (char *)to + h * head_bytes + r * row_bytes,
                      head_dim);
}
