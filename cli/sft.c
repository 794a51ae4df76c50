/* linnet sft: a model trained further on examples of what it should answer. */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/plan.h"
#include "cli/resume.h"
#include "cli/run_directory.h"
#include "cli/shared.h"
#include "cli/tuning.h"
#include "data/example_rows.h"
#include "kernels/profile.h"
#include "model/load.h"

static struct {
    char *out;
    bool resume, plan, profile;
} flags;
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct lora_options lora_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct model_config model_section; /* of the model that is trained, for whoever loads the run */

#define FIELD(member) offsetof(__typeof__(flags), member)
static const struct option rows[] = {
    {.key = "out", .flag = "--out", .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "DIR",
     .help = "run directory to make"},
    {.key = "resume", .flag = "--resume", .type = OPTION_BOOL, .offset = FIELD(resume),
     .help = "go on from the last checkpoint in --out, with the configuration saved there; flags, "
             "--set and -c change what can change"},
    {.key = "plan", .flag = "--plan", .type = OPTION_BOOL, .offset = FIELD(plan),
     .help = "print parameters, memory and an estimate of the time, and exit"},
    {.key = "profile", .flag = "--profile", .type = OPTION_BOOL, .offset = FIELD(profile),
     .help = "print in the end where the time of the steps went"},
};
static const char *const no_flags[] = {NULL};
/* All but those for samples, which fine-tuning has none of. */
static const char *const train_flags[] = {"iters", "batch_size", "grad_accumulation", "max_seq_length", "grad_checkpoint",
                                          "memory_limit", "seed", "dtype", "eval_interval", "eval_iters",
                                          "checkpoint_interval", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "What trains"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Examples"},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .settled = tune_optim_defaults},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags, .settled = tune_train_defaults},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model",
     .flags_of = no_flags},
};

/* --- before the run --- */

static int check_settings(const struct command_input *in, struct stored_run *stored, struct error *e)
{
    int code = flags.plan && !flags.resume ? OK : option_require(in->options, "", "out", e);
    if (!code && flags.out && !flags.plan)
        code = run_directory_check(flags.out, flags.resume, e);
    if (!code && flags.resume) {
        char *saved = run_file(flags.out, RUN_CONFIG);
        code = stored_run_read(flags.out, stored, e);
        if (!code)
            code = options_read_stored((struct options *)in->options, saved, e);
        mem_free(saved);
    }
    if (!code)
        code = option_require(in->options, "tune", "model", e);
    if (code)
        return code;
    tune_options_settle(in->options, &tune_section);
    return dataset_settle(in->options, &dataset_section, &train_section, e);
}

/* Everything that a run needs of the outside. */
struct run {
    struct tuned tuned;
    struct dataset dataset;
    struct example_rows train, validation;
    struct trainer trainer;
    struct buffer config;
    struct stored_run stored;
};

static void run_free(struct run *r)
{
    example_rows_free(&r->train);
    example_rows_free(&r->validation);
    dataset_free(&r->dataset);
    tuned_free(&r->tuned);
    buffer_free(&r->config);
    stored_run_free(&r->stored);
}

/* Conversations are longer than some models' contexts: what was not asked for is no more than that. */
static int settle_length(const struct options *all, const struct model_config *c, struct error *e)
{
    size_t most = c->max_position_embeddings;
    bool given = option_given(all, "train", "max_seq_length");
    if (!given && most > 0 && train_section.max_seq_length > most)
        train_section.max_seq_length = most;
    if (most > 0 && train_section.max_seq_length > most)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu is more than the %zu tokens the model was made for",
                         train_section.max_seq_length, most);
    return plan_check_batch(&train_section, e);
}

/* Rows of examples, and with them how many steps there are. */
static void make_rows(struct run *r, const struct options *all)
{
    const struct train_settings *s = &train_section;
    example_rows_init(&r->train, &r->dataset.train, NULL, 0, s->max_seq_length, dataset_section.packing, true, s->seed);
    r->trainer.train = example_rows_loader(&r->train);
    r->trainer.has_validation = r->dataset.validation.count > 0;
    if (r->trainer.has_validation) {
        example_rows_init(&r->validation, &r->dataset.validation, NULL, 0, s->max_seq_length, dataset_section.packing,
                          false, 0);
        r->trainer.validation = example_rows_loader(&r->validation);
    }
    tuned_settle(all, &r->tuned, r->trainer.train.rows.per_epoch, &train_section, &optim_section);
}

static int prepare(struct run *r, const struct command_input *in, struct error *e)
{
    int code = tuned_open(&tune_section, &lora_section, train_section.seed, &r->tuned, e);
    if (!code)
        code = settle_length(in->options, &r->tuned.model.config, e);
    if (!code)
        code = dataset_load(&dataset_section, r->tuned.tokenizer, train_section.max_seq_length, train_section.seed,
                            &r->dataset, e);
    if (code)
        return code;
    make_rows(r, in->options);
    model_section = r->tuned.model.config;
    options_print_yaml(in->options, &r->config); /* what was asked for, before plan_fit: a resumed run fits itself again */
    r->trainer.config = r->config.data;
    r->trainer.objective = &language_model_objective;
    r->trainer.settings = &train_section;
    r->trainer.optim = &optim_section;
    r->trainer.run = flags.out ? flags.out : "";
    r->trainer.state.data_hash = dataset_hash(&r->dataset);
    return tuned_prepare(&r->tuned, &r->trainer, e);
}

