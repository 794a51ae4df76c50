#include "lora/adapter.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/halves.h"
#include "lora/pair.h"
#include "model/fingerprint.h"

#include <math.h>
#include <stdio.h>
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

/* "model.layers.0.mlp.up_proj.lora_A.weight" of "model.layers.0.mlp.up_proj.weight". */
static struct param *add_param(struct lora_adapter *a, const struct param *w, const char *what, size_t rows, size_t cols)
{
    struct param *p = &a->params[a->all.count];
    size_t n = strlen(w->name), end = strlen(".weight");
    if (n > end && strcmp(w->name + n - end, ".weight") == 0)
        n -= end;
    bool matrix = rows > 0;
    *p = (struct param){.layer = w->layer, .expert = w->expert, .n_dims = matrix ? 2 : 1, .rows = matrix ? rows : 1,
                        .cols = cols, .matrix = matrix};
    p->count = p->rows * cols;
    CHECK(snprintf(p->name, sizeof p->name, "%.*s.%s", (int)n, w->name, what) < (int)sizeof p->name);
    params_add(&a->all, p);
    a->n_values += p->count;
    return p;
}

static void add_pair(struct lora_adapter *a, size_t i, const struct lora_want *wants)
{
    const struct lora_want *w = &wants[i];
    const struct param *p = w->linear->weight;
    struct lora_pair *pair = &a->pairs[i];
    CHECK(w->rank > 0 && (!w->shares_a || (i > 0 && wants[i - 1].rank == w->rank &&
                                           wants[i - 1].linear->weight->cols == p->cols)));
    *pair = (struct lora_pair){.linear = w->linear, .rank = w->rank, .scale = w->scale, .adapter = a};
    pair->a = w->shares_a ? a->pairs[i - 1].a : add_param(a, p, "lora_A.weight", w->rank, p->cols);
    pair->b = add_param(a, p, "lora_B.weight", p->rows, w->rank);
    if (w->magnitude)
        pair->magnitude = add_param(a, p, "lora_magnitude_vector", 0, p->rows);
}

static void add_whole(struct lora_adapter *a, size_t i, struct param *p)
{
    for (size_t j = 0; j < a->n_pairs; j++)
        CHECK(a->pairs[j].linear->weight != p);
    CHECK(!p->halves);
    a->wholes[i] = (struct lora_whole){.param = p, .other = *p};
    params_add(&a->all, p);
    a->n_values += p->count;
}

static void take_values(struct lora_adapter *a)
{
    for (size_t i = 0; i < a->all.count - a->n_wholes; i++) {
        struct param *p = a->all.items[i];
        p->data = p->value = arena_alloc(&a->values, p->count, sizeof *p->value);
    }
    for (size_t i = 0; i < a->n_pairs; i++)
        if (a->pairs[i].magnitude)
            a->pairs[i].norm = arena_alloc(&a->values, a->pairs[i].magnitude->count, sizeof(float));
    for (size_t i = 0; i < a->n_wholes; i++) {
        struct param *own = &a->wholes[i].other;
        own->data = own->value = arena_alloc(&a->values, own->count, sizeof *own->value);
        own->type = DTYPE_F32;
        own->in_integers = own->interleaved = false;
    }
}

static void copy_wholes(struct lora_adapter *a)
{
    for (size_t i = 0; i < a->n_wholes; i++) {
        const struct param *p = a->wholes[i].param;
        struct matrix m = param_matrix(p);
        for (size_t j = 0; p->data && j < p->rows; j++)
            matrix_row(&m, p, j, a->wholes[i].other.value + j * p->cols);
    }
}

int lora_init_with(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n,
                   struct param *const *wholes, size_t n_wholes, struct error *e)
{
    *a = (struct lora_adapter){.model = m, .pairs = mem_zero(n + 1, sizeof *a->pairs), .n_pairs = n,
                               .params = mem_zero(3 * n + 1, sizeof *a->params),
                               .wholes = mem_zero(n_wholes + 1, sizeof *a->wholes), .n_wholes = n_wholes, .strength = 1,
                               .base = model_fingerprint(m)};
    for (size_t i = 0; i < n; i++)
        add_pair(a, i, wants);
    for (size_t i = 0; i < n_wholes; i++)
        add_whole(a, i, wholes[i]);
    take_values(a);
    size_t size = a->values.used;
    a->values.used = 0;
    int code = arena_init(&a->values, size, "the adapter", e);
    if (code) {
        lora_free(a);
        return code;
    }
    take_values(a);
    copy_wholes(a);
    return OK;
}

int lora_init(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n, struct error *e)
{
    return lora_init_with(a, m, wants, n, NULL, 0, e);
}

void lora_free(struct lora_adapter *a)
{
    CHECK(!a->attached);
    arena_free(&a->values);
    arena_free(&a->start);
    params_free(&a->all);
    mem_free(a->params);
    mem_free(a->pairs);
    mem_free(a->wholes);
    mem_free(a->low);
    mem_free(a->work);
    mem_free(a->tile);
    *a = (struct lora_adapter){0};
}

const float *lora_whole_values(const struct lora_adapter *a, const struct param *p)
{
    for (size_t i = 0; i < a->n_wholes; i++) {
        const struct param *own = a->attached ? a->wholes[i].param : &a->wholes[i].other;
        if (a->wholes[i].param != p)
            continue;
        CHECK(!own->halves);
        return own->value;
    }
    return NULL;
}

void lora_changed(struct lora_adapter *a)
{
    for (size_t i = 0; i < a->n_pairs; i++)
        a->pairs[i].norm_is_known = false;
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
        memset(p->b->value, 0, p->b->count * sizeof *p->b->value);
        if (p->magnitude) {
            p->norm_is_known = false;
            lora_pair_norm(p, param_matrix(p->linear->weight));
            memcpy(p->magnitude->value, p->norm, p->magnitude->count * sizeof *p->norm);
        }
        if (shares_a(a, i))
            continue;
        rng_init(&r, seed, i);
        for (size_t j = 0; j < p->rank * in; j++)
            p->a->value[j] = (float)((2 * rng_uniform(&r) - 1) / sqrt((double)in));
    }
}

/* --- attaching --- */

/* The two change places. In a model that is split, matrices of its own memory are, whichever comes in. */
static void swap_storage(struct lora_whole *w)
{
    struct param *p = w->param, now = *p;
    p->data = w->other.data, p->value = w->other.value, p->type = w->other.type, p->halves = w->other.halves;
    p->in_integers = w->other.in_integers, p->interleaved = w->other.interleaved;
    w->other = now;
    if (!p->value || !now.value || p->halves == now.halves)
        return;
    (now.halves ? halves_split : halves_join)(p->value, p->rows, p->cols);
    p->halves = now.halves;
}

void lora_attach(struct lora_adapter *a)
{
    CHECK(!a->attached);
    lora_changed(a);
    for (size_t i = 0; i < a->n_wholes; i++)
        swap_storage(&a->wholes[i]);
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        p->before = p->linear->hook;
        p->hook = (struct linear_hook){.context = p, .forward = lora_pair_forward, .backward = lora_pair_backward};
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
    for (size_t i = a->n_wholes; i-- > 0;)
        swap_storage(&a->wholes[i]);
    a->attached = false;
}
