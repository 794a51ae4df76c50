/* The `optim:` section of a configuration. */
#ifndef LINNET_OPTIM_OPTIONS_H
#define LINNET_OPTIM_OPTIONS_H

#include "base/options.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

enum moments { MOMENTS_AUTO, MOMENTS_F32, MOMENTS_BF16, MOMENTS_8BIT };

struct optim_settings {
    int optimizer; /* enum optimizer_kind */
    double learning_rate;
    double min_learning_rate_ratio;
    int schedule; /* enum schedule_kind */
    size_t warmup_iters, decay_iters;
    double beta1, beta2, momentum, epsilon, weight_decay;
    int moments; /* enum moments */
    double grad_clip; /* 0: none */
};

enum { N_OPTIM_OPTIONS = 13 };
extern const struct option optim_options[N_OPTIM_OPTIONS];

/* Warns about a schedule that does not fit into a run of `iters` steps. */
void optim_warn(const struct optim_settings *s, size_t iters);

struct schedule optim_schedule(const struct optim_settings *s, size_t iters);
/* product_type: of the run's products, which decides what moments are when the settings leave it open. */
struct optimizer_settings optim_optimizer(const struct optim_settings *s, enum dtype product_type);

#endif
