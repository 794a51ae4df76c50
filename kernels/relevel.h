/* The levels of ggml's blocks one by one: a block whose scales are settled, and whose elements are rounded anew to
 * whichever of its levels the caller wants. For the types that kernels/quantize.h makes, but those of three values.
 *
 * What a level stands for is what dequantising the block gives, bit for bit (kernels/dequantize_body.h). */
#ifndef LINNET_KERNELS_RELEVEL_H
#define LINNET_KERNELS_RELEVEL_H

#include "kernels/dtype.h"

enum { RELEVEL_MOST = 256, RELEVEL_GROUPS = 16 }; /* elements of a block, groups among them */

/* The levels of one block: element j stands for scale[j / group] * value + offset[j / group], where the value is that of
 * its code, q - bias or table[q]. */
struct block_levels {
    size_t n, group;
    int lowest, highest, bias; /* codes that may be given */
    const int8_t *table;       /* NULL: the values are evenly spaced; else of 16 codes */
    float scale[RELEVEL_GROUPS], offset[RELEVEL_GROUPS];
};

bool relevel_supports(enum dtype type);

/* What the block's scales make of its levels. The type is supported (CHECK), here and below. */
void relevel_read(enum dtype type, const void *block, struct block_levels *l);
/* The codes that the block's elements have: q (n). */
void relevel_codes(enum dtype type, const void *block, uint8_t *q);
/* Gives them these; everything else of the block stays. */
void relevel_write(enum dtype type, void *block, const uint8_t *q);

/* The code of the level of element j that is nearest to x, and what it stands for. */
uint8_t relevel_nearest(const struct block_levels *l, size_t j, float x, float *value);

/* What the levels of each 16 elements of a row of n in blocks span, with half a step more at either end: (n / 16) each. A
 * weight beyond that is further from every level than rounding ever takes it. Where the scale is 0 there is no step, and the
 * span is everything. n: whole blocks. */
void relevel_spans(enum dtype type, const void *blocks, size_t n, float *low, float *high);

/* Rows (n_rows, n_cols) into the blocks that are there: each element gets the nearest level of its block, whose scales stay.
 * Finite numbers; the rows are shared among OpenMP's threads. */
void relevel_rows(enum dtype type, const float *from, void *blocks, size_t n_rows, size_t n_cols);

#endif
