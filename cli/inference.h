/* The model that a command makes text or numbers with: weights where they lie, its tokenizer, and adapters on it. */
#ifndef LINNET_CLI_INFERENCE_H
#define LINNET_CLI_INFERENCE_H

#include "base/options.h"
#include "lora/adapter.h"
#include "tokenizer/tokenizer.h"

struct inference {
    struct model model;
    struct tokenizer *tokenizer;
    struct lora_adapter *adapters; /* all attached, in this order */
    size_t n_adapters;
};

/* The row of `--adapter` for a struct option_strings; `offset` is its place in the section's object. */
#define ADAPTER_ROW(place)                                                                                          \
    {.key = "adapter", .flag = "--adapter", .type = OPTION_STRINGS, .offset = (place), .placeholder = "PATH[=SCALE]", \
     .help = "a LoRA adapter on the model: a PEFT directory or a GGUF file, times SCALE; may be repeated"}

/* The row of `--exact` for a bool. */
#define EXACT_ROW(place)                                                                                            \
    {.key = "exact", .flag = "--exact", .type = OPTION_BOOL, .offset = (place),                                     \
     .help = "multiply quantised weights with activations as they are, instead of rounded to 8 bits: slower"}

/* Loads the model at `path`, for products in integers unless `exact`, and attaches the adapters, each "PATH" or "PATH=SCALE". *in must not move until
 * inference_free; on failure nothing is left to free. */
int inference_load(const char *path, const struct option_strings *adapters, bool exact, struct inference *in,
                   struct error *e);
void inference_free(struct inference *in);

/* "PATH=SCALE" into both, or "PATH" with a scale of 1; a file may have "=" in its name. The caller frees *path. ERR_USAGE. */
int adapter_split(const char *word, char **path, float *scale, struct error *e);
/* The adapters of the words, each "PATH" or "PATH=SCALE", of a model that must not move: an array of words->count, none
 * attached. On failure there is nothing to free. */
int adapters_load(const struct option_strings *words, struct model *m, struct lora_adapter **adapters, struct error *e);
void adapters_free(struct lora_adapter *adapters, size_t n);

/* Tokens of a conversation: `wanted`, with a warning where the model was made for fewer; 0: what it was made for, but at
 * most 4096. */
size_t inference_context(const struct model *m, size_t wanted);

/* Other adapters instead of those there are; on failure these stay. What was computed with the old ones is of no use. */
int inference_set_adapters(struct inference *in, const struct option_strings *adapters, struct error *e);

#endif
