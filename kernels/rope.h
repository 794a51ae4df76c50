/* Rotary position embeddings (Su et al., 2021). */
#ifndef LINNET_KERNELS_ROPE_H
#define LINNET_KERNELS_ROPE_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum rope_style {
    ROPE_HALF,        /* pairs (i, i + d/2): Hugging Face's weight order */
    ROPE_INTERLEAVED, /* pairs (2i, 2i + 1): GGUF's order for llama, and Meta's */
};

/* magnitude times cos and sin of position * inverse_frequency[i], both (n_positions, rotary_dim / 2). Angles
 * in f64, so that far positions stay exact. inverse_frequency: (rotary_dim / 2). */
void rope_table(float *cosine, float *sine, const double *inverse_frequency, double magnitude,
                size_t n_positions, size_t rotary_dim);

/* What a rotation needs to know of the model. */
struct rope {
    const float *cosine, *sine; /* rope_table's */
    enum rope_style style;
    size_t head_dim, rotary_dim;
};

/* Rotates in place the first rotary_dim components of each of n_heads heads in n rows of `type` (f32
 * or bf16); row r begins at element r * row_stride, head h head_dim further each; its angle is
 * positions[r]'s. */
void rope_forward(void *x, enum dtype type, const int32_t *positions, const struct rope *rope,
                  size_t n, size_t n_heads, size_t row_stride);
/* The transpose, which is the inverse rotation (times the magnitude): turns dy = d loss / d output into dx = d loss / d
 * input, of `type` and laid out alike. dx may be dy when it is f32. */
void rope_backward(void *dx, enum dtype type, const float *dy, const int32_t *positions,
                   const struct rope *rope, size_t n, size_t n_heads, size_t row_stride);

#endif
