/* Fixed-length rows from a shard, shuffled and resumable.
 *
 * Packing: the token stream of a split is cut into rows of seq_len tokens, documents back to back.
 * Each epoch cuts at another phase and visits the rows in another order, both functions of
 * (seed, epoch) alone; so one number, the rows consumed so far, is the whole position, and any row
 * can be had by its number. The order is a permutation computed row by row (a Feistel network with
 * cycle walking: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002), so nothing is
 * stored for it. With `mask_documents` a token attends only within its document, positions restart
 * there, and no target crosses a boundary: the last token of a document has none. A row that begins
 * in the middle of a document counts positions from its own beginning. */
#ifndef LINNET_DATA_LOADER_H
#define LINNET_DATA_LOADER_H

#include "data/batch.h"
#include "data/shard.h"

struct loader {
    const struct shard *shard;
    size_t begin, end; /* the split's token range */
    size_t seq_len;
    bool mask_documents;
    bool shuffle; /* false: in order from the first token, for evaluation */
    uint64_t seed;
    uint64_t rows_consumed; /* may be set, to resume or to step over the rows of other processes */
};

enum loader_split { LOADER_TRAIN, LOADER_VALIDATION };

/* The shard must outlive the loader, which owns nothing. Fails when the split holds fewer than two
 * tokens, or, shuffled, fewer than seq_len + 1. */
int loader_init(struct loader *l, const struct shard *s, enum loader_split split, size_t seq_len,
                bool mask_documents, bool shuffle, uint64_t seed, struct error *e);

/* Shuffled: the same for every epoch, whatever its phase, which leaves up to 2 * seq_len - 1 tokens
 * at the ends out of an epoch. Unshuffled: what covers every target. */
size_t loader_rows_per_epoch(const struct loader *l);

/* Fills the batch (of the loader's seq_len) with rows rows_consumed, rows_consumed + 1, ... and
 * advances. Shuffled, it goes on for ever. Unshuffled, it goes through the split once, windows back
 * to back: the last, short row is padded with ignored targets (token 0), and rows after it hold
 * only padding, so that every target of the split occurs exactly once (all its tokens but the
 * first, and with mask_documents but the first of each document). */
void loader_next(struct loader *l, struct batch *b);

/* The same for the rows first_row, first_row + 1, ... without advancing. */
void loader_fill(const struct loader *l, uint64_t first_row, struct batch *b);

#endif
