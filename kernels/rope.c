#include "kernels/rope.h"

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

/* Pair i of a head is (x[i * step], x[i * step + gap]); `sign` -1 turns the other way. */
static void rotate_head(float *restrict x, const float *restrict cosine, const float *restrict sine,
                        float sign, size_t half, size_t step, size_t gap)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i * step], b = x[i * step + gap], s = sign * sine[i];
        x[i * step] = a * cosine[i] - b * s;
        x[i * step + gap] = a * s + b * cosine[i];
    }
}

static void rotate(float *x, const int32_t *positions, const float *cosine, const float *sine,
                   float sign, enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                   size_t rotary_dim, size_t row_stride)
{
    size_t half = rotary_dim / 2;
#pragma omp parallel for schedule(static) if (n * n_heads * rotary_dim > 16384)
    for (size_t r = 0; r < n; r++) {
        const float *c = cosine + (size_t)positions[r] * half;
        const float *s = sine + (size_t)positions[r] * half;
        for (size_t h = 0; h < n_heads; h++) {
            float *head = x + r * row_stride + h * head_dim;
            if (style == ROPE_HALF)
                rotate_head(head, c, s, sign, half, 1, half);
            else
                rotate_head(head, c, s, sign, half, 2, 1);
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
