/* The `tokenizer:` section of a configuration. */
#ifndef LINNET_TOKENIZER_OPTIONS_H
#define LINNET_TOKENIZER_OPTIONS_H

#include "base/options.h"
#include "tokenizer/train.h"

struct tokenizer_options {
    char *path; /* an existing tokenizer; NULL: train one */
    int splitter;
    size_t vocab_size, min_frequency;
    struct option_strings special_tokens;
};

enum { N_TOKENIZER_OPTIONS = 5 };
extern const struct option tokenizer_options[N_TOKENIZER_OPTIONS];

/* The settings they stand for, borrowing the strings. */
struct tokenizer_settings tokenizer_options_settings(const struct tokenizer_options *o,
                                                     int threads, bool progress);

#endif
