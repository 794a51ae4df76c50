/* linnet bench tokenizer */
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "data/options.h"
#include "data/vocabulary.h"
#include "tokenizer/options.h"

static bool json;
static struct data_options data_section;
static struct tokenizer_options tokenizer_section;

static const struct option rows[] = {
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = 0,
     .help = "print the figures as JSON"},
};
static const char *const data_flags[] = {"paths", "text_field", NULL};
static const char *const tokenizer_flags[] = {"splitter", "vocab_size", "min_frequency", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &json, .help = "Result"},
    {.name = "data", .rows = data_options, .n_rows = N_DATA_OPTIONS, .object = &data_section,
     .help = "Data", .flags_of = data_flags},
    {.name = "tokenizer", .rows = tokenizer_options, .n_rows = N_TOKENIZER_OPTIONS,
     .object = &tokenizer_section, .help = "Tokenizer", .flags_of = tokenizer_flags},
};

/* Encodes the documents of a chunk with all threads; returns the tokens. */
static size_t encode_chunk(const struct tokenizer *t, const struct corpus_chunk *chunk, int threads)
{
    size_t n_tokens = 0;
#pragma omp parallel num_threads(threads) reduction(+ : n_tokens)
    {
        struct tokens ids = {0};
#pragma omp for schedule(dynamic, 16)
        for (size_t i = 0; i < chunk->n; i++) {
            ids.count = 0;
            tokenizer_encode(t, chunk->text.data + chunk->offsets[i],
                             chunk->offsets[i + 1] - chunk->offsets[i], false, &ids);
            n_tokens += ids.count;
        }
        tokens_free(&ids);
    }
    return n_tokens;
}

/* Seconds spent on encoding, without those of reading. */
static int encode_corpus(const struct tokenizer *t, int threads, size_t *n_bytes, size_t *n_tokens,
                         double *seconds, struct error *e)
{
    enum { CHUNK = 16 << 20 };
    struct corpus *corpus;
    struct corpus_chunk chunk = {0};
    int code = corpus_open((const char *const *)data_section.paths.items, data_section.paths.count,
                           data_section.text_field, &corpus, e);
    if (code)
        return code;
    while (!(code = corpus_next(corpus, CHUNK, &chunk, e)) && chunk.n) {
        double began = clock_seconds();
        *n_tokens += encode_chunk(t, &chunk, threads);
        *seconds += clock_seconds() - began;
        *n_bytes += chunk.text.size;
    }
    corpus_chunk_free(&chunk);
    corpus_close(corpus);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct tokenizer_settings settings =
        tokenizer_options_settings(&tokenizer_section, in->threads, false);
    int code = option_require(in->options, "data", "paths", e);
    double began = clock_seconds(), encode = 0;
    size_t n_bytes = 0, n_tokens = 0;
    if (!code)
        code = vocabulary_train((const char *const *)data_section.paths.items,
                                data_section.paths.count, data_section.text_field, &settings, &t,
                                e);
    double train = clock_seconds() - began, peak = (double)mem_resident_peak() / 1e6;
    if (!code)
        code = encode_corpus(t, in->threads, &n_bytes, &n_tokens, &encode, e);
    if (!code && json)
        print_json(json_pack("{s:I, s:f, s:f, s:I, s:I, s:i, s:f}", "vocab_size",
                             (json_int_t)tokenizer_vocab_size(t), "train_s", train,
                             "encode_mb_per_s", (double)n_bytes / encode / 1e6, "bytes",
                             (json_int_t)n_bytes, "tokens", (json_int_t)n_tokens, "threads",
                             in->threads, "peak_rss_mb", peak));
    else if (!code)
        printf("text               %10.1f MB\n"
               "vocabulary         %10zu\n"
               "training           %10.2f s, reading included\n"
               "peak memory of it  %10.0f MB\n"
               "encoding           %10.1f MB/s\n"
               "bytes a token      %10.2f\n",
               (double)n_bytes / 1e6, tokenizer_vocab_size(t), train, peak,
               (double)n_bytes / encode / 1e6, (double)n_bytes / (double)n_tokens);
    tokenizer_free(t);
    return code;
}

const struct command command_bench_tokenizer = {
    .name = "bench tokenizer",
    .group = "Measure",
    .summary = "speed of training a tokenizer and of encoding with it",
    .usage = "--data PATH... [--vocab-size N] [--json]",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
