/* linnet eval export: is the exported file still the model it was made from? */
#include "cli/export_check.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

static struct {
    char *model, *exported;
    struct option_strings adapters;
    size_t rows, tokens;
    bool json;
} flags;
static struct dataset_options dataset_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "the original: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    {.key = "exported", .flag = "--exported", .type = OPTION_STRING, .offset = FIELD(exported), .placeholder = "PATH",
     .help = "what was made of it: a GGUF file or a Hugging Face directory"},
    {.key = "rows", .flag = "--rows", .type = OPTION_SIZE, .offset = FIELD(rows), .default_value = "8",
     .maximum = 1 << 20,
     .help = "rows, spread over the data, that both models predict and answer; 0 for none. Everything else is "
             "compared on all rows"},
    {.key = "tokens", .flag = "--tokens", .type = OPTION_SIZE, .offset = FIELD(tokens), .default_value = "32",
     .maximum = 1 << 16, .help = "at most so many tokens of each answer; 0 for no answers"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
};
static const char *const dataset_flags[] = {
    "paths", "text_field", "prompt_field", "completion_field", "messages_field", "chosen_field", "rejected_field",
    "label_field", "tools_field", "system_field", "chat_template", "template_date", "loss", NULL,
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "What to compare"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Dataset", .flags_of = dataset_flags},
};

/* ---- the facts ---- */

enum { ROW_TOKENS = 512 }; /* of a row that is predicted */

static int find_rows(const struct export_check_request *r, const struct chat_template *const templates[2],
                     struct export_check_facts *x, struct error *e)
{
    const struct dataset_fields fields = dataset_options_fields(r->dataset);
    const size_t context = x->sides[0].model.config.max_position_embeddings;
    struct checking c = {
        .tokenizers = {x->sides[0].tokenizer, x->sides[1].tokenizer}, .templates = {templates[0], templates[1]},
        .n_samples = r->n_rows, .sample_tokens = context && context < ROW_TOKENS ? context : ROW_TOKENS,
    };
    struct dataset_paths paths;
    int code = dataset_example_settings(r->dataset, ANSWERS_IMITATED, &fields, c.tokenizers[0], templates[0], 0,
                                        &c.settings, e);
    if (code)
        return code;
    dataset_paths_find(r->dataset, &paths);
    code = check_rows(&c, (const char *const *)paths.train.items, paths.train.count, &x->rows, e);
    dataset_paths_free(&paths);
    return code;
}

/* Of two models with vocabularies of the same size. */
static int predict(const struct export_check_request *r, struct export_check_facts *x, struct error *e)
{
    struct model *models[] = {&x->sides[0].model, &x->sides[1].model};
    const struct tokenizer *const tokenizers[] = {x->sides[0].tokenizer, x->sides[1].tokenizer};
    x->base_divergence = NAN;
    x->predicted = x->rows.n_samples > 0 && models[0]->config.vocab_size == models[1]->config.vocab_size;
    if (!x->predicted)
        return OK;
    int code = check_predictions(models, tokenizers, &x->rows, r->n_tokens, &x->predictions, e);
    if (code || !x->sides[0].n_adapters)
        return code;
    const struct option_strings no_adapters = {0};
    struct checked_predictions base;
    code = inference_use_adapters(&x->sides[0], "--adapter", &no_adapters, e);
    if (!code)
        code = check_predictions(models, tokenizers, &x->rows, 0, &base, e);
    if (!code)
        x->base_divergence = base.sums.kl / (double)base.sums.n;
    return code;
}

static int find_facts(const struct export_check_request *r, struct export_check_facts *x, struct export_findings *f,
                      struct error *e)
{
    struct dataset_template templates[2] = {{0}};
    int code = dataset_template_open(r->dataset->chat_template, x->sides[0].tokenizer, &templates[0], e);
    if (!code) {
        code = dataset_template_open(NULL, x->sides[1].tokenizer, &templates[1], e);
        if (code)
            error_prefix(e, "%s", r->exported);
    }
    x->template_name = templates[0].name;
    x->template_text = templates[0].text;
    check_vocabulary(x->sides[0].tokenizer, x->sides[1].tokenizer, &x->vocabulary);
    check_shape(&x->sides[0].model.config, &x->sides[1].model.config, &x->shape);
    if (!code)
        code = find_rows(r, (const struct chat_template *const[]){templates[0].parsed, templates[1].parsed}, x, e);
    if (!code)
        code = predict(r, x, e);
    if (!code)
        export_check_judge(x, f);
    checked_rows_free(&x->rows);
    dataset_template_free(&templates[0]);
    dataset_template_free(&templates[1]);
    return code;
}

