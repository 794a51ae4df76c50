/* linnet prune */
#include "export/prune.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/chunks.h"
#include "cli/command.h"
#include "cli/model_report.h"
#include "cli/shared.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <math.h>
#include <string.h>

static const char *const type_names[] = {"f32", "f16", "bf16", NULL};
static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

static struct {
    char *model, *out, *text_field, *name;
    struct option_strings data;
    struct option_numbers keep_layers;
    size_t layers, heads, kv_heads, channels, max_tokens, max_seq_length, max_shard_size;
    int type;
    bool dry_run, json, force;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file, in any type"},
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(data), .placeholder = "PATH...",
     .help = "text that importance is measured on: .txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "PATH",
     .help = "a file if it ends in .gguf, else a Hugging Face directory"},
    {.key = "layers", .flag = "--layers", .type = OPTION_SIZE, .offset = FIELD(layers), .minimum = 1, .maximum = 512,
     .help = "layers that stay"},
    {.key = "keep_layers", .flag = "--keep-layers", .type = OPTION_NUMBERS, .offset = FIELD(keep_layers), .minimum = 0,
     .maximum = 511, .placeholder = "N...", .help = "these layers stay, counted from 0, whatever their influence"},
    {.key = "heads", .flag = "--heads", .type = OPTION_SIZE, .offset = FIELD(heads), .minimum = 1, .maximum = 4096,
     .help = "query heads that stay in each layer, as many for each key/value head"},
    {.key = "kv_heads", .flag = "--kv-heads", .type = OPTION_SIZE, .offset = FIELD(kv_heads), .minimum = 1,
     .maximum = 4096, .help = "key/value heads that stay in each layer, with the query heads that share them"},
    {.key = "intermediate_size", .flag = "--intermediate-size", .type = OPTION_SIZE, .offset = FIELD(channels),
     .minimum = 1, .maximum = 1 << 20, .help = "feed-forward channels that stay in each layer, or in each expert"},
    {.key = "max_tokens", .flag = "--max-tokens", .type = OPTION_SIZE, .offset = FIELD(max_tokens),
     .default_value = "32768", .minimum = 1, .maximum = 1e12, .help = "of the text, at most"},
    {.key = "max_seq_length", .flag = "--max-seq-length", .type = OPTION_SIZE, .offset = FIELD(max_seq_length),
     .maximum = 1 << 24, .help = "tokens of one chunk (default: 512, or the model's context where that is less)"},
    {.key = "text_field", .flag = "--text-field", .type = OPTION_STRING, .offset = FIELD(text_field),
     .default_value = "text", .placeholder = "NAME", .help = "the .jsonl member to read"},
    {.key = "dtype", .flag = "--dtype", .type = OPTION_ENUM, .offset = FIELD(type), .choices = type_names,
     .default_value = "f32", .help = "type of the weights in the file. Norms in a GGUF file are always f32"},
    {.key = "name", .flag = "--name", .type = OPTION_STRING, .offset = FIELD(name), .placeholder = "NAME",
     .help = "what the model is called in a GGUF file (default: the name of the path it is written to)"},
    {.key = "max_shard_size", .flag = "--max-shard-size", .type = OPTION_SIZE, .offset = FIELD(max_shard_size),
     .default_value = "5G", .placeholder = "BYTES",
     .help = "larger weights of a directory are split into files of at most this size"},
    {.key = "dry_run", .flag = "--dry-run", .type = OPTION_BOOL, .offset = FIELD(dry_run),
     .help = "measure and print what would go, and write nothing"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

struct job {
    bool hf;
    struct model model, pruned;
    struct tokenizer *tokenizer;
    size_t context;               /* tokens of a chunk */
    struct tokens text;           /* whole chunks */
    size_t keep_layers[OPTION_MOST_NUMBERS];
    struct prune_target target;
    struct prune_importance importance;
    struct prune_plan plan;
    struct score before, after;   /* of the second half of each chunk */
    double seconds;
};

/* --- what is asked for --- */

static int read_target(struct job *j, struct error *e)
{
    j->target = (struct prune_target){flags.layers, flags.heads, flags.kv_heads, flags.channels, NULL};
    const size_t n = flags.keep_layers.count;
    if (n == 0)
        return OK;
    if (flags.layers && flags.layers != n)
        return error_set(e, ERR_USAGE, "--layers %zu: --keep-layers names %zu; one of the two is enough", flags.layers, n);
    for (size_t i = 0; i < n; i++) {
        const double x = flags.keep_layers.items[i];
        if (x != floor(x))
            return error_set(e, ERR_USAGE, "--keep-layers: %g is no number of a layer", x);
        j->keep_layers[i] = (size_t)x;
    }
    j->target.layers = n;
    j->target.keep_layers = j->keep_layers;
    return OK;
}

static int check_flags(struct job *j, const struct command_input *in, struct error *e)
{
    static const char *const required[] = {"model", "data", "out"};
    int code = OK;
    for (size_t i = 0; i < COUNT(required) - flags.dry_run && !code; i++)
        code = option_require(in->options, "", required[i], e);
    if (!code)
        code = read_target(j, e);
    if (!code && !(j->target.layers || j->target.heads || j->target.kv_heads || j->target.channels))
        code = error_set(e, ERR_USAGE, "nothing is to go: say what stays with --layers, --keep-layers, --heads, --kv-heads "
                                       "or --intermediate-size");
    if (code || flags.dry_run)
        return code;
    j->hf = !path_has_suffix(flags.out, ".gguf");
    code = check_not_itself(flags.out, flags.model, "the model", e);
    if (!code)
        code = export_check_target(flags.out, j->hf, flags.force, e);
    return code ? code : check_not_a_run(flags.out, e);
}

/* --- the text --- */

static int choose_context(struct job *j, struct error *e)
{
    int code = choose_chunk(&j->model.config, flags.max_seq_length, "--max-seq-length", &j->context, e);
    if (!code && j->context > flags.max_tokens)
        code = error_set(e, ERR_USAGE, "--max-tokens %zu: less than one chunk of %zu; give more, or a smaller "
                         "--max-seq-length", flags.max_tokens, j->context);
    return code;
}

static int read_text(struct job *j, struct error *e)
{
    const struct chunk_options o = {.paths = &flags.data, .text_field = flags.text_field, .context = j->context,
                                    .most = flags.max_tokens, .paths_flag = "--data", .context_flag = "--max-seq-length"};
    return read_chunks(&o, j->tokenizer, &j->text, e);
}

/* --- measuring --- */

static int run_chunks(struct job *j, struct importance *im, const char *label, struct error *e)
{
    struct progress progress;
    int code = OK;
    progress_start(&progress, label, (double)j->text.count);
    for (size_t i = 0; i < j->text.count && !code; i += j->context) {
        char detail[64] = "";
        code = importance_add(im, j->text.ids + i, e);
        if (im->n_chunks)
            snprintf(detail, sizeof detail, "perplexity %.2f", score_perplexity(&im->score));
        progress_update(&progress, (double)im->n_tokens, detail);
    }
    if (!code)
        code = importance_finish(im, e);
    if (!code) {
        progress_update(&progress, (double)im->n_tokens, "");
        progress_finish(&progress, "");
    }
    return code;
}

/* Runs the text through the model. importance: what it says of the model's parts; NULL: nobody asks. */
static int measure(struct job *j, struct model *m, const char *label, struct prune_importance *importance,
                   struct score *score, struct error *e)
{
    struct importance im;
    struct importance_options o = {.context = j->context, .n_rows = j->context < 2048 ? 2048 / j->context : 1,
                                   .similarity = importance != NULL};
    if (o.n_rows > j->text.count / j->context)
        o.n_rows = j->text.count / j->context;
    int code = importance_init(&im, m, &o, e);
    if (code)
        return code;
    code = run_chunks(j, &im, label, e);
    *score = im.score;
    if (!code && importance)
        prune_importance_collect(importance, &im);
    importance_free(&im);
    return code;
}

/* --- the report --- */

static size_t pruned_weights(const struct job *j)
{
    struct model m;
    struct error e;
    size_t n = 0;
    if (model_init(&m, &j->plan.config, &e) == OK)
        n = m.n_weights;
    model_free(&m);
    return n;
}

/* NULL: it goes. */
static const struct prune_layer *find_layer(const struct job *j, size_t layer)
{
    for (size_t i = 0; i < j->plan.config.num_hidden_layers; i++)
        if (j->plan.layers[i].layer == layer)
            return &j->plan.layers[i];
    return NULL;
}

static bool is_among(size_t x, const size_t *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i] == x)
            return true;
    return false;
}

