/* Adapters added to weights for good. What a row becomes is known here and nowhere else. */
#ifndef LINNET_LORA_MERGE_H
#define LINNET_LORA_MERGE_H

#include "lora/adapter.h"

/* Whether one of the adapters changes this weight: has a part of it, at a strength other than 0. A weight that is the
 * embedding and, tied, the output layer's counts as the output layer's alone. */
bool lora_merges(const struct lora_adapter *adapters, size_t n_adapters, const struct param *weight);

/* What the adapters, one after another, make of some rows of a weight. `rows` (n_rows, cols): those rows as f32, which
 * become the merged ones: W += strength scale B A. `which` (n_rows): where each lies in the weight as the model holds it. */
void lora_merge_rows(const struct lora_adapter *adapters, size_t n_adapters, const struct param *weight,
                     const size_t *which, size_t n_rows, float *rows);

#endif
