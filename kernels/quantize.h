/* From f32 to ggml's quantised blocks (kernels/blocks.h), bit for bit as ggml's own quantisers make them
 * (ggml-quants.c of the public ggml repository, its functions quantize_*): the same candidates of scale and
 * minimum, the same order of f32 sums, so that a file made here is the file llama.cpp would have made.
 *
 * What is searched for each group of 16 or 32 weights: the scale (and the minimum) among a number of
 * candidates that leaves the least weighted squared error after a least-squares fit. */
#ifndef LINNET_KERNELS_QUANTIZE_H
#define LINNET_KERNELS_QUANTIZE_H

#include "kernels/dtype.h"

/* Whether quantize_rows makes blocks of this type: Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0,
 * TQ2_0. */
bool quantize_supports(enum dtype type);
/* Whether importance changes what quantize_rows makes of this type: not for Q8_0, MXFP4, TQ1_0, TQ2_0. */
bool quantize_weighs(enum dtype type);

/* n_rows rows of n_cols finite weights, whole blocks (CHECK), into blocks one after another; the rows are shared
 * among OpenMP's threads, and the bits do not depend on how many there are.
 *
 * importance (n_cols): how much an error in a column matters, at least 0 and finite, usually the mean square of
 * the activations that meet the column (an "importance matrix"); NULL: each weight by its own size, in the way of
 * its type. A group whose importance is 0 throughout becomes 0 in most types.
 *
 * Where a scale is too large for the f16 it is stored in (weights beyond some 500,000 for Q4_0), the block holds an
 * infinity; whoever writes a file must look (dtype_to_f32). */
void quantize_rows(enum dtype type, const float *from, void *to, size_t n_rows, size_t n_cols,
                   const float *importance);

#endif
