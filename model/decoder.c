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
    enum dtype type;        /* of what products read */
    struct rope rope;
    uint64_t dropout_seed;
    float dropout;
};

static struct pass make_pass(const struct model *m, struct activations *a, const struct batch *b,
                             struct kv_cache *cache, uint64_t dropout_seed)
{
    const struct model_config *c = &m->config;
    CHECK(b->n_rows * b->seq_len <= a->n_rows * a->seq_len);
    return (struct pass){
        .m = m, .a = a, .b = b, .cache = cache, .n = b->n_rows * b->seq_len, .type = a->type,
        .rope = {m->rope_cosine, m->rope_sine, c->rope_style, c->head_dim, c->head_dim},
        .dropout_seed = dropout_seed,
        .dropout = dropout_seed ? (float)c->resid_dropout : 0,
    };
}

/* Sizes of one token's activations, and the arena they come from. */
struct taker {
    struct arena *arena;
    size_t n, width, query, key, ffn, heads, element; /* bytes of one element of the type */
};

static float *take_floats(const struct taker *t, size_t width)
{
    return arena_alloc(t->arena, t->n * width, sizeof(float));
}

static void *take_elements(const struct taker *t, size_t width)
{
    return arena_alloc(t->arena, t->n * width, t->element);
}

static void take_layer(struct layer_activations *l, const struct taker *t)
{
    l->input = take_floats(t, t->width);
    l->attn_rstd = take_floats(t, 1);
    l->q = take_elements(t, t->query);
    l->k = take_elements(t, t->key);
    l->v = take_elements(t, t->key);
    l->attn = take_elements(t, t->query);
    l->lse = take_floats(t, t->heads);
    l->middle = take_floats(t, t->width);
    l->ffn_rstd = take_floats(t, 1);
    l->gate = take_elements(t, t->ffn);
    l->up = take_elements(t, t->ffn);
}

static void take_backward(struct activations *a, const struct taker *t)
{
    a->dx = take_floats(t, t->width);
    a->dnormed = take_floats(t, t->width);
    a->dq = take_floats(t, t->query);
    a->dk = take_floats(t, t->key);
    a->delta = take_floats(t, t->heads);
    a->dq_rotated = a->type == DTYPE_F32 ? a->dq : take_elements(t, t->query);
    a->dk_rotated = a->type == DTYPE_F32 ? a->dk : take_elements(t, t->key);
    a->dv = take_elements(t, t->key);
    a->dattn = take_elements(t, t->query);
    a->dgate = take_elements(t, t->ffn);
    a->dup = take_elements(t, t->ffn);
}

void activations_init(struct activations *a, const struct model_config *c, enum dtype type,
                      size_t n_rows, size_t seq_len, enum kept kept, struct arena *arena)
{
    CHECK(type == DTYPE_F32 || type == DTYPE_BF16);
    *a = (struct activations){.type = type, .n_rows = n_rows, .seq_len = seq_len, .kept = kept};
    struct taker t = {
        .arena = arena, .n = n_rows * seq_len, .width = c->hidden_size,
        .query = c->num_attention_heads * c->head_dim, .key = c->num_key_value_heads * c->head_dim,
        .ffn = c->intermediate_size, .heads = c->num_attention_heads,
        .element = dtype_info(type)->block_bytes,
    };
    a->layers = mem_zero(c->num_hidden_layers, sizeof *a->layers);
    for (size_t i = 0; i < c->num_hidden_layers; i++) {
        if (kept == KEEP_ALL || i == 0)
            take_layer(&a->layers[i], &t);
        else
            a->layers[i] = a->layers[0];
        if (kept == KEEP_INPUTS && i > 0)
            a->layers[i].input = take_floats(&t, t.width);
    }
    /* Without a backward pass the residual stream may live in one place. */
    a->last = kept ? take_floats(&t, t.width) : a->layers[0].input;
    a->last_rstd = take_floats(&t, 1);
    a->hidden = take_elements(&t, t.width);
    a->normed = take_elements(&t, t.ffn > t.width ? t.ffn : t.width);
    a->branch = take_elements(&t, t.width);
    if (kept)
        take_backward(a, &t);
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
        .type = p->type,
    };
}

static uint64_t mask_seed(const struct pass *p, size_t layer, int branch)
{
    return rng_at(p->dropout_seed, 2 * layer + (uint64_t)branch);
}

