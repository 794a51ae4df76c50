/* The log-probabilities that a model gives to the answers of a dataset, for a file of them (align/reference_file.h). */
#ifndef LINNET_ALIGN_REFERENCE_MEASURE_H
#define LINNET_ALIGN_REFERENCE_MEASURE_H

#include "align/reference_file.h"
#include "data/example.h"
#include "model/model.h"

/* Adds all answers of x, pairs of at most seq_len tokens, to the table, which the caller sorts. n_rows of seq_len tokens
 * at a time, with products in `type`. Errors as answer_logps_measure. */
int reference_measure(struct model *m, enum dtype type, const struct examples *x, size_t n_rows, size_t seq_len,
                      const char *label, struct reference_table *t, struct error *e);

/* What a description says of the model's products, which are in `type` where its weights are not in integers. */
const char *reference_products(const struct model *m, enum dtype type);

#endif
