/* The `train:` section of a configuration. */
#ifndef LINNET_TRAIN_OPTIONS_H
#define LINNET_TRAIN_OPTIONS_H

#include "base/options.h"
#include "kernels/dtype.h"

enum train_dtype { TRAIN_AUTO, TRAIN_F32, TRAIN_BF16 };

struct train_settings {
    size_t iters;
    size_t batch_size, grad_accumulation, max_seq_length;
    bool grad_checkpoint;
    size_t memory_limit; /* bytes; 0: none */
    size_t seed;
    int dtype; /* enum train_dtype, as asked for */
    size_t eval_interval, eval_iters;
    size_t checkpoint_interval;
    size_t log_interval;
    size_t sample_interval, sample_tokens;
    char *sample_prompt;
    size_t early_stopping_patience;
    size_t max_bad_steps;
};

enum { N_TRAIN_OPTIONS = 17 };
extern const struct option train_options[N_TRAIN_OPTIONS];

/* The type of a run's products and activations: what the settings ask for, or what suits the processor. */
enum dtype train_product_type(const struct train_settings *s);

#endif