static struct norm norm_of(const struct pass *p, const struct param *weight)
{
    return (struct norm){.kind = NORM_RMS, .weight = weight->value, .weight_rows = 1,
                         .eps = (float)p->m->config.rms_norm_eps};
}

/* A norm's output into a->normed. */
static void norm(const struct pass *p, float *rstd, const float *x, const struct param *weight)
{
    struct norm w = norm_of(p, weight);
    norm_forward(p->a->normed, p->type, NULL, rstd, x, DTYPE_F32, &w, p->n,
                 p->m->config.hidden_size);
}

/* From the gradient of a norm's output to a->dx and the norm's own. */
static void norm_add_gradients(const struct pass *p, const struct param *weight, const float *dy,
                               const float *x, const float *rstd)
{
    struct norm w = norm_of(p, weight);
    norm_backward(p->a->dx, DTYPE_F32, true, weight->grad, NULL, dy, x, DTYPE_F32, NULL, rstd, &w,
                  p->n, p->m->config.hidden_size);
}

/* Attention of one block: q, k, v, rotation, attention, output projection into a->branch. */
static void attention_branch(const struct pass *p, size_t i)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    size_t n = p->n, n_heads = c->num_attention_heads, n_kv_heads = c->num_key_value_heads;
    size_t query = n_heads * c->head_dim, key = n_kv_heads * c->head_dim;
    enum dtype type = p->type;

    /* With a cache, this call's keys and values go straight to their place in it. */
    void *k = s->k, *v = s->v, *k_all = s->k, *v_all = s->v;
    if (p->cache) {
        k_all = p->cache->k + i * p->cache->capacity * key;
        v_all = p->cache->v + i * p->cache->capacity * key;
        k = (float *)k_all + p->cache->length * key;
        v = (float *)v_all + p->cache->length * key;
    }
    norm(p, s->attn_rstd, s->input, l->attn_norm);
    linear_forward(&l->q, s->q, type, p->a->normed, type, n);
    linear_forward(&l->k, k, type, p->a->normed, type, n);
    linear_forward(&l->v, v, type, p->a->normed, type, n);
    rope_forward(s->q, type, p->b->positions, &p->rope, n, n_heads, query);
    rope_forward(k, type, p->b->positions, &p->rope, n, n_kv_heads, key);
    struct attention_shape shape = attention_shape(p);
    attention_forward(s->attn, p->a->kept ? s->lse : NULL, s->q, k_all, v_all, p->b->first_key,
                      &shape);
    linear_forward(&l->output, p->a->branch, type, s->attn, type, n);
}

/* a->branch: the gradient of what the block added. */
static void attention_branch_backward(const struct pass *p, size_t i)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t n = p->n, n_heads = c->num_attention_heads, n_kv_heads = c->num_key_value_heads;
    size_t query = n_heads * c->head_dim, key = n_kv_heads * c->head_dim;
    enum dtype type = p->type;

    linear_backward(&l->output, a->dattn, type, false, a->branch, s->attn, type, n);
    struct attention_shape shape = attention_shape(p);
    attention_backward(a->dq, a->dk, a->dv, a->delta, a->dattn, s->attn, s->lse, s->q, s->k, s->v,
                       p->b->first_key, &shape);
    rope_backward(a->dq_rotated, type, a->dq, p->b->positions, &p->rope, n, n_heads, query);
    rope_backward(a->dk_rotated, type, a->dk, p->b->positions, &p->rope, n, n_kv_heads, key);
    norm(p, NULL, s->input, l->attn_norm);
    linear_backward(&l->q, a->dnormed, DTYPE_F32, false, a->dq_rotated, a->normed, type, n);
    linear_backward(&l->k, a->dnormed, DTYPE_F32, true, a->dk_rotated, a->normed, type, n);
    linear_backward(&l->v, a->dnormed, DTYPE_F32, true, a->dv, a->normed, type, n);
    norm_add_gradients(p, l->attn_norm, a->dnormed, s->input, s->attn_rstd);
}

/* Gate and up of one block. */
static void ffn_inputs(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    norm(p, s->ffn_rstd, s->middle, l->ffn_norm);
    linear_forward(&l->gate, s->gate, p->type, p->a->normed, p->type, p->n);
    linear_forward(&l->up, s->up, p->type, p->a->normed, p->type, p->n);
}

