/* linnet dpo: a model trained on which of two answers is the better one. */
#include "align/model_reference.h"
#include "align/objective.h"
#include "align/options.h"
#include "align/stored_reference.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset_run.h"
#include "cli/reference_making.h"
#include "model/load.h"

#include <string.h>

static struct run_flags flags;
static struct align_options align_section;
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct lora_options lora_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct qat_options qat_section;
static struct model_config model_section; /* of the model that is trained, for whoever loads the run */

/* --loss is the section align's. */
static const char *const dataset_flags[] = {
    "paths", "validation_paths", "validation_fraction", "prompt_field", "completion_field", "chosen_field",
    "rejected_field", "label_field", "tools_field", "system_field", "chat_template", "template_date", "over_long",
    "on_bad_row", "packing", NULL,
};
static const char *const no_flags[] = {NULL};
static const char *const optim_defaults[] = {
    "learning_rate", "2e-5 for lora, 1e-6 for full", "warmup_iters", "3% of the run", "weight_decay", "0",
    "beta2", "0.999", NULL,
};
static struct option_section sections[] = {
    {.name = "", .rows = run_options, .n_rows = N_RUN_OPTIONS, .object = &flags, .help = "Run"},
    {.name = "align", .rows = align_options, .n_rows = N_ALIGN_OPTIONS, .object = &align_section, .help = "Preferences"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "What trains"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Answers", .flags_of = dataset_flags},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .settled = optim_defaults},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = further_train_flags, .settled = tune_train_defaults},
    {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS, .object = &qat_section,
     .help = "Quantisation-aware training"},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model",
     .flags_of = no_flags},
};

static const struct dataset_run_settings settings = {&flags, &tune_section, &dataset_section, &lora_section,
                                                     &optim_section, &train_section, &qat_section, &model_section};

struct run {
    struct dataset_run dataset;
    struct preference_mix mix;
    bool *wanted;                  /* of unpaired answers, by pair */
    struct model_reference off;    /* the reference: the model with its adapter off, */
    struct stored_reference known; /* or what was computed before, */
    struct reference known_reference;
    struct preferences preferences;
};

static void run_free(struct run *r)
{
    preferences_free(&r->preferences);
    stored_reference_free(&r->known);
    mem_free(r->wanted);
    dataset_run_free(&r->dataset);
}

/* --- before the run --- */

static int check_settings(const struct command_input *in, struct run *r, struct error *e)
{
    int code = dataset_run_settings(&r->dataset, &settings, in, e);
    if (!code)
        code = align_options_mix(&align_section, &r->mix, e);
    if (!code)
        code = dataset_check_answers(&dataset_section, e);
    if (code)
        return code;
    if (align_section.reference && align_section.reference_free)
        log_warn("align.reference has no effect: --reference-free does without");
    else if (align_section.reference && !preference_mix_needs_reference(&r->mix))
        log_warn("align.reference has no effect: %s needs no reference", r->mix.losses[0]->name);
    return OK;
}

/* Which of the answers are wanted, those to train on first. */
static void note_labels(struct run *r)
{
    const struct examples *parts[] = {&r->dataset.dataset.train, &r->dataset.dataset.validation};
    size_t n = 0;
    r->wanted = mem_zero((parts[0]->count + parts[1]->count) / ANSWER_SIDES, sizeof *r->wanted);
    for (size_t k = 0; k < COUNT(parts); k++)
        for (size_t i = 0; i < parts[k]->count; i += ANSWER_SIDES)
            r->wanted[n++] = parts[k]->origins[i].wanted;
}

/* --- the reference --- */

static int use_file(struct run *r, const char *path, struct error *e)
{
    const struct reference_description now = reference_describe(&r->dataset.tuned, &train_section);
    struct reference_table table = {0};
    struct reference_description made_with = {0};
    int code = reference_file_read(path, &table, &made_with, e);
    if (!code)
        code = reference_check(&made_with, now.model_hash, now.tokenizer_hash, path, e);
    if (!code && strcmp(made_with.products, now.products) != 0)
        log_warn("%s: its products are in %s, those of this run in %s: what the rounding differs by is taken for what was "
                 "learned", path, made_with.products, now.products);
    if (!code)
        code = stored_reference_init(&r->known, &table, path, &r->dataset.dataset.train, &r->dataset.dataset.validation, e);
    reference_table_free(&table);
    reference_description_free(&made_with);
    return code;
}

