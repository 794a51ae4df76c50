/* linnet bench gemm and linnet bench train */
#include "base/log.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/qat.h"
#include "cli/shared.h"
#include "data/options.h"
#include "data/shard_rows.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"
#include "tokenizer/options.h"
#include "train/trainer.h"

static struct {
    size_t steps;
    bool json;
} flags;
static struct model_config model_section;
static struct train_settings train_section;
static struct optim_settings optim_section;
static struct qat_options qat_section;
static struct data_options data_section;           /* so that any configuration may be given; */
static struct tokenizer_options tokenizer_section; /* what is measured needs neither */

#define FIELD(member) offsetof(__typeof__(flags), member)
#define JSON_ROW                                                                                   \
    {                                                                                              \
        .key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),               \
        .help = "print the figures as JSON"                                                        \
    }
static const struct option gemm_rows[] = {JSON_ROW};
static const struct option train_rows[] = {
    {.key = "steps", .flag = "--steps", .type = OPTION_SIZE, .offset = FIELD(steps),
     .default_value = "5", .minimum = 1, .maximum = 1e9, .help = "steps to time, after one that is not"},
    JSON_ROW,
};
static const char *const train_flags[] = {"batch_size", "grad_accumulation", "max_seq_length", "dtype",
                                          "grad_checkpoint", NULL};
static const char *const no_flags[] = {NULL};

#define MODEL_SECTIONS                                                                             \
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section,  \
     .help = "Model"},                                                                             \
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section,  \
     .help = "Training", .flags_of = train_flags},                                                 \
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section,  \
     .help = "Optimiser", .flags_of = no_flags},                                                   \
    {.name = "data", .rows = data_options, .n_rows = N_DATA_OPTIONS, .object = &data_section,      \
     .help = "Data", .flags_of = no_flags},                                                        \
    {.name = "tokenizer", .rows = tokenizer_options, .n_rows = N_TOKENIZER_OPTIONS,                \
     .object = &tokenizer_section, .help = "Tokenizer", .flags_of = no_flags},
#define QAT_SECTION(flags)                                                                         \
    {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS, .object = &qat_section,          \
     .help = "Quantisation-aware training", .flags_of = flags},

static struct option_section gemm_sections[] = {
    {.name = "", .rows = gemm_rows, .n_rows = COUNT(gemm_rows), .object = &flags, .help = "Result"},
    MODEL_SECTIONS
    QAT_SECTION(no_flags)
};
static struct option_section train_sections[] = {
    {.name = "", .rows = train_rows, .n_rows = COUNT(train_rows), .object = &flags, .help = "Run"},
    MODEL_SECTIONS
    QAT_SECTION(NULL)
};

/* The configuration's model, without weights. */
static int make_model(struct model *m, struct error *e)
{
    if (model_section.vocab_size == 0) /* as many as the tokenizer would be asked for */
        model_section.vocab_size = tokenizer_options_settings(&tokenizer_section, 1, false).vocab_size;
    if (model_section.max_position_embeddings == 0)
        model_section.max_position_embeddings = train_section.max_seq_length;
    return model_init(m, &model_section, e);
}

/* --- products --- */

static void print_rows(const struct bench_product *products, size_t n, enum dtype type)
{
    printf("%-8s %-8s %8s %8s %8s %6s %10s\n", "layer", "pass", "m", "n", "k", "times", "GFLOP/s");
    for (size_t i = 0; i < n; i++) {
        const struct bench_product *p = &products[i];
        printf("%-8s %-8s %8zu %8zu %8zu %6zu %10.1f\n", p->layer, p->pass, p->m, p->n, p->k,
               p->times, bench_product_flops(p) / p->seconds / 1e9);
    }
    printf("all of a step, %s, %d threads: %.1f GFLOP/s\n", dtype_info(type)->name,
           kernels_threads(), bench_rate(products, n) / 1e9);
}

static void print_as_json(const struct bench_product *products, size_t n, enum dtype type)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct bench_product *p = &products[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f}", "layer", p->layer, "pass",
                            p->pass, "m", (json_int_t)p->m, "n", (json_int_t)p->n, "k",
                            (json_int_t)p->k, "times", (json_int_t)p->times, "gflops_per_s",
                            bench_product_flops(p) / p->seconds / 1e9));
    }
    print_json(json_pack("{s:s, s:i, s:f, s:o}", "dtype", dtype_info(type)->name, "threads",
                         kernels_threads(), "gflops_per_s",
                         bench_rate(products, n) / 1e9, "products", list));
}

static int run_gemm(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct bench_product products[BENCH_PRODUCTS];
    (void)in;
    int code = make_model(&m, e);
    if (code)
        return code;
    enum dtype type = train_product_type(&train_section);
    size_t n = bench_products_of(&m, type, train_section.batch_size * train_section.max_seq_length,
                                 products);
    bench_measure(products, n, type);
    if (flags.json)
        print_as_json(products, n, type);
    else
        print_rows(products, n, type);
    model_free(&m);
    return OK;
}

/* --- steps --- */

struct measured {
    struct bench_steps steps;
    double peak_mb, flops, products_rate; /* flops of a step */
    size_t tokens, params, qat_bytes;
    enum dtype type;
};

