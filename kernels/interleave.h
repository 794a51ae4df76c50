/* Weights in blocks in another order of the same bytes: 16 rows side by side, so that a vector of 16 numbers of 32 bits
 * holds the same part of 16 rows. Products then need neither to gather nor to sum across lanes (kernels/quantized.h):
 * one row of activations is multiplied at the speed of memory, and a few cost little more than one.
 *
 * A matrix (n, k) is panels of 16 rows, one after another; of a panel the blocks of all its rows in the order of
 * k; of 16 such blocks the first field of each, 16 numbers of 1, 2 or 4 bytes, then the next. Rows left over lie as
 * they did, in the same place. */
#ifndef LINNET_KERNELS_INTERLEAVE_H
#define LINNET_KERNELS_INTERLEAVE_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

enum { INTERLEAVED_ROWS = 16 };

/* Whether products on this processor want the type so; k: elements of a row, in whole blocks. */
bool interleave_pays(enum dtype type, size_t k);

/* from and to: (n, k) of the type's bytes; they do not overlap. Parallel over panels. */
void interleave(enum dtype type, size_t n, size_t k, const void *from, void *to);

/* Row `row` of an interleaved matrix as it was. */
void interleaved_row(enum dtype type, size_t n, size_t k, const void *from, size_t row, void *to);

#endif
