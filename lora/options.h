/* The `lora:` section of a configuration, and the adapter that it asks for. docs/lora.md explains each key. */
#ifndef LINNET_LORA_OPTIONS_H
#define LINNET_LORA_OPTIONS_H

#include "base/options.h"
#include "lora/adapter.h"

#include <stdint.h>

enum lora_init_kind { LORA_INIT_DEFAULT, LORA_INIT_PISSA };

struct lora_options {
    size_t rank;
    double alpha;                         /* what B A is multiplied by is alpha / rank, ... */
    bool use_rslora;                      /* ... or alpha / sqrt(rank) */
    double dropout;
    struct option_strings target_modules; /* none: all linear layers of the blocks but routers */
    struct option_strings rank_pattern, alpha_pattern; /* "MODULE=NUMBER" */
    bool use_dora;
    double lora_plus_ratio;               /* B's learning rate is that many times A's */
    int init;                             /* enum lora_init_kind */
    struct option_strings train_in_full;  /* modules that train beside the adapter */
};

enum { N_LORA_OPTIONS = 11 };
extern const struct option lora_options[N_LORA_OPTIONS];

/* A new adapter of the model, ready to be attached and trained: what trains is a->all. Modules are called as in Hugging
 * Face files of the model's family ("model.layers.0.self_attn.q_proj"), and parts of a module that holds several layers
 * (Phi-3's qkv_proj) also as other families call them (q_proj). A pattern is the end of such a name from a dot on, or a
 * regular expression for it. Layers of one module share A, so that both containers have a place for the adapter.
 * ERR_USAGE: a pattern that no module matches, with the nearest name and those that there are; a rank larger than the
 * layer; a module that is to train in full and has an adapter; a malformed "MODULE=NUMBER". ERR_MEMORY. Neither model nor
 * adapter may move afterwards; free with lora_free. The same (options, weights, seed) give the same bits. */
int lora_create(const struct lora_options *o, struct model *m, uint64_t seed, struct lora_adapter *a, struct error *e);

#endif
