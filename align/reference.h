/* The reference that preference losses measure from: how likely the answers are to the model that training began with. */
#ifndef LINNET_ALIGN_REFERENCE_H
#define LINNET_ALIGN_REFERENCE_H

#include "base/error.h"
#include "data/batch.h"
#include "model/activations.h"

struct reference {
    void *context;
    /* logps[i]: the sum of the log-probabilities of the targets of b->examples[i], in nats. Called before the model that
     * trains runs on the batch: the activations, and scratch of answer_logps_scratch floats, are free to use. */
    int (*logps)(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                 struct error *e);
};

#endif
