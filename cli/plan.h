/* What a run will take, before it runs. */
#ifndef LINNET_CLI_PLAN_H
#define LINNET_CLI_PLAN_H

#include "data/loader.h"
#include "model/model.h"
#include "optim/options.h"
#include "train/objective.h"
#include "train/options.h"

#include <stdio.h>

/* Parameters, memory by arena and what the machine has of it, disk, and an estimate of the time from a
 * short measurement of this machine's matrix products. The model needs no weights. */
void plan_print(const struct model *m, const struct objective *o, const struct train_settings *s,
                const struct optim_settings *optim, FILE *out);

/* ERR_MEMORY when this machine can never hold the plan, a warning when it holds it only by swapping or
 * at the cost of other processes. */
int plan_check(const struct model *m, const struct objective *o, const struct train_settings *s,
               const struct optim_settings *optim, struct error *e);

/* Three lines at the start of a run: model, data, memory. */
void plan_summary(const struct model *m, const struct objective *o, const struct train_settings *s,
                  const struct optim_settings *optim, const struct shard *shard,
                  const struct loader *train);

#endif
