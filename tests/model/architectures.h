/* A small model of every family, with every feature that its files can switch on. */
#ifndef LINNET_TESTS_MODEL_ARCHITECTURES_H
#define LINNET_TESTS_MODEL_ARCHITECTURES_H

#include "base/rng.h"
#include "model/load.h"

#include <string.h>

/* Keys of `model:`, after those of all: hidden 64, ffn 80, 4 layers, 4 heads of 16, 2 of them for keys. */
static const struct example {
    const char *name, *keys;
} examples[] = {
    {"llama", "architecture: llama"},
    {"llama-biases", "architecture: llama, attention_bias: true, mlp_bias: true"},
    {"llama-linear", "architecture: llama, rope_scaling: {type: linear, factor: 4}"},
    {"llama-yarn", "architecture: llama, rope_scaling: {type: yarn, factor: 4, "
                   "original_max_position_embeddings: 64}"},
    {"llama3.1", "architecture: llama, rope_theta: 500000, rope_scaling: {type: llama3, factor: 8, "
                 "low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64}"},
    {"mistral", "architecture: mistral, tie_word_embeddings: false"},
    {"mistral-window", "architecture: mistral, tie_word_embeddings: false, sliding_window: 24"},
    {"mixtral", "architecture: mixtral, num_experts: 6, num_experts_per_tok: 2, "
                "tie_word_embeddings: false"},
    {"smollm3", "architecture: smollm3, num_hidden_layers: 5, rope_theta: 5000000"},
    {"granite", "architecture: granite, embedding_multiplier: 6, residual_multiplier: 0.22, "
                "attention_multiplier: 0.1, logits_scaling: 3"},
    {"qwen2", "architecture: qwen2, rope_theta: 1000000"},
    {"qwen2-yarn", "architecture: qwen2, tie_word_embeddings: false, rope_scaling: {type: yarn, factor: 4, "
                   "original_max_position_embeddings: 64}"},
    {"qwen3", "architecture: qwen3, head_dim: 24"},
    {"phi3", "architecture: phi3, tie_word_embeddings: false"},
    {"phi3-window", "architecture: phi3, tie_word_embeddings: false, sliding_window: 24"},
    {"phi3.5", "architecture: phi3, tie_word_embeddings: false, rope_scaling: {type: longrope, "
               "original_max_position_embeddings: 64, "
               "short_factor: [1, 1.05, 1.1, 1.2, 1.3, 1.4, 1.6, 2], "
               "long_factor: [1.1, 1.5, 2, 3, 5, 8, 13, 21]}"},
    {"phi3-factor", "architecture: phi3, tie_word_embeddings: false, rope_scaling: {type: longrope, "
                    "original_max_position_embeddings: 64, attention_factor: 1.5, "
                    "short_factor: [1, 1, 1, 1, 1, 1, 1, 1], long_factor: [1, 1, 2, 2, 3, 3, 4, 4]}"},
    {"phi3-yarn", "architecture: phi3, tie_word_embeddings: false, rope_scaling: {type: yarn, factor: 4, "
                  "original_max_position_embeddings: 64}"},
    {"phi4-mini", "architecture: phi3, partial_rotary_factor: 0.75, rope_scaling: {type: longrope, "
                  "original_max_position_embeddings: 64, short_factor: [1, 1, 1, 1, 1, 1], "
                  "long_factor: [1, 1.2, 1.5, 3, 6, 12]}"},
    {"gemma", "architecture: gemma, head_dim: 24"},
    {"gemma2", "architecture: gemma2, head_dim: 16, sliding_window: 24, "
               "attn_logit_softcapping: 5, final_logit_softcapping: 6, query_pre_attn_scalar: 16"},
    {"gemma3", "architecture: gemma3, num_hidden_layers: 7, head_dim: 24, sliding_window: 24, "
               "rope_theta: 1000000, rope_scaling: {type: linear, factor: 8}"},
    {"stablelm", "architecture: stablelm, partial_rotary_factor: 0.25, attention_bias: true, "
                 "tie_word_embeddings: false"},
    {"stablelm-12b", "architecture: stablelm, partial_rotary_factor: 0.25, qk_layernorm: true, "
                     "use_parallel_residual: true, tie_word_embeddings: false"},
    {"openelm", "architecture: openelm, num_query_heads: [4, 4, 6, 8], num_kv_heads: [1, 2, 2, 4], "
                "intermediate_sizes: [32, 48, 64, 96], num_attention_heads: 8, num_key_value_heads: 4, "
                "intermediate_size: 96, head_dim: 16"},
    {"olmo2", "architecture: olmo2, tie_word_embeddings: false"},
    {"olmoe", "architecture: olmoe, num_experts: 8, num_experts_per_tok: 3, "
              "num_key_value_heads: 4, tie_word_embeddings: false"},
    {"qwen2moe", "architecture: qwen2moe, num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 40, "
                 "shared_expert_intermediate_size: 72, tie_word_embeddings: false"},
    {"qwen3moe", "architecture: qwen3moe, num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 40, "
                 "norm_topk_prob: true, head_dim: 24, tie_word_embeddings: false"},
    {"phimoe", "architecture: phimoe, num_experts: 4, num_experts_per_tok: 2, attention_bias: true, "
               "lm_head_bias: true, tie_word_embeddings: false"},
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

/* The configuration of an example for a vocabulary; an example's keys replace the common ones. */
static int example_config(const struct example *x, size_t vocab_size, struct model_config *c,
                          struct error *e)
{
    static const char *const common[] = {"hidden_size: 64", "intermediate_size: 80",
                                         "num_hidden_layers: 4", "num_attention_heads: 4",
                                         "num_key_value_heads: 2", "head_dim: 16"};
    struct buffer yaml = {0};
    buffer_printf(&yaml, "model: {vocab_size: %zu, max_position_embeddings: 256, "
                         "initializer_range: 0.2, rms_norm_eps: 1e-6, %s", vocab_size, x->keys);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        char key[64];
        snprintf(key, sizeof key, " %.*s:", (int)strcspn(common[i], ":"), common[i]);
        if (!strstr(x->keys, key))
            buffer_printf(&yaml, ", %s", common[i]);
    }
    buffer_string(&yaml, "}\n");
    int code = model_config_parse(yaml.data, c, e);
    buffer_free(&yaml);
    return code;
}

/* All weights at random: norms about what makes them multiply by 1, biases about 0. */
static inline void example_weights(struct model *m, uint64_t seed)
{
    struct rng r;
    model_initialize(m, seed);
    rng_init(&r, seed, 1000);
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        for (size_t j = 0; p->init_std == 0 && j < p->count; j++)
            p->value[j] = p->init_mean + (float)(0.6 * rng_uniform(&r) - 0.3);
    }
}

#endif
