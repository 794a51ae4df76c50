/* The shape of a decoder. Keys are Hugging Face's config.json names. */
#ifndef LINNET_MODEL_CONFIG_H
#define LINNET_MODEL_CONFIG_H

#include "base/error.h"
#include "base/options.h"
#include "kernels/rope.h"

#include <stdbool.h>
#include <stddef.h>

/* What distinguishes one family of decoders from another; see docs/extending.md. */
struct architecture {
    const char *name;         /* GGUF's general.architecture, and the config key */
    const char *model_type;   /* Hugging Face's config.json */
    const char *hf_class;     /* ... "architectures" */
    enum rope_style gguf_rope_style; /* the order of q and k rows in a GGUF file */
};

/* NULL when there is none of that name. */
const struct architecture *architecture_by_name(const char *name);
const struct architecture *architecture_by_model_type(const char *model_type);

struct model_config {
    int architecture; /* index into the table, as an option's choice */
    size_t vocab_size;
    size_t hidden_size;
    size_t intermediate_size;
    size_t num_hidden_layers;
    size_t num_attention_heads;
    size_t num_key_value_heads;
    size_t head_dim;
    size_t max_position_embeddings;
    double rms_norm_eps;
    double rope_theta;
    bool tie_word_embeddings;
    double resid_dropout;
    double initializer_range;
    enum rope_style rope_style; /* the order of the q and k rows as held in memory; no option */
};

enum { N_MODEL_OPTIONS = 14 };
extern const struct option model_options[N_MODEL_OPTIONS];

const struct architecture *model_architecture(const struct model_config *c);

/* Fills what may be left 0 (num_key_value_heads, head_dim) and checks that the shape is possible.
 * ERR_USAGE names the key and what would fit. */
int model_config_check(struct model_config *c, struct error *e);

#endif
