/* linnet bench distill */
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/example_rows.h"
#include "distill/dump_teacher.h"
#include "distill/objective.h"
#include "distill/options.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"
#include "train/interrupt.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    size_t k, steps;
    bool json;
} flags;
static struct distill_options distill_section;
static struct model_config model_section;
static struct train_settings train_section;
static struct optim_settings optim_section;

#define FIELD(member) offsetof(__typeof__(flags), member)
static const struct option rows[] = {
    {.key = "k", .flag = "--k", .type = OPTION_SIZE, .offset = FIELD(k), .default_value = "64", .minimum = 1,
     .maximum = 1 << 20, .help = "tokens that the dump has at each position; the vocabulary's size or more: all, dense"},
    {.key = "steps", .flag = "--steps", .type = OPTION_SIZE, .offset = FIELD(steps), .default_value = "5",
     .minimum = 1, .maximum = 1e9, .help = "steps of each kind to time, after one that is not"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the figures as JSON"},
};
static const char *const distill_flags[] = {"divergence", "temperature", "alpha", NULL};
static const char *const train_flags[] = {"batch_size", "grad_accumulation", "max_seq_length", "dtype",
                                          "grad_checkpoint", NULL};
static const char *const no_flags[] = {NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "distill", .rows = distill_options, .n_rows = N_DISTILL_OPTIONS, .object = &distill_section,
     .help = "Loss", .flags_of = distill_flags},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Student"},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .flags_of = no_flags},
};

struct measured {
    struct bench_steps plain, distilled;
    double bytes_per_position, write_rate; /* positions a second */
    size_t tokens, params, planned_plain, planned_distilled;
};

/* --- a dump of random distributions --- */

struct random_rows {
    size_t *begin;
    int32_t *ids, *tokens;
    float *log_probs, *log_tail;
    uint8_t *supervised;
};

/* One sequence of n tokens: k ids, ascending, with probabilities that fall off like those of text. */
static struct soft_targets fill_random(struct random_rows *r, size_t n, size_t v, size_t k, struct rng *rng)
{
    bool dense = k >= v;
    size_t entries = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        r->tokens[i] = (int32_t)rng_below(rng, v);
        r->supervised[i] = i > 0;
        if (i == 0)
            continue;
        r->begin[i - 1] = entries;
        for (size_t j = 0; j < k; j++, entries++) {
            size_t span = v / k; /* one id in each k-th of the vocabulary */
            r->log_probs[entries] = (float)(-1.2 * log((double)rng_below(rng, v) + 1));
            sum += exp(r->log_probs[entries]);
            r->ids[entries] = (int32_t)(j * span + (dense ? 0 : rng_below(rng, span)));
        }
        double shift = log(sum / 0.9);
        for (size_t j = entries - k; j < entries && !dense; j++)
            r->log_probs[j] -= (float)shift;
        r->log_tail[i - 1] = (float)log(0.1);
    }
    r->begin[n - 1] = entries;
    return (struct soft_targets){.v = v, .logits = dense ? r->log_probs : NULL, .begin = r->begin, .ids = r->ids,
                                 .log_probs = r->log_probs, .log_tail = r->log_tail, .source_temperature = 1};
}

/* The dump is to be removed in any case. */
static int go_on(struct error *e)
{
    return interrupt_requested() ? error_set(e, ERR_INTERRUPTED, "interrupted") : OK;
}

static int write_dump(const char *path, size_t n_sequences, size_t n, size_t v, size_t k, double temperature,
                      struct error *e)
{
    char name[] = "random";
    struct dump_description d = {.kind = k < v ? DUMP_TOP : DUMP_DENSE, .vocab_size = v, .most = k, .temperature = temperature,
                                 .tokenizer_hash = 1, .teacher = name};
    struct dump_writer_options o = {.path = path, .compression = 1};
    struct dump_writer *w = NULL;
    struct random_rows r = {mem_alloc(n, sizeof *r.begin), mem_alloc(n * k, sizeof *r.ids), mem_alloc(n, sizeof *r.tokens),
                            mem_alloc(n * k, sizeof *r.log_probs), mem_alloc(n, sizeof *r.log_tail), mem_alloc(n, 1)};
    struct rng rng;
    rng_init(&rng, 1, 1);
    size_t sequences, positions;
    int code = dump_writer_open(&o, &d, &w, &sequences, &positions, e);
    for (size_t i = 0; i < n_sequences && !code; i++) {
        struct soft_targets rows_of = fill_random(&r, n, v, k, &rng);
        code = go_on(e);
        if (!code)
            code = dump_writer_add(w, r.tokens, r.supervised, n, &rows_of, e);
    }
    if (!code)
        code = dump_writer_finish(w, e);
    dump_writer_close(w);
    mem_free(r.begin);
    mem_free(r.ids);
    mem_free(r.tokens);
    mem_free(r.log_probs);
    mem_free(r.log_tail);
    mem_free(r.supervised);
    return code;
}

