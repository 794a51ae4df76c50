/* Fixed-length rows from a shard, shuffled and resumable.
 *
 * Packing: the token stream of a split is cut into rows of seq_len tokens, documents back to back.
 * Each epoch cuts at another phase and visits the rows in another order, both functions of
 * (seed, epoch) alone; so one number, the rows consumed so far, is the whole position. With
 * `mask_documents` a token attends only within its document, positions restart there, and no target
 * crosses a boundary. */
#ifndef LINNET_DATA_LOADER_H
#define LINNET_DATA_LOADER_H

#include "data/batch.h"
#include "data/shard.h"

struct loader {
    const struct shard *shard;
    size_t begin, end;    /* the split's token range */
    size_t seq_len;
    bool mask_documents;
    bool shuffle;         /* false: in order from the first token, for evaluation */
    uint64_t seed;
    uint64_t rows_consumed;
};

enum loader_split { LOADER_TRAIN, LOADER_VALIDATION };

/* Fails when the split holds fewer than two tokens (training: fewer than seq_len + 1). */
int loader_init(struct loader *l, const struct shard *s, enum loader_split split, size_t seq_len,
                bool mask_documents, bool shuffle, uint64_t seed, struct error *e);
size_t loader_rows_per_epoch(const struct loader *l);
/* Fills the batch's rows and advances. Unshuffled: a last, short row is padded with ignored
 * targets, and rows after the end have n_targets 0; every target of the split occurs exactly once. */
void loader_next(struct loader *l, struct batch *b);

#endif
