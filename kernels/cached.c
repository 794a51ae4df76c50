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

/* The largest size in a block; NaN where something in it is not finite. */
static float block_size(const float *x)
{
    float most = 0, difference = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        float size = fabsf(x[i]);
        most = size > most ? size : most;
        difference += x[i] - x[i];
    }
    return most + difference;
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
    float size = block_size(x), most = 0;
    for (size_t i = 0; i < BLOCK; i++)
        most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    float d = isnan(size) ? NAN : most / -8, inverse = d == d && d != 0 ? 1 / d : 0;
    to->d = half_from_f32(in_range(d));
    if (!(inverse - inverse == 0))
        inverse = 0;
    for (size_t i = 0; i < BLOCK / 2; i++) {
        float low = inverse == 0 ? 8 : x[i] * inverse + 8.5f;
        float high = inverse == 0 ? 8 : x[i + BLOCK / 2] * inverse + 8.5f;
        int a = (int)low, b = (int)high;
        to->qs[i] = (uint8_t)((a < 15 ? a : 15) | (b < 15 ? b : 15) << 4);
    }
}

static void store_piece(enum dtype type, const float *from, void *to, size_t at, size_t n)
{
    if (type == DTYPE_F16) {
        to_f16(from + at, (uint16_t *)to + at, n);
        return;
    }
    for (size_t i = at / BLOCK; i < (at + n) / BLOCK; i++) {
        if (type == DTYPE_Q8_0)
            to_q8_0(from + i * BLOCK, (struct block_q8_0 *)to + i);
        else
            to_q4_0(from + i * BLOCK, (struct block_q4_0 *)to + i);
    }
}

void cached_from_f32(enum dtype type, const float *from, void *to, size_t n)
{
    CHECK(cached_type(type) && n % dtype_info(type)->block == 0);
    if (type == DTYPE_F32) {
        memcpy(to, from, n * sizeof *from);
        return;
    }
#pragma omp parallel for schedule(static) if (n > 64 * PIECE)
    for (size_t at = 0; at < n; at += PIECE)
        store_piece(type, from, to, at, n - at < PIECE ? n - at : PIECE);
}
