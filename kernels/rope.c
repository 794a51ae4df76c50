#include "kernels/rope.h"

#include "kernels/table.h"

#include <math.h>

void rope_table(float *cosine, float *sine, const double *inverse_frequency, size_t n_positions,
                size_t rotary_dim)
{
    size_t half = rotary_dim / 2;
#pragma omp parallel for schedule(static) if (n_positions * half > 4096)
    for (size_t p = 0; p < n_positions; p++) {
        for (size_t i = 0; i < half; i++) {
            double angle = (double)p * inverse_frequency[i];
            cosine[p * half + i] = (float)cos(angle);
            sine[p * half + i] = (float)sin(angle);
        }
    }
}

static void rotate(float *x, const int32_t *positions, const float *cosine, const float *sine,
                   float sign, enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                   size_t rotary_dim, size_t row_stride)
{
    const struct kernel_table *table = kernel_table();
    size_t half = rotary_dim / 2;
#pragma omp parallel for schedule(static) if (n * n_heads * rotary_dim > 16384)
    for (size_t r = 0; r < n; r++) {
        const float *c = cosine + (size_t)positions[r] * half;
        const float *s = sine + (size_t)positions[r] * half;
        for (size_t h = 0; h < n_heads; h++) {
            float *head = x + r * row_stride + h * head_dim;
            if (style == ROPE_HALF)
                table->rotate_half(head, c, s, sign, half);
            else
                table->rotate_interleaved(head, c, s, sign, half);
        }
    }
}

void rope_forward(float *x, const int32_t *positions, const float *cosine, const float *sine,
                  enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                  size_t rotary_dim, size_t row_stride)
{
    rotate(x, positions, cosine, sine, 1, style, n, n_heads, head_dim, rotary_dim, row_stride);
}

void rope_backward(float *dx, const int32_t *positions, const float *cosine, const float *sine,
                   enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                   size_t rotary_dim, size_t row_stride)
{
    rotate(dx, positions, cosine, sine, -1, style, n, n_heads, head_dim, rotary_dim, row_stride);
}
