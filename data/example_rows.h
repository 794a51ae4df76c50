/* Rows of examples, for fine-tuning: packed, several examples back to back, or one example a row.
 *
 * Each example attends only to itself (first_key) and counts its positions from 0, so that it cannot tell which others
 * share its row: packing changes how much is computed, and nothing of what is learned. The target at a token is the next
 * token of the same example if that one is learned. Behind the last example a row is padded with token 0 without targets
 * that sees nothing (its first_key is later than itself), for which attention does no work.
 *
 * Pairs (data/pair.h) lie in a row as units, both examples behind one another. Where they share the beginning of their
 * prompt, it is there once: [shared beginning | rest of the first | rest of the second]. The second one's tokens see the
 * shared beginning and themselves, the rest of the first is hidden from them (batch.hidden_keys), and positions go on
 * behind the shared beginning in both rests; so each token sees what it would see in a row of its own.
 *
 * A batch is as long as its longest row, rounded up to a multiple of EXAMPLE_ROWS_STEP so that products have few
 * different shapes, and at most seq_len. */
#ifndef LINNET_DATA_EXAMPLE_ROWS_H
#define LINNET_DATA_EXAMPLE_ROWS_H

#include "data/example.h"
#include "data/loader.h"
#include "data/packing.h"
#include "data/pair.h"

enum { EXAMPLE_ROWS_STEP = 16 };

struct example_rows {
    const struct examples *examples;
    size_t *first_target;   /* (count) of each example: the number of its first target among all of the dataset's */
    struct packing packing; /* its items are numbers of examples or of pairs; packing_share says how full rows are */
    bool pairs;             /* examples 2i and 2i+1 stand in a row together, */
    bool share_prompt;      /* with what they share once */
    size_t first_number;    /* added to the numbers of targets: 0, or set after the call where another dataset's come first */
    size_t first_example;   /* likewise, added to the numbers of examples (batch.examples) */
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
/* The same for the pairs of examples 2i and 2i+1, of which there must be an even number (CHECK): each pair is packed as a
 * unit of example_pair_length tokens, none of more than seq_len (CHECK). Without share_prompt both are there as wholes,
 * each with its own first_key. */
void example_rows_init_pairs(struct example_rows *r, const struct examples *examples, size_t seq_len, bool packed,
                             bool shuffle, uint64_t seed, bool share_prompt);
void example_rows_free(struct example_rows *r);

/* The examples (or pairs) of a row by its number in the sequence of epochs, in their order; none beyond what there is. */
struct example_row {
    const size_t *numbers; /* (n) borrowed from the rows */
    size_t n;
};
struct example_row example_rows_at(const struct example_rows *r, uint64_t number);

/* A loader at the first row; an epoch are packing.n_rows rows. r must outlive it. Batches have room for seq_len (CHECK).
 * A batch in which an epoch ends goes on with the first rows of the next. Batches name their examples: one that shares a
 * beginning from behind it on, which is where its targets are; one without tokens is not among them. */
struct loader example_rows_loader(const struct example_rows *r);

#endif
