/* The reference that preference losses measure from: how likely the answers are to the model that training began with. */
#ifndef LINNET_ALIGN_REFERENCE_H
#define LINNET_ALIGN_REFERENCE_H

#include "base/error.h"
#include "data/batch.h"

#include <stddef.h>

struct reference {
    void *context;
    /* Bytes that it holds for batches of n_rows x seq_len, and the call that takes them, before the first one; NULL: none. */
    size_t (*bytes)(const void *context, size_t n_rows, size_t seq_len);
    int (*prepare)(void *context, size_t n_rows, size_t seq_len, struct error *e);
    /* logps[i]: the sum of the log-probabilities of the targets of b->examples[i], in nats. Called while nobody else uses
     * the model. */
    int (*logps)(void *context, const struct batch *b, double *logps, struct error *e);
};

#endif
