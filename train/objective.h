/* What is trained for. The loop runs the decoder; an objective turns its final hidden states into a
 * loss and their gradient, and knows nothing of how weights are stored or which are trained. */
#ifndef LINNET_TRAIN_OBJECTIVE_H
#define LINNET_TRAIN_OBJECTIVE_H

#include "data/batch.h"
#include "model/model.h"

#include <stddef.h>

struct objective {
    const char *name;
    void *context;
    /* Floats of scratch that `loss` needs for n tokens. */
    size_t (*scratch)(const struct objective *o, const struct model_config *c, size_t n);
    /* The sum of the loss over b->n_targets targets, unscaled. hidden: (N, C) of `type`, in which
     * the output layer's weights are read too. When dhidden (N, C) is not NULL it is written, and the
     * output layer's gradient added to, both f32 and of scale * sum. */
    double (*loss)(const struct objective *o, struct model *m, const struct batch *b,
                   const void *hidden, enum dtype type, float scale, float *dhidden,
                   float *scratch);
};

/* Next-token prediction: the mean over targets of -log p(target). */
extern const struct objective language_model_objective;

#endif
