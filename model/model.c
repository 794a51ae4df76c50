#include "model/model.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/halves.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum dimension { DIM_NONE, DIM_VOCAB, DIM_HIDDEN, DIM_QUERY, DIM_KEY_VALUE, DIM_FFN };

/* One row a parameter; %d is the layer. Residual: it writes to the residual stream. */
static const struct param_spec {
    const char *name, *gguf_name;
    enum dimension rows, cols;
    bool per_layer, residual;
} specs[PARAM_ROLES] = {
    [PARAM_TOKEN_EMBD] = {"model.embed_tokens.weight", "token_embd.weight", DIM_VOCAB, DIM_HIDDEN,
                          false, false},
    [PARAM_ATTN_NORM] = {"model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight",
                         DIM_NONE, DIM_HIDDEN, true, false},
    [PARAM_ATTN_Q] = {"model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight", DIM_QUERY,
                      DIM_HIDDEN, true, false},
    [PARAM_ATTN_K] = {"model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight",
                      DIM_KEY_VALUE, DIM_HIDDEN, true, false},
    [PARAM_ATTN_V] = {"model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight",
                      DIM_KEY_VALUE, DIM_HIDDEN, true, false},
    [PARAM_ATTN_OUTPUT] = {"model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight",
                           DIM_HIDDEN, DIM_QUERY, true, true},
    [PARAM_FFN_NORM] = {"model.layers.%d.post_attention_layernorm.weight",
                        "blk.%d.ffn_norm.weight", DIM_NONE, DIM_HIDDEN, true, false},
    [PARAM_FFN_GATE] = {"model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight", DIM_FFN,
                        DIM_HIDDEN, true, false},
    [PARAM_FFN_UP] = {"model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight", DIM_FFN,
                      DIM_HIDDEN, true, false},
    [PARAM_FFN_DOWN] = {"model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight",
                        DIM_HIDDEN, DIM_FFN, true, true},
    [PARAM_OUTPUT_NORM] = {"model.norm.weight", "output_norm.weight", DIM_NONE, DIM_HIDDEN, false,
                           false},
    [PARAM_OUTPUT] = {"lm_head.weight", "output.weight", DIM_VOCAB, DIM_HIDDEN, false, false},
};

static size_t dimension(const struct model_config *c, enum dimension d)
{
    switch (d) {
    case DIM_NONE:
        return 1;
    case DIM_VOCAB:
        return c->vocab_size;
    case DIM_HIDDEN:
        return c->hidden_size;
    case DIM_QUERY:
        return c->num_attention_heads * c->head_dim;
    case DIM_KEY_VALUE:
        return c->num_key_value_heads * c->head_dim;
    case DIM_FFN:
        return c->intermediate_size;
    }
    CHECK(!"a dimension");
    return 0;
}

static void format_name(char *out, const char *pattern, int layer)
{
    const char *percent = strstr(pattern, "%d");
    if (!percent) {
        snprintf(out, PARAM_NAME_SIZE, "%s", pattern);
        return;
    }
    snprintf(out, PARAM_NAME_SIZE, "%.*s%d%s", (int)(percent - pattern), pattern, layer,
             percent + 2);
}

static struct param *add_param(struct model *m, enum param_role role, int layer)
{
    const struct param_spec *spec = &specs[role];
    const struct model_config *c = &m->config;
    struct param *p = &m->params[m->n_params++];
    *p = (struct param){.role = role, .layer = layer};
    format_name(p->name, spec->name, layer);
    format_name(p->gguf_name, spec->gguf_name, layer);
    p->n_dims = spec->rows == DIM_NONE ? 1 : 2;
    p->rows = dimension(c, spec->rows);
    p->cols = dimension(c, spec->cols);
    p->count = p->rows * p->cols;
    p->decay = p->n_dims == 2;
    p->ones = p->n_dims == 1;
    p->init_std = (float)c->initializer_range;
    if (spec->residual)
        p->init_std /= sqrtf(2.0f * (float)c->num_hidden_layers);
    m->n_weights += p->count;
    return p;
}

static void add_layer(struct model *m, int i)
{
    struct layer *l = &m->layers[i];
    l->attn_norm = add_param(m, PARAM_ATTN_NORM, i);
    l->q.weight = add_param(m, PARAM_ATTN_Q, i);
    l->k.weight = add_param(m, PARAM_ATTN_K, i);
    l->v.weight = add_param(m, PARAM_ATTN_V, i);
    l->output.weight = add_param(m, PARAM_ATTN_OUTPUT, i);
    l->ffn_norm = add_param(m, PARAM_FFN_NORM, i);
    l->gate.weight = add_param(m, PARAM_FFN_GATE, i);
    l->up.weight = add_param(m, PARAM_FFN_UP, i);
    l->down.weight = add_param(m, PARAM_FFN_DOWN, i);
}

