/* The loss on held-out data. */
#ifndef LINNET_TRAIN_EVALUATE_H
#define LINNET_TRAIN_EVALUATE_H

#include "data/loader.h"
#include "model/decoder.h"
#include "train/objective.h"

/* What a forward pass needs, measured and taken from an arena. */
struct evaluator {
    struct model *model;
    const struct objective *objective;
    struct activations *activations;
    struct batch *batch;
    float *scratch;
};

struct evaluation {
    double loss;       /* loss_sum / count, the mean: see struct objective */
    double loss_sum;
    size_t count, n_targets;
};                     /* and the objective's measures, of the same targets */

/* Runs the loader from its first row over n_batches batches, or all of its rows when that is 0. With
 * a label, shows progress. With nothing to be a mean over the loss is not a number. What
 * the objective could not do is found with objective_check. */
struct evaluation evaluate(const struct evaluator *v, struct loader *loader, size_t n_batches,
                           const char *label);

#endif
