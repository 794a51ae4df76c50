#include "model/decoder.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/norm.h"
#include "kernels/rope.h"

#include <math.h>
#include <string.h>

/* What a block needs to know about this call. */
struct pass {
    const struct model *m;
    struct activations *a;
    const struct batch *b;
    struct kv_cache *cache;
    size_t n;               /* tokens */
    uint64_t dropout_seed;
    float dropout;
};

static struct pass make_pass(const struct model *m, struct activations *a, const struct batch *b,
                             struct kv_cache *cache, uint64_t dropout_seed)
{
    CHECK(b->n_rows * b->seq_len <= a->n_rows * a->seq_len);
    return (struct pass){.m = m, .a = a, .b = b, .cache = cache, .n = b->n_rows * b->seq_len,
                         .dropout_seed = dropout_seed,
                         .dropout = dropout_seed ? (float)m->config.resid_dropout : 0};
}

static void take_layer(struct layer_activations *l, const struct model_config *c, size_t n,
                       struct arena *arena)
{
    size_t width = c->hidden_size, query = c->num_attention_heads * c->head_dim,
           key = c->num_key_value_heads * c->head_dim, ffn = c->intermediate_size;
    l->input = arena_alloc(arena, n * width, sizeof(float));
    l->attn_rstd = arena_alloc(arena, n, sizeof(float));
    l->q = arena_alloc(arena, n * query, sizeof(float));
    l->k = arena_alloc(arena, n * key, sizeof(float));
    l->v = arena_alloc(arena, n * key, sizeof(float));
    l->attn = arena_alloc(arena, n * query, sizeof(float));
    l->lse = arena_alloc(arena, n * c->num_attention_heads, sizeof(float));
    l->middle = arena_alloc(arena, n * width, sizeof(float));
    l->ffn_rstd = arena_alloc(arena, n, sizeof(float));
    l->gate = arena_alloc(arena, n * ffn, sizeof(float));
    l->up = arena_alloc(arena, n * ffn, sizeof(float));
}

void activations_init(struct activations *a, const struct model_config *c, size_t n_rows,
                      size_t seq_len, bool backward, struct arena *arena)
{
    *a = (struct activations){.n_rows = n_rows, .seq_len = seq_len, .keep = backward};
    size_t n = n_rows * seq_len, width = c->hidden_size, ffn = c->intermediate_size;
    size_t query = c->num_attention_heads * c->head_dim,
           key = c->num_key_value_heads * c->head_dim;
    a->layers = mem_zero(c->num_hidden_layers, sizeof *a->layers);
    for (size_t i = 0; i < c->num_hidden_layers; i++) {
        if (backward || i == 0)
            take_layer(&a->layers[i], c, n, arena);
        else
            a->layers[i] = a->layers[0];
    }
    /* Without a backward pass the residual stream may live in one place. */
    a->last = backward ? arena_alloc(arena, n * width, sizeof(float)) : a->layers[0].input;
    a->last_rstd = arena_alloc(arena, n, sizeof(float));
    a->hidden = arena_alloc(arena, n * width, sizeof(float));
    a->normed = arena_alloc(arena, n * (ffn > width ? ffn : width), sizeof(float));
    a->branch = arena_alloc(arena, n * width, sizeof(float));
    if (!backward)
        return;
    a->dx = arena_alloc(arena, n * width, sizeof(float));
    a->dbranch = arena_alloc(arena, n * width, sizeof(float));
    a->dnormed = arena_alloc(arena, n * width, sizeof(float));
    a->dq = arena_alloc(arena, n * query, sizeof(float));
    a->dk = arena_alloc(arena, n * key, sizeof(float));
    a->dv = arena_alloc(arena, n * key, sizeof(float));
    a->dattn = arena_alloc(arena, n * query, sizeof(float));
    a->delta = arena_alloc(arena, n * c->num_attention_heads, sizeof(float));
    a->dgate = arena_alloc(arena, n * ffn, sizeof(float));
    a->dup = arena_alloc(arena, n * ffn, sizeof(float));
}

void activations_free(struct activations *a)
{
    mem_free(a->layers);
    *a = (struct activations){0};
}

