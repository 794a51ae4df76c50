/* linnet eval ppl and linnet eval logits */
#include "infer/score.h"

#include "base/log.h"
#include "cli/command.h"
#include "cli/inference.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "infer/generate.h"
#include "kernels/gemm.h"

#include <string.h>

static struct {
    char *model, *text_field;
    struct option_strings data, adapters;
    size_t max_seq_length, stride, batch_size;
    bool json, exact;
} ppl;

static struct {
    char *model, *text;
    struct option_strings adapters;
    size_t top;
    bool json, parse_special, exact;
} logits;

#define PPL(member) offsetof(__typeof__(ppl), member)
#define LOGITS(member) offsetof(__typeof__(logits), member)
#define MODEL_HELP "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"

static const struct option ppl_rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = PPL(model),
     .placeholder = "PATH", .help = MODEL_HELP},
    ADAPTER_ROW(PPL(adapters)),
    EXACT_ROW(PPL(exact)),
    {.key = "data", .flag = "--data", .type = OPTION_STRINGS, .offset = PPL(data),
     .placeholder = "PATH...", .help = ".txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "text_field", .flag = "--text-field", .type = OPTION_STRING, .offset = PPL(text_field),
     .default_value = "text", .placeholder = "NAME", .help = "the .jsonl member to read"},
    {.key = "max_seq_length", .flag = "--max-seq-length", .type = OPTION_SIZE,
     .offset = PPL(max_seq_length), .maximum = 1 << 24,
     .help = "tokens of one window (default: the model's context, at most 2048)"},
    {.key = "stride", .flag = "--stride", .type = OPTION_SIZE, .offset = PPL(stride),
     .maximum = 1 << 24,
     .help = "tokens from one window to the next (default: a whole window); smaller gives every "
             "token more context and takes longer"},
    {.key = "batch_size", .flag = "--batch-size", .type = OPTION_SIZE, .offset = PPL(batch_size),
     .maximum = 1 << 16, .help = "windows at a time (default: about 2048 tokens)"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = PPL(json),
     .help = "print one JSON object"},
};
static struct option_section ppl_sections[] = {
    {.name = "", .rows = ppl_rows, .n_rows = COUNT(ppl_rows), .object = &ppl, .help = "Flags"},
};

static const struct option logits_rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = LOGITS(model),
     .placeholder = "PATH", .help = MODEL_HELP},
    ADAPTER_ROW(LOGITS(adapters)),
    EXACT_ROW(LOGITS(exact)),
    {.key = "text", .flag = "--text", .type = OPTION_STRING, .offset = LOGITS(text),
     .placeholder = "TEXT", .help = "what to predict the tokens of"},
    {.key = "top", .flag = "--top", .type = OPTION_SIZE, .offset = LOGITS(top),
     .default_value = "10", .minimum = 1, .maximum = 1 << 24,
     .help = "show so many of the likeliest tokens at each position"},
    {.key = "parse_special", .flag = "--parse-special", .type = OPTION_BOOL,
     .offset = LOGITS(parse_special),
     .help = "special tokens written in the text count as such, instead of as plain text"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = LOGITS(json),
     .help = "print one JSON object: ids, and [id, probability] pairs for each position"},
};
static struct option_section logits_sections[] = {
    {.name = "", .rows = logits_rows, .n_rows = COUNT(logits_rows), .object = &logits,
     .help = "Flags"},
};

/* Of all texts together. */
struct ppl_pass {
    struct scorer scorer;
    const struct tokenizer *t;
    struct tokens tokens; /* of the text at hand */
    size_t n_bytes;       /* predicted */
    struct progress progress;
};

static void begin_text(struct ppl_pass *p)
{
    p->tokens.count = 0;
    if (tokenizer_adds_bos(p->t) && tokenizer_bos(p->t) != TOKEN_NONE)
        tokens_push(&p->tokens, tokenizer_bos(p->t));
}

static void end_text(struct ppl_pass *p)
{
    if (p->tokens.count > 0 && !tokenizer_is_special(p->t, p->tokens.ids[0])) {
        struct buffer first = {0}; /* nothing predicts it */
        tokenizer_decode(p->t, p->tokens.ids, 1, false, &first);
        p->n_bytes -= first.size;
        buffer_free(&first);
    }
    scorer_add(&p->scorer, p->tokens.ids, p->tokens.count);
}

