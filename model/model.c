#include "model/model.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/halves.h"
#include "model/load.h"
#include "model/names.h"
#include "kernels/interleave.h"
#include "kernels/quantized.h"
#include "model/rope_scaling.h"

#include <math.h>
#include <string.h>

enum dimension {
    DIM_NONE,
    DIM_VOCAB,
    DIM_HIDDEN,
    DIM_QUERY,
    DIM_KEY_VALUE,
    DIM_FFN,
    DIM_EXPERT,
    DIM_EXPERTS,
    DIM_ONE,
};

/* What a parameter is. Matrices begin at random, norms so that they multiply by 1, biases at 0. */
enum use { USE_MATRIX, USE_RESIDUAL /* a matrix that writes to the residual stream */, USE_NORM, USE_BIAS };

static const struct param_spec {
    enum use use;
    enum dimension rows, cols; /* DIM_NONE: a vector */
} specs[PARAM_ROLES] = {
    [PARAM_TOKEN_EMBD] = {USE_MATRIX, DIM_VOCAB, DIM_HIDDEN},
    [PARAM_ATTN_NORM] = {USE_NORM, DIM_NONE, DIM_HIDDEN},
    [PARAM_ATTN_NORM_BIAS] = {USE_BIAS, DIM_NONE, DIM_HIDDEN},
    [PARAM_ATTN_Q] = {USE_MATRIX, DIM_QUERY, DIM_HIDDEN},
    [PARAM_ATTN_K] = {USE_MATRIX, DIM_KEY_VALUE, DIM_HIDDEN},
    [PARAM_ATTN_V] = {USE_MATRIX, DIM_KEY_VALUE, DIM_HIDDEN},
    [PARAM_ATTN_Q_BIAS] = {USE_BIAS, DIM_NONE, DIM_QUERY},
    [PARAM_ATTN_K_BIAS] = {USE_BIAS, DIM_NONE, DIM_KEY_VALUE},
    [PARAM_ATTN_V_BIAS] = {USE_BIAS, DIM_NONE, DIM_KEY_VALUE},
    [PARAM_ATTN_Q_NORM] = {USE_NORM, DIM_NONE, DIM_QUERY},
    [PARAM_ATTN_K_NORM] = {USE_NORM, DIM_NONE, DIM_KEY_VALUE},
    [PARAM_ATTN_OUTPUT] = {USE_RESIDUAL, DIM_HIDDEN, DIM_QUERY},
    [PARAM_ATTN_OUTPUT_BIAS] = {USE_BIAS, DIM_NONE, DIM_HIDDEN},
    [PARAM_ATTN_POST_NORM] = {USE_NORM, DIM_NONE, DIM_HIDDEN},
    [PARAM_FFN_NORM] = {USE_NORM, DIM_NONE, DIM_HIDDEN},
    [PARAM_FFN_NORM_BIAS] = {USE_BIAS, DIM_NONE, DIM_HIDDEN},
    [PARAM_FFN_GATE] = {USE_MATRIX, DIM_FFN, DIM_HIDDEN},
    [PARAM_FFN_UP] = {USE_MATRIX, DIM_FFN, DIM_HIDDEN},
    [PARAM_FFN_DOWN] = {USE_RESIDUAL, DIM_HIDDEN, DIM_FFN},
    [PARAM_FFN_GATE_BIAS] = {USE_BIAS, DIM_NONE, DIM_FFN},
    [PARAM_FFN_UP_BIAS] = {USE_BIAS, DIM_NONE, DIM_FFN},
    [PARAM_FFN_DOWN_BIAS] = {USE_BIAS, DIM_NONE, DIM_HIDDEN},
    [PARAM_ROUTER] = {USE_MATRIX, DIM_EXPERTS, DIM_HIDDEN},
    [PARAM_EXPERT_GATE] = {USE_MATRIX, DIM_EXPERT, DIM_HIDDEN},
    [PARAM_EXPERT_UP] = {USE_MATRIX, DIM_EXPERT, DIM_HIDDEN},
    [PARAM_EXPERT_DOWN] = {USE_RESIDUAL, DIM_HIDDEN, DIM_EXPERT},
    [PARAM_SHARED_ROUTER] = {USE_MATRIX, DIM_ONE, DIM_HIDDEN},
    [PARAM_SHARED_GATE] = {USE_MATRIX, DIM_FFN, DIM_HIDDEN},
    [PARAM_SHARED_UP] = {USE_MATRIX, DIM_FFN, DIM_HIDDEN},
    [PARAM_SHARED_DOWN] = {USE_RESIDUAL, DIM_HIDDEN, DIM_FFN},
    [PARAM_FFN_POST_NORM] = {USE_NORM, DIM_NONE, DIM_HIDDEN},
    [PARAM_OUTPUT_NORM] = {USE_NORM, DIM_NONE, DIM_HIDDEN},
    [PARAM_OUTPUT_NORM_BIAS] = {USE_BIAS, DIM_NONE, DIM_HIDDEN},
    [PARAM_OUTPUT] = {USE_MATRIX, DIM_VOCAB, DIM_HIDDEN},
    [PARAM_OUTPUT_BIAS] = {USE_BIAS, DIM_NONE, DIM_VOCAB},
};

