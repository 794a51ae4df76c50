/* linnet bench lora */
#include "base/log.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "cli/tuning.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"
#include "model/load.h"

#include <string.h>

static struct {
    char *model;
    int products; /* enum tune_products */
    size_t rank, seq_len, steps;
    bool json;
} flags;
static struct lora_options lora_section;
static struct train_settings train_section;
static struct optim_settings optim_section;

#define FIELD(member) offsetof(__typeof__(flags), member)
static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a Hugging Face directory or a GGUF file; linnet data synth-model makes one"},
    {.key = "rank", .flag = "--rank", .type = OPTION_SIZE, .offset = FIELD(rank), .default_value = "16", .minimum = 1,
     .maximum = 1 << 16, .help = "rank of the adapters"},
    {.key = "seq_len", .flag = "--seq-len", .type = OPTION_SIZE, .offset = FIELD(seq_len), .default_value = "512",
     .minimum = 1, .maximum = 1 << 20, .placeholder = "TOKENS", .help = "tokens of a row"},
    {.key = "products", .flag = "--products", .type = OPTION_ENUM, .offset = FIELD(products),
     .choices = tune_product_names, .help = "how frozen weights in blocks multiply in the forward pass: see linnet sft"},
    {.key = "steps", .flag = "--steps", .type = OPTION_SIZE, .offset = FIELD(steps), .default_value = "2",
     .minimum = 1, .maximum = 1e9, .help = "steps to time, after one that is not"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the figures as JSON"},
};
static const char *const lora_flags[] = {"target_modules", "use_dora", NULL};
static const char *const optim_flags[] = {"moments", NULL};
static const char *const train_flags[] = {"dtype", "grad_checkpoint", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters",
     .flags_of = lora_flags},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .flags_of = optim_flags},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
};

struct measured {
    struct bench_steps steps;
    double flops, peak_rate, peak_mb;      /* flops of a step; flops a second of its products alone, in plain matrices */
    size_t planned, trained;               /* bytes; weights that train */
};

/* The speed of the model's own products, forward and back to what they read, with weights that need no unpacking. */
static double measure_peak(const struct model *m)
{
    struct bench_product all[BENCH_PRODUCTS], own[BENCH_PRODUCTS];
    enum dtype type = train_product_type(&train_section);
    size_t n_all = bench_products_of(m, type, flags.seq_len, all), n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (strcmp(all[i].pass, "dw") != 0)
            own[n++] = all[i];
    bench_measure(own, n, type);
    return bench_rate(own, n);
}

static int measure(struct tuned *tuned, struct measured *r, struct error *e)
{
    struct shard shard;
    struct shard_rows random_rows;
    struct trainer t = {.objective = &language_model_objective, .settings = &train_section, .optim = &optim_section,
                        .run = "", .config = ""};
    shard_random(&shard, 4 * flags.seq_len + 1, tuned->model.config.vocab_size, 1);
    int code = shard_rows_init(&random_rows, &shard, SHARD_TRAIN, flags.seq_len, false, true, 1, e);
    if (!code)
        code = tuned_prepare(tuned, NULL, &t, e);
    if (!code)
        code = trainer_init(&t, e);
    if (!code) {
        t.train = shard_rows_loader(&random_rows);
        r->planned = trainer_plan(&t).total;
        r->flops = trainer_step_flops(&t);
        for (size_t i = 0; i < t.params->count; i++)
            r->trained += t.params->items[i]->count;
        code = bench_time_steps(&t, flags.steps, &r->steps, e);
        r->peak_mb = (double)mem_resident_peak() / 1e6;
        trainer_free(&t);
    }
    shard_close(&shard);
    if (!code)
        r->peak_rate = measure_peak(&tuned->model);
    return code;
}

static void print_measured(const struct measured *r)
{
    const double tokens = (double)flags.seq_len;
    printf("weights that train  %12zu\n", r->trained);
    printf("fastest step        %12.2f s\n", r->steps.fastest);
    printf("mean step           %12.2f s\n", r->steps.total / (double)flags.steps);
    printf("speed               %12.2f tokens/s\n", tokens / r->steps.fastest);
    printf("                    %12.1f GFLOP/s\n", r->flops / r->steps.fastest / 1e9);
    printf("plain products      %12.1f GFLOP/s\n", r->peak_rate / 1e9);
    printf("utilisation         %12.1f %%\n", 100 * r->flops / r->steps.fastest / r->peak_rate);
    printf("peak memory         %12.0f MB\n", r->peak_mb);
    printf("planned             %12.0f MB\n\n", (double)r->planned / 1e6);
    print_profile(stdout, r->steps.kinds, flags.steps);
}

static void print_measured_json(const struct measured *r)
{
    json_t *kinds = json_object();
    for (int i = 0; i < PROFILE_KINDS; i++)
        json_object_set_new(kinds, profile_name((enum profile_kind)i),
                            json_real(1e3 * r->steps.kinds[i] / (double)flags.steps));
    print_json(json_pack("{s:s, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "dtype",
                         dtype_info(train_product_type(&train_section))->name, "threads", kernels_threads(), "steps",
                         (json_int_t)flags.steps, "tokens_per_step", (json_int_t)flags.seq_len, "trained",
                         (json_int_t)r->trained, "step_ms", 1e3 * r->steps.fastest, "mean_step_ms",
                         1e3 * r->steps.total / (double)flags.steps, "tokens_per_s", (double)flags.seq_len / r->steps.fastest,
                         "model_gflops_per_s", r->flops / r->steps.fastest / 1e9, "gemm_peak_gflops_per_s", r->peak_rate / 1e9,
                         "mfu", r->flops / r->steps.fastest / r->peak_rate, "peak_rss_mb", r->peak_mb, "planned_mb",
                         (double)r->planned / 1e6, "profile_ms", kinds));
}

static int run(const struct command_input *in, struct error *e)
{
    struct tuned tuned = {0};
    struct measured r = {0};
    char none[] = "none";
    const struct tune_options o = {.model = flags.model, .products = flags.products, .probe = none};
    int code = option_require(in->options, "", "model", e);
    lora_section.rank = flags.rank;
    train_section.max_seq_length = flags.seq_len;
    train_section.batch_size = 1;
    if (!code)
        code = tuned_open(&o, &lora_section, 1, &tuned, e);
    if (!code)
        code = measure(&tuned, &r, e);
    tuned_free(&tuned);
    if (code)
        return code;
    if (flags.json)
        print_measured_json(&r);
    else
        print_measured(&r);
    return OK;
}

const struct command command_bench_lora = {
    .name = "bench lora",
    .group = "Measure",
    .summary = "speed and memory of training an adapter on a frozen model",
    .usage = "--model PATH [--rank R] [--seq-len TOKENS] [FLAGS]",
    .notes =
        "Steps of one row of random tokens, from forward pass to update, adapters on all linear layers of the blocks.\n"
        "Speed is that of the fastest step; utilisation compares it with the speed of the model's products alone, in\n"
        "weights that need no unpacking.\n"
        "\n"
        "  linnet data synth-model --preset llama-3b --type q4_0 --out 3b.gguf\n"
        "  linnet bench lora --model 3b.gguf --rank 16 --seq-len 512 --grad-checkpoint\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
