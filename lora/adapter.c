#include "lora/adapter.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

/* --- layers --- */

static struct linear *find_in_ffn(struct feed_forward *f, const struct param *weight)
{
    struct linear *all[] = {&f->gate, &f->up, &f->down};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->weight == weight)
            return all[i];
    return NULL;
}

static struct linear *find_in_layer(struct model *m, struct layer *l, const struct param *weight)
{
    struct linear *all[] = {&l->q, &l->k, &l->v, &l->output, &l->moe.router, &l->moe.shared_router};
    if (weight->expert >= 0)
        return l->moe.experts && (size_t)weight->expert < m->config.num_experts
                   ? find_in_ffn(&l->moe.experts[weight->expert], weight) : NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->weight == weight)
            return all[i];
    return find_in_ffn(&l->ffn, weight);
}

struct linear *lora_linear(struct model *m, const struct param *weight)
{
    if (weight->layer >= 0)
        return find_in_layer(m, &m->layers[weight->layer], weight);
    return m->head.weight == weight ? &m->head : NULL;
}

/* --- memory --- */

static size_t take_values(struct lora_adapter *a, const struct lora_want *wants, size_t n)
{
    size_t n_values = 0;
    for (size_t i = 0; i < n; i++) {
        const struct lora_want *w = &wants[i];
        const struct param *p = w->linear->weight;
        struct lora_pair *pair = &a->pairs[i];
        CHECK(w->rank > 0 && (!w->shares_a || (i > 0 && wants[i - 1].rank == w->rank &&
                                               wants[i - 1].linear->weight->cols == p->cols)));
        *pair = (struct lora_pair){.linear = w->linear, .rank = w->rank, .scale = w->scale, .adapter = a};
        pair->a = w->shares_a ? a->pairs[i - 1].a : arena_alloc(&a->values, w->rank * p->cols, sizeof *pair->a);
        pair->b = arena_alloc(&a->values, p->rows * w->rank, sizeof *pair->b);
        n_values += (w->shares_a ? 0 : w->rank * p->cols) + p->rows * w->rank;
    }
    return n_values;
}

int lora_init(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n, struct error *e)
{
    *a = (struct lora_adapter){.model = m, .pairs = mem_zero(n + 1, sizeof *a->pairs), .n_pairs = n,
                               .strength = 1};
    a->n_values = take_values(a, wants, n);
    size_t size = a->values.used;
    int code = arena_init(&a->values, size, "the adapter", e);
    if (code) {
        mem_free(a->pairs);
        *a = (struct lora_adapter){0};
        return code;
    }
    take_values(a, wants, n);
    return OK;
}

void lora_free(struct lora_adapter *a)
{
    CHECK(!a->attached);
    arena_free(&a->values);
    mem_free(a->pairs);
    mem_free(a->low);
    *a = (struct lora_adapter){0};
}

/* Whether the pair's A is that of the pair before. */
static bool shares_a(const struct lora_adapter *a, size_t i)
{
    return i > 0 && a->pairs[i].a == a->pairs[i - 1].a;
}

void lora_initialize(struct lora_adapter *a, uint64_t seed)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        size_t in = p->linear->weight->cols;
        struct rng r;
        memset(p->b, 0, p->linear->weight->rows * p->rank * sizeof *p->b);
        if (shares_a(a, i))
            continue;
        rng_init(&r, seed, i);
        for (size_t j = 0; j < p->rank * in; j++)
            p->a[j] = (float)((2 * rng_uniform(&r) - 1) / sqrt((double)in));
    }
}

void lora_attach_gradients(struct lora_adapter *a, struct arena *arena)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        const struct param *w = p->linear->weight;
        p->da = shares_a(a, i) ? a->pairs[i - 1].da : arena_alloc(arena, p->rank * w->cols, sizeof *p->da);
        p->db = arena_alloc(arena, w->rows * p->rank, sizeof *p->db);
    }
}

void lora_clear_gradients(struct lora_adapter *a)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        const struct param *w = p->linear->weight;
        if (!p->db)
            continue;
        memset(p->da, 0, p->rank * w->cols * sizeof *p->da);
        memset(p->db, 0, w->rows * p->rank * sizeof *p->db);
    }
}

/* --- the hook --- */

/* It grows to the largest batch and stays. */
static float *low_rank(struct lora_adapter *a, size_t n)
{
    if (n > a->low_size) {
        a->low = mem_resize(a->low, n, sizeof *a->low);
        a->low_size = n;
    }
    return a->low;
}

