/* What the parts of qat/qat.h share: rows of a matrix, and the blocks that are made of them. */
#ifndef LINNET_QAT_ROUNDING_H
#define LINNET_QAT_ROUNDING_H

#include "kernels/rounding.h"
#include "qat/qat.h"

enum { TILE_ROWS = 64 };

/* Rows [first, first + n), n <= TILE_ROWS, of what is rounded, in q->tile. */
const float *rows_to_round(const struct qat_matrix *x, size_t first, size_t n);
/* These rows as blocks. `to` may be q->shared, which has room for TILE_ROWS. */
void round_rows(const struct qat_matrix *x, const float *rows, size_t first, size_t n, void *to);
/* With the type's own scales, whatever is learned; says nothing of what to try. */
struct rounding plain_rounding(const struct qat_matrix *x);

static inline size_t tile_of(const struct param *p, size_t first)
{
    return p->rows - first < TILE_ROWS ? p->rows - first : TILE_ROWS;
}

#endif