/* All weights train: what they hold likely now is computed once, and kept in the run's directory. */
static int compute_reference(void *context, struct error *e)
{
    struct run *r = context;
    char *path = run_file(flags.out, RUN_REFERENCE);
    struct reference_table table = {0};
    int code = OK;
    if (!flags.resume || !file_exists(path))
        code = reference_make(&r->dataset.tuned, &r->dataset.dataset, &train_section, path, &table, e);
    reference_table_free(&table);
    if (code == ERR_INTERRUPTED)
        error_set(e, code, "interrupted before the first step: %s was not written, and the next run computes it anew", path);
    if (!code)
        code = use_file(r, path, e);
    mem_free(path);
    return code;
}

static bool computes_beforehand(const struct run *r)
{
    return preference_mix_needs_reference(&r->mix) && !align_section.reference && tune_section.method == TUNE_FULL;
}

static const struct reference *choose_reference(struct run *r)
{
    r->known_reference = stored_reference(&r->known);
    if (!preference_mix_needs_reference(&r->mix))
        return NULL;
    if (align_section.reference || tune_section.method == TUNE_FULL)
        return &r->known_reference;
    model_reference_init(&r->off, &r->dataset.tuned.adapter);
    return &r->off.reference;
}

/* --- */

static int prepare(struct run *r, const struct command_input *in, struct error *e)
{
    bool unpaired = preference_mix_is_unpaired(&r->mix);
    int code = dataset_run_open(&r->dataset, in, unpaired ? ANSWERS_JUDGED : ANSWERS_COMPARED,
                                tune_section.method == TUNE_FULL ? 1e-6 : 2e-5, e);
    if (!code && align_section.reference && preference_mix_needs_reference(&r->mix))
        code = use_file(r, align_section.reference, e);
    if (code)
        return code;
    note_labels(r);
    preferences_init(&r->preferences, &r->mix, choose_reference(r), r->wanted);
    r->dataset.trainer.objective = &r->preferences.objective;
    return OK;
}

static const char *reference_in_words(const struct run *r)
{
    if (!preference_mix_needs_reference(&r->mix))
        return "none";
    return align_section.reference ? align_section.reference
           : computes_beforehand(r) ? "the model as it begins, computed once, in " RUN_REFERENCE
                                    : "the model with its adapter off, in every step";
}

static void say_plan(const void *context)
{
    const struct run *r = context;
    struct buffer losses = {0};
    if (r->mix.n == 1 && r->mix.weights[0] == 1)
        buffer_string(&losses, r->mix.losses[0]->name);
    else
        for (size_t i = 0; i < r->mix.n; i++)
            buffer_printf(&losses, "%s%.3g %s", i ? " + " : "", r->mix.weights[i], r->mix.losses[i]->name);
    dataset_run_say(&r->dataset);
    log_info("loss    %s, beta %g; reference: %s", losses.data, align_section.beta, reference_in_words(r));
    further_say_steps(&r->dataset.trainer);
    buffer_free(&losses);
}

static int run(const struct command_input *in, struct error *e)
{
    struct run r = {0};
    int code = check_settings(in, &r, e);
    if (!code)
        code = prepare(&r, in, e);
    if (!code)
        code = dataset_run_train(&r.dataset, computes_beforehand(&r) ? compute_reference : NULL, say_plan, &r, e);
    run_free(&r);
    return code;
}

enum { INDENT = 16 };

/* Every loss with its formula and its paper. */
static void print_losses(size_t width, struct buffer *out)
{
    buffer_string(out, "\nLosses, of C and R: the log-probabilities of the chosen and the rejected answer;\n"
                       "c, r: less the reference's; d = c - r; /n: by token; s: the logistic function:\n");
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++) {
        const struct preference_loss *l = &preference_losses[i];
        buffer_printf(out, "  %-13s ", l->name);
        options_print_wrapped(l->formula, INDENT, INDENT, width, out);
        buffer_printf(out, "%*s", INDENT, "");
        options_print_wrapped(l->source, INDENT, INDENT, width, out);
    }
}

const struct command command_dpo = {
    .name = "dpo",
    .group = "Align",
    .summary = "align a model with preferences: DPO and its family, KTO, SimPO, ORPO",
    .usage = "--model PATH --data PATH... --out DIR [--loss NAME...]",
    .notes =
        "Rows have a prompt, a chosen and a rejected answer; with --loss kto one answer\n"
        "and a label. The model is best one that was fine-tuned on such answers before\n"
        "(linnet sft, then linnet merge). docs/alignment.md is a guide and has every\n"
        "formula with its paper.\n"
        "\n"
        "  linnet data check --objective dpo --model base.gguf --data pairs.jsonl\n"
        "  linnet dpo --model base.gguf --data pairs.jsonl --out runs/a\n"
        "  linnet dpo --model base.gguf --data pairs.jsonl --out b --loss sigmoid sft\n",
    .more = print_losses,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
