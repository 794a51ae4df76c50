/* Where a run's batches come from: rows of tokens, any of which can be had by its number, and the position among them.
 * data/shard_rows.h cuts rows from a shard, data/example_rows.h packs them from examples. */
#ifndef LINNET_DATA_LOADER_H
#define LINNET_DATA_LOADER_H

#include "data/batch.h"

/* fill: b's rows become rows first_row, first_row + 1, ..., a function of these numbers alone. It may shorten b->seq_len
 * where the rows are shorter. Rows beyond what there is, where rows do not go on for ever, hold only padding. */
struct rows {
    const void *source; /* borrowed */
    size_t per_epoch;
    void (*fill)(const void *source, uint64_t first_row, struct batch *b);
};

struct loader {
    struct rows rows;
    uint64_t rows_consumed; /* may be set, to resume or to step over the rows of other processes */
};

/* Fills the batch with the rows that come next and advances. */
static inline void loader_next(struct loader *l, struct batch *b)
{
    l->rows.fill(l->rows.source, l->rows_consumed, b);
    l->rows_consumed += b->n_rows;
}

#endif
