/* linnet imatrix */
#include "export/imatrix_collect.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "export/weights.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <string.h>

static struct {
    char *model, *out, *text_field;
    struct option_strings data;
    size_t context, chunks;
    bool legacy, process_output, force, json;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(data), .placeholder = "PATH...",
     .help = ".txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "text_field", .flag = "--text-field", .type = OPTION_STRING, .offset = FIELD(text_field),
     .default_value = "text", .placeholder = "NAME", .help = "the .jsonl member to read"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "FILE", .help = "the file to write"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context), .maximum = 1 << 24,
     .help = "tokens of one chunk (default: 512, or the model's context where that is less)"},
    {.key = "chunks", .flag = "--chunks", .type = OPTION_SIZE, .offset = FIELD(chunks), .maximum = 1 << 24,
     .help = "stop after so many; 0: at the end of the text"},
    {.key = "process_output", .flag = "--process-output", .type = OPTION_BOOL,
     .offset = FIELD(process_output), .help = "measure the output layer too"},
    {.key = "legacy", .flag = "--legacy", .type = OPTION_BOOL, .offset = FIELD(legacy),
     .help = "write the old form (.dat) instead of GGUF"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force),
     .help = "replace what is there"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print one JSON object"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

struct pass {
    struct importance importance;
    const struct tokenizer *t;
    struct tokens tokens; /* of the text so far that are in no chunk yet */
    struct progress progress;
};

static bool begins_with_bos(const struct tokenizer *t)
{
    return tokenizer_adds_bos(t) && tokenizer_bos(t) != TOKEN_NONE;
}

static bool has_enough(const struct pass *p)
{
    return flags.chunks && p->importance.n_chunks + p->importance.row >= flags.chunks;
}

/* Whole chunks of the tokens; the first token of each gives way to BOS, as in llama.cpp. */
static int run_chunks(struct pass *p, struct error *e)
{
    size_t context = p->importance.context, at = 0;
    int code = OK;
    for (; !code && p->tokens.count - at >= context && !has_enough(p); at += context) {
        if (begins_with_bos(p->t))
            p->tokens.ids[at] = tokenizer_bos(p->t);
        code = importance_add(&p->importance, p->tokens.ids + at, e);
    }
    p->tokens.count -= at;
    memmove(p->tokens.ids, p->tokens.ids + at, p->tokens.count * sizeof *p->tokens.ids);
    return code;
}

static void show_progress(struct pass *p, const struct corpus *corpus)
{
    char detail[64] = "";
    if (p->importance.n_chunks)
        snprintf(detail, sizeof detail, "perplexity %.2f", score_perplexity(&p->importance.score));
    double done = flags.chunks ? (double)p->importance.n_chunks : (double)corpus_bytes_read(corpus);
    progress_update(&p->progress, done, detail);
}

enum { PIECE_BYTES = 1 << 16 }; /* of text between two looks at the progress */

static int run_text(struct pass *p, struct corpus *corpus, struct error *e)
{
    struct corpus_chunk text = {0};
    bool inside = false; /* a text that came in pieces */
    int code;
    while (!(code = corpus_next(corpus, PIECE_BYTES, &text, e)) && text.n > 0 && !has_enough(p)) {
        for (size_t i = 0; i < text.n && !code && !has_enough(p); i++) {
            if (!inside && begins_with_bos(p->t))
                tokens_push(&p->tokens, tokenizer_bos(p->t));
            tokenizer_encode(p->t, text.text.data + text.offsets[i], text.offsets[i + 1] - text.offsets[i],
                             false, &p->tokens);
            inside = text.continues[i];
            code = run_chunks(p, e);
            show_progress(p, corpus);
        }
        if (code)
            break;
    }
    corpus_chunk_free(&text);
    return code ? code : importance_finish(&p->importance, e);
}

static int run_corpus(struct pass *p, struct error *e)
{
    struct corpus *corpus = NULL;
    int code = corpus_open((const char *const *)flags.data.items, flags.data.count, flags.text_field,
                           &corpus, e);
    if (code)
        return code;
    if (!tokenizer_cuts_safely(p->t))
        corpus_keep_whole(corpus);
    progress_start(&p->progress, "imatrix",
                   flags.chunks ? (double)flags.chunks : (double)corpus_bytes_total(corpus));
    code = run_text(p, corpus, e);
    if (!code && p->importance.n_chunks == 0)
        code = error_set(e, ERR_USAGE, "--data: the text has %zu tokens, less than one chunk of %zu: give more "
                         "text, or a smaller --context", p->tokens.count, p->importance.context);
    if (!code)
        progress_finish(&p->progress, "");
    corpus_close(corpus);
    return code;
}

