#include "tokenizer/options.h"

/* In the order of enum splitter; SPLITTER_NONE cannot be trained. */
static const char *const splitter_names[] = {"gpt2", "llama3", "qwen2", "bytes",
                                              "smollm", NULL};

#define FIELD(member) offsetof(struct tokenizer_options, member)

const struct option tokenizer_options[] = {
    {.key = "path", .flag = "--tokenizer", .type = OPTION_STRING, .offset = FIELD(path),
     .placeholder = "PATH",
     .help = "an existing tokenizer: tokenizer.json, a GGUF file, or a directory with one"},
    {.key = "splitter", .flag = "--splitter", .type = OPTION_ENUM, .offset = FIELD(splitter),
     .default_value = "gpt2", .choices = splitter_names,
     .help = "how text is cut into words before merging; bytes is one token a byte, no merges"},
    {.key = "vocab_size", .flag = "--vocab-size", .type = OPTION_SIZE, .offset = FIELD(vocab_size),
     .default_value = "4096", .minimum = 1, .maximum = 1 << 24,
     .help = "tokens in all: special ones, 256 bytes, merges"},
    {.key = "min_frequency", .flag = "--min-frequency", .type = OPTION_SIZE,
     .offset = FIELD(min_frequency), .default_value = "2", .minimum = 0, .maximum = 1e15,
     .help = "a pair seen less often is not merged"},
    {.key = "special_tokens", .flag = "--special-token", .type = OPTION_STRINGS,
     .offset = FIELD(special_tokens), .default_value = "<|endoftext|>", .placeholder = "TOKEN...",
     .help = "the first ends every text; none with splitter bytes"},
};
_Static_assert(sizeof tokenizer_options / sizeof *tokenizer_options == N_TOKENIZER_OPTIONS, "count the rows");

struct tokenizer_settings tokenizer_options_settings(const struct tokenizer_options *o,
                                                     int threads, bool progress)
{
    struct tokenizer_settings s = {
        .splitter = (enum splitter)o->splitter,
        .vocab_size = o->vocab_size,
        .min_frequency = o->min_frequency,
        .special_tokens = (const char *const *)o->special_tokens.items,
        .n_special_tokens = o->special_tokens.count,
        .threads = threads,
        .progress = progress,
    };
    if (s.splitter == SPLITTER_BYTES) { /* 256 bytes and nothing else */
        s.n_special_tokens = 0;
        s.vocab_size = 256;
    }
    return s;
}
