/* What a run will take, before it runs. */
#ifndef LINNET_CLI_PLAN_H
#define LINNET_CLI_PLAN_H

#include "train/trainer.h"

#include <stdio.h>

/* Parameters, memory by arena and what the machine has of it, disk, and an estimate of the time from a
 * short measurement of this machine's matrix products. What the trainer's plan needs must be filled in. */
void plan_print(const struct trainer *t, FILE *out);

/* Where there is a train.memory_limit: changes batch_size, grad_accumulation and grad_checkpoint of `s`, which are the
 * trainer's own settings, until the plan is within it, and says so. The rows of a step stay as many. ERR_MEMORY when
 * nothing fits. */
int plan_fit(const struct trainer *t, struct train_settings *s, struct error *e);

/* ERR_USAGE for more tokens at a time than sizes can be counted of. Before any plan. */
int plan_check_batch(const struct train_settings *s, struct error *e);

/* ERR_MEMORY when this machine can never hold the plan, a warning when it holds it only by swapping or
 * at the cost of other processes. */
int plan_check(const struct trainer *t, struct error *e);

/* Three lines at the start of a run: model, data (tokens to train on, and held out), memory. */
void plan_summary(const struct trainer *t, size_t n_train, size_t n_held_out);
/* The first and the last of them alone. */
void plan_summary_model(const struct trainer *t);
void plan_summary_memory(const struct trainer *t);

#endif
