/* The model that a command makes text or numbers with: weights where they lie, its tokenizer, and adapters on it. */
#ifndef LINNET_CLI_INFERENCE_H
#define LINNET_CLI_INFERENCE_H

#include "base/options.h"
#include "cli/stored_qat.h"
#include "lora/adapter.h"
#include "tokenizer/tokenizer.h"

struct inference_adapter {
    char *name;  /* as it was given, else the last part of its path; no other's */
    char *path;
    float scale; /* as it was given; 1 where none was, and where that was 0: loaded, and off for now */
    struct lora_adapter *lora; /* attached, as strong as it is now */
};

struct inference {
    struct model model;
    struct tokenizer *tokenizer;
    struct inference_adapter *adapters; /* in the order in which they came */
    size_t n_adapters;
    uint64_t weights_hash; /* model_weights_hash, of the weights as they lie in their file */
    struct stored_qat rounded; /* of a run that trained an adapter with --qat, the first of the adapters; else nothing */
};

/* The row of `--adapter` for a struct option_strings; `offset` is its place in the section's object. */
#define ADAPTER_ROW(place)                                                                                          \
    {.key = "adapter", .flag = "--adapter", .type = OPTION_STRINGS, .offset = (place),                              \
     .placeholder = "[NAME:]PATH[=SCALE]",                                                                          \
     .help = "a LoRA adapter on the model: a PEFT directory or a GGUF file, times SCALE; may be repeated"}

/* The row of `--exact` for a bool. */
#define EXACT_ROW(place)                                                                                            \
    {.key = "exact", .flag = "--exact", .type = OPTION_BOOL, .offset = (place),                                     \
     .help = "multiply quantised weights with activations as they are, instead of rounded to 8 bits: slower"}

/* Loads the model at `path` (of a run that trained an adapter: its base, and the adapter; with --qat, rounded together as they
 * were in training), for products in integers unless `exact`, and attaches the adapters, each "[NAME:]PATH[=SCALE]", which
 * are added to what is rounded; two of one name are ERR_USAGE. *in must not move until inference_free; on failure nothing is
 * left to free. */
int inference_load(const char *path, const struct option_strings *adapters, bool exact, struct inference *in,
                   struct error *e);
void inference_free(struct inference *in);

/* What makes its predictions: the weights' hash, and with adapters that of their numbers and strengths too. Not 0. */
uint64_t inference_hash(const struct inference *in);

/* "[NAME:]PATH=SCALE" into both, or without it a scale of 1; a file may have "=" in its name. The caller frees *path. ERR_USAGE. */
int adapter_split(const char *word, char **path, float *scale, struct error *e);
/* The adapters of the words, each "PATH" or "PATH=SCALE", of a model that must not move: an array of words->count, none
 * attached. On failure there is nothing to free. */
int adapters_load(const struct option_strings *words, struct model *m, struct lora_adapter **adapters, struct error *e);
void adapters_free(struct lora_adapter *adapters, size_t n);

/* Tokens of a conversation: `wanted`, with a warning where the model was made for fewer; 0: what it was made for, but at
 * most 4096. */
size_t inference_context(const struct model *m, size_t wanted);

/* Exactly these adapters from now on: each the name or the path of one that is there, or one to load, with "=SCALE" or as
 * strong as it was given first. Others stay loaded and do nothing. On failure nothing has changed; `flag` is what errors
 * call the words. What was computed under other strengths is of no use. */
int inference_use_adapters(struct inference *in, const char *flag, const struct option_strings *words, struct error *e);

/* What a model or an adapter is called: the last part of its path, without ".gguf". The caller frees it. */
char *inference_name(const char *path);

#endif
