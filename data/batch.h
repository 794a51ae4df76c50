/* One micro-batch of rows of one length, the form every objective receives. All arrays are (B, T),
 * rows one after the other. A batch of short rows has a shorter T than there is room for: its rows are then that
 * much nearer together, and whoever works on it sees nothing of the capacity. */
#ifndef LINNET_DATA_BATCH_H
#define LINNET_DATA_BATCH_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TARGET_IGNORED = -1 };

/* An example of a batch: its targets are all among tokens [begin, end) of the batch's arrays, and so are no others. */
struct batch_example {
    size_t number; /* in the dataset, from 0 */
    size_t begin, end;
};

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
    /* Where several answers follow one prompt in a row, each sees the prompt and itself: of the keys from first_key to
     * itself a token does not see those from [0] up to but not [1]; equal where it sees all. (B, T, 2). Read only if
     * `branches`, which whoever fills a batch sets. */
    int32_t *hidden_keys;
    bool branches;
    struct batch_example *examples; /* (n_examples, at most B * T) in the order of their tokens: set by rows of examples
                                       only */
    size_t n_examples;
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
    b->hidden_keys = arena_alloc(arena, 2 * n_rows * seq_len, sizeof(int32_t));
    b->branches = false;
    b->examples = arena_alloc(arena, n_rows * seq_len, sizeof *b->examples);
    b->n_examples = 0;
    b->n_targets = 0;
}

#endif
