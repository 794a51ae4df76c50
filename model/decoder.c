#include "model/decoder.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/activation.h"
#include "kernels/embedding.h"
#include "model/pass.h"

#include <string.h>

static struct pass make_pass(const struct model *m, struct activations *a, const struct batch *b,
                             const struct kv_spans *caches, uint64_t dropout_seed)
{
    CHECK(b->n_rows * b->seq_len <= a->n_rows * a->seq_len);
    return (struct pass){
        .m = m, .a = a, .b = b, .caches = caches, .n = b->n_rows * b->seq_len, .type = a->type,
        .dropout_seed = dropout_seed,
        .dropout = dropout_seed ? (float)m->config.resid_dropout : 0,
    };
}

/* --- norms --- */

static struct norm norm_of(const struct pass *p, const struct layer_norm *w)
{
    const struct architecture *a = model_architecture(&p->m->config);
    return (struct norm){
        .kind = a->norm, .weight = w->weight->value, .bias = w->bias ? w->bias->value : NULL,
        .offset = a->norm_offset, .eps = (float)p->m->config.rms_norm_eps,
        .weight_rows = w->weight->rows,
    };
}

void pass_norm(const struct pass *p, const struct layer_norm *w, void *y, enum dtype type,
               const struct norm_activations *kept, const void *x, enum dtype x_type, size_t n)
{
    struct norm norm = norm_of(p, w);
    norm_forward(y, type, kept ? kept->mean : NULL, kept ? kept->rstd : NULL, x, x_type, &norm, n,
                 w->weight->cols);
}

void pass_norm_backward(const struct pass *p, const struct layer_norm *w, void *dx,
                        enum dtype dx_type, bool accumulate, const float *dy, const void *x,
                        enum dtype x_type, const struct norm_activations *kept, size_t n)
{
    struct norm norm = norm_of(p, w);
    norm_backward(dx, dx_type, accumulate, w->weight->grad, w->bias ? w->bias->grad : NULL, dy, x,
                  x_type, kept->mean, kept->rstd, &norm, n, w->weight->cols);
}

const void *branch_input(const struct pass *p, const struct layer_norm *w,
                         const struct norm_activations *kept, const float *x)
{
    if (w->weight) {
        pass_norm(p, w, p->a->normed, p->type, kept, x, DTYPE_F32, p->n);
        return p->a->normed;
    }
    if (p->type == DTYPE_F32)
        return x;
    bf16_from_f32(x, p->a->normed, p->n * p->m->config.hidden_size);
    return p->a->normed;
}

struct branch_gradient branch_gradient(const struct pass *p, const struct layer_norm *w)
{
    return w->weight ? (struct branch_gradient){p->a->dnormed, false}
                     : (struct branch_gradient){p->a->dx, true};
}

void branch_input_backward(const struct pass *p, const struct layer_norm *w,
                           const struct norm_activations *kept, const float *x)
{
    if (w->weight)
        pass_norm_backward(p, w, p->a->dx, DTYPE_F32, true, p->a->dnormed, x, DTYPE_F32, kept, p->n);
}

/* --- blocks --- */

static size_t stream_size(const struct pass *p)
{
    return p->n * p->m->config.hidden_size;
}

static uint64_t mask_seed(const struct pass *p, size_t layer, int branch)
{
    return rng_at(p->dropout_seed, 2 * layer + (uint64_t)branch);
}

static void add_branch(const struct pass *p, float *to, const float *from, size_t i, int branch)
{
    residual_add(to, from, p->a->branch, p->type, (float)model_residual_scale(&p->m->config),
                 p->dropout, mask_seed(p, i, branch), stream_size(p));
}

/* a->branch = the gradient of what the block computed, from that of its output: through the sum and the
 * branch's own norm, of what it computed in `out`. */
static void branch_backward(const struct pass *p, const float *doutput, size_t i, int branch,
                            const struct layer_norm *w, const struct norm_activations *kept,
                            const void *out)
{
    struct activations *a = p->a;
    float scale = (float)model_residual_scale(&p->m->config);
    residual_add_backward(w->weight ? a->dnormed : a->branch, w->weight ? DTYPE_F32 : p->type, doutput,
                          scale, p->dropout, mask_seed(p, i, branch), stream_size(p));
    if (w->weight)
        pass_norm_backward(p, w, a->branch, p->type, false, a->dnormed, out, p->type, kept, p->n);
}