static size_t dimension(const struct model_config *c, const struct layer_shape *s, enum dimension d)
{
    switch (d) {
    case DIM_NONE:
    case DIM_ONE:
        return 1;
    case DIM_VOCAB:
        return c->vocab_size;
    case DIM_HIDDEN:
        return c->hidden_size;
    case DIM_QUERY:
        return s->n_heads * c->head_dim;
    case DIM_KEY_VALUE:
        return s->n_kv_heads * c->head_dim;
    case DIM_FFN:
        return s->intermediate_size;
    case DIM_EXPERT:
        return model_expert_size(c);
    case DIM_EXPERTS:
        return c->num_experts;
    }
    CHECK(!"a dimension");
    return 0;
}

static struct param *add(struct model *m, enum param_role role, int layer, int expert)
{
    const struct param_spec *spec = &specs[role];
    const struct model_config *c = &m->config;
    const struct layer_shape none = {0};
    const struct layer_shape *shape = layer < 0 ? &none : &m->layers[layer].shape;
    struct param *p = &m->params[m->n_params++];
    *p = (struct param){.role = role, .layer = layer, .expert = expert,
                        .matrix = spec->use == USE_MATRIX || spec->use == USE_RESIDUAL};
    param_name(p->name, role_own_name(model_architecture(c), role), layer, expert);
    p->n_dims = spec->rows == DIM_NONE ? 1 : 2;
    p->rows = dimension(c, shape, spec->rows);
    p->cols = dimension(c, shape, spec->cols);
    p->count = p->rows * p->cols;
    if (spec->use == USE_NORM)
        p->init_mean = 1 - model_architecture(c)->norm_offset;
    if (p->matrix)
        p->init_std = (float)c->initializer_range;
    if (spec->use == USE_RESIDUAL)
        p->init_std /= sqrtf(2.0f * (float)c->num_hidden_layers);
    m->n_weights += p->count;
    return p;
}

/* A norm of queries or keys over `heads` heads. */
static struct param *add_qk_norm(struct model *m, enum param_role role, int layer, size_t heads)
{
    struct param *p = add(m, role, layer, -1);
    enum qk_norm kind = model_qk_norm(&m->config);
    size_t head_dim = m->config.head_dim;
    m->n_weights -= p->count;
    p->cols = kind == QK_NORM_WHOLE ? heads * head_dim : head_dim;
    p->rows = kind == QK_NORM_EACH ? heads : 1;
    p->n_dims = kind == QK_NORM_EACH ? 2 : 1;
    p->count = p->rows * p->cols;
    m->n_weights += p->count;
    return p;
}

static struct layer_norm add_norm(struct model *m, enum param_role weight, enum param_role bias,
                                  int layer)
{
    struct layer_norm n = {.weight = add(m, weight, layer, -1)};
    if (bias != PARAM_NONE && model_biases(&m->config) & BIAS_NORMS)
        n.bias = add(m, bias, layer, -1);
    return n;
}

static void add_attention(struct model *m, int i)
{
    struct layer *l = &m->layers[i];
    int biases = model_biases(&m->config);
    l->q.weight = add(m, PARAM_ATTN_Q, i, -1);
    l->k.weight = add(m, PARAM_ATTN_K, i, -1);
    l->v.weight = add(m, PARAM_ATTN_V, i, -1);
    if (biases & BIAS_QKV) {
        l->q.bias = add(m, PARAM_ATTN_Q_BIAS, i, -1);
        l->k.bias = add(m, PARAM_ATTN_K_BIAS, i, -1);
        l->v.bias = add(m, PARAM_ATTN_V_BIAS, i, -1);
    }
    if (model_qk_norm(&m->config) != QK_NORM_NONE) {
        l->q_norm.weight = add_qk_norm(m, PARAM_ATTN_Q_NORM, i, l->shape.n_heads);
        l->k_norm.weight = add_qk_norm(m, PARAM_ATTN_K_NORM, i, l->shape.n_kv_heads);
    }
    l->output.weight = add(m, PARAM_ATTN_OUTPUT, i, -1);
    if (biases & BIAS_OUTPUT)
        l->output.bias = add(m, PARAM_ATTN_OUTPUT_BIAS, i, -1);
}

