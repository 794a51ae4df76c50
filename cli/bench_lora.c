/* linnet bench lora */
#include "base/log.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/shard_rows.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"
#include "lora/adapter.h"
#include "model/load.h"
#include "train/trainer.h"

static struct {
    char *model;
    size_t rank, seq_len, steps;
    bool integers, json;
} flags;
static struct train_settings train_section;
static struct optim_settings optim_section;

#define FIELD(member) offsetof(__typeof__(flags), member)
static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    {.key = "rank", .flag = "--rank", .type = OPTION_SIZE, .offset = FIELD(rank), .default_value = "16", .minimum = 1,
     .maximum = 1 << 16, .help = "rank of the adapters of all linear layers"},
    {.key = "seq_len", .flag = "--seq-len", .type = OPTION_SIZE, .offset = FIELD(seq_len), .default_value = "512",
     .minimum = 1, .maximum = 1 << 20, .placeholder = "TOKENS", .help = "tokens of a row"},
    {.key = "steps", .flag = "--steps", .type = OPTION_SIZE, .offset = FIELD(steps), .default_value = "2",
     .minimum = 1, .maximum = 1e9, .help = "steps to time, after one that is not"},
    {.key = "integers", .flag = "--integers", .type = OPTION_BOOL, .offset = FIELD(integers), .help = "TODO"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the figures as JSON"},
};
static const char *const train_flags[] = {"batch_size", "dtype", "grad_checkpoint", NULL};
static const char *const no_flags[] = {NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .flags_of = no_flags},
};

static int make_adapter(struct model *m, struct lora_adapter *a, struct error *e)
{
    struct lora_want *wants = mem_zero(m->n_params, sizeof *wants);
    size_t n = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        struct linear *l = m->params[i].layer >= 0 && m->params[i].matrix ? lora_linear(m, &m->params[i]) : NULL;
        if (l)
            wants[n++] = (struct lora_want){.linear = l, .rank = flags.rank, .scale = 2};
    }
    int code = lora_init(a, m, wants, n, e);
    mem_free(wants);
    if (!code)
        lora_initialize(a, 1);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct model m;
    struct lora_adapter a;
    struct shard shard;
    struct shard_rows r;
    (void)in;
    train_section.max_seq_length = flags.seq_len;
    train_section.batch_size = 1;
    int code = model_load(flags.model, WEIGHTS_MAPPED, &m, NULL, e);
    if (code)
        return code;
    if (flags.integers)
        model_use_integers(&m);
    code = make_adapter(&m, &a, e);
    lora_attach(&a);
    struct trainer t = {.model = &m, .params = &a.all, .objective = &language_model_objective, .settings = &train_section,
                        .optim = &optim_section, .run = "", .config = ""};
    shard_random(&shard, 4 * flags.seq_len * train_section.batch_size + 1, m.config.vocab_size, 1);
    code = shard_rows_init(&r, &shard, SHARD_TRAIN, flags.seq_len, false, true, 1, e);
    if (!code)
        code = trainer_init(&t, e);
    t.train = shard_rows_loader(&r);
    for (size_t i = 0; i <= flags.steps && !code; i++) {
        struct train_step step;
        double began = clock_seconds();
        profile_reset();
        code = trainer_step(&t, &step, e);
        double took = clock_seconds() - began;
        double seconds[PROFILE_KINDS];
        for (int k = 0; k < PROFILE_KINDS; k++)
            seconds[k] = profile_seconds((enum profile_kind)k);
        print_profile(stdout, seconds, 1);
        printf("step %zu: loss %.5f norm %.5f %.2f s %.2f tok/s %.1f GFLOP/s peak %.0f MB\n", i, step.loss, step.grad_norm, took,
               (double)(flags.seq_len * train_section.batch_size) / took, trainer_step_flops(&t) / took / 1e9,
               (double)mem_resident_peak() / 1e6);
        fflush(stdout);
    }
    trainer_free(&t);
    lora_detach(&a);
    lora_free(&a);
    shard_close(&shard);
    model_free(&m);
    return code;
}

const struct command command_bench_lora = {
    .name = "bench lora",
    .group = "Measure",
    .summary = "speed and memory of LoRA training steps on a frozen model",
    .usage = "--model PATH [--rank R] [--seq-len TOKENS] [--grad-checkpoint] [--json]",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
