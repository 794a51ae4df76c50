/* linnet tokenizer train */
#include "base/log.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/options.h"
#include "data/vocabulary.h"
#include "tokenizer/options.h"

static struct {
    char *out;
    bool json;
} flags;
static struct data_options data_section;
static struct tokenizer_options tokenizer_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out",
     .flag = "--out",
     .type = OPTION_STRING,
     .offset = FIELD(out),
     .placeholder = "FILE",
     .help = "where to write the tokenizer.json"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print what was made as JSON"},
};
static const char *const data_flags[] = {"paths", "text_field", NULL};
static const char *const tokenizer_flags[] = {"splitter", "vocab_size", "min_frequency",
                                              "special_tokens", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Result"},
    {.name = "data",
     .rows = data_options,
     .n_rows = N_DATA_OPTIONS,
     .object = &data_section,
     .help = "Data",
     .flags_of = data_flags},
    {.name = "tokenizer",
     .rows = tokenizer_options,
     .n_rows = N_TOKENIZER_OPTIONS,
     .object = &tokenizer_section,
     .help = "Tokenizer",
     .flags_of = tokenizer_flags},
};

static void report(const struct tokenizer *t, const struct tokenizer_settings *s, double seconds)
{
    size_t vocab = tokenizer_vocab_size(t), merges = vocab - 256 - s->n_special_tokens;
    char time[32];
    if (vocab < s->vocab_size)
        log_warn("the text supports only %zu of %zu tokens: no other pair occurs %zu times or more",
                 vocab, s->vocab_size, s->min_frequency);
    log_info("%s: %zu tokens (256 bytes, %zu special, %zu merges) in %s", flags.out, vocab,
             s->n_special_tokens, merges, format_duration(seconds, time));
    if (flags.json)
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:f}", "tokenizer", flags.out, "vocab_size",
                             (json_int_t)vocab, "merges", (json_int_t)merges, "special_tokens",
                             (json_int_t)s->n_special_tokens, "seconds", seconds));
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    double started = clock_seconds();
    const struct tokenizer_settings settings =
        tokenizer_options_settings(&tokenizer_section, in->threads, true);
    int code = option_require(in->options, "data", "paths", e);
    if (!code)
        code = option_require(in->options, "", "out", e);
    if (!code)
        code = check_output(flags.out, e);
    if (!code)
        code =
            vocabulary_train((const char *const *)data_section.paths.items,
                             data_section.paths.count, data_section.text_field, &settings, &t, e);
    if (!code)
        code = tokenizer_write_json(t, flags.out, e);
    if (!code)
        report(t, &settings, clock_seconds() - started);
    tokenizer_free(t);
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
