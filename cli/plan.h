/* What a run will take, before it runs. */
#ifndef LINNET_CLI_PLAN_H
#define LINNET_CLI_PLAN_H

#include "data/loader.h"
#include "model/model.h"
#include "train/objective.h"
#include "train/options.h"

#include <stdio.h>

/* Parameters, memory by arena, disk, and an estimate of the time from a short measurement of this
 * machine's matrix products. type: train_product_type's. The model needs no weights. */
void plan_print(const struct model *m, const struct objective *o, const struct train_settings *s,
                enum dtype type, FILE *out);

/* Three lines at the start of a run: model, data, memory. */
void plan_summary(const struct model *m, const struct objective *o, const struct train_settings *s,
                  enum dtype type, const struct shard *shard, const struct loader *train);

#endif
