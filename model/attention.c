/* The attention of a block, forward and backward. */
#include "kernels/attention.h"

#include "kernels/rope.h"
#include "model/pass.h"

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
        .kv_type = p->type,
    };
}

static const int32_t *first_keys(const struct pass *p, const struct layer *l)
{
    return l->shape.window ? p->a->window_start : p->b->first_key;
}

static const int32_t *hidden_keys(const struct pass *p)
{
    return p->b->branches ? p->b->hidden_keys : NULL;
}

/* Norms of n_heads heads in each of n rows: as many norms as the weights are wide. */
static size_t norm_rows(const struct pass *p, const struct layer_norm *w, size_t n_heads)
{
    return p->n * n_heads * p->m->config.head_dim / w->weight->cols;
}

/* The keys and values of each sequence go to their place in its cache, and its queries see all that are there. */
static void cached_attention(const struct pass *p, size_t i, struct layer_activations *s)
{
    const struct layer *l = &p->m->layers[i];
    size_t query = layer_query_width(p->m, l), key = layer_key_width(p->m, l), n_jobs = 0;
    const int32_t *first = first_keys(p, l);
    struct attention_job jobs[ATTENTION_JOBS];
    for (size_t span = 0, at = 0; span < p->caches->n; span++) {
        struct kv_cache *cache = p->caches->spans[span].cache;
        size_t n = p->caches->spans[span].n_tokens;
        kv_cache_store(cache, i, (float *)s->k + at * key, (float *)s->v + at * key, n);
        struct attention_job job = {
            .shape = attention_shape(p, l), .out = (float *)s->attn + at * query, .q = (float *)s->q + at * query,
            .k = cache->layers[i].k, .v = cache->layers[i].v, .first_key = first ? first + at : NULL,
        };
        job.shape.n_past = kv_cache_kept(cache, i);
        job.shape.n_queries = n;
        job.shape.kv_batch_stride = 0; /* one row */
        job.shape.kv_stride = cache->head_dim;
        job.shape.kv_head_stride = cache->layers[i].room * cache->head_dim;
        job.shape.kv_type = cache->type;
        jobs[n_jobs++] = job;
        if (n_jobs == ATTENTION_JOBS || span + 1 == p->caches->n) {
            attention_forward_jobs(jobs, n_jobs);
            n_jobs = 0;
        }
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
        struct rope rope = layer_rope(p->m, l);
        rope_forward(s->q, type, p->b->positions, &rope, n, l->shape.n_heads, query);
        rope_forward(s->k, type, p->b->positions, &rope, n, l->shape.n_kv_heads, key);
    }
    if (p->caches) {
        cached_attention(p, i, s);
    } else {
        struct attention_shape shape = attention_shape(p, l);
        attention_forward(s->attn, p->a->kept ? s->lse : NULL, s->q, s->k, s->v, first_keys(p, l), hidden_keys(p),
                          &shape);
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
    struct rope rope = layer_rope(p->m, l);
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
                       first_keys(p, l), hidden_keys(p), &shape);
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
