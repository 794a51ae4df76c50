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
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Run"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "What trains"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Examples"},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser"},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training"},
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
    if (!code)
        code = dataset_settle(in->options, &dataset_section, &train_section, e);
    return code;
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

static int check_length(const struct model_config *c, struct error *e)
{
    if (train_section.max_seq_length > c->max_position_embeddings && c->max_position_embeddings > 0)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu is more than the %zu tokens the model was made for",
                         train_section.max_seq_length, c->max_position_embeddings);
    return OK;
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
        code = check_length(&r->tuned.model.config, e);
    if (!code)
        code = dataset_load(&dataset_section, r->tuned.tokenizer, train_section.max_seq_length, train_section.seed,
                            &r->dataset, e);
    if (code)
        return code;
    make_rows(r, in->options);
    model_section = r->tuned.model.config;
    r->trainer.objective = &language_model_objective;
    r->trainer.settings = &train_section;
    r->trainer.optim = &optim_section;
    r->trainer.run = flags.out ? flags.out : "";
    r->trainer.state.data_hash = dataset_hash(&r->dataset);
    code = tuned_prepare(&r->tuned, &r->trainer, e);
    if (!code)
        code = plan_fit(&r->trainer, &train_section, e);
    return code;
}

/* --- the run --- */

static int begin(struct run *r, const struct command_input *in, struct error *e)
{
    tokenizer_set_chat_template(r->tuned.tokenizer, r->dataset.chat_template.text);
    int code = run_directory_claim(flags.out, e);
    if (code)
        return code;
    options_print_yaml(in->options, &r->config);
    r->trainer.config = r->config.data;
    if (flags.resume)
        code = stored_run_compare(&r->stored, r->config.data, true, e);
    if (!code)
        code = plan_check(&r->trainer, e);
    if (!code)
        code = trainer_init(&r->trainer, e);
    if (!code && flags.resume)
        code = trainer_resume(&r->trainer, e);
    if (!code)
        code = run_directory_write(flags.out, flags.resume ? NULL : r->tuned.tokenizer,
                                   model_section.max_position_embeddings, r->config.data, e);
    return code;
}

static void say_what_next(const struct run *r)
{
    if (r->tuned.adapter_path)
        log_info("the adapter: %s; try it: linnet chat --model %s", r->tuned.adapter_path, flags.out);
    else
        log_info("try it: linnet chat --model %s", flags.out);
}

static int train(struct run *r, const struct command_input *in, struct error *e)
{
    struct trainer *t = &r->trainer;
    int code = begin(r, in, e);
    if (!code) {
        plan_summary(t, r->dataset.train.report.tokens, r->dataset.validation.report.tokens);
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
        plan_print(&r.trainer, stdout);
        if (plan_check(&r.trainer, e))
            log_warn("%s", e->message);
    } else if (!code) {
        code = train(&r, in, e);
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
