/* linnet tokenizer train */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/corpus.h"
#include "tokenizer/train.h"

#include <string.h>

static struct {
    struct option_strings data, special_tokens;
    char *out, *text_field;
    size_t vocab_size, min_frequency;
    int splitter;
    bool json;
} flags;

static const char *const splitters[] = {
    [SPLITTER_GPT2] = "gpt2",
    [SPLITTER_LLAMA3] = "llama3",
    [SPLITTER_QWEN2] = "qwen2",
    [SPLITTER_BYTES] = "bytes",
    NULL,
};

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "data",
     .flag = "--data",
     .type = OPTION_STRINGS,
     .offset = FIELD(data),
     .placeholder = "PATH...",
     .help = "text to learn from: .txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "text_field",
     .flag = "--text-field",
     .type = OPTION_STRING,
     .offset = FIELD(text_field),
     .default_value = "text",
     .placeholder = "NAME",
     .help = "member of a .jsonl line that holds the text"},
    {.key = "out",
     .flag = "--out",
     .type = OPTION_STRING,
     .offset = FIELD(out),
     .placeholder = "FILE",
     .help = "where to write the tokenizer.json"},
    {.key = "vocab_size",
     .flag = "--vocab-size",
     .type = OPTION_SIZE,
     .offset = FIELD(vocab_size),
     .default_value = "4096",
     .minimum = 257,
     .maximum = 1 << 20,
     .help = "tokens in all: special ones, 256 bytes and merges"},
    {.key = "splitter",
     .flag = "--splitter",
     .type = OPTION_ENUM,
     .offset = FIELD(splitter),
     .default_value = "gpt2",
     .choices = splitters,
     .help = "where text may be cut into words, as the model of that name does it"},
    {.key = "special_token",
     .flag = "--special-token",
     .type = OPTION_STRINGS,
     .offset = FIELD(special_tokens),
     .default_value = "<|endoftext|>",
     .placeholder = "TEXT",
     .help = "a token of its own, repeatable; the first one ends a text"},
    {.key = "min_frequency",
     .flag = "--min-frequency",
     .type = OPTION_SIZE,
     .offset = FIELD(min_frequency),
     .default_value = "2",
     .minimum = 1,
     .maximum = 1e9,
     .help = "do not merge a pair seen less often"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print what was made as JSON"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* Counts the words of the whole corpus. Pieces of one long document are cut where the splitter
 * would cut as well, so each may be fed as a text. */
static int feed_corpus(struct tokenizer_trainer *trainer, struct corpus *corpus, uint64_t *bytes,
                       struct error *e)
{
    struct corpus_chunk chunk = {0};
    struct progress p;
    char read[32], detail[64];
    int code;
    *bytes = 0;
    progress_start(&p, "read", (double)corpus_bytes_total(corpus));
    while (!(code = corpus_next(corpus, (size_t)16 << 20, &chunk, e)) && chunk.n) {
        tokenizer_trainer_feed(trainer, chunk.text.data, chunk.offsets, chunk.n);
        *bytes += chunk.text.size;
        snprintf(detail, sizeof detail, "%s of text", format_bytes((double)*bytes, read));
        progress_update(&p, (double)corpus_bytes_read(corpus), detail);
    }
    if (!code)
        progress_finish(&p, detail);
    corpus_chunk_free(&chunk);
    return code;
}

static int train(struct corpus *corpus, int threads, struct tokenizer **t, uint64_t *bytes,
                 struct error *e)
{
    const struct tokenizer_settings settings = {
        .splitter = (enum splitter)flags.splitter,
        .vocab_size = flags.vocab_size,
        .min_frequency = flags.min_frequency,
        .special_tokens = (const char *const *)flags.special_tokens.items,
        .n_special_tokens = flags.special_tokens.count,
        .threads = threads,
        .progress = true,
    };
    struct tokenizer_trainer *trainer = NULL;
    int code = tokenizer_trainer_new(&settings, &trainer, e);
    if (!code)
        code = feed_corpus(trainer, corpus, bytes, e);
    if (!code)
        code = tokenizer_trainer_finish(trainer, t, e);
    tokenizer_trainer_free(trainer);
    return code;
}

static void report(const struct tokenizer *t, uint64_t bytes, double seconds)
{
    size_t vocab = tokenizer_vocab_size(t);
    size_t merges = vocab - 256 - flags.special_tokens.count;
    char time[32], text[32];
    if (vocab < flags.vocab_size && flags.splitter != SPLITTER_BYTES)
        log_warn("the text supports only %zu of %zu tokens: no other pair occurs %zu times or more",
                 vocab, flags.vocab_size, flags.min_frequency);
    log_info("%s: %zu tokens (256 bytes, %zu special, %zu merges) from %s of text in %s", flags.out,
             vocab, flags.special_tokens.count, merges, format_bytes((double)bytes, text),
             format_duration(seconds, time));
    if (flags.json)
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "tokenizer", flags.out, "vocab_size",
                             (json_int_t)vocab, "merges", (json_int_t)merges, "special_tokens",
                             (json_int_t)flags.special_tokens.count, "text_bytes",
                             (json_int_t)bytes, "seconds", seconds));
}

static int run(const struct command_input *in, struct error *e)
{
    struct corpus *corpus = NULL;
    struct tokenizer *t = NULL;
    uint64_t bytes = 0;
    double started = clock_seconds();
    int code = option_require(in->options, "", "data", e);
    if (!code)
        code = option_require(in->options, "", "out", e);
    if (!code)
        code = corpus_open((const char *const *)flags.data.items, flags.data.count,
                           flags.text_field, &corpus, e);
    if (!code)
        code = train(corpus, in->threads, &t, &bytes, e);
    if (!code)
        code = tokenizer_write_json(t, flags.out, e);
    if (!code)
        report(t, bytes, clock_seconds() - started);
    tokenizer_free(t);
    corpus_close(corpus);
    return code;
}

const struct command command_tokenizer_train = {
    .name = "tokenizer train",
    .group = "Data",
    .summary = "learn a byte-level BPE vocabulary from text",
    .usage = "--data PATH... --out FILE [FLAGS]",
    .notes =
        "Merges and their order equal those of Hugging Face's BpeTrainer. The file loads there\n"
        "with Tokenizer.from_file, and as the tokenizer.json of a model directory.\n"
        "\n"
        "Example:\n"
        "  linnet tokenizer train --data texts/ --vocab-size 4096 --out tokenizer.json\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
