/* linnet data synth */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "data/synth.h"

static struct {
    char *out;
    size_t size, count, seed;
    int split, kind;
    bool json;
} flags;

static const char *const splits[] = {
    [SYNTH_TRAIN] = "train",
    [SYNTH_HELD_OUT] = "held-out",
    NULL,
};

/* All, then those of enum synth_kind. */
static const char *const kinds[] = {
    "all",
    [1 + SYNTH_STORY] = "story",
    [1 + SYNTH_QUESTION] = "question",
    [1 + SYNTH_ARITHMETIC] = "arithmetic",
    NULL,
};

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out",
     .flag = "--out",
     .type = OPTION_STRING,
     .offset = FIELD(out),
     .placeholder = "FILE",
     .help = "where to write: .jsonl for a document a line, .txt for plain text"},
    {.key = "size",
     .flag = "--size",
     .type = OPTION_SIZE,
     .offset = FIELD(size),
     .default_value = "20M",
     .minimum = 1,
     .maximum = 1e12,
     .placeholder = "BYTES",
     .help = "how much text; the last document is whole"},
    {.key = "count",
     .flag = "--count",
     .type = OPTION_SIZE,
     .offset = FIELD(count),
     .minimum = 1,
     .maximum = 1e12,
     .help = "instead of --size: so many documents"},
    {.key = "kind",
     .flag = "--kind",
     .type = OPTION_ENUM,
     .offset = FIELD(kind),
     .default_value = "all",
     .choices = kinds,
     .help = "only documents of one kind; in .jsonl a question and an arithmetic one have \"question\" and \"answer\""},
    {.key = "seed",
     .flag = "--seed",
     .type = OPTION_SIZE,
     .offset = FIELD(seed),
     .default_value = "1",
     .help = "another seed gives other text"},
    {.key = "split",
     .flag = "--split",
     .type = OPTION_ENUM,
     .offset = FIELD(split),
     .default_value = "train",
     .choices = splits,
     .help = "text to train on, or text that no training text of any seed contains"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "print what was made as JSON"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

static int run(const struct command_input *in, struct error *e)
{
    uint64_t documents = 0, bytes = 0;
    double started = clock_seconds();
    char count[32], size[32], time[32];
    int code = option_require(in->options, "", "out", e);
    if (!code && flags.count && option_given(in->options, "", "size"))
        code = error_set(e, ERR_USAGE, "--size and --count: one of them, not both");
    struct synth_corpus corpus = {
        .seed = flags.seed,
        .split = (enum synth_split)flags.split,
        .kind = flags.kind ? (enum synth_kind)(flags.kind - 1) : SYNTH_KINDS,
        .bytes = flags.count ? UINT64_MAX : flags.size,
        .documents = flags.count ? flags.count : UINT64_MAX,
    };
    if (!code)
        code = synth_write_corpus(flags.out, &corpus, &documents, e);
    if (!code)
        code = file_size(flags.out, &bytes, e);
    if (code)
        return code;
    log_info("%s: %s documents, %s in %s", flags.out, format_count((double)documents, count),
             format_bytes((double)bytes, size), format_duration(clock_seconds() - started, time));
    if (flags.json)
        print_json(json_pack("{s:s, s:I, s:I}", "path", flags.out, "documents",
                             (json_int_t)documents, "bytes", (json_int_t)bytes));
    return OK;
}

const struct command command_data_synth = {
    .name = "data synth",
    .group = "Data",
    .summary = "write a made-up corpus: stories, questions, arithmetic",
    .usage = "--out FILE [FLAGS]",
    .notes =
        "Simple English like a textbook for children, made by rules: the same flags give the same\n"
        "bytes on every machine. Good for trying things, and for tests that need real structure.\n"
        "\n"
        "Example:\n"
        "  linnet data synth --size 20M --out corpus.jsonl\n"
        "  linnet data synth --size 1M --split held-out --out held-out.jsonl\n"
        "  linnet data synth --kind arithmetic --count 500 --out sums.jsonl\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