/* The first half of a block: from its input to the stream in its middle. */
static void attention_half(const struct pass *p, size_t i)
{
    struct layer_activations *s = &p->a->layers[i];
    attention_branch(p, i);
    add_branch(p, s->middle, s->input, i, 0);
}

static struct stream stream_behind(const struct pass *p, size_t i)
{
    return (struct stream){.batch = p->b, .layer = i, .stays = p->a->kept != KEEP_NOTHING,
                           .x = activations_stream(p->a, i, p->m->config.num_hidden_layers)};
}

static void block_forward(const struct pass *p, size_t i)
{
    struct activations *a = p->a;
    const struct stream_hook *hook = a->stream_hook;
    attention_half(p, i);
    ffn_branch(p, i);
    add_branch(p, activations_stream(a, i, p->m->config.num_hidden_layers), a->layers[i].middle, i, 1);
    if (hook && hook->see) {
        struct stream s = stream_behind(p, i);
        hook->see(hook->context, &s);
    }
}

static void block_backward(const struct pass *p, size_t i)
{
    struct activations *a = p->a;
    struct layer_activations *s = &a->layers[i];
    const struct layer *l = &p->m->layers[i];
    const struct stream_hook *hook = a->stream_hook;
    const float *doutput = a->dx;
    if (hook && hook->add_gradient) {
        struct stream stream = stream_behind(p, i);
        hook->add_gradient(hook->context, &stream, a->dx);
    }
    if (a->dblock) { /* side by side: attention's output is no input of the feed-forward */
        memcpy(a->dblock, a->dx, stream_size(p) * sizeof *a->dblock);
        doutput = a->dblock;
    }
    branch_backward(p, a->dx, i, 1, &l->ffn_post_norm, &s->ffn_post_norm, s->ffn_out);
    ffn_branch_backward(p, i);
    branch_backward(p, doutput, i, 0, &l->attn_post_norm, &s->attn_post_norm, s->attn_out);
    attention_branch_backward(p, i);
}

/* --- all of it --- */

/* Where a window begins that would at `start`, were all keys seen: windows count what token i of a row, number `at` of
 * the batch, does see, so that each branch of a row has the window that it would have alone. */
static size_t window_before_hidden(const struct batch *b, size_t at, size_t i, size_t first, size_t start)
{
    size_t from = (size_t)b->hidden_keys[2 * at], to = (size_t)b->hidden_keys[2 * at + 1];
    from = from > first ? from : first;
    to = to < i + 1 ? to : i + 1;
    if (from >= to || start >= to)
        return start;
    return start > to - from ? start - (to - from) : 0;
}

/* A window's first key, or the document's where that is later, for n tokens from `at` on that follow `past`; counted
 * from `base`, the first key there is. */
static void start_windows_of(const struct pass *p, size_t at, size_t n, size_t past, size_t base)
{
    size_t window = p->m->config.sliding_window;
    const int32_t *first_key = p->b->first_key;
    for (size_t i = 0; i < n; i++) {
        size_t keys = past + i + 1, first = first_key ? (size_t)first_key[at + i] : 0;
        size_t start = keys > window ? keys - window : 0;
        if (p->b->branches)
            start = window_before_hidden(p->b, at + i, i, first, start);
        start = start > first ? start : first;
        p->a->window_start[at + i] = (int32_t)(start > base ? start - base : 0);
    }
}

static void start_windows(const struct pass *p)
{
    const struct batch *b = p->b;
    if (!p->a->window_start)
        return;
    for (size_t at = 0; !p->caches && at < p->n; at += b->seq_len)
        start_windows_of(p, at, b->seq_len, 0, 0);
    for (size_t i = 0, at = 0; p->caches && i < p->caches->n; i++) {
        const struct kv_span *s = &p->caches->spans[i];
        start_windows_of(p, at, s->n_tokens, s->cache->length, s->cache->window_base);
        at += s->n_tokens;
    }
}

/* The caches have room for all of the batch, or make it. */
static void prepare_caches(const struct pass *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->caches->n; i++) {
        const struct kv_span *s = &p->caches->spans[i];
        kv_cache_make_room(s->cache, s->n_tokens);
        n += s->n_tokens;
    }
    CHECK(p->b->n_rows == 1 && n == p->n && p->type == DTYPE_F32 && !p->b->branches);
}

