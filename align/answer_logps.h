/* How likely a model holds answers: the sums of the log-probabilities of the targets of a batch's examples, in nats. */
#ifndef LINNET_ALIGN_ANSWER_LOGPS_H
#define LINNET_ALIGN_ANSWER_LOGPS_H

#include "data/loader.h"
#include "model/activations.h"

/* Floats of scratch for batches of n tokens. */
size_t answer_logps_scratch(const struct model_config *c, size_t n);

/* logps (b->n_examples): runs the model, which is split where the activations are in bf16. */
void answer_logps(struct model *m, struct activations *a, const struct batch *b, float *scratch, double *logps);

/* The same from what cross-entropy gave for each token (0 where there is no target), (B * T). */
void answer_logps_add_up(const struct batch *b, const float *row_losses, double *logps);

/* Those of a whole epoch of rows of examples, by the examples' numbers: logps must have room for the largest. Runs with
 * memory of its own for n_rows of up to seq_len tokens at a time, products in `type`. Shows progress under `label`.
 * ERR_MEMORY; ERR_INTERRUPTED where interrupt.h is installed and says so. */
int answer_logps_measure(struct model *m, enum dtype type, const struct rows *rows, size_t n_rows, size_t seq_len,
                         const char *label, double *logps, struct error *e);

#endif
