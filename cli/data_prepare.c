/* linnet data prepare */
#include "cli/command.h"
#include "cli/shared.h"
#include "data/options.h"
#include "data/shard.h"
#include "tokenizer/options.h"
#include "train/options.h"

#include <inttypes.h>

static struct {
    char *out;
    bool json;
} flags;
static struct data_options data_section;
static struct tokenizer_options tokenizer_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
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
static const char *const data_flags[] = {
    "paths", "text_field", "validation_fraction", "validation_split", "validation_paths", NULL,
};
static const char *const tokenizer_flags[] = {"path", NULL};
static const char *const train_flags[] = {"seed", NULL};
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
    {.name = "train",
     .rows = train_options,
     .n_rows = N_TRAIN_OPTIONS,
     .object = &train_section,
     .help = "Training",
     .flags_of = train_flags},
};

/* shard_prepare has told a person already. */
static void print_shard(const struct shard *s, bool reused)
{
    print_json(json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "shard", flags.out,
                         "reused", reused, "train_tokens", (json_int_t)s->n_train_tokens,
                         "validation_tokens", (json_int_t)(s->n_tokens - s->n_train_tokens),
                         "documents", (json_int_t)s->n_documents, "train_bytes",
                         (json_int_t)s->n_train_bytes, "validation_bytes",
                         (json_int_t)s->n_validation_bytes, "vocab_size", (json_int_t)s->vocab_size,
                         "tokenizer_hash", json_sprintf("%016" PRIx64, s->tokenizer_hash)));
}

static int check_flags(const struct options *o, struct error *e)
{
    static const char *const required[][2] = {
        {"data", "paths"}, {"tokenizer", "path"}, {"", "out"}};
    for (size_t i = 0; i < COUNT(required); i++)
        if (option_require(o, required[i][0], required[i][1], e))
            return ERR_USAGE;
    if (data_section.validation_paths.count && (option_given(o, "data", "validation_fraction") ||
                                                option_given(o, "data", "validation_split")))
        return error_set(e, ERR_USAGE,
                         "--validation-data holds out text of its own: leave out "
                         "--validation-fraction and --validation-split");
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *t = NULL;
    struct shard shard;
    bool reused = false;
    const struct shard_settings settings =
        data_options_shard(&data_section, train_section.seed, in->threads, true);
    int code = check_flags(in->options, e);
    if (!code)
        code = check_output(flags.out, e);
    if (!code)
        code = load_tokenizer(tokenizer_section.path, &t, e);
    if (!code)
        code = shard_prepare(&settings, t, flags.out, &reused, e);
    if (!code && flags.json && !(code = shard_open(flags.out, t, &shard, e))) {
        print_shard(&shard, reused);
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