static void add_dense(struct model *m, int i)
{
    struct feed_forward *f = &m->layers[i].ffn;
    f->gate.weight = add(m, PARAM_FFN_GATE, i, -1);
    f->up.weight = add(m, PARAM_FFN_UP, i, -1);
    f->down.weight = add(m, PARAM_FFN_DOWN, i, -1);
    if (model_biases(&m->config) & BIAS_MLP) {
        f->gate.bias = add(m, PARAM_FFN_GATE_BIAS, i, -1);
        f->up.bias = add(m, PARAM_FFN_UP_BIAS, i, -1);
        f->down.bias = add(m, PARAM_FFN_DOWN_BIAS, i, -1);
    }
}

static void add_experts(struct model *m, int i)
{
    struct layer *l = &m->layers[i];
    int n = (int)m->config.num_experts;
    l->moe.experts = m->experts + (size_t)i * m->config.num_experts;
    l->moe.router.weight = add(m, PARAM_ROUTER, i, -1);
    for (int j = 0; j < n; j++)
        l->moe.experts[j].gate.weight = add(m, PARAM_EXPERT_GATE, i, j);
    for (int j = 0; j < n; j++)
        l->moe.experts[j].up.weight = add(m, PARAM_EXPERT_UP, i, j);
    for (int j = 0; j < n; j++)
        l->moe.experts[j].down.weight = add(m, PARAM_EXPERT_DOWN, i, j);
    if (l->shape.intermediate_size == 0)
        return;
    l->moe.shared_router.weight = add(m, PARAM_SHARED_ROUTER, i, -1);
    l->ffn.gate.weight = add(m, PARAM_SHARED_GATE, i, -1);
    l->ffn.up.weight = add(m, PARAM_SHARED_UP, i, -1);
    l->ffn.down.weight = add(m, PARAM_SHARED_DOWN, i, -1);
}

static void add_layer(struct model *m, int i)
{
    const struct architecture *a = model_architecture(&m->config);
    struct layer *l = &m->layers[i];
    bool before = a->norm_place != NORM_AFTER, after = a->norm_place != NORM_BEFORE;
    l->shape = model_layer_shape(&m->config, (size_t)i);
    if (before)
        l->attn_norm = add_norm(m, PARAM_ATTN_NORM, PARAM_ATTN_NORM_BIAS, i);
    add_attention(m, i);
    if (after)
        l->attn_post_norm = add_norm(m, PARAM_ATTN_POST_NORM, PARAM_NONE, i);
    if (before && !m->config.use_parallel_residual)
        l->ffn_norm = add_norm(m, PARAM_FFN_NORM, PARAM_FFN_NORM_BIAS, i);
    if (a->has_experts)
        add_experts(m, i);
    else
        add_dense(m, i);
    if (after)
        l->ffn_post_norm = add_norm(m, PARAM_FFN_POST_NORM, PARAM_NONE, i);
}

int model_init(struct model *m, const struct model_config *config, struct error *e)
{
    *m = (struct model){.config = *config};
    int code = model_config_check(&m->config, e);
    if (code)
        return code;
    const struct model_config *c = &m->config;
    size_t n_layers = c->num_hidden_layers, n_experts = c->num_experts;
    m->params = mem_zero(n_layers * (PARAM_ROLES + 3 * n_experts) + PARAM_ROLES, sizeof *m->params);
    m->layers = mem_zero(n_layers, sizeof *m->layers);
    m->experts = mem_zero(n_layers * n_experts + 1, sizeof *m->experts);
    m->token_embd = add(m, PARAM_TOKEN_EMBD, -1, -1);
    for (size_t i = 0; i < n_layers; i++)
        add_layer(m, (int)i);
    m->output_norm = add_norm(m, PARAM_OUTPUT_NORM, PARAM_OUTPUT_NORM_BIAS, -1);
    m->head.weight = c->tie_word_embeddings ? m->token_embd : add(m, PARAM_OUTPUT, -1, -1);
    if (model_biases(c) & BIAS_HEAD)
        m->head.bias = add(m, PARAM_OUTPUT_BIAS, -1, -1);
    for (size_t i = 0; i < m->n_params; i++)
        params_add(&m->all, &m->params[i]);
    return OK;
}

void model_free(struct model *m)
{
    model_file_close(m->file);
    arena_free(&m->values);
    arena_free(&m->interleaved);
    mem_free(m->rope.cosine);
    mem_free(m->rope.sine);
    mem_free(m->local_rope.cosine);
    mem_free(m->local_rope.sine);
    mem_free(m->experts);
    mem_free(m->layers);
    mem_free(m->params);
    params_free(&m->all);
    *m = (struct model){0};
}

/* Weights */

static void take_values(struct model *m, struct arena *arena)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        size_t bytes;
        if (p->data && p->data != p->value)
            continue;
        CHECK(dtype_bytes(p->type, p->count, &bytes));
        p->data = arena_alloc(arena, bytes, 1);
        p->value = p->type == DTYPE_F32 ? (float *)p->data : NULL;
    }
}

