/* Rotary frequencies, and how they are stretched for contexts longer than trained. */
#ifndef LINNET_MODEL_ROPE_SCALING_H
#define LINNET_MODEL_ROPE_SCALING_H

#include "model/config.h"

/* frequency[i] (rotary_dim / 2) for a context of `length` positions; returns what cosines and sines are
 * multiplied by. f_i = theta^(-2 i / d) is changed as transformers' modeling_rope_utils.py does it:
 *   linear    f / factor (Chen et al., 2023)
 *   dynamic   theta grows with the length beyond max_position_embeddings (NTK-aware: bloc97, 2023)
 *   llama3    low frequencies / factor, high ones as they are, a ramp between (Llama 3.1)
 *   yarn      the same by turns within the context, and a temperature (Peng et al., 2023)
 *   longrope  f / short_factor[i], or / long_factor[i] where `length` is beyond the original context
 *             (Ding et al., 2024)
 * `local`: those of the layers with a window, which are never stretched. */
double rope_frequencies(const struct model_config *c, bool local, size_t length, double *frequency);

/* What the frequencies are divided by in a context of `length`. Only for types that divide: not dynamic.
 * (rotary_dim / 2) */
void rope_divisors(const struct model_config *c, size_t length, double *divisor);

/* Cosines' and sines' factor. */
double rope_magnitude(const struct model_config *c);
size_t rope_original_length(const struct model_config *c);

/* Says another context length without changing what is computed: what rotary scaling derives from the length
 * is written down first. */
void model_set_context(struct model_config *c, size_t length);

#endif
