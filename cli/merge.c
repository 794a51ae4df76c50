/* linnet merge: adapters into the weights of their base, as one model. */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/export_check.h"
#include "cli/inference.h"
#include "cli/model_report.h"
#include "cli/shared.h"
#include "cli/stored_qat.h"
#include "cli/tuned_run.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct {
    char *model, *type, *out, *eval, *check, *name;
    char *run; /* what the model was given as, where that is a run that trained an adapter */
    struct option_strings adapters;
    size_t max_shard_size;
    bool json, force;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "the base: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    {.key = "adapter", .flag = "--adapter", .type = OPTION_STRINGS, .offset = FIELD(adapters),
     .placeholder = "PATH[=SCALE]",
     .help = "a LoRA adapter of it: a PEFT directory or a GGUF file, times SCALE; may be repeated: all are added"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "PATH",
     .help = "a file if it ends in .gguf, else a Hugging Face directory"},
    {.key = "type", .flag = "--type", .type = OPTION_STRING, .offset = FIELD(type), .default_value = "keep",
     .placeholder = "TYPE",
     .help = "type of the merged model: keep (f32, f16 and bf16 as they are, quantised ones as f16), f32, f16, bf16, or, "
             "for a GGUF file, a mix that linnet quantize knows, in any case (q8_0, q4_k_m, ...). A run that trained with "
             "--qat becomes a GGUF file of just those blocks if nothing is asked for"},
    {.key = "eval", .flag = "--eval", .type = OPTION_STRING, .offset = FIELD(eval), .placeholder = "TEXT",
     .help = "run the base, the base with its adapters and the merged model over this .txt or .jsonl file: "
             "perplexities, KL divergence, share of equal likeliest tokens"},
    EXPORT_CHECK_ROW(FIELD(check)),
    {.key = "name", .flag = "--name", .type = OPTION_STRING, .offset = FIELD(name), .placeholder = "NAME",
     .help = "what the model is called in a GGUF file (default: the name of the path it is written to)"},
    {.key = "max_shard_size", .flag = "--max-shard-size", .type = OPTION_SIZE, .offset = FIELD(max_shard_size),
     .default_value = "5G", .placeholder = "BYTES",
     .help = "larger weights of a directory are split into files of at most this size"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* What is asked for, and what came of it. */
struct job {
    bool hf;
    const struct mix *mix;           /* NULL: a plain type */
    struct export_options options;   /* where it is plain */
    struct stored_qat trained_for;   /* what the run trained for with --qat */
    struct parsed_wishes wishes;     /* all that its types follow from, where the file gets these; else nothing */
    struct model model;
    struct tokenizer *tokenizer;
    struct lora_adapter *adapters;
    struct merge merge;
    struct corpus *texts[2];         /* the same text, for the base and for the merged model; NULL: none */
    struct export_report report;
    double seconds;
    struct divergence_sums base, merged; /* from the base with its adapters */
};

/* Whether the file gets the types that the run trained for, or others, which is said. */
static int use_trained_types(struct job *j, const struct options *all, bool *used, struct error *e)
{
    const struct type_request *types = &j->trained_for.options.types;
    const struct mix *mix, *asked = NULL;
    int code = mix_find("--qat", types->type, &mix, e);
    const bool same = !option_given(all, "", "type") || (mix_find("--type", flags.type, &asked, NULL) == OK && asked == mix);
    *used = !code && !j->hf && same;
    if (*used)
        code = type_wishes_parse(types, "--qat", "--qat-", &j->wishes, e);
    else if (!code)
        log_warn("%s was trained with --qat %s, and what is written is not the model that was trained; %s", flags.run,
                 mix->name, j->hf ? "no directory holds its blocks: name a .gguf file for --out" : "leave --type out");
    if (*used)
        j->mix = j->wishes.wishes.mix;
    if (*used && flags.adapters.count > 1)
        log_warn("%s was trained with --qat %s, but its own adapter alone: with others merged into them the blocks are not "
                 "those that were trained", flags.run, mix->name);
    if (code)
        error_prefix(e, "%s", flags.run);
    return code;
}

static bool has_trained_types(const struct job *j)
{
    return j->wishes.wishes.mix;
}

static int parse_type(struct job *j, const struct options *all, struct error *e)
{
    static const struct {
        const char *name;
        enum dtype type;
    } plain[] = {{"f32", DTYPE_F32}, {"f16", DTYPE_F16}, {"bf16", DTYPE_BF16}};
    bool used = false;
    int code = j->trained_for.options.types.type ? use_trained_types(j, all, &used, e) : OK;
    if (code || used)
        return code;
    j->options.keep_types = strcasecmp(flags.type, "keep") == 0;
    if (j->options.keep_types)
        return OK;
    for (size_t i = 0; i < COUNT(plain); i++)
        if (strcasecmp(flags.type, plain[i].name) == 0) {
            j->options.type = plain[i].type;
            return OK;
        }
    code = mix_find("--type", flags.type, &j->mix, e);
    if (!code && j->hf)
        return error_set(e, ERR_USAGE,
                         "--type %s: a Hugging Face directory holds keep, f32, f16 or bf16; name a .gguf file for --out, or "
                         "another type", flags.type);
    return code;
}

/* The run's own, the last one, came with it. */
static bool path_is_given(size_t adapter)
{
    return !flags.run || adapter + 1 < flags.adapters.count;
}

static int check_paths(const struct job *j, struct error *e)
{
    int code = check_not_itself(flags.out, flags.model, "the model", e);
    for (size_t i = 0; i < flags.adapters.count && !code; i++) {
        char *path;
        float scale;
        code = adapter_split(flags.adapters.items[i], &path, &scale, e);
        if (!code)
            code = check_not_itself(flags.out, path, "the adapter", e);
        if (!code && path_is_given(i))
            tuned_run_warn_of_qat(path);
        mem_free(path);
    }
    if (!code)
        code = export_check_target(flags.out, j->hf, flags.force, e);
    return code ? code : check_not_a_run(flags.out, e);
}

/* What the base's blocks become is said where it is not what the file had. */
static void note_quantised_base(const struct job *j)
{
    if (has_trained_types(j))
        log_info("the types that %s was trained for: %s", flags.run, j->mix->name);
    for (size_t i = 0; i < j->model.n_params && !has_trained_types(j); i++) {
        const struct param *p = &j->model.params[i];
        if (dtype_info(p->type)->block == 1)
            continue;
        if (j->mix)
            log_info("the base is quantised already (%s is %s): what it lost by that stays lost, and blocks of other types "
                     "than the file's, or with something merged into them, are rounded once more", p->name,
                     dtype_info(p->type)->name);
        else if (j->options.keep_types)
            log_info("the base is quantised (%s is %s), the merged model f16; --type makes it smaller again", p->name,
                     dtype_info(p->type)->name);
        return;
    }
}

static int write_plain(struct job *j, struct error *e)
{
    struct progress progress;
    progress_start(&progress, "merge", (double)j->model.n_weights);
    j->options.progress = &progress;
    int code = j->hf ? export_hf(&j->model, j->tokenizer, &j->options, flags.out, e)
                     : export_gguf(&j->model, j->tokenizer, &j->options, flags.out, e);
    if (!code)
        progress_finish(&progress, "");
    return code;
}

static int write_model(struct job *j, struct error *e)
{
    const double start = clock_seconds();
    char *name = name_from_path(flags.name ? flags.name : flags.out);
    const struct type_wishes of_mix = {.mix = j->mix, .output_type = NO_TYPE, .embedding_type = NO_TYPE};
    const struct quantize_options quantised = {.types = has_trained_types(j) ? j->wishes.wishes : of_mix,
                                               .requantize = true, .name = name, .merge = &j->merge};
    j->merge.adapters = j->adapters;
    j->merge.n_adapters = flags.adapters.count;
    j->options.name = name;
    j->options.force = flags.force;
    j->options.max_shard_bytes = flags.max_shard_size;
    j->options.merge = &j->merge;
    j->options.report = &j->report;
    note_quantised_base(j);
    if (merge_unties(&j->merge, &j->model))
        log_info("an adapter of the output layer, which was the embedding: the merged model has both");
    int code = j->mix ? quantize_model(&j->model, j->tokenizer, &quantised, flags.out, &j->report, e) : write_plain(j, e);
    mem_free(name);
    j->seconds = clock_seconds() - start;
    return code;
}

/* --- predictions --- */

/* How far the model at `path` is from the base with its adapters, which are attached. */
static int compare_with(struct job *j, const char *path, struct corpus *text, struct divergence_sums *sums,
                        struct error *e)
{
    struct model other = {0};
    int code = model_load(path, WEIGHTS_MAPPED, &other, NULL, e);
    if (code)
        return code;
    code = compare_models(&j->model, &other, j->tokenizer, text, sums, e);
    model_free(&other);
    return code;
}

/* Where the run trained with --qat, and its own adapter is all that is merged, the base with its adapter is what it trained:
 * rounded. */
static int compare(struct job *j, struct error *e)
{
    int code = OK;
    if (has_trained_types(j) && flags.adapters.count == 1)
        code = stored_qat_attach(&j->trained_for, &j->model, &j->adapters[0], false, e);
    if (!code)
        code = compare_with(j, flags.model, j->texts[0], &j->base, e);
    if (!code)
        code = compare_with(j, flags.out, j->texts[1], &j->merged, e);
    return code;
}

/* --- the report --- */

static const char *type_name(const struct job *j)
{
    return j->mix ? j->mix->name : dtype_info(export_type(&j->model, &j->options))->name;
}

static json_t *matrix_json(const struct merged_matrix *x)
{
    return json_pack("{s:f, s:f, s:f}", "delta", merged_size(x), "kept", merged_kept(x), "noise", merged_noise(x));
}

static json_t *compared_json(const struct divergence_sums *s)
{
    return json_pack("{s:f, s:f, s:f}", "perplexity", compared_perplexity(s, 1), "kl_divergence", s->kl / (double)s->n,
                     "same_top", (double)s->same_top / (double)s->n);
}

static json_t *report_json(const struct job *j)
{
    const struct merged_matrix total = merge_total(&j->merge);
    json_t *root = export_report_json(flags.out, type_name(j), &j->report, j->seconds);
    json_t *adapters = json_array(), *matrices = json_array();
    size_t n_erased;
    for (size_t i = 0; i < flags.adapters.count; i++)
        json_array_append_new(adapters, json_string(flags.adapters.items[i]));
    for (size_t i = 0; i < j->merge.n_matrices; i++) {
        const struct merged_matrix *x = &j->merge.matrices[i];
        json_t *numbers = matrix_json(x), *item = json_pack("{s:s, s:s}", "name", x->name, "type",
                                                            dtype_info(x->type)->name);
        json_object_update(item, numbers);
        json_decref(numbers);
        json_array_append_new(matrices, item);
    }
    json_object_set_new(root, "adapters", adapters);
    json_object_set_new(root, "merged", matrix_json(&total));
    json_object_set_new(root, "outcome", json_string(merge_verdict_name(merge_outcome(&j->merge, &n_erased))));
    json_object_set_new(root, "erased", json_integer((json_int_t)n_erased));
    json_object_set_new(root, "matrices", matrices);
    if (j->texts[0]) {
        json_t *eval = json_pack("{s:I, s:o, s:o, s:o}", "tokens", (json_int_t)j->merged.n, "base",
                                 compared_json(&j->base), "adapted",
                                 json_pack("{s:f}", "perplexity", compared_perplexity(&j->merged, 0)), "merged",
                                 compared_json(&j->merged));
        json_object_set_new(root, "eval", eval);
    }
    return root;
}

static int by_survival(const void *a, const void *b)
{
    const struct merged_matrix *x = a, *y = b;
    const enum merge_verdict first = merge_judge(x), second = merge_judge(y);
    if (first != second)
        return first > second ? -1 : 1;
    const double p = first == MERGE_ERASED ? merged_kept(x) : -merged_noise(x),
                 q = first == MERGE_ERASED ? merged_kept(y) : -merged_noise(y);
    return p < q ? -1 : p > q ? 1 : strcmp(x->name, y->name);
}

enum { WORST = 5 };

static void print_matrix(int width, const char *name, const char *type, const struct merged_matrix *x)
{
    printf("%-*s %7s %9.2g %8.3f %8.2f\n", width, name, type, merged_size(x), merged_kept(x), merged_noise(x));
}

static void print_matrices(const struct merge *g)
{
    struct merged_matrix *sorted = mem_alloc(g->n_matrices + 1, sizeof *sorted);
    const struct merged_matrix total = merge_total(g);
    const size_t n = g->n_matrices < WORST ? g->n_matrices : WORST;
    memcpy(sorted, g->matrices, g->n_matrices * sizeof *sorted);
    qsort(sorted, g->n_matrices, sizeof *sorted, by_survival);
    int width = 32;
    for (size_t i = 0; i < n; i++)
        width = (int)strlen(sorted[i].name) > width ? (int)strlen(sorted[i].name) : width;
    printf("\n%-*s %7s %9s %8s %8s\n", width, "merged into", "type", "delta", "kept", "noise");
    for (size_t i = 0; i < n; i++)
        print_matrix(width, sorted[i].name, dtype_info(sorted[i].type)->name, &sorted[i]);
    char all[64];
    snprintf(all, sizeof all, "all %zu", g->n_matrices);
    print_matrix(width, all, "", &total);
    mem_free(sorted);
}

static void print_compared(const char *name, const struct divergence_sums *s)
{
    printf("%-16s %11.4f %14.6f %15.2f%%\n", name, compared_perplexity(s, 1), s->kl / (double)s->n,
           100 * (double)s->same_top / (double)s->n);
}

static void print_report(const struct job *j)
{
    print_export_report(&j->report, j->seconds);
    print_matrices(&j->merge);
    if (!j->texts[0])
        return;
    char title[64];
    snprintf(title, sizeof title, "%zu tokens", j->merged.n);
    printf("\n%-16s %11s %14s %16s\n", title, "perplexity", "KL divergence", "same top token");
    print_compared("base alone", &j->base);
    printf("%-16s %11.4f\n", "with adapters", compared_perplexity(&j->merged, 0));
    print_compared("merged", &j->merged);
}

/* Whether an adapter that is merged holds modules in full, which are no deltas. */
static bool holds_whole(const struct job *j)
{
    for (size_t i = 0; i < flags.adapters.count; i++)
        if (j->adapters[i].attached && j->adapters[i].n_wholes > 0)
            return true;
    return false;
}

static void warn(const struct job *j)
{
    const struct merged_matrix total = merge_total(&j->merge);
    size_t erased;
    const enum merge_verdict outcome = merge_outcome(&j->merge, &erased);
    if (total.delta == 0 && !holds_whole(j))
        log_warn("the adapters change nothing: their scale, or what they add to every matrix, is 0");
    else if (has_trained_types(j))
        return; /* the training has seen what becomes of what it adds */
    else if (outcome == MERGE_ERASED)
        log_warn("rounding to the file's types erases part of what the adapters add: in %zu of %zu matrices less than %g "
                 "of it is kept; choose a larger --type, or keep the adapter as a file (--adapter)", erased,
                 j->merge.n_matrices, MERGE_KEPT);
    else if (outcome == MERGE_DROWNED)
        log_warn("rounding to the file's types changes the model more than the adapters do: its noise is %.1f times what they "
                 "add; choose a larger --type, or keep the adapter as a file (--adapter); --eval measures it",
                 merged_noise(&total));
}

static int print_and_check(const struct job *j, struct error *e)
{
    struct option_strings adapters = flags.adapters;
    json_t *root = flags.json ? report_json(j) : NULL;
    warn(j);
    if (!root)
        print_report(j);
    if (!root && flags.check)
        putchar('\n');
    adapters.count -= flags.run != NULL; /* the run's own, the last one, comes with it */
    int code = export_check_written(flags.run ? flags.run : flags.model, &adapters, flags.out, flags.check, root, e);
    if (root)
        print_json_line(root);
    return code;
}

static int run_job(struct job *j, struct error *e)
{
    int code = model_load(flags.model, WEIGHTS_MAPPED, &j->model, &j->tokenizer, e);
    if (code)
        return code;
    if (flags.run)
        code = tuned_run_template(flags.run, j->tokenizer, e);
    if (!code)
        code = adapters_load(&flags.adapters, &j->model, &j->adapters, e);
    for (size_t i = 0; i < flags.adapters.count && !code; i++)
        if (j->adapters[i].strength != 0)
            lora_attach(&j->adapters[i]); /* with what they hold whole */
    if (!code)
        code = write_model(j, e);
    if (!code && j->texts[0])
        code = compare(j, e);
    stored_qat_free(&j->trained_for);
    for (size_t i = flags.adapters.count; i-- > 0 && j->adapters;)
        if (j->adapters[i].attached)
            lora_detach(&j->adapters[i]);
    if (!code)
        code = print_and_check(j, e);
    if (j->adapters)
        adapters_free(j->adapters, flags.adapters.count);
    merge_free(&j->merge);
    model_free(&j->model);
    tokenizer_free(j->tokenizer);
    return code;
}

/* A run that trained an adapter is its base and the adapter. */
static void split_run(void)
{
    char *base = flags.model ? tuned_run_base(flags.model) : NULL;
    if (!base)
        return;
    option_strings_add(&flags.adapters, flags.model);
    flags.run = flags.model;
    flags.model = base;
}

static int run(const struct command_input *in, struct error *e)
{
    static const char *const required[] = {"model", "out", "adapter"};
    struct job j = {0};
    int code = OK;
    kernels_set_threads(in->threads);
    split_run();
    for (size_t i = 0; i < COUNT(required) - (flags.adapters.count > 0) && !code; i++)
        code = option_require(in->options, "", required[i], e);
    j.hf = flags.out && !path_has_suffix(flags.out, ".gguf");
    if (!code && flags.run)
        code = stored_qat_read(&j.trained_for, flags.run, e);
    if (!code)
        code = parse_type(&j, in->options, e);
    if (!code) /* before a large model is read in vain */
        code = check_paths(&j, e);
    if (!code)
        code = export_check_prepare(flags.check, e);
    for (size_t i = 0; i < COUNT(j.texts) && flags.eval && !code; i++)
        code = corpus_open((const char *const *)&flags.eval, 1, "text", &j.texts[i], e);
    if (!code)
        code = run_job(&j, e);
    for (size_t i = 0; i < COUNT(j.texts); i++)
        corpus_close(j.texts[i]);
    type_wishes_free(&j.wishes);
    stored_qat_free(&j.trained_for);
    return code;
}

const struct command command_merge = {
    .name = "merge",
    .group = "Models",
    .summary = "put LoRA adapters into the weights of their base model",
    .usage = "--model PATH --adapter PATH[=SCALE]... --out PATH [FLAGS]",
    .notes = "The report says, for the matrices that fare worst and for all: how large what the adapters add is beside the\n"
             "weights (delta), how much of it the file's types keep (kept, 1 is all), and what rounding moves beside it, as "
             "a\nmultiple of it (noise). docs/adapters.md explains them.\n"
             "\n"
             "Examples:\n"
             "  linnet merge --model llama-hf --adapter tuned --out merged-hf\n"
             "  linnet merge --model llama.gguf --adapter tuned --type Q4_K_M --out q4.gguf\n"
             "  linnet merge --model llama-hf --adapter style=0.7 --adapter facts --out both.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