enum { CHUNK_BYTES = 1 << 16 }; /* of text between two looks at the progress */

static int score_corpus(struct ppl_pass *p, struct error *e)
{
    struct corpus *corpus = NULL;
    struct corpus_chunk chunk = {0};
    int code = corpus_open((const char *const *)ppl.data.items, ppl.data.count, ppl.text_field,
                           &corpus, e);
    if (code)
        return code;
    bool inside = false; /* a text that came in pieces */
    progress_start(&p->progress, "perplexity", (double)corpus_bytes_total(corpus));
    while (!(code = corpus_next(corpus, CHUNK_BYTES, &chunk, e)) && chunk.n > 0) {
        for (size_t i = 0; i < chunk.n; i++) {
            size_t size = chunk.offsets[i + 1] - chunk.offsets[i];
            if (!inside)
                begin_text(p);
            tokenizer_encode(p->t, chunk.text.data + chunk.offsets[i], size, false, &p->tokens);
            p->n_bytes += size;
            inside = chunk.continues[i];
            if (!inside)
                end_text(p);
        }
        progress_update(&p->progress, (double)corpus_bytes_read(corpus), "");
    }
    if (!code && inside)
        end_text(p);
    corpus_chunk_free(&chunk);
    corpus_close(corpus);
    return code;
}

static void print_score(const struct score *s, size_t n_bytes, double seconds)
{
    double nats = s->nats / (double)s->n_targets, bits = score_bits_per_byte(s, n_bytes);
    if (ppl.json)
        print_json_line(json_pack(
            "{s:f, s:f, s:f, s:I, s:I, s:f}", "nats_per_token", nats, "perplexity",
            score_perplexity(s), "bits_per_byte", bits, "tokens", (json_int_t)s->n_targets, "bytes",
            (json_int_t)n_bytes, "tokens_per_second", (double)s->n_targets / seconds));
    else
        printf("perplexity     %.4f\nnats per token %.5f\nbits per byte  %.5f\ntokens         %zu\n",
               score_perplexity(s), nats, bits, s->n_targets);
}

static int choose_windows(const struct model *m, struct scorer_options *o, struct error *e)
{
    size_t context = m->config.max_position_embeddings;
    if (context > 2048)
        context = 2048;
    if (ppl.max_seq_length)
        context = ppl.max_seq_length;
    if (context == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --max-seq-length");
    size_t rows = context < 2048 ? 2048 / context : 1;
    *o = (struct scorer_options){.context = context, .stride = ppl.stride,
                                 .n_rows = ppl.batch_size ? ppl.batch_size : rows};
    return OK;
}

static int score_model(struct model *m, const struct tokenizer *t, struct error *e)
{
    struct ppl_pass p = {.t = t};
    struct scorer_options o;
    double start = clock_seconds();
    int code = choose_windows(m, &o, e);
    if (!code)
        code = scorer_init(&p.scorer, m, &o, e);
    if (!code)
        code = score_corpus(&p, e);
    if (!code) {
        struct score s = scorer_finish(&p.scorer);
        progress_finish(&p.progress, "");
        if (s.n_targets == 0)
            code = error_set(e, ERR_USAGE, "--data: there is no text to predict (a text needs two "
                                           "tokens)");
        else
            print_score(&s, p.n_bytes, clock_seconds() - start);
    }
    tokens_free(&p.tokens);
    scorer_free(&p.scorer);
    return code;
}

static int run_ppl(const struct command_input *in, struct error *e)
{
    struct inference model;
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = option_require(in->options, "", "data", e);
    if (!code)
        code = inference_load(ppl.model, &ppl.adapters, ppl.exact, &model, e);
    if (code)
        return code;
    code = score_model(&model.model, model.tokenizer, e);
    inference_free(&model);
    return code;
}

static void print_distributions_json(const struct tokens *tokens,
                                     const struct token_probability *p, size_t top)
{
    json_t *ids = json_array(), *positions = json_array();
    for (size_t i = 0; i < tokens->count; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < top; j++)
            json_array_append_new(row, json_pack("[i, f]", p[i * top + j].id, p[i * top + j].p));
        json_array_append_new(ids, json_integer(tokens->ids[i]));
        json_array_append_new(positions, row);
    }
    print_json_line(json_pack("{s:o, s:o}", "tokens", ids, "positions", positions));
}

