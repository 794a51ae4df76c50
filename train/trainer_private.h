/* What the loop and its plan both know. Private to train/. */
#ifndef LINNET_TRAIN_TRAINER_PRIVATE_H
#define LINNET_TRAIN_TRAINER_PRIVATE_H

#include "train/trainer.h"

/* Floats of scratch for n tokens, of the objective and of what is probed. */
size_t trainer_scratch_floats(const struct trainer *t, const struct model_config *c, size_t n);
/* Of the blocks' matrices. */
enum dtype trainer_gradient_type(const struct train_settings *s);

#endif
