/* Fixed-length rows from a shard, shuffled.
 *
 * Packing: the token stream of a split is cut into rows of seq_len tokens, documents back to back.
 * Each epoch cuts at another phase and visits the rows in another order, both functions of
 * (seed, epoch) alone; so one number, the rows consumed so far, is the whole position, and any row
 * can be had by its number. Nothing is stored for the order (rng_permute). With `mask_documents` a token attends only within its document, positions restart
 * there, and no target crosses a boundary: the last token of a document has none. A row that begins
 * in the middle of a document counts positions from its own beginning. */
#ifndef LINNET_DATA_SHARD_ROWS_H
#define LINNET_DATA_SHARD_ROWS_H

#include "data/loader.h"
#include "data/shard.h"

struct shard_rows {
    const struct shard *shard;
    size_t begin, end; /* the split's token range */
    size_t seq_len;
    bool mask_documents;
    bool shuffle; /* false: in order from the first token, for evaluation */
    uint64_t seed;
};

enum shard_split { SHARD_TRAIN, SHARD_VALIDATION };

/* The shard must outlive the rows, which own nothing. Fails when the split holds fewer than two
 * tokens, or, shuffled, fewer than seq_len + 1. */
int shard_rows_init(struct shard_rows *r, const struct shard *s, enum shard_split split, size_t seq_len,
                    bool mask_documents, bool shuffle, uint64_t seed, struct error *e);

/* Shuffled: the same for every epoch, whatever its phase, which leaves up to 2 * seq_len - 1 tokens
 * at the ends out of an epoch. Unshuffled: what covers every target. */
size_t shard_rows_per_epoch(const struct shard_rows *r);

/* Shuffled, rows go on for ever. Unshuffled, they go through the split once, windows back to back: the last, short row is
 * padded with ignored targets (token 0), and rows after it hold only padding, so that every target of the split occurs
 * exactly once (all its tokens but the first, and with mask_documents but the first of each document). Batches are of
 * seq_len (CHECK). */
void shard_rows_fill(const struct shard_rows *r, uint64_t first_row, struct batch *b);

/* A loader at the first row; r must outlive it. */
struct loader shard_rows_loader(const struct shard_rows *r);

#endif
