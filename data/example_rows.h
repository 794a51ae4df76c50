/* Rows of examples, for fine-tuning: packed, several examples back to back, or one example a row.
 *
 * Each example attends only to itself (first_key) and counts its positions from 0, so that it cannot tell which others
 * share its row: packing changes how much is computed, and nothing of what is learned. The target at a token is the next
 * token of the same example if that one is learned. Behind the last example a row is padded with token 0 without targets
 * that sees nothing (its first_key is later than itself), for which attention does no work.
 *
 * A batch is as long as its longest row, rounded up to a multiple of EXAMPLE_ROWS_STEP so that products have few
 * different shapes, and at most seq_len. */
#ifndef LINNET_DATA_EXAMPLE_ROWS_H
#define LINNET_DATA_EXAMPLE_ROWS_H

#include "data/example.h"
#include "data/loader.h"
#include "data/packing.h"

enum { EXAMPLE_ROWS_STEP = 16 };

struct example_rows {
    const struct examples *examples;
    size_t *first_target;   /* (count) of each example: the number of its first target among all of the dataset's */
    struct packing packing; /* its items are numbers of examples; packing_share says how full rows are */
    size_t first_number;    /* added to the numbers of targets: 0, or set after the call where another dataset's come first */
    size_t seq_len;
    bool shuffle;
    uint64_t seed;
};

/* Rows of the n examples whose numbers are in `subset`, or of all if that is NULL (n is then not read). None may be longer
 * than seq_len (CHECK). Which examples share a row depends on nothing but their lengths and order, and is the same in
 * every epoch. Shuffled: there must be an example (CHECK); every epoch visits the rows in another order, a function of
 * (seed, epoch), for ever. Unshuffled: once, then padding.
 * The examples must outlive the rows; subset is not kept. example_rows_free. */
void example_rows_init(struct example_rows *r, const struct examples *examples, const size_t *subset, size_t n,
                       size_t seq_len, bool packed, bool shuffle, uint64_t seed);
void example_rows_free(struct example_rows *r);

/* The examples of a row by its number in the sequence of epochs, in their order; none beyond what there is. */
struct example_row {
    const size_t *numbers; /* (n) borrowed from the rows */
    size_t n;
};
struct example_row example_rows_at(const struct example_rows *r, uint64_t number);

/* A loader at the first row; an epoch are packing.n_rows rows. r must outlive it. Batches have room for seq_len (CHECK).
 * A batch in which an epoch ends goes on with the first rows of the next. */
struct loader example_rows_loader(const struct example_rows *r);

#endif
