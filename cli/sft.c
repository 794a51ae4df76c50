/* linnet sft: a model trained further on examples of what it should answer. */
#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/further.h"
#include "cli/tuning.h"
#include "data/example_rows.h"
#include "model/load.h"

static struct run_flags flags;
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct lora_options lora_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct model_config model_section; /* of the model that is trained, for whoever loads the run */

static const char *const no_flags[] = {NULL};
static struct option_section sections[] = {
    {.name = "", .rows = run_options, .n_rows = N_RUN_OPTIONS, .object = &flags, .help = "Run"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "What trains"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Examples"},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .settled = tune_optim_defaults},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = further_train_flags, .settled = tune_train_defaults},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model",
     .flags_of = no_flags},
};

/* --- before the run --- */

static int check_settings(const struct command_input *in, struct stored_run *stored, struct error *e)
{
    int code = further_settings(in, &flags, stored, e);
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
        code = tuned_settle_length(in->options, &r->tuned, &train_section, e);
    if (!code)
        code = dataset_load(&dataset_section, ANSWERS_IMITATED, r->tuned.tokenizer, train_section.max_seq_length,
                            train_section.seed, &r->dataset, e);
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

static void say_plan(const void *context)
{
    const struct run *r = context;
    const struct train_settings *s = &train_section;
    const struct packing *p = &r->train.packing;
    size_t step = s->batch_size * s->grad_accumulation;
    further_say_model(&r->trainer, r->tuned.adapter_path ? lora_section.rank : 0, r->tuned.adapter.n_pairs);
    log_info("rows    %zu of %zu tokens, %.0f%% full; %zu a step, %zu steps, %.2f epochs", p->n_rows, s->max_seq_length,
             100 * packing_share(p), step, s->iters, (double)(s->iters * step) / (double)p->n_rows);
    further_say_steps(&r->trainer);
}

static int run(const struct command_input *in, struct error *e)
{
    struct run r = {0};
    int code = check_settings(in, &r.stored, e);
    if (!code)
        code = prepare(&r, in, e);
    if (!code) {
        tokenizer_set_chat_template(r.tuned.tokenizer, r.dataset.chat_template.text);
        code = further_run(&(struct further){.flags = &flags, .trainer = &r.trainer, .settings = &train_section,
                                             .stored = &r.stored, .tokenizer = r.tuned.tokenizer,
                                             .context = model_section.max_position_embeddings, .say = say_plan,
                                             .say_context = &r}, e);
    }
    if (!code && !flags.plan)
        tuned_say_result(&r.tuned, flags.out, r.dataset.chat_template.text != NULL);
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
