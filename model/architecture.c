#include "model/architecture.h"

#include <string.h>

static const struct role_names phi3_names[] = {
    {PARAM_ATTN_Q, "model.layers.%d.self_attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_ATTN_K, "model.layers.%d.self_attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_ATTN_V, "model.layers.%d.self_attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_FFN_GATE, "model.layers.%d.mlp.gate_up_proj.weight", "blk.%d.ffn_up.weight"},
    {PARAM_FFN_UP, "model.layers.%d.mlp.gate_up_proj.weight", "blk.%d.ffn_up.weight"},
    {0},
};

static const struct role_names gemma2_names[] = {
    {PARAM_ATTN_POST_NORM, "model.layers.%d.post_attention_layernorm.weight", NULL},
    {PARAM_FFN_NORM, "model.layers.%d.pre_feedforward_layernorm.weight", NULL},
    {0},
};

static const struct role_names openelm_names[] = {
    {PARAM_TOKEN_EMBD, "transformer.token_embeddings.weight", NULL},
    {PARAM_ATTN_NORM, "transformer.layers.%d.attn_norm.weight", NULL},
    {PARAM_ATTN_Q, "transformer.layers.%d.attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_ATTN_K, "transformer.layers.%d.attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_ATTN_V, "transformer.layers.%d.attn.qkv_proj.weight", "blk.%d.attn_qkv.weight"},
    {PARAM_ATTN_Q_NORM, "transformer.layers.%d.attn.q_norm.weight", NULL},
    {PARAM_ATTN_K_NORM, "transformer.layers.%d.attn.k_norm.weight", NULL},
    {PARAM_ATTN_OUTPUT, "transformer.layers.%d.attn.out_proj.weight", NULL},
    {PARAM_FFN_NORM, "transformer.layers.%d.ffn_norm.weight", NULL},
    {PARAM_FFN_GATE, "transformer.layers.%d.ffn.proj_1.weight", NULL},
    {PARAM_FFN_UP, "transformer.layers.%d.ffn.proj_1.weight", NULL},
    {PARAM_FFN_DOWN, "transformer.layers.%d.ffn.proj_2.weight", NULL},
    {PARAM_OUTPUT_NORM, "transformer.norm.weight", NULL},
    {0},
};

static const struct role_names stablelm_names[] = {
    {PARAM_ATTN_Q_NORM, "model.layers.%d.self_attn.q_layernorm.norms.%e.weight", NULL},
    {PARAM_ATTN_K_NORM, "model.layers.%d.self_attn.k_layernorm.norms.%e.weight", NULL},
    {0},
};

static const struct role_names mixtral_names[] = {
    {PARAM_ROUTER, "model.layers.%d.block_sparse_moe.gate.weight", NULL},
    {PARAM_EXPERT_GATE, "model.layers.%d.block_sparse_moe.experts.%e.w1.weight", NULL},
    {PARAM_EXPERT_UP, "model.layers.%d.block_sparse_moe.experts.%e.w3.weight", NULL},
    {PARAM_EXPERT_DOWN, "model.layers.%d.block_sparse_moe.experts.%e.w2.weight", NULL},
    {0},
};

/* Sources: transformers' configuration_*.py and modeling_*.py of each model_type, and llama.cpp's
 * src/llama-arch.cpp and src/llama-model.cpp for the names and what its graphs compute. */
const struct architecture architectures[N_ARCHITECTURES] = {
    {
        .name = "llama", .gguf_name = "llama", .model_type = "llama",
        .hf_class = "LlamaForCausalLM", .gguf_rope_style = ROPE_INTERLEAVED,
        .attention_biases = BIAS_QKV | BIAS_OUTPUT, .keys = " attention_bias mlp_bias ",
    },
    {
        .name = "mistral", .gguf_name = "llama", .model_type = "mistral",
        .hf_class = "MistralForCausalLM", .gguf_rope_style = ROPE_INTERLEAVED,
        .keys = " sliding_window ",
        .hf_defaults = " num_key_value_heads=8 sliding_window=4096 ",
    },
    {
        .name = "mixtral", .gguf_name = "llama", .model_type = "mixtral",
        .hf_class = "MixtralForCausalLM", .gguf_rope_style = ROPE_INTERLEAVED,
        .has_experts = true, .renormalises = true,
        .keys = " sliding_window num_experts num_experts_per_tok router_aux_loss_coef ",
        .hf_aliases = " num_experts=num_local_experts ", .names = mixtral_names,
        .hf_defaults = " num_key_value_heads=8 rms_norm_eps=1e-5 rope_theta=1e6 ",
    },
    {
        .name = "smollm3", .gguf_name = "smollm3", .model_type = "smollm3",
        .hf_class = "SmolLM3ForCausalLM", .gguf_rope_style = ROPE_INTERLEAVED,
        .keys = " no_rope_layer_interval ", .hf_ignored = " sliding_window ",
        .ties_by_default = true,
        .hf_defaults = " num_key_value_heads=4 rope_theta=2e6 ",
    },
    {
        .name = "granite", .gguf_name = "granite", .model_type = "granite",
        .hf_class = "GraniteForCausalLM", .gguf_rope_style = ROPE_INTERLEAVED,
        .attention_biases = BIAS_QKV | BIAS_OUTPUT,
        .keys = " attention_bias mlp_bias embedding_multiplier residual_multiplier "
                "attention_multiplier logits_scaling ",
        .hf_defaults = " attention_multiplier=1 ",
    },
    {
        .name = "qwen2", .gguf_name = "qwen2", .model_type = "qwen2",
        .hf_class = "Qwen2ForCausalLM", .gguf_rope_style = ROPE_HALF, .biases = BIAS_QKV,
        .full_heads_in_gguf = true,
        .keys = " ", .hf_ignored = " sliding_window ",
    },
    {
        .name = "qwen3", .gguf_name = "qwen3", .model_type = "qwen3",
        .hf_class = "Qwen3ForCausalLM", .gguf_rope_style = ROPE_HALF, .qk_norm = QK_NORM_HEAD,
        .keys = " ", .hf_ignored = " sliding_window ", .default_head_dim = 128,
    },
    {
        .name = "phi3", .gguf_name = "phi3", .model_type = "phi3",
        .hf_class = "Phi3ForCausalLM", .gguf_rope_style = ROPE_HALF,
        .full_heads_in_gguf = true,
        .keys = " sliding_window ", .names = phi3_names,
        .hf_defaults = " rms_norm_eps=1e-5 ",
    },
    {
        .name = "gemma", .gguf_name = "gemma", .model_type = "gemma",
        .hf_class = "GemmaForCausalLM", .gguf_rope_style = ROPE_HALF, .norm_offset = 1,
        .activation = ACTIVATION_GELU_TANH, .embedding_by_root = true, .keys = " ",
        .ties_by_default = true, .never_head_in_gguf = true, .default_head_dim = 256,
    },
    {
        .name = "gemma2", .gguf_name = "gemma2", .model_type = "gemma2",
        .hf_class = "Gemma2ForCausalLM", .gguf_rope_style = ROPE_HALF, .norm_offset = 1,
        .norm_place = NORM_AROUND, .activation = ACTIVATION_GELU_TANH, .embedding_by_root = true,
        .keys = " sliding_window sliding_window_pattern query_pre_attn_scalar "
                "attn_logit_softcapping final_logit_softcapping ",
        .ties_by_default = true, .never_head_in_gguf = true, .default_head_dim = 256, .window_pattern = 2,
        .names = gemma2_names,
        .hf_defaults = " num_key_value_heads=4 sliding_window=4096 query_pre_attn_scalar=256 "
                       "attn_logit_softcapping=50 final_logit_softcapping=30 ",
    },
    {
        .name = "gemma3", .gguf_name = "gemma3", .model_type = "gemma3_text",
        .hf_class = "Gemma3ForCausalLM", .gguf_rope_style = ROPE_HALF, .norm_offset = 1,
        .norm_place = NORM_AROUND, .qk_norm = QK_NORM_HEAD, .activation = ACTIVATION_GELU_TANH,
        .embedding_by_root = true,
        .keys = " sliding_window sliding_window_pattern query_pre_attn_scalar "
                "rope_local_base_freq final_logit_softcapping ",
        .ties_by_default = true, .default_head_dim = 256, .default_theta = 1e6,
        .window_pattern = 6, .names = gemma2_names,
        /* a model that reads pictures too leaves out of its text_config what is as here */
        .hf_defaults = " vocab_size=262208 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 "
                       "num_attention_heads=8 num_key_value_heads=4 max_position_embeddings=131072 "
                       "sliding_window=4096 query_pre_attn_scalar=256 ",
    },
    {
        .name = "stablelm", .gguf_name = "stablelm", .model_type = "stablelm",
        .hf_class = "StableLmForCausalLM", .gguf_rope_style = ROPE_HALF, .norm = NORM_LAYER,
        .full_heads_in_gguf = true,
        .biases = BIAS_NORMS, .attention_biases = BIAS_QKV, .qk_norm = QK_NORM_EACH,
        .head_in_gguf = true,
        .keys = " attention_bias qk_layernorm use_parallel_residual ",
        .hf_aliases = " attention_bias=use_qkv_bias rms_norm_eps=layer_norm_eps ",
        .names = stablelm_names,
        .hf_defaults = " rms_norm_eps=1e-5 partial_rotary_factor=0.25 ",
    },
    {
        .name = "openelm", .gguf_name = "openelm", .model_type = "openelm",
        .hf_class = "OpenELMForCausalLM", .gguf_rope_style = ROPE_HALF, .qk_norm = QK_NORM_HEAD,
        .keys = " num_query_heads num_kv_heads intermediate_sizes ", .ties_by_default = true,
        .never_head_in_gguf = true,
        .hf_aliases = " hidden_size=model_dim num_hidden_layers=num_transformer_layers "
                      "rope_theta=rope_freq_constant max_position_embeddings=max_context_length "
                      "tie_word_embeddings=share_input_output_layers ",
        .names = openelm_names,
    },
    {
        .name = "olmo2", .gguf_name = "olmo2", .model_type = "olmo2",
        .hf_class = "Olmo2ForCausalLM", .gguf_rope_style = ROPE_HALF, .norm_place = NORM_AFTER,
        .full_heads_in_gguf = true,
        .qk_norm = QK_NORM_WHOLE, .keys = " ",
        .hf_defaults = " rms_norm_eps=1e-5 ",
    },
    {
        .name = "olmoe", .gguf_name = "olmoe", .model_type = "olmoe",
        .hf_class = "OlmoeForCausalLM", .gguf_rope_style = ROPE_HALF, .qk_norm = QK_NORM_WHOLE,
        .full_heads_in_gguf = true,
        .has_experts = true,
        .keys = " num_experts num_experts_per_tok norm_topk_prob router_aux_loss_coef ",
        .hf_defaults = " rms_norm_eps=1e-5 num_experts_per_tok=8 ",
    },
    {
        .name = "qwen2moe", .gguf_name = "qwen2moe", .model_type = "qwen2_moe",
        .hf_class = "Qwen2MoeForCausalLM", .gguf_rope_style = ROPE_HALF, .biases = BIAS_QKV,
        .full_heads_in_gguf = true,
        .has_experts = true,
        .keys = " num_experts num_experts_per_tok moe_intermediate_size "
                "shared_expert_intermediate_size norm_topk_prob router_aux_loss_coef ",
        .hf_ignored = " sliding_window ", .hf_defaults = " num_experts_per_tok=4 ",
    },
    {
        .name = "qwen3moe", .gguf_name = "qwen3moe", .model_type = "qwen3_moe",
        .hf_class = "Qwen3MoeForCausalLM", .gguf_rope_style = ROPE_HALF, .qk_norm = QK_NORM_HEAD,
        .has_experts = true, .renormalises = true,
        .keys = " num_experts num_experts_per_tok moe_intermediate_size norm_topk_prob "
                "router_aux_loss_coef ",
        .hf_ignored = " sliding_window ", .hf_defaults = " num_experts_per_tok=8 ",
    },
    {
        .name = "phimoe", .gguf_name = "phimoe", .model_type = "phimoe",
        .hf_class = "PhimoeForCausalLM", .gguf_rope_style = ROPE_HALF, .norm = NORM_LAYER,
        .full_heads_in_gguf = true,
        .biases = BIAS_NORMS, .attention_biases = BIAS_QKV | BIAS_OUTPUT, .has_experts = true,
        .sparsemixer = true,
        .keys = " attention_bias lm_head_bias sliding_window num_experts num_experts_per_tok "
                "router_aux_loss_coef ",
        .hf_aliases = " num_experts=num_local_experts ", .names = mixtral_names,
        .hf_defaults = " num_key_value_heads=8 rms_norm_eps=1e-5 rope_theta=1e6 ",
    },
};

const char *const architecture_names[N_ARCHITECTURES + 1] = {
    "llama",  "mistral",  "mixtral", "smollm3", "granite", "qwen2",    "qwen3",    "phi3",   "gemma",
    "gemma2", "gemma3",   "stablelm", "openelm", "olmo2",  "olmoe",    "qwen2moe", "qwen3moe", "phimoe",
    NULL,
};

static const struct architecture *find(const char *name, size_t field)
{
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        const char *const *member = (const void *)((const char *)&architectures[i] + field);
        if (strcmp(*member, name) == 0)
            return &architectures[i];
    }
    return NULL;
}

const struct architecture *architecture_by_model_type(const char *model_type)
{
    return find(model_type, offsetof(struct architecture, model_type));
}

const struct architecture *architecture_by_gguf_name(const char *name)
{
    return find(name, offsetof(struct architecture, gguf_name));
}

const struct architecture *architecture_by_name(const char *name)
{
    return find(name, offsetof(struct architecture, name));
}

static bool lists(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; at && (at = strstr(at, word)); at += n)
        if (at > words && at[-1] == ' ' && at[n] == ' ')
            return true;
    return false;
}

bool architecture_has_key(const struct architecture *a, const char *key)
{
    return lists(a->keys, key);
}

bool architecture_ignores_key(const struct architecture *a, const char *key)
{
    return lists(a->hf_ignored, key);
}