/* Of the layer's sum; 0 where that is. */
static double head_share(const struct job *j, size_t layer, size_t head)
{
    const double *heads = j->importance.layers[layer].heads;
    double sum = 0;
    for (size_t i = 0; i < j->model.layers[layer].shape.n_heads; i++)
        sum += heads[i];
    return sum > 0 ? heads[head] / sum : 0;
}

static json_t *indices_json(const size_t *items, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer((json_int_t)items[i]));
    return list;
}

static json_t *layer_json(const struct job *j, size_t layer)
{
    const struct prune_layer *l = find_layer(j, layer);
    json_t *shares = json_array(), *root = json_pack("{s:f, s:b}", "influence", j->importance.influence[layer], "stays",
                                                     l != NULL);
    for (size_t i = 0; i < j->model.layers[layer].shape.n_heads; i++)
        json_array_append_new(shares, json_real(head_share(j, layer, i)));
    json_object_set_new(root, "head_shares", shares);
    if (!l)
        return root;
    const struct layer_shape shape = model_layer_shape(&j->plan.config, (size_t)(l - j->plan.layers));
    json_object_set_new(root, "heads", indices_json(l->heads, shape.n_heads));
    json_object_set_new(root, "kv_heads", indices_json(l->kv_heads, shape.n_kv_heads));
    json_object_set_new(root, "heads_lost", json_real(l->heads_lost));
    json_object_set_new(root, "channels_lost", json_real(l->channels_lost));
    return root;
}

