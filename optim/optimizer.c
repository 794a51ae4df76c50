#include "optim/optimizer.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/update.h"

#include <math.h>

enum { LEAST_8BIT = 4096 };

/* Muon is for the matrices inside the blocks. */
static bool is_muon(const struct optimizer_settings *s, const struct param *p)
{
    return s->kind == OPTIMIZER_MUON && p->layer >= 0 && p->matrix;
}

static enum moment_type type_of(const struct optimizer *o, const struct param *p)
{
    enum moment_type type = o->settings.moment_type;
    if (!p->matrix || is_muon(&o->settings, p) || (type == MOMENT_8BIT && p->count < LEAST_8BIT))
        return MOMENT_F32;
    return type;
}

static struct moment take_moment(enum moment_type type, size_t n, struct arena *arena)
{
    struct moment m = {.type = type, .data = arena_alloc(arena, n, moment_element_bytes(type))};
    if (type == MOMENT_8BIT)
        m.scale = arena_alloc(arena, moment_blocks(n), sizeof *m.scale);
    return m;
}

/* Moments of one parameter, and what scratch it wants. */
static void take(struct optimizer *o, size_t i, const struct param *p, size_t *scratch,
                 struct arena *arena)
{
    enum moment_type type = type_of(o, p);
    o->m[i] = take_moment(type, p->count, arena);
    if (!is_muon(&o->settings, p)) {
        o->v[i] = take_moment(type, p->count, arena);
        return;
    }
    size_t wanted = p->count + muon_scratch(p->rows, p->cols);
    *scratch = wanted > *scratch ? wanted : *scratch;
}

void optimizer_init(struct optimizer *o, const struct optimizer_settings *settings,
                    const struct param_list *params, struct arena *arena)
{
    *o = (struct optimizer){.settings = *settings, .params = params};
    o->m = mem_zero(params->count + 1, sizeof *o->m);
    o->v = mem_zero(params->count + 1, sizeof *o->v);
    size_t scratch = 0;
    for (size_t i = 0; i < params->count; i++)
        take(o, i, params->items[i], &scratch, arena);
    if (scratch)
        o->scratch = arena_alloc(arena, scratch, sizeof(float));
}

void optimizer_free(struct optimizer *o)
{
    mem_free(o->m);
    mem_free(o->v);
    *o = (struct optimizer){0};
}

size_t optimizer_bytes(const struct optimizer_settings *settings, const struct param_list *params)
{
    struct arena plan = {0};
    struct optimizer o;
    optimizer_init(&o, settings, params, &plan);
    optimizer_free(&o);
    return plan.used;
}

double gradient_norm(const struct param_list *params)
{
    double total = 0;
    for (size_t i = 0; i < params->count; i++) {
        const struct param *p = params->items[i];
        total += sum_of_squares(p->grad, p->grad_type, p->count);
    }
    return sqrt(total);
}

static struct update_arrays arrays_of(const struct optimizer *o, const struct param *p, size_t i)
{
    return (struct update_arrays){
        .w = p->value, .halves = p->halves, .gradient = p->grad, .gradient_type = p->grad_type,
        .m = o->m[i], .v = o->v[i],
        .noise = (uint32_t)rng_at(o->step, i), .rows = p->rows, .c = p->cols,
    };
}

static void adamw_update(const struct optimizer *o, struct param *p, size_t i, double learning_rate,
                         double gradient_scale)
{
    const struct optimizer_settings *s = &o->settings;
    struct update_arrays arrays = arrays_of(o, p, i);
    struct adamw_step step = {
        .beta1 = (float)s->beta1,
        .beta2 = (float)s->beta2,
        .gradient_scale = (float)gradient_scale,
        .keep = p->matrix ? (float)(1 - learning_rate * s->weight_decay) : 1,
        .rate = (float)(learning_rate / (1 - pow(s->beta1, (double)o->step))),
        .root = (float)(1 / sqrt(1 - pow(s->beta2, (double)o->step))),
        .epsilon = (float)s->epsilon,
    };
    adamw_step(&arrays, &step);
}

static void muon_update(const struct optimizer *o, struct param *p, size_t i, double learning_rate,
                        double gradient_scale)
{
    const struct optimizer_settings *s = &o->settings;
    float mu = (float)s->momentum, rest = (float)((1 - s->momentum) * gradient_scale);
    float *m = o->m[i].data, *update = o->scratch;
    CHECK(dtype_to_f32(p->grad_type, p->grad, update, p->count));
    scale_add(m, m, mu, update, rest, p->count);
    scale_add(update, m, mu, update, rest, p->count);
    muon_orthogonalize(update, p->rows, p->cols, o->scratch + p->count);
    struct update_arrays arrays = arrays_of(o, p, i);
    arrays.gradient = update;
    arrays.gradient_type = DTYPE_F32;
    double longer = (double)(p->rows > p->cols ? p->rows : p->cols);
    apply_update(&arrays, (float)(1 - learning_rate * s->weight_decay),
                 (float)(learning_rate * 0.2 * sqrt(longer)));
}

void optimizer_update(struct optimizer *o, double learning_rate, double gradient_scale)
{
    o->step++;
    for (size_t i = 0; i < o->params->count; i++) {
        struct param *p = o->params->items[i];
        double rate = p->rate > 0 ? learning_rate * p->rate : learning_rate;
        if (is_muon(&o->settings, p))
            muon_update(o, p, i, rate, gradient_scale);
        else
            adamw_update(o, p, i, rate, gradient_scale);
    }
    params_clear_gradients(o->params);
}
