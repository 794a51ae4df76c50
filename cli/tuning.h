/* What the commands that train a model further have in common, whatever for: the model, what of it trains, how its
 * frozen weights multiply, and what such a run leaves behind. */
#ifndef LINNET_CLI_TUNING_H
#define LINNET_CLI_TUNING_H

#include "cli/plan.h"
#include "cli/qat.h"
#include "data/shard_rows.h"
#include "lora/adapter.h"
#include "lora/options.h"
#include "optim/options.h"
#include "tokenizer/tokenizer.h"
#include "train/trainer.h"

enum tune_method { TUNE_LORA, TUNE_FULL };
enum tune_products { TUNE_EXACT, TUNE_INT8 };
extern const char *const tune_product_names[];

/* The `tune:` section of a configuration. */
struct tune_options {
    char *model;   /* what begins it: a path */
    int method;    /* enum tune_method */
    int products;  /* enum tune_products */
    double epochs; /* where train.iters is not given */
    char *probe;   /* a text file, "builtin" or "none" */
};
enum { N_TUNE_OPTIONS = 5 };
extern const struct option tune_options[N_TUNE_OPTIONS];

/* What --help says of the defaults that tuned_settle and the command settle: `settled` of struct option_section. */
extern const char *const tune_optim_defaults[], *const tune_train_defaults[];

/* Makes `model`, where there is one, a path that is good from every directory, for the run is used from others, and warns
 * of what was asked for and has no effect with this method. */
void tune_options_settle(const struct options *all, struct tune_options *o);

/* A model that is trained further. Must not move. */
struct tuned {
    const struct tune_options *options;
    struct model model;
    bool is_new;                     /* from random weights */
    struct tokenizer *tokenizer;
    struct lora_adapter adapter;     /* attached; nothing in it where all weights train */
    struct param_list trains;
    struct shard probe_shard;
    struct shard_rows probe_rows;
    struct qat_run qat;
    char *adapter_path;              /* RUN/adapter; NULL where all weights train */
};

/* Loads the model and makes what trains of it, fresh from `seed`. tuned_free in any case. */
int tuned_open(const struct tune_options *o, const struct lora_options *lora, uint64_t seed, struct tuned *t,
               struct error *e);
/* The same for a model that begins with random weights, drawn from `seed`, all of which train: o->model is not looked at.
 * Borrows the tokenizer. */
int tuned_open_new(const struct tune_options *o, const struct model_config *c, struct tokenizer *tokenizer, uint64_t seed,
                   struct tuned *t, struct error *e);
void tuned_free(struct tuned *t);

/* Rows as long as the model's context where no length was given and it has less. ERR_USAGE for longer ones, and as
 * plan_check_batch. */
int tuned_settle_length(const struct options *all, const struct tuned *t, struct train_settings *train, struct error *e);

/* The learning rate of those that imitate, where none is given. */
double tune_learning_rate(const struct tune_options *o);

/* What settings that were not given should be for this: steps, intervals and, unless the model is new, learning rate,
 * warm-up, decay and beta2. Epochs that are given now are stronger than the steps of the run that is resumed. */
void tuned_settle(const struct options *all, const struct tuned *t, size_t rows_per_epoch, double learning_rate,
                  struct train_settings *train, struct optim_settings *optim);

/* Gives the trainer the model, what trains, what it is rounded to (qat NULL: nothing), the probe, and the keeping of the
 * best adapter in the run directory. */
int tuned_prepare(struct tuned *t, const struct qat_options *qat, struct trainer *trainer, struct error *e);

/* Where the result of a run lies, and how to try it: with chat where there is a template. */
void tuned_say_result(const struct tuned *t, const char *out, bool has_template);

#endif
