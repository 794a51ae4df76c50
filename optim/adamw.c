#include "optim/adamw.h"

#include "base/check.h"

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

enum { BLOCK = 4096 };

static double block_sum_of_squares(const float *x, size_t n)
{
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++)
        sum[0] += (double)x[i] * x[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* Each thread sums whole blocks; the blocks' sums are added in order, so the result is the same for
 * any number of threads. */
static double sum_of_squares(const float *x, size_t n)
{
    enum { GROUP = 256 };
    double total = 0;
    for (size_t at = 0; at < n; at += (size_t)GROUP * BLOCK) {
        double sums[GROUP] = {0};
        size_t left = n - at, blocks = (left + BLOCK - 1) / BLOCK;
        if (blocks > GROUP)
            blocks = GROUP;
#pragma omp parallel for schedule(static) if (blocks > 4)
        for (size_t b = 0; b < blocks; b++) {
            size_t begin = b * BLOCK, size = left - begin < BLOCK ? left - begin : BLOCK;
            sums[b] = block_sum_of_squares(x + at + begin, size);
        }
        for (size_t b = 0; b < blocks; b++)
            total += sums[b];
    }
    return total;
}

double gradient_norm(const struct model *m)
{
    double total = 0;
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].grad)
            total += sum_of_squares(m->params[i].grad, m->params[i].count);
    return sqrt(total);
}

struct step_constants {
    float beta1, beta2, gradient_scale;
    float keep;          /* 1 - lr * decay */
    float rate;          /* lr / (1 - b1^t) */
    float root;          /* 1 / sqrt(1 - b2^t) */
    float epsilon;
};

static void update_block(float *restrict w, float *restrict g, float *restrict m,
                         float *restrict v, size_t n, struct step_constants k)
{
    for (size_t i = 0; i < n; i++) {
        float grad = g[i] * k.gradient_scale;
        float first = k.beta1 * m[i] + (1 - k.beta1) * grad;
        float second = k.beta2 * v[i] + (1 - k.beta2) * grad * grad;
        m[i] = first;
        v[i] = second;
        g[i] = 0;
        w[i] = k.keep * w[i] - k.rate * first / (sqrtf(second) * k.root + k.epsilon);
    }
}

void adamw_update(struct adamw *o, struct model *model, double learning_rate,
                  double gradient_scale)
{
    const struct adamw_settings *s = &o->settings;
    o->step++;
    struct step_constants k = {
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
        k.keep = p->decay ? (float)(1 - learning_rate * s->weight_decay) : 1;
        size_t blocks = (p->count + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 4)
        for (size_t b = 0; b < blocks; b++) {
            size_t at = b * BLOCK, n = p->count - at < BLOCK ? p->count - at : BLOCK;
            update_block(p->value + at, p->grad + at, o->m[i] + at, o->v[i] + at, n, k);
        }
    }
}
