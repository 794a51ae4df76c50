#include "model/synth_model.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "kernels/dtype.h"

#include <math.h>
#include <string.h>

enum {
    PIECE = 1 << 13,  /* numbers that are drawn from a sequence of their own, so that threads can share the work */
    PLACES = 1 << 20, /* where in the pool a parameter may begin, whatever the model's size */
};

/* What a block adds to the residual stream is a product with one of these, plus the other. */
static bool adds_to_stream(enum param_role role)
{
    static const enum param_role roles[] = {PARAM_ATTN_OUTPUT, PARAM_ATTN_OUTPUT_BIAS, PARAM_FFN_DOWN,
                                            PARAM_FFN_DOWN_BIAS, PARAM_EXPERT_DOWN, PARAM_SHARED_DOWN};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (role == roles[i])
            return true;
    return false;
}

static bool is_silent(const struct param *p, size_t active_blocks)
{
    return active_blocks > 0 && p->layer >= (int)active_blocks && adds_to_stream(p->role);
}

static void fill_pool(uint16_t *pool, size_t n, float std, uint64_t seed)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PIECE) {
        float x[PIECE];
        const size_t k = n - i < PIECE ? n - i : PIECE;
        struct rng rng;
        rng_init(&rng, seed, i / PIECE);
        rng_fill_normal(&rng, x, k, std);
        CHECK(dtype_from_f32(DTYPE_BF16, x, pool + i, k));
    }
}

/* The first of a parameter's numbers in the pool. */
static size_t place_of(const struct param *p, uint64_t seed)
{
    return rng_at(seed, hash64(p->name, strlen(p->name), 0)) % PLACES;
}

/* Norms and biases, which are written from f32. */
static void fill_vector(struct param *p, const uint16_t *from)
{
    CHECK(dtype_to_f32(DTYPE_BF16, from, p->value, p->count));
    for (size_t i = 0; i < p->count; i++)
        p->value[i] += p->init_mean;
}

/* Logits are products of numbers about 1, by the norm, with rows of initializer_range's deviation. */
static void sharpen(struct model *m)
{
    const double deviation = 16, range = m->config.initializer_range;
    const double now = range * sqrt((double)m->config.hidden_size) * model_logit_scale(&m->config);
    const float offset = model_architecture(&m->config)->norm_offset;
    struct param *norm = m->output_norm.weight;
    for (size_t i = 0; i < norm->count && range > 0; i++)
        norm->value[i] = (norm->value[i] + offset) * (float)(deviation / now) - offset;
}

/* Memory of the pool and, behind it, of zeros for silent matrices. */
static int reserve(struct synth_model *s, size_t active_blocks, size_t *n_pool, size_t *n_zeros, struct error *e)
{
    *n_pool = *n_zeros = 0;
    for (size_t i = 0; i < s->model.n_params; i++) {
        const struct param *p = &s->model.params[i];
        size_t *largest = is_silent(p, active_blocks) ? n_zeros : n_pool;
        *largest = p->count > *largest ? p->count : *largest;
    }
    *n_pool += PLACES;
    struct arena plan = {0};
    arena_alloc(&plan, *n_pool, sizeof(uint16_t));
    arena_alloc(&plan, *n_zeros, sizeof(uint16_t));
    return arena_init(&s->pool, plan.used, "the random numbers", e);
}

int synth_model_init(struct synth_model *s, const struct model_config *c, const struct synth_model_settings *o,
                     struct error *e)
{
    size_t n_pool, n_zeros;
    *s = (struct synth_model){0};
    int code = model_init(&s->model, c, e);
    if (!code && o->active_blocks > c->num_hidden_layers)
        code = error_set(e, ERR_USAGE, "%zu active blocks of %zu (model.num_hidden_layers)", o->active_blocks,
                         c->num_hidden_layers);
    if (!code)
        code = reserve(s, o->active_blocks, &n_pool, &n_zeros, e);
    if (code)
        goto done;
    uint16_t *pool = arena_alloc(&s->pool, n_pool, sizeof *pool);
    const uint16_t *zeros = arena_alloc(&s->pool, n_zeros, sizeof *zeros);
    fill_pool(pool, n_pool, (float)c->initializer_range, o->seed);
    for (size_t i = 0; i < s->model.n_params; i++) {
        struct param *p = &s->model.params[i];
        if (!p->matrix)
            continue;
        p->data = is_silent(p, o->active_blocks) ? zeros : pool + place_of(p, o->seed);
        p->type = DTYPE_BF16;
    }
    code = model_allocate(&s->model, e); /* what has no data yet: the vectors */
    for (size_t i = 0; i < s->model.n_params && !code; i++) {
        struct param *p = &s->model.params[i];
        if (!p->matrix && !is_silent(p, o->active_blocks))
            fill_vector(p, pool + place_of(p, o->seed));
    }
    if (!code && o->active_blocks > 0)
        sharpen(&s->model);
done:
    if (code)
        synth_model_free(s);
    return code;
}

void synth_model_free(struct synth_model *s)
{
    model_free(&s->model);
    arena_free(&s->pool);
    *s = (struct synth_model){0};
}
