/* linnet bench dpo */
#include "align/answer_logps.h"
#include "align/model_reference.h"
#include "align/objective.h"
#include "base/log.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "cli/tuning.h"
#include "data/example_rows.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

static struct {
    char *model;
    size_t pairs, prompt_tokens, answer_tokens, steps;
    bool json;
} flags;
static struct tune_options tune_section;
static struct lora_options lora_section;
static struct train_settings train_section;
static struct optim_settings optim_section;

#define FIELD(member) offsetof(__typeof__(flags), member)
static const struct option rows[] = {
    {.key = "pairs", .flag = "--pairs", .type = OPTION_SIZE, .offset = FIELD(pairs), .default_value = "4", .minimum = 1,
     .maximum = 1 << 16, .help = "pairs of answers in a step"},
    {.key = "prompt_tokens", .flag = "--prompt-tokens", .type = OPTION_SIZE, .offset = FIELD(prompt_tokens),
     .default_value = "128", .minimum = 2, .maximum = 1 << 20, .placeholder = "TOKENS", .help = "length of a prompt"},
    {.key = "answer_tokens", .flag = "--answer-tokens", .type = OPTION_SIZE, .offset = FIELD(answer_tokens),
     .default_value = "128", .minimum = 1, .maximum = 1 << 20, .placeholder = "TOKENS", .help = "length of each answer"},
    {.key = "steps", .flag = "--steps", .type = OPTION_SIZE, .offset = FIELD(steps), .default_value = "5", .minimum = 1,
     .maximum = 1e9, .help = "steps of each kind to time, after one that is not"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print the figures as JSON"},
};
static const char *const tune_flags[] = {"model", "method", "products", NULL};
static const char *const lora_flags[] = {"rank", "target_modules", NULL};
static const char *const train_flags[] = {"dtype", "grad_checkpoint", NULL};
static const char *const no_flags[] = {NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "What trains",
     .flags_of = tune_flags},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters",
     .flags_of = lora_flags},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .flags_of = no_flags},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags},
};

/* What is timed: fine-tuning on all answers, and preferences with the reference computed or known, with each answer behind
 * a prompt of its own and behind one for both. */
enum { SFT, DPO, DPO_STORED, DPO_SHARED, DPO_SHARED_STORED, VARIANTS };

struct variant {
    const struct objective *objective;
    struct loader loader;
    double fastest;
};

struct measured {
    double fastest[VARIANTS], reference; /* seconds of a step, and of the reference's pass over apart prompts */
    size_t trained;                      /* weights that train */
};

/* --- random pairs --- */

static void make_pairs(struct examples *x, size_t vocabulary)
{
    size_t n = flags.prompt_tokens + flags.answer_tokens;
    struct rng rng;
    rng_init(&rng, 1, 1);
    x->count = ANSWER_SIDES * flags.pairs;
    x->begin = mem_alloc(x->count + 1, sizeof *x->begin);
    x->ids = mem_alloc(x->count * n, sizeof *x->ids);
    x->learned = mem_alloc(x->count * n, sizeof *x->learned);
    x->origins = mem_zero(x->count, sizeof *x->origins);
    for (size_t i = 0; i <= x->count; i++)
        x->begin[i] = i * n;
    for (size_t i = 0; i < x->count; i++)
        for (size_t k = 0; k < n; k++) {
            bool is_prompt = k < flags.prompt_tokens;
            x->ids[i * n + k] = is_prompt && i % ANSWER_SIDES ? x->ids[(i - 1) * n + k]
                                                                : (int32_t)rng_below(&rng, vocabulary);
            x->learned[i * n + k] = !is_prompt;
        }
}

/* --- steps --- */

static int logps_known(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                       struct error *e)
{
    (void)context, (void)a, (void)scratch, (void)e;
    for (size_t i = 0; i < b->n_examples; i++)
        logps[i] = -100;
    return OK;
}

static void keep_faster(double *fastest, double seconds, size_t turn)
{
    if (turn == 1 || (turn > 1 && seconds < *fastest))
        *fastest = seconds;
}