/* The numbers of a shape, before and after. */
struct number {
    const char *key, *title;
    size_t before, after;
};
enum { N_NUMBERS = 5 };

static void list_numbers(const struct job *j, struct number list[N_NUMBERS])
{
    const struct model_config *from = &j->model.config, *to = &j->plan.config;
    const struct number numbers[N_NUMBERS] = {
        {"layers", "layers", from->num_hidden_layers, to->num_hidden_layers},
        {"heads", "heads", from->num_attention_heads, to->num_attention_heads},
        {"kv_heads", "key/value heads", from->num_key_value_heads, to->num_key_value_heads},
        {"intermediate_size", "channels", prune_channels(from, from->num_hidden_layers - 1),
         prune_channels(to, to->num_hidden_layers - 1)},
        {"parameters", "parameters", j->model.n_weights, pruned_weights(j)},
    };
    memcpy(list, numbers, sizeof numbers);
}

static void print_report_json(const struct job *j)
{
    struct number numbers[N_NUMBERS];
    json_t *root = json_object(), *layers = json_array();
    json_object_set_new(root, "out", flags.dry_run ? json_null() : json_string(flags.out));
    json_object_set_new(root, "dtype", json_string(type_names[flags.type]));
    list_numbers(j, numbers);
    for (size_t i = 0; i < N_NUMBERS; i++)
        json_object_set_new(root, numbers[i].key, json_pack("[I, I]", (json_int_t)numbers[i].before,
                                                            (json_int_t)numbers[i].after));
    json_object_set_new(root, "tokens", json_integer((json_int_t)j->text.count));
    json_object_set_new(root, "perplexity", json_pack("[f, o]", score_perplexity(&j->before),
                                                      flags.dry_run ? json_null()
                                                                    : json_real(score_perplexity(&j->after))));
    for (size_t i = 0; i < j->model.config.num_hidden_layers; i++)
        json_array_append_new(layers, layer_json(j, i));
    json_object_set_new(root, "per_layer", layers);
    json_object_set_new(root, "seconds", json_real(j->seconds));
    print_json_line(root);
}

static void print_layers(const struct job *j)
{
    printf("layer  influence  becomes  heads lost  channels lost\n");
    for (size_t i = 0; i < j->model.config.num_hidden_layers; i++) {
        const struct prune_layer *l = find_layer(j, i);
        printf("%5zu  %9.5f", i, j->importance.influence[i]);
        if (l)
            printf("  %7zu  %9.2f%%  %12.2f%%\n", (size_t)(l - j->plan.layers), 100 * l->heads_lost,
                   100 * l->channels_lost);
        else
            printf("     goes\n");
    }
}

/* Where heads go. */
static void print_heads(const struct job *j)
{
    const struct model_config *to = &j->plan.config;
    if (j->target.heads == j->model.config.num_attention_heads)
        return;
    printf("\nlayer  heads, in %% of their layer's squares; [those] go\n");
    for (size_t i = 0; i < to->num_hidden_layers; i++) {
        const struct prune_layer *l = &j->plan.layers[i];
        printf("%5zu ", l->layer);
        for (size_t k = 0; k < j->model.config.num_attention_heads; k++) {
            const bool stays = is_among(k, l->heads, to->num_attention_heads);
            printf(" %s%.1f%s", stays ? " " : "[", 100 * head_share(j, l->layer, k), stays ? "" : "]");
        }
        printf("\n");
    }
}

