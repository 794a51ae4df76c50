/* The families of decoders, one row each. A row drives the one decoder, the parameter table, and
 * both containers: config.json and safetensors, and GGUF. What a row cannot say by its fields is no
 * feature of one family but of the decoder, and becomes a field. See docs/extending.md. */
#ifndef LINNET_MODEL_ARCHITECTURE_H
#define LINNET_MODEL_ARCHITECTURE_H

#include "kernels/activation.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "model/roles.h"

#include <stdbool.h>
#include <stddef.h>

/* Where a branch (attention, feed-forward) is normalised. */
enum norm_place {
    NORM_BEFORE, /* x + f(norm(x)) */
    NORM_AROUND, /* x + norm(f(norm(x))): Gemma 2, 3 */
    NORM_AFTER,  /* x + norm(f(x)): OLMo 2 */
};

/* What queries and keys are normalised over, each with a weight of that size. */
enum qk_norm {
    QK_NORM_NONE,
    QK_NORM_HEAD,  /* each head, all heads with the same weights: Qwen3, Gemma 3, OpenELM */
    QK_NORM_EACH,  /* each head with weights of its own, where `qk_layernorm` is set: StableLM 2 12B */
    QK_NORM_WHOLE, /* all heads together: OLMo 2, OLMoE */
};

enum biases { /* a set of them */
    BIAS_QKV = 1,
    BIAS_OUTPUT = 2,  /* attention's output projection */
    BIAS_MLP = 4,
    BIAS_NORMS = 8,
    BIAS_HEAD = 16,   /* the output layer */
};

/* A parameter that has another name than usual in a container; NULL: the usual one. %d is the layer, %e the
 * expert or head. Parameters of one layer that have the same name lie in one tensor, by rows. */
struct role_names {
    enum param_role role;
    const char *hf, *gguf;
};

struct architecture {
    const char *name;         /* the config key */
    const char *gguf_name;    /* general.architecture */
    const char *model_type;   /* config.json */
    const char *hf_class;     /* ... "architectures" */
    enum rope_style gguf_rope_style; /* the order of q and k rows in a GGUF file */

    enum norm_kind norm;
    float norm_offset;        /* norms multiply with weight + this; GGUF files hold the sum */
    enum norm_place norm_place;
    enum qk_norm qk_norm;
    enum activation activation;
    int biases;               /* always there */
    int attention_biases;     /* there where `attention_bias` is set */
    bool embedding_by_root;   /* embeddings are multiplied by sqrt(hidden_size) */
    bool has_experts;
    bool sparsemixer;         /* how experts are weighed: kernels/routing.h */
    bool renormalises;        /* the chosen experts' weights, unless norm_topk_prob is among the keys */
    bool head_in_gguf;        /* llama.cpp wants an output tensor, tied or not */
    bool never_head_in_gguf;  /* it takes the embedding for it, whatever the file has */
    bool full_heads_in_gguf;  /* it takes hidden_size for the width of all query heads together */

    /* Options beyond the common ones that this family has, each between spaces. */
    const char *keys;
    /* config.json's names where they differ from the options': " option=name ". */
    const char *hf_aliases;
    /* Keys of config.json that say nothing about this family's numbers. */
    const char *hf_ignored;
    /* What config.json means by leaving a key out where that is not what it is in most families: " option=number ". */
    const char *hf_defaults;
    bool ties_by_default;     /* what config.json means by leaving the key out, */
    double default_theta;     /* and this one; 0: 10000 */
    size_t default_head_dim;  /* also in a configuration; 0: hidden_size / num_attention_heads */
    size_t window_pattern;    /* sliding_window_pattern; 0: every layer has the window */

    const struct role_names *names; /* ends with a zero row; NULL: none */
};

enum { N_ARCHITECTURES = 18 };
extern const struct architecture architectures[N_ARCHITECTURES];
/* Their names, NULL-terminated: an option's choices. */
extern const char *const architecture_names[N_ARCHITECTURES + 1];

/* Rows by name in a file; NULL when there is none. Of several with the same GGUF name the first. */
const struct architecture *architecture_by_model_type(const char *model_type);
const struct architecture *architecture_by_gguf_name(const char *name);
const struct architecture *architecture_by_name(const char *name);

/* Whether `key` is one of the row's keys. */
bool architecture_has_key(const struct architecture *a, const char *key);
/* Whether config.json may hold it without a meaning. */
bool architecture_ignores_key(const struct architecture *a, const char *key);

#endif
