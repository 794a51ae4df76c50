/* The types in which keys and values are kept for later queries: f32, f16, and the blocks q8_0 and q4_0.
 * dtype_to_f32 (kernels/dtype.h) and attention_forward read them. */
#ifndef LINNET_KERNELS_CACHED_H
#define LINNET_KERNELS_CACHED_H

#include "kernels/dtype.h"

bool cached_type(enum dtype type);

/* n elements (whole blocks) to a type of those, by ggml's rules (its quantize_row_q8_0 and quantize_row_q4_0) but for
 * what f16 cannot hold: numbers and scales beyond 65504 become 65504, infinities and NaN stay what they are, and a
 * block with one of these becomes NaN throughout, so that whoever reads the result sees it. Ties of q8_0 go to the
 * even number. `to` at an even address; to and from may not overlap. */
void cached_from_f32(enum dtype type, const float *from, void *to, size_t n);

/* From n positions of heads side by side (n, n_heads, head_dim) to each head's positions one after another: those of
 * a head follow those of the one before at `head_bytes`. */
void cached_heads_from_f32(enum dtype type, const float *from, size_t n, size_t n_heads, size_t head_dim, void *to,
                           size_t head_bytes);

#endif