/* The reference's forward pass over the rows that fine-tuning has. */
static int time_reference(struct trainer *t, const struct reference *off, const struct loader *loader, size_t turn,
                          struct measured *r, struct error *e)
{
    struct loader l = *loader;
    struct batch *b = &t->batches[0];
    double *logps = mem_alloc(ANSWER_SIDES * flags.pairs, sizeof *logps);
    loader_next(&l, b);
    double began = clock_seconds();
    int code = off->logps(off->context, &t->activations, b, t->scratch, logps, e);
    keep_faster(&r->reference, clock_seconds() - began, turn);
    mem_free(logps);
    return code;
}

/* A step of each in turn, so that what else the machine does falls on all of them. */
static int time_in_turn(struct trainer *t, const struct variant *variants, const struct reference *off,
                        struct measured *r, struct error *e)
{
    int code = OK;
    for (size_t turn = 0; turn <= flags.steps && !code; turn++) {
        for (size_t i = 0; i < VARIANTS && !code; i++) {
            struct train_step step;
            if (interrupt_requested())
                return error_set(e, ERR_INTERRUPTED, "interrupted");
            t->objective = variants[i].objective;
            t->train = variants[i].loader;
            double began = clock_seconds();
            code = trainer_step(t, &step, e);
            keep_faster(&r->fastest[i], clock_seconds() - began, turn);
        }
        if (!code)
            code = time_reference(t, off, &variants[SFT].loader, turn, r, e);
    }
    return code;
}

static int measure_steps(struct tuned *tuned, const struct variant *variants, const struct reference *off,
                         struct measured *r, struct error *e)
{
    struct trainer t = {.objective = variants[DPO].objective, .settings = &train_section, .optim = &optim_section,
                        .run = "", .config = "", .train = variants[SFT].loader};
    int code = tuned_prepare(tuned, NULL, &t, e);
    if (!code)
        code = trainer_init(&t, e);
    if (code)
        return code;
    for (size_t i = 0; i < t.params->count; i++)
        r->trained += t.params->items[i]->count;
    interrupt_install();
    if (train_product_type(&train_section) == DTYPE_BF16)
        model_split(t.model);
    code = time_in_turn(&t, variants, off, r, e);
    model_join(t.model);
    interrupt_restore();
    trainer_free(&t);
    return code;
}

/* All weights train: no run would compute their reference anew, but what it takes can be measured. */
static int logps_of_model(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                          struct error *e)
{
    (void)e;
    answer_logps(context, a, b, scratch, logps);
    return OK;
}

static int measure(struct tuned *tuned, struct measured *r, struct error *e)
{
    struct examples pairs = {0};
    struct example_rows apart, shared;
    struct preference_mix mix;
    struct model_reference off = {.reference = {.context = &tuned->model, .logps = logps_of_model}};
    struct preferences computed, stored;
    const struct reference known = {.logps = logps_known};
    const struct preference_settings settings = preference_defaults();
    const size_t most = train_section.max_seq_length;
    int code = preference_mix_make(&mix, &settings, (const char *const[]){"sigmoid"}, NULL, 1, e);
    if (code)
        return code;
    make_pairs(&pairs, tuned->model.config.vocab_size);
    example_rows_init_pairs(&apart, &pairs, most, false, true, 1, false);
    example_rows_init_pairs(&shared, &pairs, most, false, true, 1, true);
    if (tune_section.method == TUNE_LORA)
        model_reference_init(&off, &tuned->adapter);
    preferences_init(&computed, &mix, &off.reference, NULL);
    preferences_init(&stored, &mix, &known, NULL);
    const struct variant variants[VARIANTS] = {
        [SFT] = {&language_model_objective, example_rows_loader(&apart)},
        [DPO] = {&computed.objective, example_rows_loader(&apart)},
        [DPO_STORED] = {&stored.objective, example_rows_loader(&apart)},
        [DPO_SHARED] = {&computed.objective, example_rows_loader(&shared)},
        [DPO_SHARED_STORED] = {&stored.objective, example_rows_loader(&shared)},
    };
    code = measure_steps(tuned, variants, &off.reference, r, e);
    preferences_free(&computed);
    preferences_free(&stored);
    example_rows_free(&apart);
    example_rows_free(&shared);
    examples_free(&pairs);
    return code;
}