int export_check(const struct export_check_request *r, struct export_findings *f, struct error *e)
{
    const struct option_strings none = {0};
    struct export_check_facts x = {0};
    int code = inference_load(r->model, r->adapters, true, &x.sides[0], e);
    if (code)
        return code;
    code = inference_load(r->exported, &none, true, &x.sides[1], e);
    if (!code) {
        code = find_facts(r, &x, f, e);
        inference_free(&x.sides[1]);
    }
    inference_free(&x.sides[0]);
    return code;
}

/* ---- for commands that write models ---- */

int export_check_prepare(const char *file, struct error *e)
{
    struct corpus *corpus = NULL;
    int code = file ? corpus_open_rows(&file, 1, &corpus, e) : OK;
    corpus_close(corpus);
    return code ? error_prefix(e, "--check") : OK;
}

/* The adapters under names of their own: two may lie in directories of the same name, or be one. */
static int number_adapters(const struct option_strings *words, struct option_strings *out, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < words->count && !code; i++) {
        char *path;
        float scale;
        code = adapter_split(words->items[i], &path, &scale, e);
        char *word = mem_printf("adapter-%zu:%s=%.9g", i + 1, path ? path : "", (double)scale);
        option_strings_add(out, word);
        mem_free(word);
        mem_free(path);
    }
    return code;
}

int export_check_written(const char *model, const struct option_strings *adapters, const char *exported,
                         const char *file, json_t *report, struct error *e)
{
    struct dataset_options dataset;
    struct option_section section = {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS,
                                     .object = &dataset, .help = "Dataset"};
    struct options options = {.sections = &section, .n_sections = 1};
    struct export_findings findings;
    struct option_strings numbered = {0};
    if (!file)
        return OK;
    options_init(&options);
    option_strings_add(&dataset.paths, file);
    int code = number_adapters(adapters, &numbered, e);
    if (!code)
        code = export_check(&(struct export_check_request){.model = model, .adapters = &numbered, .exported = exported,
                                                           .dataset = &dataset, .n_rows = EXPORT_CHECK_ROWS,
                                                           .n_tokens = EXPORT_CHECK_TOKENS}, &findings, e);
    if (code) {
        error_prefix(e, "--check");
    } else {
        if (report)
            json_object_set_new(report, "check", export_check_json(&findings));
        else
            export_check_print(&findings);
        code = export_check_verdict(&findings, exported, e);
        export_findings_free(&findings);
    }
    option_strings_free(&numbered);
    options_free(&options);
    return code;
}

/* ---- the command ---- */

static int run(const struct command_input *in, struct error *e)
{
    static const char *const required[][2] = {{"", "model"}, {"", "exported"}, {"dataset", "paths"}};
    struct export_findings findings;
    int code = OK;
    kernels_set_threads(in->threads);
    for (size_t i = 0; i < COUNT(required) && !code; i++)
        code = option_require(in->options, required[i][0], required[i][1], e);
    if (!code)
        code = export_check(&(struct export_check_request){.model = flags.model, .adapters = &flags.adapters,
                                                           .exported = flags.exported, .n_rows = flags.rows,
                                                           .dataset = &dataset_section, .n_tokens = flags.tokens},
                            &findings, e);
    if (code)
        return code;
    if (flags.json)
        print_json_line(export_check_json(&findings));
    else
        export_check_print(&findings);
    code = export_check_verdict(&findings, flags.exported, e);
    export_findings_free(&findings);
    return code;
}

const struct command command_eval_export = {
    .name = "eval export",
    .group = "Models",
    .summary = "is an exported file still the model it was made from?",
    .usage = "--model PATH --exported PATH --data PATH... [FLAGS]",
    .notes = "Renders and tokenises the rows that the model was trained on, as training did and as a program\n"
             "does that reads the exported file, and compares vocabulary, special tokens, BOS, how answers end,\n"
             "shape, predictions and greedy answers. A line that DIFFERS breaks the use of the file, and makes the\n"
             "exit status 1; rounding to few bits does not, unless it is far beyond what the type costs.\n"
             "docs/export-check.md explains each line.\n"
             "\n"
             "Examples:\n"
             "  linnet eval export --model runs/tuned --exported tuned.gguf --data train.jsonl\n"
             "  linnet eval export --model llama-hf --adapter tuned --exported q4.gguf --data train.jsonl\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