static int time_steps(struct trainer *t, struct measured *r, struct error *e)
{
    int code = trainer_init(t, e);
    if (code)
        return code;
    model_initialize(t->model, train_section.seed);
    if (t->view)
        code = t->view->attach(t->view->context, e);
    if (!code && train_product_type(&train_section) == DTYPE_BF16)
        model_split(t->model);
    if (!code)
        code = bench_time_steps(t, flags.steps, &r->steps, e);
    r->peak_mb = (double)mem_resident_peak() / 1e6;
    trainer_free(t);
    return code;
}

static int measure(struct model *m, struct measured *r, struct error *e)
{
    const struct train_settings *s = &train_section;
    struct shard shard;
    shard_random(&shard, 4 * s->max_seq_length * s->batch_size + 1, m->config.vocab_size, s->seed);
    struct trainer trainer = {.model = m, .params = &m->all, .objective = &language_model_objective,
                              .settings = s, .optim = &optim_section, .run = "", .config = ""};
    struct shard_rows rows;
    int code = shard_rows_init(&rows, &shard, SHARD_TRAIN, s->max_seq_length, false, true, s->seed, e);
    if (!code)
        code = model_allocate(m, e);
    struct qat_run qat = {0};
    if (!code)
        code = qat_run_open(&qat, &qat_section, &trainer, NULL, e);
    if (!code) {
        trainer.train = shard_rows_loader(&rows);
        qat_run_say(&qat);
        code = time_steps(&trainer, r, e);
    }
    r->qat_bytes = qat.open ? qat_bytes(&qat.qat) : 0;
    qat_run_close(&qat);
    shard_close(&shard);
    if (code)
        return code;
    r->type = train_product_type(s);
    r->flops = trainer_step_flops(&trainer);
    r->params = m->n_weights;
    r->tokens = s->batch_size * s->max_seq_length * s->grad_accumulation;
    struct bench_product products[BENCH_PRODUCTS];
    size_t n = bench_products_of(m, r->type, s->batch_size * s->max_seq_length, products);
    bench_measure(products, n, r->type);
    r->products_rate = bench_rate(products, n);
    return OK;
}

static void print_measured(const struct measured *r)
{
    printf("parameters          %12zu\n", r->params);
    printf("products in         %12s\n", dtype_info(r->type)->name);
    printf("tokens a step       %12zu\n", r->tokens);
    printf("fastest step        %12.2f ms\n", 1e3 * r->steps.fastest);
    printf("mean step           %12.2f ms\n", 1e3 * r->steps.total / (double)flags.steps);
    printf("speed               %12.0f tokens/s\n", (double)r->tokens / r->steps.fastest);
    printf("                    %12.1f GFLOP/s\n", r->flops / r->steps.fastest / 1e9);
    printf("its products alone  %12.1f GFLOP/s\n", r->products_rate / 1e9);
    printf("utilisation         %12.1f %%\n", 100 * r->flops / r->steps.fastest / r->products_rate);
    printf("peak memory         %12.0f MB\n", r->peak_mb);
    if (r->qat_bytes)
        printf("  of it quantised   %12.1f MB\n", (double)r->qat_bytes / 1e6);
    putchar('\n');
    print_profile(stdout, r->steps.kinds, flags.steps);
}

static void print_measured_json(const struct measured *r)
{
    json_t *kinds = json_object();
    for (int i = 0; i < PROFILE_KINDS; i++)
        json_object_set_new(kinds, profile_name((enum profile_kind)i),
                            json_real(1e3 * r->steps.kinds[i] / (double)flags.steps));
    print_json(json_pack(
        "{s:I, s:s, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o?, s:o}", "params",
        (json_int_t)r->params, "dtype", dtype_info(r->type)->name, "threads", kernels_threads(),
        "steps", (json_int_t)flags.steps, "tokens_per_step", (json_int_t)r->tokens, "step_ms",
        1e3 * r->steps.fastest, "mean_step_ms", 1e3 * r->steps.total / (double)flags.steps, "tokens_per_s",
        (double)r->tokens / r->steps.fastest, "model_gflops_per_s", r->flops / r->steps.fastest / 1e9,
        "gemm_peak_gflops_per_s", r->products_rate / 1e9, "mfu",
        r->flops / r->steps.fastest / r->products_rate, "peak_rss_mb", r->peak_mb, "qat_mb", (double)r->qat_bytes / 1e6, "qat",
        qat_section.types.type ? json_string(qat_section.types.type) : NULL, "profile_ms", kinds));
}

static int run_train(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct measured r = {0};
    (void)in;
    int code = make_model(&m, e);
    if (!code)
        code = measure(&m, &r, e);
    model_free(&m);
    if (code)
        return code;
    if (flags.json)
        print_measured_json(&r);
    else
        print_measured(&r);
    return OK;
}

const struct command command_bench_gemm = {
    .name = "bench gemm",
    .group = "Measure",
    .summary = "speed of the matrix products of a training step",
    .usage = "[-c FILE] [--json]",
    .notes = "Each product of a step of the configured model, alone and repeated, the fastest run.\n",
    .sections = gemm_sections,
    .n_sections = COUNT(gemm_sections),
    .run = run_gemm,
};

const struct command command_bench_train = {
    .name = "bench train",
    .group = "Measure",
    .summary = "speed of whole training steps, and where their time goes",
    .usage = "-c FILE [--steps N] [--json]",
    .notes =
        "Steps on random tokens, from forward pass to update, nothing written. Speed is that of the\n"
        "fastest step; utilisation compares it with the same products done alone.\n",
    .sections = train_sections,
    .n_sections = COUNT(train_sections),
    .run = run_train,
};
