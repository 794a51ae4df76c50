/* Token embedding: rows of a table. */
#ifndef LINNET_KERNELS_EMBEDDING_H
#define LINNET_KERNELS_EMBEDDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y (n, c) = table[ids[i]] (v, c); `halves`: the table is kept as kernels/halves.h says. */
void embedding_forward(float *y, const float *table, bool halves, const int32_t *ids, size_t n,
                       size_t c);
/* dtable[ids[i]] += dy[i], in the order of i whatever the number of threads (threads split c). */
void embedding_backward(float *dtable, const float *dy, const int32_t *ids, size_t n, size_t c);

#endif