/* --- the run --- */

static int begin(struct run *r, struct error *e)
{
    tokenizer_set_chat_template(r->tuned.tokenizer, r->dataset.chat_template.text);
    int code = run_directory_claim(flags.out, e);
    if (code)
        return code;
    if (flags.resume)
        code = stored_run_compare(&r->stored, r->config.data, true, e);
    if (!code)
        code = plan_fit(&r->trainer, &train_section, e);
    if (!code)
        code = plan_check(&r->trainer, e);
    if (!code)
        code = trainer_init(&r->trainer, e);
    if (!code && flags.resume)
        code = trainer_resume(&r->trainer, e);
    if (!code && flags.resume && stored_run_changes(&r->stored, r->config.data, "tune.probe"))
        r->trainer.state.first_probe_loss = 0; /* of another text */
    if (!code)
        code = run_directory_write(flags.out, flags.resume ? NULL : r->tuned.tokenizer,
                                   model_section.max_position_embeddings, r->config.data, e);
    return code;
}

enum { FEW_STEPS = 10 };

/* What trains, and for how long. */
static void say_plan(const struct run *r)
{
    const struct trainer *t = &r->trainer;
    const struct train_settings *s = &train_section;
    const struct packing *p = &r->train.packing;
    size_t step = s->batch_size * s->grad_accumulation, n = 0;
    char count[32];
    for (size_t i = 0; i < r->tuned.trains.count; i++)
        n += r->tuned.trains.items[i]->count;
    plan_summary_model(t);
    if (tune_section.method == TUNE_LORA)
        log_info("trains  %s parameters: adapters of rank %zu beside %zu matrices", format_count((double)n, count),
                 lora_section.rank, r->tuned.adapter.n_pairs);
    else
        log_info("trains  all of them");
    log_info("rows    %zu of %zu tokens, %.0f%% full; %zu a step, %zu steps, %.2f epochs", p->n_rows, s->max_seq_length,
             100 * packing_share(p), step, s->iters, (double)(s->iters * step) / (double)p->n_rows);
    log_info("rate    up to %.3g, after %zu steps of warm-up", optim_section.learning_rate, optim_section.warmup_iters);
    plan_summary_memory(t);
    if (s->iters < FEW_STEPS)
        log_warn("%zu steps are few to learn from: a smaller --batch-size (now %zu rows of up to %zu tokens) or more --epochs "
                 "make more of them", s->iters, s->batch_size, s->max_seq_length);
}

static void say_what_next(const struct run *r)
{
    const char *verb = r->dataset.chat_template.text ? "chat" : "generate";
    if (r->tuned.adapter_path)
        log_info("the adapter: %s; try it: linnet %s --model %s", r->tuned.adapter_path, verb, flags.out);
    else
        log_info("the best weights: %s/" RUN_BEST "; try them: linnet %s --model %s", flags.out, verb, flags.out);
}

static int train(struct run *r, struct error *e)
{
    struct trainer *t = &r->trainer;
    int code = begin(r, e);
    if (!code) {
        say_plan(r);
        uint64_t first = t->state.step;
        profile_reset();
        code = trainer_run(t, e);
        if (flags.profile && t->state.step > first)
            print_profile_so_far(stderr, (size_t)(t->state.step - first)); /* with evaluations and checkpoints */
        if (!code)
            say_what_next(r);
    }
    trainer_free(t);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct run r = {0};
    int code = check_settings(in, &r.stored, e);
    if (!code)
        code = prepare(&r, in, e);
    if (!code && flags.plan) {
        optim_warn(&optim_section, train_section.iters);
        if (plan_fit(&r.trainer, &train_section, e))
            log_warn("%s", e->message);
        plan_print(&r.trainer, stdout);
        if (plan_check(&r.trainer, e))
            log_warn("%s", e->message);
    } else if (!code) {
        code = train(&r, e);
    }
    run_free(&r);
    return code;
}

const struct command command_sft = {
    .name = "sft",
    .group = "Train",
    .summary = "train a model further on prompts and answers: LoRA, or all weights",
    .usage = "--model PATH --data PATH... --out DIR [-c FILE]",
    .notes =
        "What is not given suits the model, the method and the data: see the defaults above, which the run's\n"
        "config.yaml has as numbers. docs/fine-tuning.md is a guide.\n"
        "\n"
        "The frozen weights stay mapped in whatever type their file has: a GGUF file in q4_0 is trained on as it\n"
        "is. --model takes the run directory afterwards, and --adapter its folder adapter/ beside the base;\n"
        "linnet merge makes one file of both. Ctrl-C saves and stops; --resume goes on, to the bit.\n"
        "\n"
        "  linnet data check --model base.gguf --data train.jsonl\n"
        "  linnet sft --model base.gguf --data train.jsonl --out runs/a --plan\n"
        "  linnet sft --model base.gguf --data train.jsonl --out runs/a --memory-limit 6G\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