/* Feed-forward of one block into a->branch. */
static void ffn_branch(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    void *gated = p->a->normed;
    ffn_inputs(p, i);
    glu_forward(ACTIVATION_SILU, gated, s->gate, s->up, p->type, p->n * p->m->config.intermediate_size);
    linear_forward(&l->down, p->a->branch, p->type, gated, p->type, p->n);
}

static void ffn_branch_backward(const struct pass *p, size_t i)
{
    const struct model_config *c = &p->m->config;
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    enum dtype type = p->type;
    size_t n = p->n, n_gated = n * c->intermediate_size;

    glu_forward(ACTIVATION_SILU, a->normed, s->gate, s->up, type, n_gated);
    linear_backward(&l->down, a->dup, type, false, a->branch, a->normed, type, n);
    /* dup holds the gradient of the gated product until it is split in two */
    glu_backward(ACTIVATION_SILU, a->dgate, a->dup, a->dup, s->gate, s->up, type, n_gated);
    norm(p, NULL, s->middle, l->ffn_norm);
    linear_backward(&l->gate, a->dnormed, DTYPE_F32, false, a->dgate, a->normed, type, n);
    linear_backward(&l->up, a->dnormed, DTYPE_F32, true, a->dup, a->normed, type, n);
    norm_add_gradients(p, l->ffn_norm, a->dnormed, s->middle, s->ffn_rstd);
}

/* The first half of a block: from its input to the stream in its middle. */
static void attention_half(const struct pass *p, size_t i)
{
    struct layer_activations *s = &p->a->layers[i];
    attention_branch(p, i);
    residual_add(s->middle, s->input, p->a->branch, p->type, 1, p->dropout, mask_seed(p, i, 0),
                 p->n * p->m->config.hidden_size);
}

const void *decoder_forward(const struct model *m, struct activations *a, const struct batch *b,
                            struct kv_cache *cache, uint64_t dropout_seed)
{
    const struct model_config *c = &m->config;
    struct pass p = make_pass(m, a, b, cache, dropout_seed);
    size_t n_layers = c->num_hidden_layers, size = p.n * c->hidden_size;
    CHECK(!cache || (b->n_rows == 1 && cache->length + b->seq_len <= cache->capacity));
    CHECK(!cache || a->type == DTYPE_F32);

    embedding_forward(a->layers[0].input, m->token_embd->value, DTYPE_F32, m->token_embd->halves,
                      b->input_ids, 1, p.n, c->hidden_size);
    for (size_t i = 0; i < n_layers; i++) {
        struct layer_activations *s = &a->layers[i];
        float *output = i + 1 < n_layers ? a->layers[i + 1].input : a->last;
        attention_half(&p, i);
        ffn_branch(&p, i);
        residual_add(output, s->middle, a->branch, p.type, 1, p.dropout, mask_seed(&p, i, 1), size);
    }
    struct norm w = norm_of(&p, m->output_norm);
    norm_forward(a->hidden, p.type, NULL, a->last_rstd, a->last, DTYPE_F32, &w, p.n,
                 c->hidden_size);
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
    CHECK(a->kept);

    memset(a->dx, 0, size * sizeof(float));
    norm_add_gradients(&p, m->output_norm, dhidden, a->last, a->last_rstd);
    for (size_t i = c->num_hidden_layers; i-- > 0;) {
        if (a->kept == KEEP_INPUTS && i + 1 < c->num_hidden_layers) { /* the last is still there */
            attention_half(&p, i);
            ffn_inputs(&p, i);
        }
        residual_add_backward(a->branch, p.type, a->dx, 1, p.dropout, mask_seed(&p, i, 1), size);
        ffn_branch_backward(&p, i);
        residual_add_backward(a->branch, p.type, a->dx, 1, p.dropout, mask_seed(&p, i, 0), size);
        attention_branch_backward(&p, i);
    }
    struct param *table = m->token_embd;
    if (table->grad) {
        if (param_grad_beta(table) == 0) /* not tied to the output layer */
            memset(table->grad, 0, table->count * sizeof(float));
        embedding_backward(table->grad, a->dx, b->input_ids, 1, p.n, c->hidden_size);
    }
}
