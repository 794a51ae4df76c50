/* Token embedding: rows of a table. */
#ifndef LINNET_KERNELS_EMBEDDING_H
#define LINNET_KERNELS_EMBEDDING_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y (n, c) = scale * table[ids[i]]. The table (v, c) is of any type that dtype_to_f32 reads, c whole blocks of
 * it; or, with `halves`, an f32 one kept as kernels/halves.h says. */
void embedding_forward(float *y, const void *table, enum dtype type, bool halves,
                       const int32_t *ids, float scale, size_t n, size_t c);
/* The same of a table (v, c) that is interleaved (kernels/interleave.h). */
void embedding_forward_interleaved(float *y, const void *table, enum dtype type, size_t v, const int32_t *ids,
                                   float scale, size_t n, size_t c);
/* dtable[ids[i]] += scale * dy[i], in the order of i whatever the number of threads (threads split c). */
void embedding_backward(float *dtable, const float *dy, const int32_t *ids, float scale, size_t n,
                        size_t c);

#endif
