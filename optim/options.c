#include "optim/options.h"

#include "base/log.h"

static const char *const schedule_names[] = {"cosine", "linear", "constant", "wsd", NULL};

#define FIELD(member) offsetof(struct optim_settings, member)

static const char *const moment_names[] = {"auto", "f32", "bf16", "8bit", NULL};
static const char *const optimizer_names[] = {"adamw", "muon", NULL};

const struct option optim_options[] = {
    {.key = "optimizer", .flag = "--optimizer", .type = OPTION_ENUM, .offset = FIELD(optimizer),
     .default_value = "adamw", .choices = optimizer_names,
     .help = "muon orthogonalises the updates of the blocks' matrices and leaves the rest to adamw"},
    {.key = "learning_rate", .flag = "--learning-rate", .type = OPTION_FLOAT,
     .offset = FIELD(learning_rate), .default_value = "1e-3", .minimum = 0, .maximum = 10,
     .help = "peak learning rate"},
    {.key = "min_learning_rate_ratio", .type = OPTION_FLOAT,
     .offset = FIELD(min_learning_rate_ratio), .default_value = "0.1", .minimum = 0, .maximum = 1,
     .help = "learning rate at the end, as a share of the peak"},
    {.key = "schedule", .flag = "--schedule", .type = OPTION_ENUM, .offset = FIELD(schedule),
     .default_value = "cosine", .choices = schedule_names,
     .help = "decay after the warm-up; wsd (warmup-stable-decay) stays at the peak until the last "
             "decay_iters"},
    {.key = "warmup_iters", .flag = "--warmup-iters", .type = OPTION_SIZE,
     .offset = FIELD(warmup_iters), .default_value = "100", .minimum = 0, .maximum = 1e12,
     .help = "steps of linear rise to the peak"},
    {.key = "decay_iters", .type = OPTION_SIZE, .offset = FIELD(decay_iters),
     .default_value = "0", .minimum = 0, .maximum = 1e12,
     .help = "steps of decay at the end of schedule wsd; 0 is a fifth of the run"},
    {.key = "beta1", .type = OPTION_FLOAT, .offset = FIELD(beta1), .default_value = "0.9",
     .minimum = 0, .maximum = 0.99999, .help = "AdamW's decay of the first moment"},
    {.key = "beta2", .type = OPTION_FLOAT, .offset = FIELD(beta2), .default_value = "0.95",
     .minimum = 0, .maximum = 0.99999, .help = "AdamW's decay of the second moment"},
    {.key = "momentum", .type = OPTION_FLOAT, .offset = FIELD(momentum), .default_value = "0.95",
     .minimum = 0, .maximum = 0.99999, .help = "Muon's decay of the mean gradient"},
    {.key = "epsilon", .type = OPTION_FLOAT, .offset = FIELD(epsilon), .default_value = "1e-8",
     .minimum = 1e-30, .maximum = 1, .help = "AdamW's epsilon"},
    {.key = "moments", .flag = "--moments", .type = OPTION_ENUM, .offset = FIELD(moments),
     .default_value = "auto", .choices = moment_names,
     .help = "numbers that AdamW's moments of matrices are kept in, bf16 and 8bit (by blocks of 256 with a scale) with "
             "unbiased rounding; auto is bf16 where the products are"},
    {.key = "weight_decay", .flag = "--weight-decay", .type = OPTION_FLOAT,
     .offset = FIELD(weight_decay), .default_value = "0.1", .minimum = 0, .maximum = 10,
     .help = "decoupled weight decay, on matrices only"},
    {.key = "grad_clip", .type = OPTION_FLOAT, .offset = FIELD(grad_clip), .default_value = "1",
     .minimum = 0, .maximum = 1e12, .help = "largest global gradient norm; 0 is no limit"},
};
_Static_assert(sizeof optim_options / sizeof *optim_options == N_OPTIM_OPTIONS, "count the rows");

void optim_warn(const struct optim_settings *s, size_t iters)
{
    struct schedule schedule = optim_schedule(s, iters);
    if (s->warmup_iters >= iters)
        log_warn("the warm-up of %zu steps is not shorter than the run of %zu: the learning rate "
                 "only rises, to %.3g at the end; lower --warmup-iters", s->warmup_iters, iters,
                 schedule_at(&schedule, iters - 1));
    else if (s->schedule == SCHEDULE_WSD && schedule.decay_iters > iters - s->warmup_iters)
        log_warn("a warm-up of %zu steps and a decay of %zu do not fit into a run of %zu: the decay "
                 "is cut to %zu", s->warmup_iters, schedule.decay_iters, iters,
                 iters - s->warmup_iters);
}

struct schedule optim_schedule(const struct optim_settings *s, size_t iters)
{
    return (struct schedule){
        .kind = (enum schedule_kind)s->schedule,
        .peak = s->learning_rate,
        .floor = s->learning_rate * s->min_learning_rate_ratio,
        .warmup_iters = s->warmup_iters,
        .decay_iters = s->decay_iters ? s->decay_iters : iters / 5,
        .iters = iters,
    };
}

struct optimizer_settings optim_optimizer(const struct optim_settings *s, enum dtype product_type)
{
    static const enum moment_type types[] = {
        [MOMENTS_F32] = MOMENT_F32, [MOMENTS_BF16] = MOMENT_BF16, [MOMENTS_8BIT] = MOMENT_8BIT};
    enum moments moments = (enum moments)s->moments;
    if (moments == MOMENTS_AUTO)
        moments = product_type == DTYPE_BF16 ? MOMENTS_BF16 : MOMENTS_F32;
    return (struct optimizer_settings){
        .kind = (enum optimizer_kind)s->optimizer,
        .beta1 = s->beta1,
        .beta2 = s->beta2,
        .epsilon = s->epsilon,
        .weight_decay = s->weight_decay,
        .momentum = s->momentum,
        .moment_type = types[moments],
    };
}