/* low (n, rank) = scale x A^T, or with `backward` scale dy B. */
static void to_low_rank(const struct lora_pair *p, float *low, const void *x, enum dtype type, size_t n, bool backward)
{
    const struct param *w = p->linear->weight;
    size_t r = p->rank, from = backward ? w->rows : w->cols;
    float scale = p->scale * p->adapter->strength;
    gemm(false, !backward, n, r, from, type, x, from, DTYPE_F32, backward ? p->b : p->a, backward ? r : from, 0,
         DTYPE_F32, low, r);
    for (size_t i = 0; i < n * r; i++)
        low[i] *= scale;
}

/* What a product that ends in `type` begins with: low, or it rounded into the half as much room behind it. */
static const void *rounded_low(float *low, size_t n, enum dtype type)
{
    if (type == DTYPE_F32)
        return low;
    bf16_from_f32(low, (uint16_t *)(low + n), n);
    return low + n;
}

/* y += low B^T: two thin products, so that B A never exists. */
static void pair_forward(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x,
                         enum dtype type, size_t n)
{
    struct lora_pair *p = context;
    size_t out = l->weight->rows, r = p->rank;
    if (p->before && p->before->forward)
        p->before->forward(p->before->context, l, y, y_type, x, type, n);
    if (n == 0 || p->adapter->strength == 0)
        return;
    float *low = low_rank(p->adapter, 2 * n * r);
    to_low_rank(p, low, x, type, n, false);
    gemm(false, true, n, out, r, y_type, rounded_low(low, n * r, y_type), r, DTYPE_F32, p->b, r, 1, y_type, y, out);
}

/* dB += dy^T low, dlow = scale dy B, dA += dlow^T x, dx += dlow A. The pass's low was not kept: it is computed again. */
static void pair_backward(void *context, const struct linear *l, void *dx, enum dtype dx_type, const void *dy,
                          const void *x, enum dtype type, size_t n)
{
    struct lora_pair *p = context;
    size_t in = l->weight->cols, out = l->weight->rows, r = p->rank;
    if (p->before && p->before->backward)
        p->before->backward(p->before->context, l, dx, dx_type, dy, x, type, n);
    if (n == 0)
        return;
    float *low = low_rank(p->adapter, 2 * n * r);
    if (p->db) {
        to_low_rank(p, low, x, type, n, false);
        gemm(true, false, out, r, n, type, dy, out, DTYPE_F32, low, r, 1, DTYPE_F32, p->db, r);
    }
    to_low_rank(p, low, dy, type, n, true);
    if (p->da)
        gemm(true, false, r, in, n, DTYPE_F32, low, r, type, x, in, 1, DTYPE_F32, p->da, in);
    if (dx)
        gemm(false, false, n, in, r, dx_type, rounded_low(low, n * r, dx_type), r, DTYPE_F32, p->a, in, 1, dx_type, dx,
             in);
}

static struct matrix weight_before(void *context, const struct linear *l, enum dtype type)
{
    const struct linear_hook *before = ((struct lora_pair *)context)->before;
    return before->weight(before->context, l, type);
}

void lora_attach(struct lora_adapter *a)
{
    CHECK(!a->attached);
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        p->before = p->linear->hook;
        p->hook = (struct linear_hook){.context = p, .forward = pair_forward, .backward = pair_backward,
                                       .weight = p->before && p->before->weight ? weight_before : NULL};
        p->linear->hook = &p->hook;
    }
    a->attached = true;
}

void lora_detach(struct lora_adapter *a)
{
    CHECK(a->attached);
    for (size_t i = a->n_pairs; i-- > 0;) {
        struct lora_pair *p = &a->pairs[i];
        CHECK(p->linear->hook == &p->hook);
        p->linear->hook = p->before;
    }
    a->attached = false;
}

/* --- merging --- */

int lora_merge(const struct lora_adapter *a, struct error *e)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        const struct param *w = a->pairs[i].linear->weight;
        if (!w->value || w->halves || w->data != w->value)
            return error_set(e, ERR_USAGE, "%s is not f32 in memory: an adapter is merged into weights that are", w->name);
        if (w == a->model->token_embd)
            return error_set(e, ERR_USAGE, "%s is the embedding too: an adapter of the output layer cannot be merged into it",
                             w->name);
    }
    for (size_t i = 0; i < a->n_pairs; i++) {
        const struct lora_pair *p = &a->pairs[i];
        struct param *w = p->linear->weight;
        float *scaled = mem_alloc(w->rows * p->rank, sizeof *scaled), scale = p->scale * a->strength;
        for (size_t j = 0; j < w->rows * p->rank; j++)
            scaled[j] = scale * p->b[j];
        gemm_f32(false, false, w->rows, w->cols, p->rank, scaled, p->rank, p->a, w->cols, 1, w->value, w->cols);
        mem_free(scaled);
    }
    return OK;
}