size_t model_stored_bytes(const struct model *m)
{
    size_t total = 0, bytes;
    for (size_t i = 0; i < m->n_params; i++)
        if (dtype_bytes(m->params[i].type, m->params[i].count, &bytes))
            total += bytes;
    return total;
}

bool model_has_blocks(const struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (dtype_info(m->params[i].type)->block > 1)
            return true;
    return false;
}

int model_allocate(struct model *m, struct error *e)
{
    struct arena plan = {0};
    take_values(m, &plan);
    int code = arena_init(&m->values, plan.used, "the weights", e);
    if (!code)
        take_values(m, &m->values);
    return code;
}

void model_split(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (!p->matrix || !p->value || p->halves)
            continue;
        halves_split(p->value, p->rows, p->cols);
        p->halves = true;
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

bool model_is_split(const struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].halves)
            return true;
    return false;
}

void model_use_integers(struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        m->params[i].in_integers = m->params[i].matrix && quantized_supports(m->params[i].type);
}

static bool can_interleave(const struct model *m, const struct param *p)
{
    bool product = p != m->token_embd || m->head.weight == p;
    return product && p->in_integers && !p->value && !p->view && !p->interleaved && p->rows >= INTERLEAVED_ROWS &&
           interleave_pays(p->type, p->cols);
}

int model_interleave(struct model *m, struct error *e)
{
    size_t total = 0, bytes;
    for (size_t i = 0; i < m->n_params; i++)
        if (can_interleave(m, &m->params[i]) && dtype_bytes(m->params[i].type, m->params[i].count, &bytes))
            total += bytes + ARENA_ALIGN;
    if (total == 0)
        return OK;
    CHECK(m->interleaved.size == 0);
    int code = arena_init(&m->interleaved, total, "the weights in an order made for products", e);
    for (size_t i = 0; i < m->n_params && !code; i++) {
        struct param *p = &m->params[i];
        if (!can_interleave(m, p))
            continue;
        CHECK(dtype_bytes(p->type, p->count, &bytes));
        void *to = arena_alloc(&m->interleaved, bytes, 1);
        interleave(p->type, p->rows, p->cols, p->data, to);
        file_forget(p->data, bytes);
        p->data = to;
        p->interleaved = true;
    }
    return code;
}

void model_initialize(struct model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (p->init_std == 0) {
            for (size_t j = 0; j < p->count; j++)
                p->value[j] = p->init_mean;
            continue;
        }
        struct rng rng;
        rng_init(&rng, seed, i);
        rng_fill_normal(&rng, p->value, p->count, p->init_std);
    }
}

/* Rotary angles */

static void reserve_angles(struct rope_angles *r, const struct model_config *c, bool local, size_t n)
{
    size_t half = model_rotary_dim(c) / 2;
    double *frequency = mem_alloc(half, sizeof *frequency);
    double magnitude = rope_frequencies(c, local, n, frequency);
    r->cosine = mem_resize(r->cosine, n * half, sizeof(float));
    r->sine = mem_resize(r->sine, n * half, sizeof(float));
    rope_table(r->cosine, r->sine, frequency, magnitude, n, 2 * half);
    mem_free(frequency);
}

void model_reserve_positions(struct model *m, size_t n)
{
    if (n <= m->n_positions)
        return;
    reserve_angles(&m->rope, &m->config, false, n);
    if (m->config.rope_local_base_freq > 0)
        reserve_angles(&m->local_rope, &m->config, true, n);
    m->n_positions = n;
}

/* Looking things up */

struct param *model_find(const struct model *m, const char *name)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (strcmp(m->params[i].name, name) == 0)
            return &m->params[i];
    return NULL;
}

size_t layer_query_width(const struct model *m, const struct layer *l)
{
    return l->shape.n_heads * m->config.head_dim;
}

size_t layer_key_width(const struct model *m, const struct layer *l)
{
    return l->shape.n_kv_heads * m->config.head_dim;
}

struct rope layer_rope(const struct model *m, const struct layer *l)
{
    const struct rope_angles *angles = l->shape.local_rope ? &m->local_rope : &m->rope;
    return (struct rope){angles->cosine, angles->sine, m->config.rope_style, m->config.head_dim,
                         model_rotary_dim(&m->config)};
}

struct model_widths model_widths(const struct model *m)
{
    struct model_widths w = {0};
    for (size_t i = 0; i < m->config.num_hidden_layers; i++) {
        const struct layer *l = &m->layers[i];
        w.query = size_larger(w.query, layer_query_width(m, l));
        w.key = size_larger(w.key, layer_key_width(m, l));
        w.heads = size_larger(w.heads, l->shape.n_heads);
        w.ffn = size_larger(w.ffn, l->shape.intermediate_size);
    }
    return w;
}
