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

void lora_initialize(struct lora_adapter *a, uint64_t seed)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        size_t in = p->linear->weight->cols;
        struct rng r;
        memset(p->b, 0, p->linear->weight->rows * p->rank * sizeof *p->b);
        if (i > 0 && p->a == a->pairs[i - 1].a)
            continue;
        rng_init(&r, seed, i);
        for (size_t j = 0; j < p->rank * in; j++)
            p->a[j] = (float)((2 * rng_uniform(&r) - 1) / sqrt((double)in));
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

/* low (n, rank) = scale x A^T, then y += low B^T: two thin products, so that B A never exists. */
static void pair_forward(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x,
                         enum dtype type, size_t n)
{
    struct lora_pair *p = context;
    size_t in = l->weight->cols, out = l->weight->rows, r = p->rank;
    float *low, scale = p->scale * p->adapter->strength;
    if (p->before && p->before->forward)
        p->before->forward(p->before->context, l, y, y_type, x, type, n);
    if (n == 0)
        return;
    low = low_rank(p->adapter, n * r + (y_type == DTYPE_BF16 ? (n * r + 1) / 2 : 0));
    gemm(false, true, n, r, in, type, x, in, DTYPE_F32, p->a, in, 0, DTYPE_F32, low, r);
    for (size_t i = 0; i < n * r; i++)
        low[i] *= scale;
    const void *rounded = low;
    if (y_type == DTYPE_BF16) { /* a product that ends in bf16 begins with it */
        rounded = low + n * r;
        bf16_from_f32(low, (uint16_t *)(low + n * r), n * r);
    }
    gemm(false, true, n, out, r, y_type, rounded, r, DTYPE_F32, p->b, r, 1, y_type, y, out);
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
        p->hook = (struct linear_hook){.context = p, .forward = pair_forward,
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
