/* Whether two models are one: for adapters, which belong to a base, and for runs that are continued. */
#ifndef LINNET_MODEL_FINGERPRINT_H
#define LINNET_MODEL_FINGERPRINT_H

#include "model/model.h"

#include <stdint.h>

/* The same for a model in all types that its matrices may be stored in: a hash of its shape and of its norms' weights,
 * which every file keeps whole, rounded to bf16. Never 0. */
uint64_t model_fingerprint(const struct model *m);

/* Of these very weights: types, vectors, and the beginning of every matrix. Never 0. */
uint64_t model_weights_hash(const struct model *m);

#endif
