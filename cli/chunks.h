/* Text in chunks of as many tokens as a context: what commands measure a model on. */
#ifndef LINNET_CLI_CHUNKS_H
#define LINNET_CLI_CHUNKS_H

#include "base/options.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

struct chunk_options {
    const struct option_strings *paths; /* as corpus_open takes them */
    const char *text_field;
    size_t context;                     /* tokens of a chunk */
    size_t most;                        /* tokens in all, at least one chunk */
    const char *paths_flag, *context_flag; /* "--data", "--max-seq-length": for errors */
};

/* Tokens of a chunk: `given`, or where that is 0, 512 or the model's context where that is less. ERR_USAGE where that is
 * less than 4; a warning where it is longer than the model was made for. */
int choose_chunk(const struct model_config *c, size_t given, const char *flag, size_t *context, struct error *e);

/* Whole chunks into `out`, which is empty; the first token of each gives way to BOS where the model expects one, as in
 * llama.cpp. ERR_USAGE where the text is shorter than a chunk. */
int read_chunks(const struct chunk_options *o, const struct tokenizer *t, struct tokens *out, struct error *e);

#endif
