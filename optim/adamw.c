#include "optim/adamw.h"

#include "base/check.h"
#include "kernels/update.h"

#include <math.h>

void adamw_init(struct adamw *o, const struct adamw_settings *settings, const struct model *m,
                struct arena *arena)
{
    *o = (struct adamw){.settings = *settings, .n_params = m->n_params};
    o->m = mem_zero(m->n_params, sizeof *o->m);
    o->v = mem_zero(m->n_params, sizeof *o->v);
    for (size_t i = 0; i < m->n_params; i++) {
        if (!m->params[i].grad && arena->base)
            continue;
        o->m[i] = arena_alloc(arena, m->params[i].count, sizeof(float));
        o->v[i] = arena_alloc(arena, m->params[i].count, sizeof(float));
    }
}

void adamw_free(struct adamw *o)
{
    mem_free(o->m);
    mem_free(o->v);
    *o = (struct adamw){0};
}

double gradient_norm(const struct model *m)
{
    double total = 0;
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].grad)
            total += sum_of_squares(m->params[i].grad, m->params[i].count);
    return sqrt(total);
}

void adamw_update(struct adamw *o, struct model *model, double learning_rate,
                  double gradient_scale)
{
    const struct adamw_settings *s = &o->settings;
    o->step++;
    struct adamw_step step = {
        .beta1 = (float)s->beta1,
        .beta2 = (float)s->beta2,
        .gradient_scale = (float)gradient_scale,
        .rate = (float)(learning_rate / (1 - pow(s->beta1, (double)o->step))),
        .root = (float)(1 / sqrt(1 - pow(s->beta2, (double)o->step))),
        .epsilon = (float)s->epsilon,
    };
    CHECK(o->n_params == model->n_params);
    for (size_t i = 0; i < model->n_params; i++) {
        struct param *p = &model->params[i];
        if (!p->grad)
            continue;
        step.keep = p->decay ? (float)(1 - learning_rate * s->weight_decay) : 1;
        adamw_step(p->value, p->bf16, p->grad, o->m[i], o->v[i], p->count, &step);
    }
}