static void embed(const struct pass *p)
{
    const struct param *embedding = p->m->token_embd;
    const struct matrix table = param_computed(embedding);
    const int32_t *ids = p->b->input_ids;
    const size_t width = p->m->config.hidden_size;
    const float scale = (float)model_embedding_scale(&p->m->config);
    float *to = p->a->layers[0].input;
    if (table.interleaved)
        embedding_forward_interleaved(to, table.data, table.type, embedding->rows, ids, scale, p->n, width);
    else if (embedding->halves && table.data == embedding->value)
        embedding_forward(to, embedding->value, DTYPE_F32, true, ids, scale, p->n, width);
    else
        embedding_forward(to, table.data, table.type, false, ids, scale, p->n, width);
}

static const void *last_norm(const struct pass *p)
{
    struct activations *a = p->a;
    pass_norm(p, &p->m->output_norm, a->hidden, p->type, &a->last_norm, a->last, DTYPE_F32, p->n);
    return a->hidden;
}

/* Blocks from `first` on, whose input is there, and the final norm. */
static const void *run_from(const struct pass *p, size_t first)
{
    p->a->router_loss = 0;
    start_windows(p);
    for (size_t i = first; i < p->m->config.num_hidden_layers; i++)
        block_forward(p, i);
    return last_norm(p);
}

const void *decoder_forward(const struct model *m, struct activations *a, const struct batch *b,
                            const struct kv_spans *caches, uint64_t dropout_seed)
{
    const struct pass p = make_pass(m, a, b, caches, dropout_seed);
    if (caches)
        prepare_caches(&p);
    embed(&p);
    const void *hidden = run_from(&p, 0);
    for (size_t i = 0; caches && i < caches->n; i++)
        caches->spans[i].cache->length += caches->spans[i].n_tokens;
    return hidden;
}

const void *decoder_forward_from(const struct model *m, struct activations *a, const struct batch *b, size_t first,
                                 const float *stream)
{
    const struct pass p = make_pass(m, a, b, NULL, 0);
    const size_t n_layers = m->config.num_hidden_layers;
    CHECK(first <= n_layers);
    memcpy(first < n_layers ? a->layers[first].input : a->last, stream, stream_size(&p) * sizeof *stream);
    return run_from(&p, first);
}

void decoder_embed(const struct model *m, struct activations *a, const struct batch *b)
{
    const struct pass p = make_pass(m, a, b, NULL, 0);
    embed(&p);
}

void decoder_block(const struct model *m, struct activations *a, const struct batch *b, size_t i)
{
    const struct pass p = make_pass(m, a, b, NULL, 0);
    start_windows(&p);
    block_forward(&p, i);
}

const void *decoder_last_norm(const struct model *m, struct activations *a, const struct batch *b)
{
    const struct pass p = make_pass(m, a, b, NULL, 0);
    return last_norm(&p);
}

void decoder_backward(struct model *m, struct activations *a, const struct batch *b,
                      const float *dhidden, uint64_t dropout_seed)
{
    const struct model_config *c = &m->config;
    struct pass p = make_pass(m, a, b, NULL, dropout_seed);
    double router_loss = a->router_loss;
    CHECK(a->kept);

    start_windows(&p);
    memset(a->dx, 0, stream_size(&p) * sizeof(float));
    pass_norm_backward(&p, &m->output_norm, a->dx, DTYPE_F32, true, dhidden, a->last, DTYPE_F32,
                       &a->last_norm, p.n);
    for (size_t i = c->num_hidden_layers; i-- > 0;) {
        if (a->kept == KEEP_INPUTS && i + 1 < c->num_hidden_layers) { /* the last is still there */
            attention_half(&p, i);
            ffn_branch_again(&p, i);
        }
        block_backward(&p, i);
    }
    struct param *table = m->token_embd;
    if (table->grad) {
        if (param_grad_beta(table) == 0) /* not tied to the output layer */
            memset(table->grad, 0, table->count * sizeof(float));
        embedding_backward(table->grad, a->dx, b->input_ids, (float)model_embedding_scale(c), p.n,
                           c->hidden_size);
    }
    a->router_loss = router_loss;
}

struct output_layer decoder_output_layer(const struct model *m)
{
    struct output_layer layer = linear_output_layer(&m->head);
    layer.logit_scale = (float)model_logit_scale(&m->config);
    layer.softcap = (float)m->config.final_logit_softcapping;
    return layer;
}