/* --- */

static void print_measured(const struct measured *r)
{
    const double *s = r->fastest;
    printf("weights that train           %12zu\n", r->trained);
    printf("tokens a step                %12zu\n", ANSWER_SIDES * flags.pairs * (flags.prompt_tokens + flags.answer_tokens));
    printf("fine-tuning on both answers  %12.2f ms\n", 1e3 * s[SFT]);
    printf("reference pass               %12.2f ms\n\n", 1e3 * r->reference);
    printf("preferences, prompts apart   %12.2f ms   %.3f of fine-tuning and reference\n", 1e3 * s[DPO],
           s[DPO] / (s[SFT] + r->reference));
    printf("  reference stored           %12.2f ms   %.3f of fine-tuning\n", 1e3 * s[DPO_STORED], s[DPO_STORED] / s[SFT]);
    printf("preferences, prompts shared  %12.2f ms   %.3f of fine-tuning and reference\n", 1e3 * s[DPO_SHARED],
           s[DPO_SHARED] / (s[SFT] + r->reference));
    printf("  reference stored           %12.2f ms   %.3f of fine-tuning\n", 1e3 * s[DPO_SHARED_STORED],
           s[DPO_SHARED_STORED] / s[SFT]);
}

static void print_measured_json(const struct measured *r)
{
    const double *s = r->fastest;
    print_json(json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "dtype",
                         dtype_info(train_product_type(&train_section))->name, "threads", kernels_threads(), "trained",
                         (json_int_t)r->trained, "pairs", (json_int_t)flags.pairs, "prompt_tokens",
                         (json_int_t)flags.prompt_tokens, "answer_tokens", (json_int_t)flags.answer_tokens, "steps",
                         (json_int_t)flags.steps, "sft_step_ms", 1e3 * s[SFT], "reference_pass_ms", 1e3 * r->reference,
                         "apart_step_ms", 1e3 * s[DPO], "apart_ratio", s[DPO] / (s[SFT] + r->reference),
                         "apart_stored_step_ms", 1e3 * s[DPO_STORED], "apart_stored_ratio", s[DPO_STORED] / s[SFT],
                         "shared_step_ms", 1e3 * s[DPO_SHARED], "shared_ratio", s[DPO_SHARED] / (s[SFT] + r->reference),
                         "shared_stored_step_ms", 1e3 * s[DPO_SHARED_STORED], "shared_stored_ratio",
                         s[DPO_SHARED_STORED] / s[SFT]));
}

static int run(const struct command_input *in, struct error *e)
{
    struct tuned tuned = {0};
    struct measured r = {0};
    char none[] = "none";
    struct tune_options o = tune_section; /* borrows its strings */
    o.probe = none;
    int code = option_require(in->options, "tune", "model", e);
    train_section.batch_size = flags.pairs;
    train_section.max_seq_length = ANSWER_SIDES * (flags.prompt_tokens + flags.answer_tokens);
    if (!code)
        code = plan_check_batch(&train_section, e);
    if (!code)
        code = tuned_open(&o, &lora_section, 1, &tuned, e);
    if (!code)
        code = measure(&tuned, &r, e);
    tuned_free(&tuned);
    if (!code)
        (flags.json ? print_measured_json : print_measured)(&r);
    return code;
}

const struct command command_bench_dpo = {
    .name = "bench dpo",
    .group = "Measure",
    .summary = "what learning from preferences costs beside fine-tuning",
    .usage = "--model PATH [--method lora|full] [--pairs N] [--json]",
    .notes =
        "Steps on pairs of random answers: fine-tuning on all of them, and preferences\n"
        "with the reference computed and stored, each prompt computed for each answer\n"
        "and once for both, in turn; the fastest of each.\n"
        "\n"
        "  linnet data synth-model --preset llama-135m --type q4_0 --out m.gguf\n"
        "  linnet bench dpo --model m.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
