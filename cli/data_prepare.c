/* linnet data prepare */
#include "base/log.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/shard.h"

#include <inttypes.h>

static struct {
    struct option_strings data, validation_data;
    char *tokenizer, *out, *text_field;
    double validation_fraction;
    int split;
    size_t seed;
    bool json;
} flags;

static const char *const splits[] = {
    [SPLIT_TAIL] = "tail",
    [SPLIT_DOCUMENTS] = "documents",
    NULL,
};

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "data",
     .flag = "--data",
     .type = OPTION_STRINGS,
     .offset = FIELD(data),
     .placeholder = "PATH...",
     .help = "the corpus: .txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "text_field",
     .flag = "--text-field",
     .type = OPTION_STRING,
     .offset = FIELD(text_field),
     .default_value = "text",
     .placeholder = "NAME",
     .help = "member of a .jsonl line that holds the text"},
    {.key = "tokenizer",
     .flag = "--tokenizer",
     .type = OPTION_STRING,
     .offset = FIELD(tokenizer),
     .placeholder = "PATH",
     .help = "a tokenizer.json, a GGUF file, or a directory that holds tokenizer.json"},
    {.key = "out",
     .flag = "--out",
     .type = OPTION_STRING,
     .offset = FIELD(out),
     .placeholder = "FILE",
     .help = "where to write the shard (.h5)"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print what was made as JSON"},
};
static const struct option validation_rows[] = {
    {.key = "validation_fraction",
     .flag = "--validation-fraction",
     .type = OPTION_FLOAT,
     .offset = FIELD(validation_fraction),
     .default_value = "0.01",
     .minimum = 0,
     .maximum = 0.5,
     .help = "share of the corpus to hold out"},
    {.key = "validation_split",
     .flag = "--validation-split",
     .type = OPTION_ENUM,
     .offset = FIELD(split),
     .default_value = "tail",
     .choices = splits,
     .help = "hold out the end of the corpus, or whole documents picked at random"},
    {.key = "validation_data",
     .flag = "--validation-data",
     .type = OPTION_STRINGS,
     .offset = FIELD(validation_data),
     .placeholder = "PATH...",
     .help = "hold out this text instead of a share of the corpus"},
    {.key = "seed",
     .flag = "--seed",
     .type = OPTION_SIZE,
     .offset = FIELD(seed),
     .default_value = "1",
     .help = "decides which documents are held out"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    {.name = "",
     .rows = validation_rows,
     .n_rows = COUNT(validation_rows),
     .object = &flags,
     .help = "Held-out text"},
};

static void report(const struct shard *s, bool reused)
{
    char train[32], validation[32], documents[32], bytes[32];
    size_t held_out = s->n_tokens - s->n_train_tokens;
    uint64_t text_bytes = s->n_train_bytes + s->n_validation_bytes;
    log_info("%s: %s tokens to train on, %s held out, %s documents, %s of text%s", flags.out,
             format_count((double)s->n_train_tokens, train),
             format_count((double)held_out, validation),
             format_count((double)s->n_documents, documents),
             format_bytes((double)text_bytes, bytes),
             reused ? "; nothing has changed since it was made" : "");
    if (flags.json)
        print_json(json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "shard", flags.out,
                             "reused", reused, "train_tokens", (json_int_t)s->n_train_tokens,
                             "validation_tokens", (json_int_t)held_out, "documents",
                             (json_int_t)s->n_documents, "train_bytes",
                             (json_int_t)s->n_train_bytes, "validation_bytes",
                             (json_int_t)s->n_validation_bytes, "vocab_size",
                             (json_int_t)s->vocab_size, "tokenizer_hash",
                             json_sprintf("%016" PRIx64, s->tokenizer_hash)));
}

static int check_flags(const struct options *o, struct error *e)
{
    static const char *const required[] = {"data", "tokenizer", "out"};
    for (size_t i = 0; i < COUNT(required); i++)
        if (option_require(o, "", required[i], e))
            return ERR_USAGE;
    if (flags.validation_data.count && (option_given(o, "", "validation_fraction") ||
                                        option_given(o, "", "validation_split")))
        return error_set(e, ERR_USAGE, "--validation-data holds out text of its own: leave out "
                                       "--validation-fraction and --validation-split");
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct shard shard;
    bool reused = false;
    int code = check_flags(in->options, e);
    if (!code)
        code = load_tokenizer(flags.tokenizer, &t, e);
    const struct shard_settings settings = {
        .paths = (const char *const *)flags.data.items,
        .n_paths = flags.data.count,
        .validation_paths = (const char *const *)flags.validation_data.items,
        .n_validation_paths = flags.validation_data.count,
        .text_field = flags.text_field,
        .split = (enum split_kind)flags.split,
        .validation_fraction = flags.validation_data.count ? 0 : flags.validation_fraction,
        .seed = flags.seed,
        .threads = in->threads,
        .progress = true,
    };
    if (!code)
        code = shard_prepare(&settings, t, flags.out, &reused, e);
    if (!code)
        code = shard_open(flags.out, t, &shard, e);
    if (!code) {
        report(&shard, reused);
        shard_close(&shard);
    }
    tokenizer_free(t);
    return code;
}

const struct command command_data_prepare = {
    .name = "data prepare",
    .group = "Data",
    .summary = "tokenize a corpus into a shard for training",
    .usage = "--data PATH... --tokenizer PATH --out FILE [FLAGS]",
    .notes = "A shard that was made from the same files, tokenizer and settings is left as it is.\n"
             "\n"
             "Example:\n"
             "  linnet data prepare --data texts/ --tokenizer tokenizer.json --out shard.h5\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
