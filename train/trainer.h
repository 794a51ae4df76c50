/* The one training loop: micro-batches, accumulation, clipping, the optimiser, evaluation,
 * checkpoints, samples, metrics, resumption. It is the same for every objective. */
#ifndef LINNET_TRAIN_TRAINER_H
#define LINNET_TRAIN_TRAINER_H

#include "data/loader.h"
#include "model/decoder.h"
#include "model/weight_view.h"
#include "optim/options.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/options.h"

/* Bytes by arena, known before anything runs. */
struct memory_plan {
    size_t weights, gradients, optimizer, activations, logits, batches, products;
    size_t objective; /* what it holds: a teacher */
    size_t total;
    size_t checkpoints; /* on disk: the last and the best */
};

struct trainer {
    /* filled by the caller, borrowed */
    struct model *model;                  /* allocated, and initialised unless resuming; adapters attached */
    const struct param_list *params;      /* what trains: &model->all, or an adapter's */
    const struct objective *objective;
    const struct train_settings *settings;
    const struct optim_settings *optim;
    const char *run;                      /* the run directory */
    const char *config;                   /* resolved configuration, for checkpoints */
    struct loader train, validation;
    bool has_validation;
    struct loader probe;                  /* text that has nothing to do with the run: what the model forgets */
    bool has_probe;
    double bytes_per_token;               /* of held-out text, for bits per byte; 0: not known */
    /* Text the model writes now, appended to `out`; NULL: no samples. */
    void (*sample)(void *context, struct buffer *out);
    void *sample_context;
    /* Called when the present weights are the best so far, or the last that were saved while there is no best; NULL:
       nobody asks. */
    int (*keep)(void *context, struct error *e);
    void *keep_context;
    /* Bytes that hooks of the model's layers keep beside all that is counted, for passes over n rows; NULL: none. */
    size_t (*hook_bytes)(const void *context, size_t n);
    const void *hook_context;
    const struct weight_view *view;       /* NULL: the model computes with what trains */
    const struct stream_hook *stream_hook; /* of the model's activations (model/activations.h), NULL: none; in training and
                                              in every evaluation */
    /* private */
    struct run_state state;               /* the caller sets the two hashes */
    struct arena gradients, moments, work;
    struct activations activations;
    struct batch *batches;                /* grad_accumulation */
    float *scratch;
    struct optimizer optimizer;
    struct metrics metrics;
    bool resumed;
    size_t bad_steps;                     /* in a row */
    double probe_loss;                    /* the last one; 0: none yet */
};

/* What the run takes, of which model, params, objective, settings and optim are filled in. Needs no weights: those of a
 * model without any count as f32. */
struct memory_plan trainer_plan(const struct trainer *t);
/* Floating-point operations of one optimiser step: for each weight in a product and token 2 forward, 2 back to what it
 * was multiplied with, and 2 more where it trains; plus attention's. */
double trainer_step_flops(const struct trainer *t);

/* Reserves all memory. */
int trainer_init(struct trainer *t, struct error *e);
void trainer_free(struct trainer *t);

/* Continues from the run's last checkpoint: weights, moments, position. */
int trainer_resume(struct trainer *t, struct error *e);

struct train_step {
    double loss;          /* the mean: see struct objective */
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