static void append_token(struct buffer *out, const struct tokenizer *t, int32_t id)
{
    struct buffer text = {0};
    if ((size_t)id < tokenizer_vocab_size(t))
        tokenizer_decode(t, &id, 1, true, &text);
    buffer_byte(out, '"');
    if (text.size)
        append_visible(out, text.data, text.size, 60);
    buffer_byte(out, '"');
    buffer_free(&text);
}

static void print_distributions(const struct tokenizer *t, const struct tokens *tokens,
                                const struct token_probability *p, size_t top)
{
    struct buffer line = {0};
    for (size_t i = 0; i < tokens->count; i++) {
        buffer_clear(&line);
        append_token(&line, t, tokens->ids[i]);
        printf("%zu: after %d %s\n", i, (int)tokens->ids[i], line.data);
        for (size_t j = 0; j < top; j++) {
            const struct token_probability *one = &p[i * top + j];
            buffer_clear(&line);
            append_token(&line, t, one->id);
            printf("  %8.4f%%  %6d %s\n", 100 * one->p, (int)one->id, line.data);
        }
    }
    buffer_free(&line);
}

static int show_distributions(struct model *m, const struct tokenizer *t, struct error *e)
{
    struct tokens tokens = {0};
    size_t top = logits.top < m->config.vocab_size ? logits.top : m->config.vocab_size, n;
    int code =
        prompt_tokens(t, logits.text, strlen(logits.text), logits.parse_special, &tokens, e);
    if (!code && !size_mul(tokens.count, top, &n))
        code = error_set(e, ERR_USAGE, "--top %zu is too many for so long a text", logits.top);
    if (code)
        return code;
    size_t trained = m->config.max_position_embeddings;
    if (trained && tokens.count > trained)
        log_warn("the text is %zu tokens long, more than the %zu the model was made for",
                 tokens.count, trained);
    struct token_probability *p = mem_alloc(n, sizeof *p);
    code = score_distributions(m, tokens.ids, tokens.count, top, p, e);
    if (!code && logits.json)
        print_distributions_json(&tokens, p, top);
    else if (!code)
        print_distributions(t, &tokens, p, top);
    mem_free(p);
    tokens_free(&tokens);
    return code;
}

static int run_logits(const struct command_input *in, struct error *e)
{
    struct inference model;
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = option_require(in->options, "", "text", e);
    if (!code)
        code = inference_load(logits.model, &logits.adapters, logits.exact, &model, e);
    if (code)
        return code;
    code = show_distributions(&model.model, model.tokenizer, e);
    inference_free(&model);
    return code;
}

const struct command command_eval_ppl = {
    .name = "eval ppl",
    .group = "Models",
    .summary = "perplexity and bits per byte of text",
    .usage = "--model PATH --data PATH... [FLAGS]",
    .notes = "Each text is scored on its own, in windows of --max-seq-length tokens. Every token is "
             "predicted\nonce, but for the first of a text where the model has no token that begins "
             "one. Bits per byte\ncompares models whatever their vocabulary.\n"
             "\n"
             "Example:\n"
             "  linnet eval ppl --model runs/stories --data held-out.jsonl\n",
    .sections = ppl_sections,
    .n_sections = COUNT(ppl_sections),
    .run = run_ppl,
};

const struct command command_eval_logits = {
    .name = "eval logits",
    .group = "Models",
    .summary = "the likeliest tokens at each position of a text",
    .usage = "--model PATH --text TEXT [FLAGS]",
    .notes = "Example:\n"
             "  linnet eval logits --model model.gguf --text \"Once upon a\" --top 5\n",
    .sections = logits_sections,
    .n_sections = COUNT(logits_sections),
    .run = run_logits,
};
