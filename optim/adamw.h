/* AdamW (Loshchilov and Hutter, 2019): Adam with decoupled weight decay, over the parameter table.
 *
 *   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
 *   w -= lr * decay * w      (matrices only)
 *   w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) */
#ifndef LINNET_OPTIM_ADAMW_H
#define LINNET_OPTIM_ADAMW_H

#include "base/memory.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

struct adamw_settings {
    double beta1, beta2, epsilon, weight_decay;
};

struct adamw {
    struct adamw_settings settings;
    uint64_t step;   /* updates done */
    float **m, **v;  /* one each for a parameter; NULL when it is frozen */
    size_t n_params;
};

/* Moments for every parameter that has a gradient, from the arena (or measured). The arrays of
 * pointers are on the heap: adamw_free. */
void adamw_init(struct adamw *o, const struct adamw_settings *settings, const struct model *m,
                struct arena *arena);
void adamw_free(struct adamw *o);

/* Euclidean norm of all gradients, summed in f64 in a fixed order. Not finite when any is not. */
double gradient_norm(const struct model *m);

/* One update of every trainable parameter in one sweep over memory, with each gradient multiplied by
 * gradient_scale (clipping); the gradients are set to zero for the next step and the copies in bf16, where
 * there are any, follow. */
void adamw_update(struct adamw *o, struct model *m, double learning_rate, double gradient_scale);

#endif
