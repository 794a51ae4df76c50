#include "kernels/rope.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/table.h"

#include <math.h>

void rope_table(float *cosine, float *sine, const double *inverse_frequency, double magnitude,
                size_t n_positions, size_t rotary_dim)
{
    size_t half = rotary_dim / 2;
#pragma omp parallel for schedule(static) if (n_positions * half > 4096)
    for (size_t p = 0; p < n_positions; p++) {
        for (size_t i = 0; i < half; i++) {
            double angle = (double)p * inverse_frequency[i];
            cosine[p * half + i] = (float)(magnitude * cos(angle));
            sine[p * half + i] = (float)(magnitude * sin(angle));
        }
    }
}

static void rotate(void *to, enum dtype to_type, const void *from, enum dtype from_type,
                   const int32_t *positions, const struct rope *rope, float sign, size_t n,
                   size_t n_heads, size_t row_stride)
{
    const struct kernel_table *table = kernel_table();
    size_t half = rope->rotary_dim / 2;
    enum profile_kind outer = profile_enter(PROFILE_ROTATION);
    CHECK(to_type == DTYPE_BF16 || from_type == DTYPE_F32);
#pragma omp parallel for schedule(static) if (n * n_heads * rope->head_dim > 16384)
    for (size_t r = 0; r < n; r++) {
        struct rotation one = {
            .to = to, .from = from, .to_type = to_type, .from_type = from_type,
            .style = rope->style, .half = half, .head_dim = rope->head_dim,
            .cosine = rope->cosine + (size_t)positions[r] * half,
            .sine = rope->sine + (size_t)positions[r] * half,
        };
        for (size_t h = 0; h < n_heads; h++) {
            one.at = r * row_stride + h * rope->head_dim;
            table->rotate(&one, sign);
        }
    }
    profile_leave(outer);
}

void rope_forward(void *x, enum dtype type, const int32_t *positions, const struct rope *rope,
                  size_t n, size_t n_heads, size_t row_stride)
{
    rotate(x, type, x, type, positions, rope, 1, n, n_heads, row_stride);
}

void rope_backward(void *dx, enum dtype type, const float *dy, const int32_t *positions,
                   const struct rope *rope, size_t n, size_t n_heads, size_t row_stride)
{
    rotate(dx, type, dy, DTYPE_F32, positions, rope, -1, n, n_heads, row_stride);
}
