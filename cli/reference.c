/* linnet reference: how likely a model holds the answers of preference data, computed once for many runs. */
#include "align/options.h"
#include "align/reference_measure.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/inference.h"
#include "cli/shared.h"
#include "cli/tuning.h"
#include "export/weights.h"
#include "model/fingerprint.h"
#include "model/load.h"
#include "train/interrupt.h"

#include <inttypes.h>
#include <string.h>

static struct {
    char *out;
    struct option_strings adapters;
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
    ADAPTER_ROW(FIELD(adapters)),
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
    struct lora_adapter *adapters;
    size_t n_attached;
    uint64_t hash;
    bool unpaired;
    struct dataset dataset;
    struct reference_table table;
};

static void job_free(struct job *j)
{
    for (size_t i = j->n_attached; i-- > 0;)
        lora_detach(&j->adapters[i]);
    adapters_free(j->adapters, j->n_attached);
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
    if (!code && dataset_section.loss == LOSS_ALL)
        code = error_set(e, ERR_USAGE, "dataset.loss all: a prompt is no answer, and nothing is to be learned of it; take "
                         "completions or last-turn");
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
    int code = model_load(tune_section.model, full ? WEIGHTS_F32 : WEIGHTS_MAPPED, m, &j->model.tokenizer, e);
    if (code)
        return code;
    j->hash = model_weights_hash(m);
    if (!full && tune_section.products == TUNE_INT8)
        model_use_integers(m);
    code = adapters_load(&flags.adapters, m, &j->adapters, e);
    for (size_t i = 0; i < flags.adapters.count && !code; i++) {
        lora_attach(&j->adapters[i]);
        j->hash = adapter_hash(&j->adapters[i], j->hash);
        j->n_attached++;
    }
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

static int measure(struct job *j, struct error *e)
{
    const struct train_settings *s = &train_section;
    enum dtype type = train_product_type(s);
    struct model *m = &j->model.model;
    interrupt_install();
    int code = reference_measure(m, type, &j->dataset.train, s->batch_size, s->max_seq_length, "reference", &j->table, e);
    if (!code)
        code = reference_measure(m, type, &j->dataset.validation, s->batch_size, s->max_seq_length, "reference, held out",
                                 &j->table, e);
    interrupt_restore();
    reference_table_sort(&j->table);
    if (code == ERR_INTERRUPTED)
        error_set(e, code, "interrupted: %s was not written", flags.out);
    return code;
}

static void report(const struct job *j, const struct reference_description *d)
{
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

static int write_file(const struct job *j, struct error *e)
{
    static char producer[] = "linnet " LINNET_VERSION;
    const struct reference_description d = {
        .model = tune_section.model,
        .model_hash = j->hash,
        .tokenizer_hash = tokenizer_hash(j->model.tokenizer),
        .products = (char *)reference_products(&j->model.model, train_product_type(&train_section)),
        .producer = producer,
    };
    int code = reference_file_write(flags.out, &j->table, &d, e);
    if (!code)
        report(j, &d);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct job j = {0};
    int code = check_settings(in, &j, e);
    if (!code)
        code = prepare(&j, in, e);
    if (!code)
        code = measure(&j, e);
    if (!code)
        code = write_file(&j, e);
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
