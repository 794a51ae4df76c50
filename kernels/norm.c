#include "kernels/norm.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <string.h>

enum { WORTH_THREADS = 16384 }; /* elements; below, starting threads costs more than it saves */

static bool is_float_type(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_BF16;
}

/* What all rows have in common. */
static struct norm_row first_row(const struct norm *w, const void *x, enum dtype x_type, void *to,
                                 enum dtype to_type, size_t c)
{
    CHECK(is_float_type(x_type) && is_float_type(to_type) && w->weight_rows > 0);
    return (struct norm_row){.x = x, .x_type = x_type, .to = to, .to_type = to_type,
                             .kind = w->kind, .offset = w->offset, .eps = w->eps, .c = c};
}

void norm_forward(void *y, enum dtype type, float *mean, float *rstd, const void *x,
                  enum dtype x_type, const struct norm *w, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_NORMS);
    const struct kernel_table *table = kernel_table();
    struct norm_row first = first_row(w, x, x_type, y, type, c);
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        struct norm_row row = first;
        row.at = i * c;
        row.weight = w->weight + i % w->weight_rows * c;
        row.bias = w->bias ? w->bias + i % w->weight_rows * c : NULL;
        table->norm_forward(&row);
        if (mean)
            mean[i] = row.mean;
        if (rstd)
            rstd[i] = row.rstd;
    }
    profile_leave(outer);
}

/* Weights' gradients are summed by parts of the rows and the parts in their order, so that threads change no
 * bit. */
enum { PARTS = 32 };

static void add_parts(float *to, const float *parts, size_t stride, size_t n)
{
    for (size_t p = 0; to && p < PARTS; p++)
        kernel_table()->axpy(to, 1, parts + p * stride, n);
}

void norm_backward(void *dx, enum dtype dx_type, bool accumulate, float *dweight, float *dbias,
                   const float *dy, const void *x, enum dtype x_type, const float *mean,
                   const float *rstd, const struct norm *w, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_NORMS);
    const struct kernel_table *table = kernel_table();
    size_t size = w->weight_rows * c, stride = (dweight ? size : 0) + (dbias ? size : 0);
    float *parts = scratch_floats(PARTS * stride);
    struct norm_row first = first_row(w, x, x_type, dx, dx_type, c);
    first.accumulate = accumulate;
    first.dy = dy;
    CHECK(w->kind == NORM_RMS || mean);
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t p = 0; p < PARTS; p++) {
        float *part = parts + p * stride;
        memset(part, 0, stride * sizeof *part);
        for (size_t i = n * p / PARTS; i < n * (p + 1) / PARTS; i++) {
            size_t at = i % w->weight_rows * c;
            struct norm_row row = first;
            row.at = i * c;
            row.weight = w->weight + at;
            row.mean = w->kind == NORM_LAYER ? mean[i] : 0;
            row.rstd = rstd[i];
            row.dweight = dweight ? part + at : NULL;
            row.dbias = dbias ? part + stride - size + at : NULL;
            table->norm_backward(&row);
        }
    }
    add_parts(dweight, parts, stride, size);
    add_parts(dbias, parts + stride - (dbias ? size : 0), stride, size);
    profile_leave(outer);
}
