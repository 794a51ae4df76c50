/* The flags of everything that draws tokens. */
#ifndef LINNET_CLI_SAMPLING_H
#define LINNET_CLI_SAMPLING_H

#include "base/options.h"
#include "infer/completion.h"

enum { SAMPLING_ROWS = 14 };
extern const struct option sampling_rows[SAMPLING_ROWS]; /* of a struct sampler_options */

#define SAMPLING_SECTION(options) \
    {.name = "", .rows = sampling_rows, .n_rows = SAMPLING_ROWS, .object = (options), \
     .help = "Sampling: penalties, top-n-sigma, top-k, typical-p, top-p, min-p, temperature"}

/* And of what restricts them. */
struct constraint_flags {
    struct option_strings logit_bias;
    char *grammar, *json_schema, *grammar_out;
};

enum { CONSTRAINT_ROWS = 4 };
extern const struct option constraint_rows[CONSTRAINT_ROWS]; /* of a struct constraint_flags */

#define CONSTRAINT_SECTION(flags) \
    {.name = "", .rows = constraint_rows, .n_rows = CONSTRAINT_ROWS, .object = (flags), .help = "Constraints"}

struct constraint {
    struct grammar *grammar; /* NULL for none */
    struct token_trie *trie;
    struct logit_bias *biases;
    size_t n_biases;
};

/* Reads what the flags name. ERR_USAGE for what is written wrong on the command line. */
int constraint_open(struct constraint *c, const struct constraint_flags *f, struct error *e);
/* For a model with this vocabulary; *c must outlive the options. */
void constraint_apply(struct constraint *c, const struct tokenizer *t, size_t vocab_size,
                      struct generate_options *o);
void constraint_close(struct constraint *c);

#endif