static void print_report(const struct job *j)
{
    struct number numbers[N_NUMBERS];
    print_layers(j);
    print_heads(j);
    printf("\n");
    list_numbers(j, numbers);
    for (size_t i = 0; i < N_NUMBERS; i++)
        printf("%-16s %zu -> %zu\n", numbers[i].title, numbers[i].before, numbers[i].after);
    printf("perplexity       %.4f", score_perplexity(&j->before));
    if (!flags.dry_run)
        printf(" -> %.4f", score_perplexity(&j->after));
    printf("\ntokens           %zu\nseconds          %.2f\n", j->text.count, j->seconds);
}

/* --- pruning --- */

/* What is about to happen, before it takes its time. */
static void announce(const struct job *j)
{
    const struct model_config *c = &j->model.config;
    const struct prune_target *t = &j->target;
    char count[32];
    log_info("%s parameters; of %zu layers %zu stay, of %zu heads %zu, of %zu key/value heads %zu, of %zu channels %zu",
             format_count((double)j->model.n_weights, count), c->num_hidden_layers, t->layers, c->num_attention_heads,
             t->heads, c->num_key_value_heads, t->kv_heads, prune_channels(c, c->num_hidden_layers - 1), t->channels);
}

static int write_pruned(struct job *j, struct error *e)
{
    char *name = name_from_path(flags.name ? flags.name : flags.out);
    struct progress progress;
    const struct export_options o = {.type = types[flags.type], .name = name, .force = flags.force,
                                     .max_shard_bytes = flags.max_shard_size, .progress = &progress};
    progress_start(&progress, "write", (double)j->pruned.n_weights);
    int code = j->hf ? export_hf(&j->pruned, j->tokenizer, &o, flags.out, e)
                     : export_gguf(&j->pruned, j->tokenizer, &o, flags.out, e);
    if (!code)
        progress_finish(&progress, "");
    mem_free(name);
    return code;
}

static int choose(struct job *j, struct error *e)
{
    int code = measure(j, &j->model, "measure", &j->importance, &j->before, e);
    if (code)
        return code;
    if (j->importance.n_unseen && prune_channels(&j->model.config, 0) > j->target.channels)
        log_warn("%zu experts got no token: which of their channels stay is chance; more text helps",
                 j->importance.n_unseen);
    prune_plan_init(&j->plan, &j->model.config, &j->target, &j->importance);
    return OK;
}

static int run_job(struct job *j, struct error *e)
{
    const double start = clock_seconds();
    int code = model_load(flags.model, WEIGHTS_MAPPED, &j->model, &j->tokenizer, e);
    if (!code)
        code = prune_target_check(&j->target, &j->model.config, e);
    if (!code)
        code = choose_context(j, e);
    if (!code)
        code = read_text(j, e);
    if (!code) {
        announce(j);
        code = choose(j, e);
    }
    if (!code && !flags.dry_run) {
        code = prune_model(&j->plan, &j->model, &j->pruned, e);
        if (!code)
            code = measure(j, &j->pruned, "measure again", NULL, &j->after, e);
        if (!code)
            code = write_pruned(j, e);
    }
    j->seconds = clock_seconds() - start;
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct job j = {0};
    kernels_set_threads(in->threads);
    int code = check_flags(&j, in, e);
    if (!code)
        code = run_job(&j, e);
    if (!code && flags.json)
        print_report_json(&j);
    else if (!code)
        print_report(&j);
    prune_plan_free(&j.plan);
    prune_importance_free(&j.importance);
    tokens_free(&j.text);
    model_free(&j.pruned);
    model_free(&j.model);
    tokenizer_free(j.tokenizer);
    return code;
}

const struct command command_prune = {
    .name = "prune",
    .group = "Models",
    .summary = "keep the most important layers, heads and channels of a model",
    .usage = "--model PATH --data PATH... --out PATH [FLAGS]",
    .notes = "Text runs through the model; layers that turn the residual stream least, heads and channels that give least to\n"
             "it go. A pruned model predicts badly until it has learned again: distil into it from the whole one.\n"
             "docs/pruning.md explains the table. Perplexities are of the second half of each chunk of the same text.\n"
             "\n"
             "Examples:\n"
             "  linnet prune --model big --data text.txt --layers 12 --dry-run\n"
             "  linnet prune --model big.gguf --data text.txt --kv-heads 2 --out small\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
