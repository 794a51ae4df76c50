/* The output layer and its cross-entropy in one pass over blocks of rows (kernels/linear_loss.h). */
#ifndef LINNET_KERNELS_CROSS_ENTROPY_H
#define LINNET_KERNELS_CROSS_ENTROPY_H

#include "kernels/linear_loss.h"

/* As linear_loss, of -log softmax(logits)[target]. */
double linear_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                            const int32_t *targets, float scale, float *row_losses, float *dhidden,
                            size_t n, float *scratch);

/* The same with a weight (n) for each row: dhidden, dw and dbias are those of scale times the sum of weight * loss. What is
 * returned and row_losses are without the weights. */
double linear_weighted_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                                     const int32_t *targets, const float *weights, float scale, float *row_losses,
                                     float *dhidden, size_t n, float *scratch);

#endif
