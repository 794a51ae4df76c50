/* The `train:` section of a configuration. */
#ifndef LINNET_TRAIN_OPTIONS_H
#define LINNET_TRAIN_OPTIONS_H

#include "base/options.h"

struct train_settings {
    size_t iters;
    size_t batch_size, grad_accumulation, max_seq_length;
    size_t seed;
    size_t eval_interval, eval_iters;
    size_t checkpoint_interval;
    size_t log_interval;
    size_t sample_interval, sample_tokens;
    char *sample_prompt;
    size_t early_stopping_patience;
    size_t max_bad_steps;
};

enum { N_TRAIN_OPTIONS = 14 };
extern const struct option train_options[N_TRAIN_OPTIONS];

#endif
