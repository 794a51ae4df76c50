/* One micro-batch of rows of one length, the form every objective receives. All arrays are (B, T),
 * rows one after the other. A batch of short rows has a shorter T than there is room for: its rows are then that
 * much nearer together, and whoever works on it sees nothing of the capacity. */
#ifndef LINNET_DATA_BATCH_H
#define LINNET_DATA_BATCH_H

#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>

enum { TARGET_IGNORED = -1 };

struct batch {
    size_t n_rows, seq_len; /* B, T */
    size_t capacity;        /* the longest seq_len there is room for */
    int32_t *input_ids;
    int32_t *targets;   /* the token that follows, or TARGET_IGNORED */
    int32_t *positions; /* for the position encoding: within the document where documents are
                           masked, else within the row */
    int32_t *first_key; /* the first token of the row, counted from 0, that this one may attend to;
                           the last one is itself. A later one: padding, which sees nothing */
    size_t *target_numbers; /* of the dataset's targets, from 0 in the order of its examples, for what is known of
                               each of them: set where there is a target, by rows of examples only */
    size_t n_targets;   /* targets that are not ignored, in the whole batch */
};

/* Arrays for a batch of n_rows x seq_len, which is its capacity, from the arena (which may be a measuring one). */
static inline void batch_init(struct batch *b, size_t n_rows, size_t seq_len, struct arena *arena)
{
    b->n_rows = n_rows;
    b->seq_len = b->capacity = seq_len;
    b->input_ids = arena_alloc(arena, n_rows * seq_len, sizeof(int32_t));
    b->targets = arena_alloc(arena, n_rows * seq_len, sizeof(int32_t));
    b->positions = arena_alloc(arena, n_rows * seq_len, sizeof(int32_t));
    b->first_key = arena_alloc(arena, n_rows * seq_len, sizeof(int32_t));
    b->target_numbers = arena_alloc(arena, n_rows * seq_len, sizeof *b->target_numbers);
    b->n_targets = 0;
}

#endif
