#include "qat/learned.h"

#include "base/check.h"
#include "kernels/quantize_scaled.h"
#include "kernels/relevel.h"
#include "kernels/scratch.h"
#include "qat/rounding.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- the scales --- */

static bool learns_scale(const struct qat_matrix *x)
{
    return !x->frozen && scaled_type(x->type);
}

static size_t row_scales(const struct qat_matrix *x)
{
    return x->param->cols / SCALED_BLOCK * scaled_type(x->type)->n_scales;
}

/* Adam's steps are as large as the learning rate whatever the gradient, so that LSQ's factor says nothing there: with this
 * rate the outermost level moves as far at a step as a weight does, times what is wished. */
static struct param scale_of(const struct qat_matrix *x, double wished)
{
    const struct param *of = x->param;
    const double rate = wished / fmax(-scaled_type(x->type)->low, scaled_type(x->type)->high);
    struct param p = {.role = PARAM_NONE, .layer = of->layer, .expert = of->expert, .n_dims = 2, .rows = of->rows,
                      .cols = row_scales(x), .count = of->rows * row_scales(x), .type = DTYPE_F32, .rate = (float)rate};
    const int n = snprintf(p.name, sizeof p.name, "%s.scale", of->name);
    CHECK(n > 0 && (size_t)n < sizeof p.name);
    return p;
}

/* Those that have no values yet are told by a NaN: a checkpoint that is read before the start puts its values there. */
static void lay_out_scales(struct qat *q, struct arena *arena)
{
    for (size_t i = 0; i < q->n_scales; i++) {
        struct param *p = &q->scales[i];
        p->value = arena_alloc(arena, p->count, sizeof *p->value);
        p->data = p->value;
        if (p->value)
            p->value[0] = NAN;
    }
}

/* A model without memory is there to be planned with. */
static int take_memory(struct qat *q, struct error *e)
{
    struct arena plan = {0};
    for (size_t i = 0; i < q->n_matrices; i++)
        if (q->matrices[i].scale && !q->matrices[i].param->value)
            return OK;
    lay_out_scales(q, &plan);
    int code = arena_init(&q->scale_memory, plan.used, "the learned scales", e);
    if (!code)
        lay_out_scales(q, &q->scale_memory);
    return code;
}

int learned_init(struct qat *q, struct error *e)
{
    const struct qat_options *o = q->options;
    if (q->adapter && (o->learned_scales || o->clip))
        return error_set(e, ERR_USAGE,
                         "%s needs the gradient of the rounded weight, which is not computed where an adapter trains: leave "
                         "it out, or train with --method full", o->learned_scales ? "--qat-learned-scales" : "--qat-clip");
    if (!o->learned_scales)
        return OK;
    q->scales = mem_zero(q->n_matrices + 1, sizeof *q->scales);
    for (size_t i = 0; i < q->trains->count; i++)
        params_add(&q->with_scales, q->trains->items[i]);
    for (size_t i = 0; i < q->n_matrices; i++) {
        struct qat_matrix *x = &q->matrices[i];
        if (!learns_scale(x))
            continue;
        x->scale = &q->scales[q->n_scales++];
        *x->scale = scale_of(x, q->options->scale_learning_rate);
        params_add(&q->with_scales, x->scale);
    }
    if (q->n_scales == 0)
        return error_set(e, ERR_USAGE,
                         "--qat-learned-scales has nothing to learn: no matrix that trains becomes one of the types whose "
                         "blocks have scales of their own (q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl); choose one with --qat");
    q->trains = &q->with_scales;
    return take_memory(q, e);
}

void learned_free(struct qat *q)
{
    params_free(&q->with_scales);
    arena_free(&q->scale_memory);
    mem_free(q->scales);
}

void learned_start(struct qat *q, bool only_new)
{
    for (size_t i = 0; i < q->n_matrices; i++) {
        const struct qat_matrix *x = &q->matrices[i];
        if (!x->scale || (only_new && !isnan(x->scale->value[0])))
            continue;
        const struct rounding r = plain_rounding(x);
        for (size_t at = 0; at < x->param->rows; at += TILE_ROWS) {
            const size_t n = tile_of(x->param, at);
            rounding_store(&r, rows_to_round(x, at, n), n, q->shared);
            quantized_scales(x->type, q->shared, n * x->param->cols / SCALED_BLOCK, x->scale->value + at * x->scale->cols);
        }
    }
}

/* --- gradients --- */

/* LSQ: a scale is then moved by as large a part of itself as weights are, whose number and levels it sums over. */
static float scale_factor(enum dtype type)
{
    return 1 / sqrtf(SCALED_BLOCK * scaled_type(type)->high);
}

/* A row's gradient as f32; `wide` (cols) is for one that is not. */
static float *gradient_row(const struct param *p, size_t row, float *wide)
{
    if (p->grad_type == DTYPE_F32)
        return (float *)p->grad + row * p->cols;
    CHECK(p->grad_type == DTYPE_BF16);
    f32_from_bf16((const uint16_t *)p->grad + row * p->cols, wide, p->cols);
    return wide;
}

/* blocks: the row's; spans: 2 * cols / 16. Multiplied, not set, so that a gradient that is no number is still seen. */
static void clip_row(const struct qat_matrix *x, const float *w, const void *blocks, float *g, float *spans)
{
    const size_t cols = x->param->cols, n = cols / 16;
    const float *low = spans, *high = spans + n, beyond = 1 - x->qat->share;
    relevel_spans(x->type, blocks, cols, spans, spans + n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 16 * i; j < 16 * (i + 1); j++)
            g[j] *= w[j] < low[i] || w[j] > high[i] ? beyond : 1;
}

static void row_gradients(const struct qat_matrix *x, size_t row, const float *w, const void *blocks)
{
    const struct param *p = x->param, *scale = x->scale;
    float *wide = scratch_floats(p->cols + p->cols / 8), *g = gradient_row(p, row, wide);
    if (scale) {
        float *d_scales = (float *)scale->grad + row * scale->cols;
        const float factor = x->qat->share * scale_factor(x->type);
        quantize_rows_scaled_backward(x->type, w, scale->value + row * scale->cols, g, d_scales, 1, p->cols);
        for (size_t i = 0; i < scale->cols; i++)
            d_scales[i] *= factor;
    }
    if (blocks) {
        clip_row(x, w, blocks, g, wide + p->cols);
        if (g == wide)
            bf16_from_f32(wide, (uint16_t *)p->grad + row * p->cols, p->cols);
    }
}

static void matrix_gradients(const struct qat_matrix *x)
{
    const struct qat *q = x->qat;
    const bool clips = q->options->clip && relevel_supports(x->type);
    size_t row_bytes = 0;
    if (x->frozen || !(x->scale || clips))
        return;
    CHECK(dtype_bytes(x->type, x->param->cols, &row_bytes));
    for (size_t at = 0; at < x->param->rows; at += TILE_ROWS) {
        const size_t n = tile_of(x->param, at);
        const float *rows = rows_to_round(x, at, n);
        const char *blocks = NULL;
        if (clips && q->share == 1 && x->kept && x->made)
            blocks = (const char *)x->kept + at * row_bytes;
        else if (clips)
            round_rows(x, rows, at, n, q->shared), blocks = q->shared;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            row_gradients(x, at + i, rows + i * x->param->cols, blocks ? blocks + i * row_bytes : NULL);
    }
}

void qat_gradients(struct qat *q)
{
    for (size_t i = 0; i < q->n_matrices && q->share > 0; i++)
        matrix_gradients(&q->matrices[i]);
}
