/* linnet sensitivity */
#include "cli/sensitivity.h"

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "export/weights.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <string.h>

enum { GROUP_TENSOR, GROUP_LAYER };
static const char *const group_names[] = {"tensor", "layer", NULL};

static struct {
    char *model, *out, *text_field, *imatrix;
    struct option_strings data, types;
    size_t context, chunks;
    double budget;
    int group;
    bool force, json;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file, not yet quantised"},
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(data), .placeholder = "PATH...",
     .help = ".txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "text_field", .flag = "--text-field", .type = OPTION_STRING, .offset = FIELD(text_field),
     .default_value = "text", .placeholder = "NAME", .help = "the .jsonl member to read"},
    {.key = "types", .flag = "--types", .type = OPTION_STRINGS, .offset = FIELD(types), .placeholder = "TYPE...",
     .help = "types to try, with commas or blanks between (default: q2_k, q3_k, q4_k, q5_k, q6_k where 256 divides the "
             "width, else iq4_nl, q5_0, q5_1, q8_0)"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context), .maximum = 1 << 24,
     .help = "tokens of one chunk (default: 512, or the model's context where that is less)"},
    {.key = "chunks", .flag = "--chunks", .type = OPTION_SIZE, .offset = FIELD(chunks), .default_value = "32",
     .maximum = 1 << 24, .help = "stop after so many; 0: at the end of the text"},
    {.key = "group", .flag = "--group", .type = OPTION_ENUM, .offset = FIELD(group), .choices = group_names,
     .help = "round one tensor of the GGUF file at a time, or all of a layer together"},
    {.key = "imatrix", .flag = "--imatrix", .type = OPTION_STRING, .offset = FIELD(imatrix), .placeholder = "FILE",
     .help = "an importance matrix of this model, from linnet imatrix: as in linnet quantize"},
    {.key = "budget", .flag = "--budget", .type = OPTION_FLOAT, .offset = FIELD(budget), .minimum = 0, .maximum = 64,
     .placeholder = "BITS", .help = "choose a type for each, of at most so many bits a weight over all of them"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "FILE",
     .help = "write what --budget chose, for --tensor-type @FILE"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* --- types --- */

struct type_list {
    enum dtype items[DTYPE_MOST];
    size_t n;
};

static int add_type(struct type_list *l, const char *name, struct error *e)
{
    enum dtype type;
    int code = quantize_type_parse("--types", name, &type, e);
    for (size_t i = 0; i < l->n && !code; i++)
        if (l->items[i] == type)
            code = error_set(e, ERR_USAGE, "--types: %s is there twice", dtype_info(type)->name);
    if (!code)
        l->items[l->n++] = type; /* each of the table once: there is room */
    return code;
}

static int parse_types(struct type_list *l, struct error *e)
{
    int code = OK;
    *l = (struct type_list){0};
    for (size_t i = 0; i < flags.types.count && !code; i++)
        for (const char *at = flags.types.items[i]; at && !code;) {
            const char *comma = strchr(at, ',');
            char *name = comma ? mem_string_n(at, (size_t)(comma - at)) : mem_string(at);
            code = add_type(l, name, e);
            mem_free(name);
            at = comma ? comma + 1 : NULL;
        }
    return code;
}

static void default_types(struct type_list *l, const struct model *m)
{
    static const enum dtype wide[] = {DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
    static const enum dtype narrow[] = {DTYPE_IQ4_NL, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0};
    const bool fits = m->config.hidden_size % 256 == 0;
    if (l->n > 0)
        return;
    l->n = fits ? COUNT(wide) : COUNT(narrow);
    memcpy(l->items, fits ? wide : narrow, l->n * sizeof *l->items);
}

/* --- text --- */

/* Chunks of context tokens and the one that follows, one after another. */
struct chunks {
    size_t context, n;
    int32_t *ids; /* (n, context + 1) */
};

static bool begins_with_bos(const struct tokenizer *t)
{
    return tokenizer_adds_bos(t) && tokenizer_bos(t) != TOKEN_NONE;
}

static bool has_enough(const struct chunks *c, const struct tokens *tokens)
{
    return flags.chunks && tokens->count > flags.chunks * c->context;
}

enum { PIECE_BYTES = 1 << 16 };

static int read_tokens(const struct chunks *c, const struct tokenizer *t, struct tokens *tokens, struct error *e)
{
    struct corpus *corpus = NULL;
    struct corpus_chunk text = {0};
    bool inside = false; /* a text that came in pieces */
    int code = corpus_open((const char *const *)flags.data.items, flags.data.count, flags.text_field, &corpus, e);
    if (code)
        return code;
    if (!tokenizer_cuts_safely(t))
        corpus_keep_whole(corpus);
    while (!has_enough(c, tokens) && !(code = corpus_next(corpus, PIECE_BYTES, &text, e)) && text.n > 0)
        for (size_t i = 0; i < text.n && !has_enough(c, tokens); i++) {
            if (!inside && begins_with_bos(t))
                tokens_push(tokens, tokenizer_bos(t));
            tokenizer_encode(t, text.text.data + text.offsets[i], text.offsets[i + 1] - text.offsets[i], false, tokens);
            inside = text.continues[i];
        }
    corpus_chunk_free(&text);
    corpus_close(corpus);
    return code;
}

/* The first token of each gives way to BOS, where the model expects one. */
static void cut_chunks(struct chunks *c, const struct tokenizer *t, const struct tokens *tokens)
{
    c->ids = mem_alloc(c->n * (c->context + 1), sizeof *c->ids);
    for (size_t i = 0; i < c->n; i++) {
        int32_t *to = c->ids + i * (c->context + 1);
        memcpy(to, tokens->ids + i * c->context, (c->context + 1) * sizeof *to);
        if (begins_with_bos(t))
            to[0] = tokenizer_bos(t);
    }
}

static int read_chunks(const struct model *m, const struct tokenizer *t, struct chunks *c, struct error *e)
{
    const size_t trained = m->config.max_position_embeddings;
    struct tokens tokens = {0};
    *c = (struct chunks){.context = flags.context};
    if (!c->context)
        c->context = trained && trained < 512 ? trained : 512;
    int code = read_tokens(c, t, &tokens, e);
    c->n = tokens.count > 0 ? (tokens.count - 1) / c->context : 0;
    if (flags.chunks && c->n > flags.chunks)
        c->n = flags.chunks;
    if (!code && c->n == 0)
        code = error_set(e, ERR_USAGE, "--data: the text has %zu tokens, less than one chunk of %zu and the token behind it: "
                         "give more text, or a smaller --context", tokens.count, c->context);
    if (!code && trained && c->context > trained)
        log_warn("chunks are %zu tokens long, more than the %zu the model was made for", c->context, trained);
    if (!code && c->n < flags.chunks)
        log_info("the text is enough for %zu of %zu chunks", c->n, flags.chunks);
    if (!code)
        cut_chunks(c, t, &tokens);
    tokens_free(&tokens);
    return code;
}

/* --- measuring --- */

/* In blocks to run, and one for all that is not in a block. */
static size_t work(const struct model *m, const struct sensitivity_case *c)
{
    return m->config.num_hidden_layers + 1 - sensitivity_first_block(m, c);
}

static size_t all_work(const struct model *m, const struct sensitivity_table *t, size_t *n_passes)
{
    size_t sum = 0;
    *n_passes = 0;
    for (size_t i = 0; i < t->n_units * t->n_types; i++)
        if (sensitivity_same_cell(t, i / t->n_types, i % t->n_types) == i % t->n_types) {
            sum += work(m, &t->cells[i]);
            ++*n_passes;
        }
    return sum;
}

/* From what the unrounded model took for the first batch. */
static void say_estimate(const struct model *m, const struct sensitivity_table *t, double seconds, size_t n_batches,
                         size_t n_tokens)
{
    char text[32];
    size_t n_passes;
    const double whole = (double)(m->config.num_hidden_layers + 1), passes = (double)all_work(m, t, &n_passes) / whole;
    log_info("%zu passes over %zu tokens, as much as %.1f of the whole model: about %s", n_passes, n_tokens, passes,
             format_duration(seconds * (passes + 1) * (double)n_batches, text));
}

static int measure_batch(struct sensitivity *s, struct sensitivity_table *t, struct progress *progress, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < t->n_units * t->n_types && !code; i++) {
        const size_t unit = i / t->n_types, type = i % t->n_types;
        char detail[128];
        if (sensitivity_same_cell(t, unit, type) != type)
            continue;
        snprintf(detail, sizeof detail, "%s in %s", t->units[unit].name, dtype_info(t->types[type])->name);
        code = sensitivity_measure(s, &t->cells[i], e);
        progress_update(progress, progress->done + (double)work(s->m, &t->cells[i]), detail);
    }
    return code;
}

/* What was measured once is the same in the cells of the same types. */
static void copy_same(struct sensitivity_table *t)
{
    for (size_t i = 0; i < t->n_units * t->n_types; i++) {
        const size_t type = i % t->n_types, same = sensitivity_same_cell(t, i / t->n_types, type);
        t->cells[i].kl = t->cells[i - type + same].kl;
        t->cells[i].nats = t->cells[i - type + same].nats;
    }
}

static int measure(struct sensitivity *s, struct sensitivity_table *t, const struct chunks *c, struct error *e)
{
    struct progress progress;
    size_t n_passes;
    const size_t n_batches = (c->n + s->n_rows - 1) / s->n_rows;
    const double total = (double)all_work(s->m, t, &n_passes);
    int code = OK;
    for (size_t at = 0; at < c->n && !code; at += s->n_rows) {
        const size_t n = c->n - at < s->n_rows ? c->n - at : s->n_rows;
        const double start = clock_seconds();
        code = sensitivity_set_text(s, c->ids + at * (c->context + 1), n, e);
        if (at == 0 && !code) {
            say_estimate(s->m, t, clock_seconds() - start, n_batches, c->n * c->context);
            progress_start(&progress, "sensitivity", total * (double)n_batches);
        }
        if (!code)
            code = measure_batch(s, t, &progress, e);
    }
    if (code)
        return code;
    progress_finish(&progress, "");
    copy_same(t);
    t->n_tokens = s->n_tokens;
    t->nats = s->nats;
    return OK;
}

static int measure_text(struct model *m, struct sensitivity_table *t, const struct chunks *c, struct error *e)
{
    struct sensitivity s;
    const size_t most = sensitivity_rows(m, c->context);
    const struct sensitivity_options o = {.context = c->context, .n_rows = c->n < most ? c->n : most};
    int code = sensitivity_init(&s, m, &o, t->cells, t->n_units * t->n_types, e);
    if (!code)
        code = measure(&s, t, c, e);
    sensitivity_free(&s);
    return code;
}

/* --- the command --- */

static int report(struct sensitivity_table *t, bool has_budget, struct error *e)
{
    int code = OK;
    if (has_budget)
        sensitivity_choose(t, flags.budget);
    if (flags.out)
        code = sensitivity_write(t, flags.out, e);
    if (!code && flags.json)
        print_json_line(sensitivity_json(t));
    else if (!code)
        sensitivity_print(t);
    return code;
}

static int run_model(struct model *m, const struct tokenizer *t, struct type_list *types, const struct imatrix *importance,
                     bool has_budget, struct error *e)
{
    struct sensitivity_table table;
    struct chunks chunks = {0};
    default_types(types, m);
    int code = sensitivity_table_init(&table, m, types->items, types->n, importance,
                                      importance ? path_basename(flags.imatrix) : NULL, flags.group == GROUP_LAYER, e);
    if (!code && has_budget) /* before the long work */
        code = sensitivity_check_budget(&table, flags.budget, e);
    if (!code)
        code = read_chunks(m, t, &chunks, e);
    if (!code)
        code = measure_text(m, &table, &chunks, e);
    if (!code)
        code = report(&table, has_budget, e);
    mem_free(chunks.ids);
    sensitivity_table_free(&table);
    return code;
}

static int check_flags(const struct options *o, bool *has_budget, struct error *e)
{
    static const char *const required[] = {"model", "data"};
    int code = OK;
    *has_budget = option_given(o, "", "budget");
    for (size_t i = 0; i < COUNT(required) && !code; i++)
        code = option_require(o, "", required[i], e);
    if (!code && flags.out && !*has_budget)
        code = error_set(e, ERR_USAGE, "--out %s: takes the types that --budget BITS chooses; give one", flags.out);
    if (!code && flags.out)
        code = export_check_target(flags.out, false, flags.force, e);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct tokenizer *t = NULL;
    struct type_list types;
    struct imatrix importance = {0};
    bool has_budget;
    kernels_set_threads(in->threads);
    int code = check_flags(in->options, &has_budget, e);
    if (!code)
        code = parse_types(&types, e);
    if (!code && flags.imatrix)
        code = imatrix_read(flags.imatrix, &importance, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (!code) {
        code = run_model(&m, t, &types, flags.imatrix ? &importance : NULL, has_budget, e);
        model_free(&m);
        tokenizer_free(t);
    }
    imatrix_free(&importance);
    return code;
}

const struct command command_sensitivity = {
    .name = "sensitivity",
    .group = "Models",
    .summary = "measure which matrices may be rounded how far, and choose",
    .usage = "--model PATH --data PATH... [FLAGS]",
    .notes = "Each matrix alone is rounded to each type, as linnet quantize would round it, and the text is run again.\n"
             "The KL divergence of the predictions from the unrounded model's says what that costs. With --budget, each\n"
             "gets the type with which the sum is least. docs/quantisation.md has figures.\n"
             "\n"
             "Examples:\n"
             "  linnet sensitivity --model llama-hf --data text.txt\n"
             "  linnet sensitivity --model llama-hf --data text.txt --budget 3.5 --out llama.types\n"
             "  linnet quantize --model llama-hf --type Q3_K_M --tensor-type @llama.types --out llama-q3.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