static int choose_chunks(const struct model *m, struct importance_options *o, struct error *e)
{
    size_t trained = m->config.max_position_embeddings, context = flags.context;
    if (!context)
        context = trained && trained < 512 ? trained : 512;
    if (context < 4)
        return error_set(e, ERR_USAGE, "--context: a chunk needs at least 4 tokens");
    if (trained && context > trained)
        log_warn("chunks are %zu tokens long, more than the %zu the model was made for", context, trained);
    *o = (struct importance_options){.context = context, .n_rows = context < 2048 ? 2048 / context : 1,
                                     .head = flags.process_output};
    if (flags.chunks && flags.chunks < o->n_rows)
        o->n_rows = flags.chunks;
    return OK;
}

/* Columns that no token reached count alike, which is no more than a guess. */
static size_t warn_of_gaps(const struct imatrix *im)
{
    size_t n = 0, of = 0;
    for (size_t i = 0; i < im->n_entries; i++)
        for (size_t j = 0; j < im->entries[i].n_experts; j++, of++)
            n += im->entries[i].counts[j] == 0;
    if (n)
        log_warn("%zu of %zu matrices belong to experts that no token went to: all their columns are taken "
                 "to be as important; more text helps", n, of);
    return n;
}

static void print_report(const struct imatrix *im, const struct score *score, size_t n_gaps, double seconds)
{
    size_t tokens = im->n_chunks * im->chunk_size;
    if (flags.json)
        print_json_line(json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "entries", (json_int_t)im->n_entries, "chunks",
            (json_int_t)im->n_chunks, "chunk_size", (json_int_t)im->chunk_size, "tokens", (json_int_t)tokens,
            "unseen", (json_int_t)n_gaps, "perplexity", score_perplexity(score), "seconds", seconds));
    else
        printf("entries     %zu\nchunks      %zu of %zu tokens\ntokens      %zu\nperplexity  %.4f\n"
               "seconds     %.2f\n", im->n_entries, im->n_chunks, im->chunk_size, tokens, score_perplexity(score),
               seconds);
}

static int measure(struct model *m, const struct tokenizer *t, struct error *e)
{
    struct pass p = {.t = t};
    struct importance_options o;
    struct imatrix im = {0};
    double start = clock_seconds();
    int code = choose_chunks(m, &o, e);
    if (!code)
        code = importance_init(&p.importance, m, &o, e);
    if (!code)
        code = run_corpus(&p, e);
    if (!code) {
        imatrix_collect(&im, &p.importance, flags.data.items[0]);
        size_t n_gaps = warn_of_gaps(&im);
        code = imatrix_write(&im, flags.out, flags.legacy, e);
        if (!code)
            print_report(&im, &p.importance.score, n_gaps, clock_seconds() - start);
    }
    imatrix_free(&im);
    tokens_free(&p.tokens);
    importance_free(&p.importance);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    static const char *const required[] = {"model", "data", "out"};
    struct model m = {0};
    struct tokenizer *t = NULL;
    int code = OK;
    kernels_set_threads(in->threads);
    for (size_t i = 0; i < COUNT(required) && !code; i++)
        code = option_require(in->options, "", required[i], e);
    if (!code) /* before a large model is read in vain */
        code = export_check_target(flags.out, false, flags.force, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (code)
        return code;
    code = measure(&m, t, e);
    model_free(&m);
    tokenizer_free(t);
    return code;
}

const struct command command_imatrix = {
    .name = "imatrix",
    .group = "Models",
    .summary = "measure which columns matter, for quantisation",
    .usage = "--model PATH --data PATH... --out FILE [FLAGS]",
    .notes = "The text runs through the model in chunks; for each matrix, the squares of what its columns are\n"
             "multiplied with are averaged. The file is as llama.cpp's llama-imatrix writes it. Some hundred\n"
             "chunks of text like that which the model is for are enough. The perplexity is of the second\n"
             "half of each chunk.\n"
             "\n"
             "Example:\n"
             "  linnet imatrix --model model.gguf --data calibration.txt --out model.imatrix.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