int model_init(struct model *m, const struct model_config *config, struct error *e)
{
    *m = (struct model){.config = *config};
    int code = model_config_check(&m->config, e);
    if (code)
        return code;
    size_t n_layers = m->config.num_hidden_layers;
    m->params = mem_zero(n_layers * PARAM_ROLES + PARAM_ROLES, sizeof *m->params);
    m->layers = mem_zero(n_layers, sizeof *m->layers);
    m->token_embd = add_param(m, PARAM_TOKEN_EMBD, -1);
    for (size_t i = 0; i < n_layers; i++)
        add_layer(m, (int)i);
    m->output_norm = add_param(m, PARAM_OUTPUT_NORM, -1);
    m->head.weight =
        m->config.tie_word_embeddings ? m->token_embd : add_param(m, PARAM_OUTPUT, -1);
    return OK;
}

void model_free(struct model *m)
{
    arena_free(&m->values);
    mem_free(m->rope_cosine);
    mem_free(m->rope_sine);
    mem_free(m->layers);
    mem_free(m->params);
    *m = (struct model){0};
}

size_t model_value_bytes(const struct model *m)
{
    struct arena plan = {0};
    for (size_t i = 0; i < m->n_params; i++)
        arena_alloc(&plan, m->params[i].count, sizeof(float));
    return plan.used;
}

int model_allocate(struct model *m, struct error *e)
{
    int code = arena_init(&m->values, model_value_bytes(m), "the weights", e);
    if (code)
        return code;
    for (size_t i = 0; i < m->n_params; i++)
        m->params[i].value = arena_alloc(&m->values, m->params[i].count, sizeof(float));
    return OK;
}

void model_split(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (p->n_dims == 2 && !p->halves)
            halves_split(p->value, p->rows, p->cols);
        p->halves = p->n_dims == 2;
    }
}

void model_join(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (p->halves)
            halves_join(p->value, p->rows, p->cols);
        p->halves = false;
    }
}

struct matrix param_matrix(const struct param *p, enum dtype type)
{
    CHECK(p->halves ? type == DTYPE_BF16 : type == DTYPE_F32);
    return (struct matrix){p->value, p->halves ? 2 * p->cols : p->cols};
}

void model_initialize(struct model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (p->ones) {
            for (size_t j = 0; j < p->count; j++)
                p->value[j] = 1;
            continue;
        }
        struct rng rng;
        rng_init(&rng, seed, i);
        rng_fill_normal(&rng, p->value, p->count, p->init_std);
    }
}

static enum dtype gradient_type(const struct param *p, enum dtype type)
{
    return p->layer >= 0 && p->n_dims == 2 ? type : DTYPE_F32;
}

size_t model_gradient_bytes(const struct model *m, enum dtype type)
{
    struct arena plan = {0};
    for (size_t i = 0; i < m->n_params; i++)
        arena_alloc(&plan, m->params[i].count,
                    dtype_info(gradient_type(&m->params[i], type))->block_bytes);
    return plan.used;
}

void model_attach_gradients(struct model *m, enum dtype type, struct arena *arena)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        p->grad_type = gradient_type(p, type);
        p->grad = arena_alloc(arena, p->count, dtype_info(p->grad_type)->block_bytes);
    }
    if (arena->base)
        model_clear_gradients(m);
}

void model_clear_gradients(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        p->grad_is_stale = p->n_dims == 2;
        if (p->grad && p->n_dims == 1) /* few, and every row of a batch adds to them */
            memset(p->grad, 0, p->count * sizeof(float));
    }
}

float param_grad_beta(struct param *p)
{
    float beta = p->grad_is_stale ? 0 : 1;
    p->grad_is_stale = false;
    return beta;
}

void model_reserve_positions(struct model *m, size_t n)
{
    if (n <= m->n_positions)
        return;
    size_t half = m->config.head_dim / 2;
    double *frequency = mem_alloc(half, sizeof *frequency);
    for (size_t i = 0; i < half; i++)
        frequency[i] = pow(m->config.rope_theta, -(double)i / (double)half);
    m->rope_cosine = mem_resize(m->rope_cosine, n * half, sizeof(float));
    m->rope_sine = mem_resize(m->rope_sine, n * half, sizeof(float));
    rope_table(m->rope_cosine, m->rope_sine, frequency, n, m->config.head_dim);
    m->n_positions = n;
    mem_free(frequency);
}

struct param *model_find(const struct model *m, const char *name)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (strcmp(m->params[i].name, name) == 0 || strcmp(m->params[i].gguf_name, name) == 0)
            return &m->params[i];
    return NULL;
}