int kv_cache_init(struct kv_cache *cache, const struct model_config *c, size_t capacity,
                  struct error *e)
{
    *cache = (struct kv_cache){.capacity = capacity};
    size_t n = c->num_hidden_layers * capacity * c->num_key_value_heads * c->head_dim;
    int code = arena_init(&cache->arena, 2 * (n * sizeof(float) + ARENA_ALIGN), "the key/value cache",
                          e);
    if (code)
        return code;
    cache->k = arena_alloc(&cache->arena, n, sizeof(float));
    cache->v = arena_alloc(&cache->arena, n, sizeof(float));
    return OK;
}

void kv_cache_free(struct kv_cache *cache)
{
    arena_free(&cache->arena);
    *cache = (struct kv_cache){0};
}

static struct attention_shape attention_shape(const struct pass *p)
{
    const struct model_config *c = &p->m->config;
    size_t key = c->num_key_value_heads * c->head_dim;
    return (struct attention_shape){
        .n_batch = p->b->n_rows,
        .n_queries = p->b->seq_len,
        .n_past = p->cache ? p->cache->length : 0,
        .n_heads = c->num_attention_heads,
        .n_kv_heads = c->num_key_value_heads,
        .head_dim = c->head_dim,
        .q_stride = c->num_attention_heads * c->head_dim,
        .kv_stride = key,
        .kv_batch_stride = p->b->seq_len * key,
        .scale = 1 / sqrtf((float)c->head_dim),
    };
}

static uint64_t mask_seed(const struct pass *p, size_t layer, int branch)
{
    return rng_at(p->dropout_seed, 2 * layer + (uint64_t)branch);
}

static void rotate(const struct pass *p, float *x, size_t n_heads,
                   void (*direction)(float *, const int32_t *, const float *, const float *,
                                     enum rope_style, size_t, size_t, size_t, size_t, size_t))
{
    const struct model *m = p->m;
    size_t d = m->config.head_dim;
    direction(x, p->b->positions, m->rope_cosine, m->rope_sine, m->config.rope_style, p->n, n_heads,
              d, d, n_heads * d);
}

/* Attention of one block: q, k, v, rotation, attention, output projection into a->branch. */
static void attention_branch(const struct pass *p, size_t i)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    size_t n = p->n, key = c->num_key_value_heads * c->head_dim;
    float *normed = p->a->normed;

    /* With a cache, this call's keys and values go straight to their place in it. */
    float *k = s->k, *v = s->v, *k_all = s->k, *v_all = s->v;
    if (p->cache) {
        k_all = p->cache->k + i * p->cache->capacity * key;
        v_all = p->cache->v + i * p->cache->capacity * key;
        k = k_all + p->cache->length * key;
        v = v_all + p->cache->length * key;
    }
    rmsnorm_forward(normed, s->attn_rstd, s->input, l->attn_norm->value, (float)c->rms_norm_eps, n,
                    c->hidden_size);
    linear_forward(&l->q, s->q, normed, n);
    linear_forward(&l->k, k, normed, n);
    linear_forward(&l->v, v, normed, n);
    rotate(p, s->q, c->num_attention_heads, rope_forward);
    rotate(p, k, c->num_key_value_heads, rope_forward);
    struct attention_shape shape = attention_shape(p);
    attention_forward(s->attn, p->a->keep ? s->lse : NULL, s->q, k_all, v_all, p->b->first_key,
                      &shape);
    linear_forward(&l->output, p->a->branch, s->attn, n);
}

static void attention_branch_backward(const struct pass *p, size_t i, const float *dbranch)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t n = p->n;

    linear_backward(&l->output, a->dattn, false, dbranch, s->attn, n);
    struct attention_shape shape = attention_shape(p);
    attention_backward(a->dq, a->dk, a->dv, a->delta, a->dattn, s->attn, s->lse, s->q, s->k, s->v,
                       p->b->first_key, &shape);
    rotate(p, a->dq, c->num_attention_heads, rope_backward);
    rotate(p, a->dk, c->num_key_value_heads, rope_backward);
    rmsnorm_forward(a->normed, NULL, s->input, l->attn_norm->value, (float)c->rms_norm_eps, n,
                    c->hidden_size);
    linear_backward(&l->q, a->dnormed, false, a->dq, a->normed, n);
    linear_backward(&l->k, a->dnormed, true, a->dk, a->normed, n);
    linear_backward(&l->v, a->dnormed, true, a->dv, a->normed, n);
    rmsnorm_backward(a->dx, l->attn_norm->grad, a->dnormed, s->input, s->attn_rstd,
                     l->attn_norm->value, n, c->hidden_size);
}

