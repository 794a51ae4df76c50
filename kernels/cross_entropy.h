/* The output layer and its cross-entropy in one pass over blocks of rows (kernels/linear_loss.h). */
#ifndef LINNET_KERNELS_CROSS_ENTROPY_H
#define LINNET_KERNELS_CROSS_ENTROPY_H

#include "kernels/linear_loss.h"

/* As linear_loss, of -log softmax(logits)[target]. */
double linear_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                            const int32_t *targets, float scale, float *row_losses, float *dhidden,
                            size_t n, float *scratch);

#endif
