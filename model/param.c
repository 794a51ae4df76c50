#include "model/param.h"

#include "base/check.h"
#include "kernels/halves.h"
#include "kernels/interleave.h"
#include "kernels/scratch.h"

#include <string.h>

struct matrix param_matrix(const struct param *p)
{
    if (p->halves)
        return (struct matrix){p->value, 2 * p->cols, DTYPE_BF16, false, false};
    return (struct matrix){p->data, p->cols, p->type, p->in_integers, p->interleaved};
}

struct matrix param_computed(const struct param *p)
{
    return p->view ? p->view->matrix(p->view->context, p) : param_matrix(p);
}

void param_row(const struct param *p, size_t row, float *to)
{
    if (p->halves) {
        memcpy(to, p->value + row * p->cols, p->cols * sizeof *to);
        halves_join(to, 1, p->cols);
        return;
    }
    struct matrix m = param_matrix(p);
    matrix_row(&m, p, row, to);
}

void matrix_row(const struct matrix *m, const struct param *p, size_t row, float *to)
{
    size_t bytes = 0, before = 0;
    CHECK(dtype_bytes(m->type, p->cols, &bytes) && row < p->rows);
    if (m->interleaved) {
        void *bare = scratch_floats(bytes / sizeof(float) + 1);
        interleaved_row(m->type, p->rows, p->cols, m->data, row, bare);
        CHECK(dtype_to_f32(m->type, bare, to, p->cols));
        return;
    }
    CHECK(dtype_bytes(m->type, row * m->ld, &before));
    CHECK(dtype_to_f32(m->type, (const char *)m->data + before, to, p->cols));
}

float param_grad_beta(struct param *p)
{
    float beta = p->grad_is_stale ? 0 : 1;
    p->grad_is_stale = false;
    return beta;
}

void params_add(struct param_list *l, struct param *p)
{
    mem_grow((void **)&l->items, &l->capacity, l->count, sizeof *l->items);
    l->items[l->count++] = p;
}

void params_free(struct param_list *l)
{
    mem_free(l->items);
    *l = (struct param_list){0};
}

static enum dtype gradient_type(const struct param *p, enum dtype type)
{
    return p->role != PARAM_NONE && p->layer >= 0 && p->matrix ? type : DTYPE_F32;
}

size_t params_gradient_bytes(const struct param_list *l, enum dtype type)
{
    struct arena plan = {0};
    for (size_t i = 0; i < l->count; i++)
        arena_alloc(&plan, l->items[i]->count, dtype_info(gradient_type(l->items[i], type))->block_bytes);
    return plan.used;
}

void params_attach_gradients(const struct param_list *l, enum dtype type, struct arena *arena)
{
    for (size_t i = 0; i < l->count; i++) {
        struct param *p = l->items[i];
        p->grad_type = gradient_type(p, type);
        p->grad = arena_alloc(arena, p->count, dtype_info(p->grad_type)->block_bytes);
    }
    if (arena->base)
        params_clear_gradients(l);
}

void params_clear_gradients(const struct param_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        struct param *p = l->items[i];
        p->grad_is_stale = p->matrix;
        if (p->grad && !p->matrix) /* few, and every row of a batch adds to them */
            memset(p->grad, 0, p->count * sizeof(float));
    }
}
