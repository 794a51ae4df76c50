/* Rotary position embeddings (Su et al., 2021). */
#ifndef LINNET_KERNELS_ROPE_H
#define LINNET_KERNELS_ROPE_H

#include <stddef.h>
#include <stdint.h>

enum rope_style {
    ROPE_HALF,        /* pairs (i, i + d/2): Hugging Face's weight order */
    ROPE_INTERLEAVED, /* pairs (2i, 2i + 1): GGUF's order for llama, and Meta's */
};

/* cos and sin of position * inverse_frequency[i], both (n_positions, rotary_dim / 2). Angles in f64,
 * so that far positions stay exact. inverse_frequency: (rotary_dim / 2). */
void rope_table(float *cosine, float *sine, const double *inverse_frequency, size_t n_positions,
                size_t rotary_dim);

/* Rotates in place the first rotary_dim components of each of n_heads heads in n rows; row r is at
 * x + r * row_stride, head h at + h * head_dim; its angle is positions[r]'s. */
void rope_forward(float *x, const int32_t *positions, const float *cosine, const float *sine,
                  enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                  size_t rotary_dim, size_t row_stride);
/* The inverse rotation, which is the transpose: turns d loss / d output into d loss / d input. */
void rope_backward(float *dx, const int32_t *positions, const float *cosine, const float *sine,
                   enum rope_style style, size_t n, size_t n_heads, size_t head_dim,
                   size_t rotary_dim, size_t row_stride);

#endif
