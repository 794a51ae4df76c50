/* PiSSA: an adapter that begins as what is largest in its layer's weight (Meng et al., 2024). */
#include "base/check.h"
#include "base/rng.h"
#include "lora/adapter.h"
#include "lora/svd.h"

#include <math.h>
#include <string.h>

/* Pairs [first, end) share A: they are one matrix. scale_j B_j A is U sigma V^T, sigma falling half to each side. */
static void begin_pairs(struct lora_adapter *a, size_t first, size_t end, uint64_t seed)
{
    struct lora_pair *p = &a->pairs[first];
    size_t r = p->rank, in = p->linear->weight->cols, out = 0, at = 0;
    struct svd_part *parts = mem_alloc(end - first, sizeof *parts);
    for (size_t i = first; i < end; i++) {
        const struct param *w = a->pairs[i].linear->weight;
        parts[i - first] = (struct svd_part){param_matrix(w), w->rows};
        out += w->rows;
    }
    float *sigma = mem_alloc(r, sizeof *sigma), *u = mem_alloc(r * out, sizeof *u), *v = mem_alloc(r * in, sizeof *v);
    svd_largest(parts, end - first, in, r, seed, sigma, u, v);
    for (size_t k = 0; k < r; k++) { /* where W has nothing more A stays as it was, and B 0 */
        float half = sqrtf(sigma[k] / p->scale);
        for (size_t j = 0; j < in && sigma[k] > 0; j++)
            p->a->value[k * in + j] = half * v[k * in + j];
    }
    for (size_t i = first; i < end; i++) {
        struct lora_pair *q = &a->pairs[i];
        size_t rows = q->linear->weight->rows;
        for (size_t j = 0; j < rows; j++)
            for (size_t k = 0; k < r; k++)
                q->b->value[j * r + k] = sqrtf(sigma[k] * p->scale) / q->scale * u[k * out + at + j];
        at += rows;
    }
    mem_free(sigma), mem_free(u), mem_free(v), mem_free(parts);
}

static float *take_copy(struct arena *arena, const struct param *p)
{
    float *copy = arena_alloc(arena, p->count, sizeof *copy);
    if (copy)
        memcpy(copy, p->value, p->count * sizeof *copy);
    return copy;
}

static void keep_start(struct lora_adapter *a, struct arena *arena)
{
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        bool shared = i > 0 && a->pairs[i - 1].a == p->a;
        p->start_a = shared ? a->pairs[i - 1].start_a : take_copy(arena, p->a);
        p->start_b = take_copy(arena, p->b);
    }
}

int lora_initialize_pissa(struct lora_adapter *a, uint64_t seed, struct error *e)
{
    struct arena plan = {0};
    CHECK(!a->start.base && !a->attached);
    keep_start(a, &plan);
    int code = arena_init(&a->start, plan.used, "what the adapter begins as", e);
    if (code)
        return code;
    lora_initialize(a, seed);
    for (size_t first = 0, end; first < a->n_pairs; first = end) {
        CHECK(!a->pairs[first].magnitude && a->pairs[first].scale > 0);
        for (end = first + 1; end < a->n_pairs && a->pairs[end].a == a->pairs[first].a; end++)
            continue;
        begin_pairs(a, first, end, rng_at(seed, first));
    }
    keep_start(a, &a->start);
    return OK;
}
