#include "model/names.h"

#include "base/check.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *hf, *gguf;
} usual[PARAM_ROLES] = {
    [PARAM_TOKEN_EMBD] = {"model.embed_tokens.weight", "token_embd.weight"},
    [PARAM_ATTN_NORM] = {"model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight"},
    [PARAM_ATTN_NORM_BIAS] = {"model.layers.%d.input_layernorm.bias", "blk.%d.attn_norm.bias"},
    [PARAM_ATTN_Q] = {"model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight"},
    [PARAM_ATTN_K] = {"model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight"},
    [PARAM_ATTN_V] = {"model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight"},
    [PARAM_ATTN_Q_BIAS] = {"model.layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias"},
    [PARAM_ATTN_K_BIAS] = {"model.layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias"},
    [PARAM_ATTN_V_BIAS] = {"model.layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias"},
    [PARAM_ATTN_Q_NORM] = {"model.layers.%d.self_attn.q_norm.weight", "blk.%d.attn_q_norm.weight"},
    [PARAM_ATTN_K_NORM] = {"model.layers.%d.self_attn.k_norm.weight", "blk.%d.attn_k_norm.weight"},
    [PARAM_ATTN_OUTPUT] = {"model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight"},
    [PARAM_ATTN_OUTPUT_BIAS] = {"model.layers.%d.self_attn.o_proj.bias", "blk.%d.attn_output.bias"},
    [PARAM_ATTN_POST_NORM] = {"model.layers.%d.post_attention_layernorm.weight",
                              "blk.%d.post_attention_norm.weight"},
    [PARAM_FFN_NORM] = {"model.layers.%d.post_attention_layernorm.weight", "blk.%d.ffn_norm.weight"},
    [PARAM_FFN_NORM_BIAS] = {"model.layers.%d.post_attention_layernorm.bias", "blk.%d.ffn_norm.bias"},
    [PARAM_FFN_GATE] = {"model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight"},
    [PARAM_FFN_UP] = {"model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight"},
    [PARAM_FFN_DOWN] = {"model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight"},
    [PARAM_FFN_GATE_BIAS] = {"model.layers.%d.mlp.gate_proj.bias", "blk.%d.ffn_gate.bias"},
    [PARAM_FFN_UP_BIAS] = {"model.layers.%d.mlp.up_proj.bias", "blk.%d.ffn_up.bias"},
    [PARAM_FFN_DOWN_BIAS] = {"model.layers.%d.mlp.down_proj.bias", "blk.%d.ffn_down.bias"},
    [PARAM_ROUTER] = {"model.layers.%d.mlp.gate.weight", "blk.%d.ffn_gate_inp.weight"},
    [PARAM_EXPERT_GATE] = {"model.layers.%d.mlp.experts.%e.gate_proj.weight",
                           "blk.%d.ffn_gate_exps.weight"},
    [PARAM_EXPERT_UP] = {"model.layers.%d.mlp.experts.%e.up_proj.weight",
                         "blk.%d.ffn_up_exps.weight"},
    [PARAM_EXPERT_DOWN] = {"model.layers.%d.mlp.experts.%e.down_proj.weight",
                           "blk.%d.ffn_down_exps.weight"},
    [PARAM_SHARED_ROUTER] = {"model.layers.%d.mlp.shared_expert_gate.weight",
                             "blk.%d.ffn_gate_inp_shexp.weight"},
    [PARAM_SHARED_GATE] = {"model.layers.%d.mlp.shared_expert.gate_proj.weight",
                           "blk.%d.ffn_gate_shexp.weight"},
    [PARAM_SHARED_UP] = {"model.layers.%d.mlp.shared_expert.up_proj.weight",
                         "blk.%d.ffn_up_shexp.weight"},
    [PARAM_SHARED_DOWN] = {"model.layers.%d.mlp.shared_expert.down_proj.weight",
                           "blk.%d.ffn_down_shexp.weight"},
    [PARAM_FFN_POST_NORM] = {"model.layers.%d.post_feedforward_layernorm.weight",
                             "blk.%d.post_ffw_norm.weight"},
    [PARAM_OUTPUT_NORM] = {"model.norm.weight", "output_norm.weight"},
    [PARAM_OUTPUT_NORM_BIAS] = {"model.norm.bias", "output_norm.bias"},
    [PARAM_OUTPUT] = {"lm_head.weight", "output.weight"},
    [PARAM_OUTPUT_BIAS] = {"lm_head.bias", "output.bias"},
};

const char *role_name(const struct architecture *a, enum param_role role, bool gguf)
{
    for (const struct role_names *n = a->names; n && n->role; n++)
        if (n->role == role && (gguf ? n->gguf : n->hf))
            return gguf ? n->gguf : n->hf;
    const char *name = gguf ? usual[role].gguf : usual[role].hf;
    CHECK(name);
    return name;
}

static bool is_shared(const struct architecture *a, enum param_role role, const char *name)
{
    for (const struct role_names *n = a->names; n && n->role; n++)
        if (n->role != role && n->hf && strcmp(n->hf, name) == 0)
            return true;
    return false;
}

const char *role_own_name(const struct architecture *a, enum param_role role)
{
    const char *name = role_name(a, role, false);
    bool in_parts = strstr(name, "%e") && role != PARAM_EXPERT_GATE && role != PARAM_EXPERT_UP &&
                    role != PARAM_EXPERT_DOWN;
    return in_parts || is_shared(a, role, name) ? usual[role].hf : name;
}

void param_name(char *out, const char *pattern, int layer, int expert)
{
    size_t n = 0;
    for (const char *p = pattern; *p; p++) {
        CHECK(n + 16 < PARAM_NAME_SIZE);
        if (p[0] == '%' && (p[1] == 'd' || p[1] == 'e'))
            n += (size_t)snprintf(out + n, PARAM_NAME_SIZE - n, "%d", *++p == 'd' ? layer : expert);
        else
            out[n++] = *p;
    }
    out[n] = 0;
}
