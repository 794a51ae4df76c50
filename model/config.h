/* The shape of a decoder. Keys are Hugging Face's config.json names. */
#ifndef LINNET_MODEL_CONFIG_H
#define LINNET_MODEL_CONFIG_H

#include "base/error.h"
#include "base/options.h"
#include "model/architecture.h"

#include <stdbool.h>
#include <stddef.h>

enum rope_type {
    ROPE_DEFAULT,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_LONGROPE,
};

/* How rotary frequencies are stretched for contexts longer than trained; see model/rope_scaling.h. */
struct rope_scaling {
    int type; /* enum rope_type */
    double factor;
    size_t original_max_position_embeddings; /* 0: max_position_embeddings */
    double low_freq_factor, high_freq_factor;
    double beta_fast, beta_slow;
    double attention_factor; /* of cosines and sines; 0: as the type says */
    struct option_numbers short_factor, long_factor; /* one a pair of components */
};

/* Which of these a family of decoders has, its row says (model/architecture.h); those it has not are 0. */
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
    double partial_rotary_factor;
    struct rope_scaling rope_scaling;
    bool tie_word_embeddings;
    double resid_dropout;
    double initializer_range;

    bool attention_bias, mlp_bias, lm_head_bias;
    bool qk_layernorm, use_parallel_residual;
    size_t sliding_window;         /* 0: none */
    size_t sliding_window_pattern; /* every so many layers one without the window; 0: as usual */
    double rope_local_base_freq;   /* of the layers with a window */
    size_t no_rope_layer_interval; /* every so many layers one without rotation; 0: as usual */
    double query_pre_attn_scalar;  /* scores are divided by its square root; 0: head_dim */
    double attn_logit_softcapping, final_logit_softcapping; /* 0: none */
    double embedding_multiplier, residual_multiplier, attention_multiplier, logits_scaling; /* 0: none */
    size_t num_experts, num_experts_per_tok;
    size_t moe_intermediate_size;  /* 0: intermediate_size */
    size_t shared_expert_intermediate_size; /* 0: no shared expert */
    bool norm_topk_prob;
    double router_aux_loss_coef;
    /* one an layer each: OpenELM */
    struct option_numbers num_query_heads, num_kv_heads, intermediate_sizes;

    enum rope_style rope_style; /* the order of the q and k rows as held in memory; no option */
};

enum { N_MODEL_OPTIONS = 50 };
extern const struct option model_options[N_MODEL_OPTIONS];

/* Whether only some families have it: the fields from attention_bias on. */
bool model_option_is_optional(const struct option *row);

const struct architecture *model_architecture(const struct model_config *c);

/* Fills what may be left 0 and checks that the shape is possible and that nothing is set which the
 * architecture does not have. ERR_USAGE names the key and what would fit. */
int model_config_check(struct model_config *c, struct error *e);

/* What differs between the layers of one model. */
struct layer_shape {
    size_t n_heads, n_kv_heads;
    size_t intermediate_size; /* of the dense feed-forward, or of the shared expert; 0: none */
    size_t window;            /* keys that a query sees, itself among them; 0: all before it */
    bool rotates;
    bool local_rope;          /* with rope_local_base_freq, without scaling */
};
/* Layer i of a checked configuration. */
struct layer_shape model_layer_shape(const struct model_config *c, size_t i);

/* Components of a head that are rotated: partial_rotary_factor of them. */
size_t model_rotary_dim(const struct model_config *c);
size_t model_expert_size(const struct model_config *c); /* an expert's intermediate size */
/* What scores are multiplied by, embeddings, what a block adds, and logits. */
double model_attention_scale(const struct model_config *c);
double model_embedding_scale(const struct model_config *c);
double model_residual_scale(const struct model_config *c);
double model_logit_scale(const struct model_config *c);

/* The biases that the model has (enum biases). */
int model_biases(const struct model_config *c);
enum qk_norm model_qk_norm(const struct model_config *c);
/* Whether the experts' weights are renormalised after choosing. */
bool model_renormalises(const struct model_config *c);

#endif