/* Feed-forward of one block into a->branch. */
static void ffn_branch(const struct pass *p, size_t i)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    size_t n = p->n;
    float *normed = p->a->normed;

    rmsnorm_forward(normed, s->ffn_rstd, s->middle, l->ffn_norm->value, (float)c->rms_norm_eps, n,
                    c->hidden_size);
    linear_forward(&l->gate, s->gate, normed, n);
    linear_forward(&l->up, s->up, normed, n);
    swiglu_forward(normed, s->gate, s->up, n * c->intermediate_size);
    linear_forward(&l->down, p->a->branch, normed, n);
}

static void ffn_branch_backward(const struct pass *p, size_t i, const float *dbranch)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t n = p->n;

    swiglu_forward(a->normed, s->gate, s->up, n * c->intermediate_size);
    linear_backward(&l->down, a->dup, false, dbranch, a->normed, n);
    /* dup holds the gradient of the gated product until it is split in two */
    swiglu_backward(a->dgate, a->normed, a->dup, s->gate, s->up, n * c->intermediate_size);
    memcpy(a->dup, a->normed, n * c->intermediate_size * sizeof(float));
    rmsnorm_forward(a->normed, NULL, s->middle, l->ffn_norm->value, (float)c->rms_norm_eps, n,
                    c->hidden_size);
    linear_backward(&l->gate, a->dnormed, false, a->dgate, a->normed, n);
    linear_backward(&l->up, a->dnormed, true, a->dup, a->normed, n);
    rmsnorm_backward(a->dx, l->ffn_norm->grad, a->dnormed, s->middle, s->ffn_rstd,
                     l->ffn_norm->value, n, c->hidden_size);
}

const float *decoder_forward(const struct model *m, struct activations *a, const struct batch *b,
                             struct kv_cache *cache, uint64_t dropout_seed)
{
    const struct model_config *c = &m->config;
    struct pass p = make_pass(m, a, b, cache, dropout_seed);
    size_t n_layers = c->num_hidden_layers, size = p.n * c->hidden_size;
    CHECK(!cache || (b->n_rows == 1 && cache->length + b->seq_len <= cache->capacity));

    embedding_forward(a->layers[0].input, m->token_embd->value, b->input_ids, p.n, c->hidden_size);
    for (size_t i = 0; i < n_layers; i++) {
        struct layer_activations *s = &a->layers[i];
        float *output = i + 1 < n_layers ? a->layers[i + 1].input : a->last;
        attention_branch(&p, i);
        memcpy(s->middle, s->input, size * sizeof(float));
        residual_add(s->middle, a->branch, p.dropout, mask_seed(&p, i, 0), size);
        ffn_branch(&p, i);
        memcpy(output, s->middle, size * sizeof(float));
        residual_add(output, a->branch, p.dropout, mask_seed(&p, i, 1), size);
    }
    rmsnorm_forward(a->hidden, a->last_rstd, a->last, m->output_norm->value, (float)c->rms_norm_eps,
                    p.n, c->hidden_size);
    if (cache)
        cache->length += b->seq_len;
    return a->hidden;
}

void decoder_backward(struct model *m, struct activations *a, const struct batch *b,
                      const float *dhidden, uint64_t dropout_seed)
{
    const struct model_config *c = &m->config;
    struct pass p = make_pass(m, a, b, NULL, dropout_seed);
    size_t size = p.n * c->hidden_size;
    CHECK(a->keep);

    memset(a->dx, 0, size * sizeof(float));
    rmsnorm_backward(a->dx, m->output_norm->grad, dhidden, a->last, a->last_rstd,
                     m->output_norm->value, p.n, c->hidden_size);
    for (size_t i = c->num_hidden_layers; i-- > 0;) {
        residual_add_backward(a->dbranch, a->dx, p.dropout, mask_seed(&p, i, 1), size);
        ffn_branch_backward(&p, i, a->dbranch);
        residual_add_backward(a->dbranch, a->dx, p.dropout, mask_seed(&p, i, 0), size);
        attention_branch_backward(&p, i, a->dbranch);
    }
    if (m->token_embd->grad)
        embedding_backward(m->token_embd->grad, a->dx, b->input_ids, p.n, c->hidden_size);
}
