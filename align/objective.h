/* The objective of preferences: answers made more or less likely by what was chosen (align/preference_loss.h). A batch has
 * them in pairs (data/example_rows.h, example_rows_init_pairs), and the loss is a mean over pairs.
 *
 * Logits never exist for a whole batch. Where the output layer does not train, one pass over it gives the losses and the
 * gradients of all targets, which are then weighted; where it does, the weights must be known first, and a forward pass
 * comes before. */
#ifndef LINNET_ALIGN_OBJECTIVE_H
#define LINNET_ALIGN_OBJECTIVE_H

#include "align/preference_loss.h"
#include "align/reference.h"
#include "train/objective.h"

/* Means over the pairs, as TRL names them. Of unpaired answers `chosen` are the wanted ones and `rejected` the others,
 * margins are the differences of the batches' means, an answer is accurate when its reward lies on its side of beta kl, and
 * kl is what the batches had: it is estimated from one micro-batch, so that for unpaired answers alone accumulated
 * micro-batches are not one large batch. */
enum { REWARDS_CHOSEN, REWARDS_REJECTED, REWARDS_ACCURACIES, REWARDS_MARGINS, LOGPS_CHOSEN, LOGPS_REJECTED, KL,
       PREFERENCE_MEASURES };

/* Must not move once preferences_init has filled it. */
struct preferences {
    struct objective objective; /* for the trainer */
    struct preference_mix mix;
    const struct reference *reference; /* NULL where the mix needs none: it is not asked */
    const bool *wanted; /* by pair: number of its first example / 2. NULL where the mix is of paired answers */
    /* private */
    struct measure measures[PREFERENCE_MEASURES];
    struct error failure;
    double *logps, *reference_logps;   /* of a batch's examples, */
    struct preference_result *results; /* and of its pairs */
    size_t logps_capacity, reference_capacity, results_capacity;
};

/* Borrows reference and wanted. */
void preferences_init(struct preferences *a, const struct preference_mix *mix, const struct reference *reference,
                    const bool *wanted);
void preferences_free(struct preferences *a);

#endif