static void remove_dump(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char *file = path_join(path, entry->d_name);
        unlink(file);
        mem_free(file);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

/* --- steps --- */

/* Two trainers of one model, a step of each in turn, so that what else the machine does falls on both. */
static int time_both(struct trainer *plain, struct trainer *distilled, struct measured *r, struct error *e)
{
    struct bench_steps one;
    int code = OK;
    for (size_t i = 0; i <= flags.steps && !code; i++) {
        struct trainer *const trainers[] = {plain, distilled};
        struct bench_steps *const sums[] = {&r->plain, &r->distilled};
        for (int k = 0; k < 2 && !code; k++) {
            struct train_step step;
            code = go_on(e);
            if (code)
                break;
            profile_reset();
            double began = clock_seconds();
            code = trainer_step(trainers[k], &step, e);
            one.fastest = clock_seconds() - began;
            if (i == 0)
                continue;
            sums[k]->total += one.fastest;
            if (i == 1 || one.fastest < sums[k]->fastest)
                sums[k]->fastest = one.fastest;
            for (int kind = 0; kind < PROFILE_KINDS; kind++)
                sums[k]->kinds[kind] += profile_seconds((enum profile_kind)kind);
        }
    }
    return code;
}

static int measure_steps(struct model *m, struct dump *dump, const struct soft_loss *loss, struct measured *r,
                         struct error *e)
{
    const struct train_settings *s = &train_section;
    struct dump_pair pair = {.train = dump, .vocab_size = m->config.vocab_size};
    struct teacher teacher = dump_teacher(&pair);
    struct distillation distillation;
    struct example_rows examples;
    distillation_init(&distillation, loss, &teacher);
    struct trainer plain = {.model = m, .params = &m->all, .objective = &language_model_objective, .settings = s,
                            .optim = &optim_section, .run = "", .config = ""};
    struct trainer distilled = plain;
    distilled.objective = &distillation.objective;
    example_rows_init(&examples, &dump->examples, NULL, 0, s->max_seq_length, true, true, s->seed);
    plain.train = distilled.train = example_rows_loader(&examples);
    int code = trainer_init(&plain, e);
    if (!code) {
        code = trainer_init(&distilled, e);
        r->planned_plain = trainer_plan(&plain).total;
        r->planned_distilled = trainer_plan(&distilled).total;
        if (!code)
            code = time_both(&plain, &distilled, r, e);
        if (!code)
            trainer_free(&distilled);
        trainer_free(&plain);
    }
    example_rows_free(&examples);
    return code;
}

static int measure(struct model *m, const struct soft_loss *loss, struct measured *r, struct error *e)
{
    const struct train_settings *s = &train_section;
    const char *folder = getenv("TMPDIR");
    char *path = mem_printf("%s/linnet-bench-XXXXXX", folder ? folder : "/tmp");
    size_t n_sequences = 4 * s->batch_size, v = m->config.vocab_size, k = flags.k < v ? flags.k : v;
    struct dump dump = {0};
    if (!mkdtemp(path)) {
        int code = error_set(e, ERR_IO, "%s: cannot make a folder for the dump; set TMPDIR", path);
        mem_free(path);
        return code;
    }
    interrupt_install();
    double began = clock_seconds();
    int code = write_dump(path, n_sequences, s->max_seq_length, v, k, (double)loss->temperature, e);
    r->write_rate = (double)(n_sequences * s->max_seq_length) / (clock_seconds() - began);
    if (!code)
        code = dump_open(path, &dump, e);
    if (!code) {
        r->bytes_per_position = (double)dump.n_bytes / (double)dump.n_positions;
        r->tokens = s->batch_size * s->max_seq_length * s->grad_accumulation;
        r->params = m->n_weights;
        code = measure_steps(m, &dump, loss, r, e);
    }
    dump_close(&dump);
    remove_dump(path);
    interrupt_restore();
    mem_free(path);
    return code;
}

static void print_measured(const struct measured *r)
{
    printf("parameters          %12zu\n", r->params);
    printf("products in         %12s\n", dtype_info(train_product_type(&train_section))->name);
    printf("tokens a step       %12zu\n", r->tokens);
    printf("plain step          %12.2f ms\n", 1e3 * r->plain.fastest);
    printf("distilling step     %12.2f ms\n", 1e3 * r->distilled.fastest);
    printf("ratio               %12.3f\n", r->distilled.fastest / r->plain.fastest);
    printf("dump                %12.1f bytes a position\n\n", r->bytes_per_position);
    print_profile(stdout, r->distilled.kinds, flags.steps);
}

static void print_measured_json(const struct measured *r)
{
    print_json(json_pack("{s:I, s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I}", "params", (json_int_t)r->params,
                         "dtype", dtype_info(train_product_type(&train_section))->name, "threads", kernels_threads(),
                         "vocab_size", (json_int_t)model_section.vocab_size, "k", (json_int_t)flags.k, "steps",
                         (json_int_t)flags.steps, "tokens_per_step", (json_int_t)r->tokens, "plain_step_ms",
                         1e3 * r->plain.fastest, "distill_step_ms", 1e3 * r->distilled.fastest, "ratio",
                         r->distilled.fastest / r->plain.fastest, "bytes_per_position", r->bytes_per_position,
                         "plain_planned_bytes", (json_int_t)r->planned_plain, "distill_planned_bytes",
                         (json_int_t)r->planned_distilled));
}

static int run(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct measured r = {0};
    struct soft_loss loss;
    (void)in;
    int code = distill_options_loss(&distill_section, &loss, e);
    if (!code && model_section.vocab_size == 0)
        model_section.vocab_size = 32000;
    if (model_section.max_position_embeddings == 0)
        model_section.max_position_embeddings = train_section.max_seq_length;
    if (!code)
        code = model_init(&m, &model_section, e);
    if (!code)
        code = model_allocate(&m, e);
    if (!code) {
        model_initialize(&m, train_section.seed);
        if (train_product_type(&train_section) == DTYPE_BF16)
            model_split(&m);
        code = measure(&m, &loss, &r, e);
    }
    model_free(&m);
    if (code)
        return code;
    (flags.json ? print_measured_json : print_measured)(&r);
    return OK;
}

const struct command command_bench_distill = {
    .name = "bench distill",
    .group = "Measure",
    .summary = "what learning from a dump costs beside text alone",
    .usage = "-c FILE [--k K] [--steps N] [--json]",
    .notes =
        "Steps of the configured student on a dump of random distributions, which is written for it, and the same\n"
        "steps of next-token prediction, in turn; the fastest of each. Reading the dump is part of the step.\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
