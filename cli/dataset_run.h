/* A model that is trained further on the examples of a dataset: what sft and dpo share beside cli/further.h. */
#ifndef LINNET_CLI_DATASET_RUN_H
#define LINNET_CLI_DATASET_RUN_H

#include "cli/dataset.h"
#include "cli/further.h"
#include "cli/tuning.h"
#include "data/example_rows.h"

/* The command's options, borrowed. */
struct dataset_run_settings {
    struct run_flags *flags;
    struct tune_options *tune;
    struct dataset_options *dataset;
    struct lora_options *lora;
    struct optim_settings *optim;
    struct train_settings *train;
    struct qat_options *qat;
    struct model_config *model; /* becomes that of the model that is trained, for whoever loads the run */
};

/* Must not move once it is open. */
struct dataset_run {
    const struct dataset_run_settings *settings;
    struct tuned tuned;
    struct dataset dataset;
    struct example_rows train, validation; /* with answers that are compared or judged of pairs; examples held out are
                                              numbered behind those to train on */
    struct trainer trainer;                /* all but the objective */
    struct buffer config;
    struct stored_run stored;
};

/* The first thing: requires and fills settings, and checks the run's directory. `r` is zeroed before; dataset_run_free in
 * any case. */
int dataset_run_settings(struct dataset_run *r, const struct dataset_run_settings *s, const struct command_input *in,
                         struct error *e);
/* Opens the model, reads the examples, makes rows of them and settles what was not given. learning_rate: where none is. */
int dataset_run_open(struct dataset_run *r, const struct command_input *in, enum example_answers answers,
                     double learning_rate, struct error *e);
/* Trains, or prints the plan. before, say: as in struct further. */
int dataset_run_train(struct dataset_run *r, int (*before)(void *context, struct error *e),
                      void (*say)(const void *context), void *context, struct error *e);
void dataset_run_free(struct dataset_run *r);

/* The lines of say() about the model and the rows. */
void dataset_run_say(const struct dataset_run *r);

#endif
