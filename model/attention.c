/* The attention of a block, forward and backward. */
#include "kernels/attention.h"

#include "kernels/rope.h"
#include "model/pass.h"

#include <string.h>

static struct attention_shape attention_shape(const struct pass *p, const struct layer *l)
{
    const struct model_config *c = &p->m->config;
    size_t key = layer_key_width(p->m, l);
    return (struct attention_shape){
        .n_batch = p->b->n_rows,
        .n_queries = p->b->seq_len,
        .n_heads = l->shape.n_heads,
        .n_kv_heads = l->shape.n_kv_heads,
        .head_dim = c->head_dim,
        .q_stride = layer_query_width(p->m, l),
        .kv_stride = key,
        .kv_batch_stride = p->b->seq_len * key,
        .scale = (float)model_attention_scale(c),
        .softcap = (float)c->attn_logit_softcapping,
        .type = p->type,
    };
}

static const int32_t *first_keys(const struct pass *p, const struct layer *l)
{
    return l->shape.window ? p->a->window_start : p->b->first_key;
}

static struct rope layer_rope(const struct pass *p, const struct layer *l)
{
    const struct model_config *c = &p->m->config;
    const struct rope_angles *angles = l->shape.local_rope ? &p->m->local_rope : &p->m->rope;
    return (struct rope){angles->cosine, angles->sine, c->rope_style, c->head_dim,
                         model_rotary_dim(c)};
}

/* Norms of n_heads heads in each of n rows: as many norms as the weights are wide. */
static size_t norm_rows(const struct pass *p, const struct layer_norm *w, size_t n_heads)
{
    return p->n * n_heads * p->m->config.head_dim / w->weight->cols;
}

/* The keys and values of each sequence go to their place in its cache, and its queries see all that are there. */
static void cached_attention(const struct pass *p, const struct layer *l, struct layer_activations *s)
{
    size_t query = layer_query_width(p->m, l), key = layer_key_width(p->m, l), at = 0;
    const int32_t *first = first_keys(p, l);
    for (size_t i = 0; i < p->caches->n; i++) {
        struct kv_cache *cache = p->caches->spans[i].cache;
        size_t n = p->caches->spans[i].n_tokens, before = l->kv_before * cache->capacity;
        float *k = (float *)cache->k + before, *v = (float *)cache->v + before;
        memcpy(k + cache->length * key, (float *)s->k + at * key, n * key * sizeof *k);
        memcpy(v + cache->length * key, (float *)s->v + at * key, n * key * sizeof *v);
        struct attention_shape shape = attention_shape(p, l);
        shape.n_past = cache->length;
        shape.n_queries = n;
        attention_forward((float *)s->attn + at * query, NULL, (float *)s->q + at * query, k, v,
                          first ? first + at : NULL, &shape);
        at += n;
    }
}

void attention_branch(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    size_t n = p->n, query = layer_query_width(p->m, l), key = layer_key_width(p->m, l);
    enum dtype type = p->type;

    bool normed = l->q_norm.weight != NULL;
    const void *x = branch_input(p, &l->attn_norm, &s->attn_norm, s->input);
    linear_forward(&l->q, normed ? s->q_raw : s->q, type, x, type, n);
    linear_forward(&l->k, normed ? s->k_raw : s->k, type, x, type, n);
    linear_forward(&l->v, s->v, type, x, type, n);
    if (normed) {
        pass_norm(p, &l->q_norm, s->q, type, &s->q_norm, s->q_raw, type,
                  norm_rows(p, &l->q_norm, l->shape.n_heads));
        pass_norm(p, &l->k_norm, s->k, type, &s->k_norm, s->k_raw, type,
                  norm_rows(p, &l->k_norm, l->shape.n_kv_heads));
    }
    if (l->shape.rotates) {
        struct rope rope = layer_rope(p, l);
        rope_forward(s->q, type, p->b->positions, &rope, n, l->shape.n_heads, query);
        rope_forward(s->k, type, p->b->positions, &rope, n, l->shape.n_kv_heads, key);
    }
    if (p->caches) {
        cached_attention(p, l, s);
    } else {
        struct attention_shape shape = attention_shape(p, l);
        attention_forward(s->attn, p->a->kept ? s->lse : NULL, s->q, s->k, s->v, first_keys(p, l), &shape);
    }
    void *out = l->attn_post_norm.weight ? s->attn_out : p->a->branch;
    linear_forward(&l->output, out, type, s->attn, type, n);
    if (l->attn_post_norm.weight)
        pass_norm(p, &l->attn_post_norm, p->a->branch, type, &s->attn_post_norm, out, type, n);
}

/* From the gradient d (f32) of rotated queries or keys to that of what the product gave, rounded to
 * `to`. d and `to` are one where the type is f32. */
static void rotation_backward(const struct pass *p, const struct layer *l, void *to, float *d,
                              size_t n_heads, const struct layer_norm *w, const void *raw,
                              const struct norm_activations *kept)
{
    size_t width = n_heads * p->m->config.head_dim;
    struct rope rope = layer_rope(p, l);
    bool last = !w->weight;
    if (l->shape.rotates)
        rope_backward(last ? to : d, last ? p->type : DTYPE_F32, d, p->b->positions, &rope, p->n,
                      n_heads, width);
    else if (last && p->type == DTYPE_BF16)
        bf16_from_f32(d, to, p->n * width);
    if (!last)
        pass_norm_backward(p, w, to, p->type, false, d, raw, p->type, kept,
                           norm_rows(p, w, n_heads));
}

void attention_branch_backward(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t n = p->n;
    enum dtype type = p->type;

    linear_backward(&l->output, a->dattn, type, false, a->branch, s->attn, type, n);
    struct attention_shape shape = attention_shape(p, l);
    attention_backward(a->dq, a->dk, a->dv, a->delta, a->dattn, s->attn, s->lse, s->q, s->k, s->v,
                       first_keys(p, l), &shape);
    rotation_backward(p, l, a->dq_rotated, a->dq, l->shape.n_heads, &l->q_norm, s->q_raw, &s->q_norm);
    rotation_backward(p, l, a->dk_rotated, a->dk, l->shape.n_kv_heads, &l->k_norm, s->k_raw,
                      &s->k_norm);
    const void *x = branch_input(p, &l->attn_norm, NULL, s->input);
    struct branch_gradient dx = branch_gradient(p, &l->attn_norm);
    linear_backward(&l->q, dx.to, DTYPE_F32, dx.accumulate, a->dq_rotated, x, type, n);
    linear_backward(&l->k, dx.to, DTYPE_F32, true, a->dk_rotated, x, type, n);
    linear_backward(&l->v, dx.to, DTYPE_F32, true, a->dv, x, type, n);
    branch_input_backward(p, &l->attn_norm, &s->attn_norm, s->input);
}
