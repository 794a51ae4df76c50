#include "export/prune.h"

#include "base/check.h"

#include <string.h>

/* What a dimension of a parameter is made of, where that is something that can go. */
enum axis { AXIS_NONE, AXIS_HEADS, AXIS_KV_HEADS, AXIS_CHANNELS };
enum { N_AXES = AXIS_CHANNELS + 1 };

struct axes {
    enum axis rows, cols;
};

/* Those of an expert that all tokens go to are not here: it stays as wide as it is. */
static const struct axes axes_of_roles[PARAM_ROLES] = {
    [PARAM_ATTN_Q] = {.rows = AXIS_HEADS},
    [PARAM_ATTN_K] = {.rows = AXIS_KV_HEADS},
    [PARAM_ATTN_V] = {.rows = AXIS_KV_HEADS},
    [PARAM_ATTN_Q_BIAS] = {.cols = AXIS_HEADS},
    [PARAM_ATTN_K_BIAS] = {.cols = AXIS_KV_HEADS},
    [PARAM_ATTN_V_BIAS] = {.cols = AXIS_KV_HEADS},
    [PARAM_ATTN_OUTPUT] = {.cols = AXIS_HEADS},
    [PARAM_FFN_GATE] = {.rows = AXIS_CHANNELS},
    [PARAM_FFN_UP] = {.rows = AXIS_CHANNELS},
    [PARAM_FFN_DOWN] = {.cols = AXIS_CHANNELS},
    [PARAM_FFN_GATE_BIAS] = {.cols = AXIS_CHANNELS},
    [PARAM_FFN_UP_BIAS] = {.cols = AXIS_CHANNELS},
    [PARAM_EXPERT_GATE] = {.rows = AXIS_CHANNELS},
    [PARAM_EXPERT_UP] = {.rows = AXIS_CHANNELS},
    [PARAM_EXPERT_DOWN] = {.cols = AXIS_CHANNELS},
};

/* Norms of queries and keys: over what, and with which weights, the family says. */
static const struct {
    enum qk_norm kind;
    struct axes q, k;
} axes_of_norms[] = {
    {QK_NORM_EACH, {.rows = AXIS_HEADS}, {.rows = AXIS_KV_HEADS}},
    {QK_NORM_WHOLE, {.cols = AXIS_HEADS}, {.cols = AXIS_KV_HEADS}},
};

static struct axes axes_of(const struct model_config *c, enum param_role role)
{
    if (role != PARAM_ATTN_Q_NORM && role != PARAM_ATTN_K_NORM)
        return axes_of_roles[role];
    for (size_t i = 0; i < sizeof axes_of_norms / sizeof *axes_of_norms; i++)
        if (axes_of_norms[i].kind == model_qk_norm(c))
            return role == PARAM_ATTN_Q_NORM ? axes_of_norms[i].q : axes_of_norms[i].k;
    return (struct axes){AXIS_NONE, AXIS_NONE};
}

/* What of a dimension stays: units (heads, channels) of `size` elements; NULL: all of it. */
struct stays {
    const size_t *units;
    size_t size;
};

static struct stays stays_of(const struct prune_plan *p, const struct param *to, enum axis axis, size_t n)
{
    if (axis == AXIS_NONE)
        return (struct stays){0};
    const struct prune_layer *l = &p->layers[to->layer];
    const struct layer_shape shape = model_layer_shape(&p->config, (size_t)to->layer);
    const size_t n_channels = prune_channels(&p->config, (size_t)to->layer);
    const struct {
        const size_t *units;
        size_t n;
    } kept[N_AXES] = {
        [AXIS_HEADS] = {l->heads, shape.n_heads},
        [AXIS_KV_HEADS] = {l->kv_heads, shape.n_kv_heads},
        [AXIS_CHANNELS] = {l->channels + (to->expert > 0 ? (size_t)to->expert * n_channels : 0), n_channels},
    };
    CHECK(n % kept[axis].n == 0);
    return (struct stays){kept[axis].units, n / kept[axis].n};
}

/* Where element i of what stays was. */
static size_t origin(const struct stays *s, size_t i)
{
    return s->units ? s->units[i / s->size] * s->size + i % s->size : i;
}

static void copy_param(const struct prune_plan *p, const struct param *from, struct param *to)
{
    const struct axes axes = axes_of(&p->config, to->role);
    const struct stays rows = stays_of(p, to, axes.rows, to->rows), cols = stays_of(p, to, axes.cols, to->cols);
    const struct matrix m = param_matrix(from);
    CHECK(!from->halves && !from->interleaved && origin(&cols, to->cols - 1) < from->cols);
    CHECK((rows.units || to->rows == from->rows) && (cols.units || to->cols == from->cols));
#pragma omp parallel if (to->count > 65536)
    {
        float *row = mem_alloc(from->cols, sizeof *row);
#pragma omp for schedule(static)
        for (size_t i = 0; i < to->rows; i++) {
            matrix_row(&m, from, origin(&rows, i), row);
            for (size_t j = 0; j < to->cols; j++)
                to->value[i * to->cols + j] = row[origin(&cols, j)];
        }
        mem_free(row);
    }
}

static bool is_origin(const struct prune_plan *p, const struct param *from, const struct param *to)
{
    const int layer = to->layer < 0 ? -1 : (int)p->layers[to->layer].layer;
    return from->role == to->role && from->expert == to->expert && from->layer == layer;
}

int prune_model(const struct prune_plan *p, const struct model *from, struct model *to, struct error *e)
{
    int code = model_init(to, &p->config, e);
    if (!code)
        code = model_allocate(to, e);
    if (code) {
        model_free(to);
        return code;
    }
    const struct param *source = from->params; /* both tables have the same order */
    for (size_t i = 0; i < to->n_params; i++, source++) {
        while (source < from->params + from->n_params && !is_origin(p, source, &to->params[i]))
            source++;
        CHECK(source < from->params + from->n_params);
        copy_param(p, source, &to->params[i]);
    }
    return OK;
}
