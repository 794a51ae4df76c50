/* linnet sft: a model trained further on examples of what it should answer. */
#include "cli/command.h"
#include "cli/dataset_run.h"

static struct run_flags flags;
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct lora_options lora_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct qat_options qat_section;
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
    {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS, .object = &qat_section,
     .help = "Quantisation-aware training"},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model",
     .flags_of = no_flags},
};

static const struct dataset_run_settings settings = {&flags, &tune_section, &dataset_section, &lora_section,
                                                     &optim_section, &train_section, &qat_section, &model_section};

static void say_plan(const void *context)
{
    const struct dataset_run *r = context;
    dataset_run_say(r);
    further_say_steps(&r->trainer);
}

static int run(const struct command_input *in, struct error *e)
{
    struct dataset_run r = {0};
    int code = dataset_run_settings(&r, &settings, in, e);
    if (!code)
        code = dataset_run_open(&r, in, ANSWERS_IMITATED, tune_learning_rate(&tune_section), e);
    r.trainer.objective = &language_model_objective;
    if (!code)
        code = dataset_run_train(&r, NULL, say_plan, &r, e);
    dataset_run_free(&r);
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
