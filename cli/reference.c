/* linnet reference: how likely a model holds the answers of preference data, computed once for many runs. */
#include "align/options.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/reference_making.h"
#include "cli/shared.h"
#include "cli/tuning.h"
#include "export/weights.h"
#include "model/load.h"

#include <inttypes.h>
#include <string.h>

static struct {
    char *out;
    bool unpaired, force, json;
} flags;
static struct align_options align_section; /* of a configuration for linnet dpo: whether its loss is of pairs */
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "FILE",
     .help = "the file to write (.h5)"},
    {.key = "unpaired", .flag = "--unpaired", .type = OPTION_BOOL, .offset = FIELD(unpaired),
     .help = "rows are one answer and a label, as for linnet dpo --loss kto; so is what a configuration's loss asks for"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
};
static const char *const no_flags[] = {NULL};
static const char *const tune_flags[] = {"model", "method", "products", NULL};
static const char *const dataset_flags[] = {
    "paths", "validation_paths", "validation_fraction", "prompt_field", "completion_field", "chosen_field",
    "rejected_field", "label_field", "tools_field", "system_field", "chat_template", "template_date", "over_long",
    "on_bad_row", NULL,
};
static const char *const train_flags[] = {"batch_size", "max_seq_length", "seed", "dtype", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    {.name = "align", .rows = align_options, .n_rows = N_ALIGN_OPTIONS, .object = &align_section, .help = "Preferences",
     .flags_of = no_flags},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "The model",
     .flags_of = tune_flags},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Answers", .flags_of = dataset_flags},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Batches",
     .flags_of = train_flags, .settled = tune_train_defaults},
};

struct job {
    struct tuned model; /* with nothing that trains */
    bool unpaired;
    struct dataset dataset;
    struct reference_table table;
};

static void job_free(struct job *j)
{
    reference_table_free(&j->table);
    dataset_free(&j->dataset);
    tuned_free(&j->model);
}

static int check_settings(const struct command_input *in, struct job *j, struct error *e)
{
    struct preference_mix mix;
    int code = option_require(in->options, "tune", "model", e);
    if (!code)
        code = option_require(in->options, "", "out", e);
    if (!code)
        code = align_options_mix(&align_section, &mix, e);
    if (!code)
        code = dataset_check_answers(&dataset_section, e);
    if (!code) /* before a large model is read in vain */
        code = export_check_target(flags.out, false, flags.force, e);
    if (code)
        return code;
    j->unpaired = flags.unpaired || preference_mix_is_unpaired(&mix);
    return dataset_settle(in->options, &dataset_section, &train_section, e);
}

/* As linnet dpo does, whose numbers these are to be. */
static int load(struct job *j, struct error *e)
{
    bool full = tune_section.method == TUNE_FULL;
    struct model *m = &j->model.model;
    j->model.options = &tune_section;
    int code = model_load(tune_section.model, full ? WEIGHTS_F32 : WEIGHTS_MAPPED, m, &j->model.tokenizer, e);
    if (!code && !full && tune_section.products == TUNE_INT8)
        model_use_integers(m);
    return code;
}

static int prepare(struct job *j, const struct command_input *in, struct error *e)
{
    int code = load(j, e);
    if (!code)
        code = tuned_settle_length(in->options, &j->model, &train_section, e);
    if (!code)
        code = dataset_load(&dataset_section, j->unpaired ? ANSWERS_JUDGED : ANSWERS_COMPARED, j->model.tokenizer,
                            train_section.max_seq_length, train_section.seed, &j->dataset, e);
    return code;
}

static void report(struct job *j)
{
    const struct reference_description made_with = reference_describe(&j->model, &train_section), *d = &made_with;
    const struct reference_table *t = &j->table;
    const struct examples *train = &j->dataset.train, *held_out = &j->dataset.validation;
    double nats = 0;
    size_t targets = 0;
    char count[32];
    for (size_t i = 0; i < t->count; i++) {
        nats -= t->logps[i];
        targets += t->n_targets[i];
    }
    if (flags.json)
        print_json_line(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "file", json_text(flags.out, strlen(flags.out)), "answers", (json_int_t)t->count, "pairs",
            (json_int_t)(train->count / 2), "held_out_pairs", (json_int_t)(held_out->count / 2), "targets",
            (json_int_t)targets, "loss_a_target", nats / (double)targets, "model_hash", json_sprintf("%016" PRIx64, d->model_hash),
            "tokenizer_hash", json_sprintf("%016" PRIx64, d->tokenizer_hash), "content_hash",
            json_sprintf("%016" PRIx64, reference_hash(t, d))));
    else
        log_info("%s: %zu answers, %s targets, loss %.4f a target; use it: linnet dpo --reference %s", flags.out, t->count,
                 format_count((double)targets, count), nats / (double)targets, flags.out);
}

static int run(const struct command_input *in, struct error *e)
{
    struct job j = {0};
    int code = check_settings(in, &j, e);
    if (!code)
        code = prepare(&j, in, e);
    if (!code)
        code = reference_make(&j.model, &j.dataset, &train_section, flags.out, &j.table, e);
    if (!code)
        report(&j);
    job_free(&j);
    return code;
}

const struct command command_reference = {
    .name = "reference",
    .group = "Align",
    .summary = "how likely a model holds answers, computed once for many runs",
    .usage = "--model PATH --data PATH... --out FILE [-c FILE] [FLAGS]",
    .notes =
        "The file holds how likely the model is to give each answer, training and\n"
        "held out. Every run of linnet dpo --reference FILE that begins with this model\n"
        "may use it, whatever its loss, order and part of the data. What the run asks\n"
        "for must be there: data, template, --max-seq-length and --method are the same.\n"
        "A run's configuration says all of that: -c RUN/config.yaml.\n"
        "\n"
        "  linnet reference --model base.gguf --data pairs.jsonl --out reference.h5\n"
        "  linnet dpo --model base.gguf --data pairs.jsonl --reference reference.h5\n"
        "      --out runs/a\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
