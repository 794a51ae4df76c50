/* The one training loop: micro-batches, accumulation, clipping, the optimiser, evaluation,
 * checkpoints, samples, metrics, resumption. It is the same for every objective. */
#ifndef LINNET_TRAIN_TRAINER_H
#define LINNET_TRAIN_TRAINER_H

#include "data/loader.h"
#include "model/decoder.h"
#include "optim/options.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/options.h"

/* Bytes by arena, known before anything runs. */
struct memory_plan {
    size_t weights, gradients, optimizer, activations, logits, batches, products, total;
};

struct trainer {
    /* filled by the caller, borrowed */
    struct model *model;                  /* allocated, and initialised unless resuming */
    const struct objective *objective;
    const struct train_settings *settings;
    const struct optim_settings *optim;
    const char *run;                      /* the run directory */
    const char *config;                   /* resolved configuration, for checkpoints */
    struct loader train, validation;
    bool has_validation;
    double bytes_per_token;               /* of held-out text, for bits per byte; 0: not known */
    /* Text the model writes now, appended to `out`; NULL: no samples. */
    void (*sample)(void *context, struct buffer *out);
    void *sample_context;
    /* private */
    struct run_state state;               /* the caller sets the two hashes */
    struct arena gradients, moments, work;
    struct activations activations;
    struct batch *batches;                /* grad_accumulation */
    float *scratch;
    struct optimizer optimizer;
    struct metrics metrics;
    size_t bad_steps;                     /* in a row */
};

/* What a run of this configuration takes. Needs no weights. */
struct memory_plan trainer_plan(const struct model *m, const struct objective *objective,
                                const struct train_settings *settings,
                                const struct optim_settings *optim);
/* Floating-point operations of one optimiser step: 6 per weight in a product and token, plus
 * attention's. */
double trainer_step_flops(const struct model *m, const struct train_settings *settings);

/* Reserves all memory. */
int trainer_init(struct trainer *t, struct error *e);
void trainer_free(struct trainer *t);

/* Continues from the run's last checkpoint: weights, moments, position. */
int trainer_resume(struct trainer *t, struct error *e);

struct train_step {
    double loss;          /* mean over the targets */
    double router_loss;   /* the experts' balancing loss, unweighted: model/activations.h; 0 without experts */
    double grad_norm;     /* before clipping */
    double learning_rate;
    size_t n_targets;
    bool finite;          /* else no weight was changed */
};
/* One step: the next micro-batches, forward, backward, clipping, update. Fails when too many in a row
 * were not finite. trainer_run is made of these. */
int trainer_step(struct trainer *t, struct train_step *r, struct error *e);

/* Trains to the end, to an early stop, or to a signal (ERR_INTERRUPTED, after saving). A resumed run
 * that is complete, or has stopped early and got neither more iters nor more patience since, only
 * makes the evaluations that it still owes. */
int trainer_run(struct trainer *t, struct error *e);

#endif
