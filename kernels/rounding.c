#include "kernels/rounding.h"

#include "base/check.h"
#include "kernels/quantize.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

enum { PARALLEL_FROM = 65536 }; /* weights: fewer are done before other threads have woken up */

static size_t row_bytes(const struct rounding *r)
{
    size_t bytes;
    CHECK(dtype_bytes(r->type, r->cols, &bytes));
    return bytes;
}

void rounding_store(const struct rounding *r, const float *rows, size_t n, void *to)
{
    const size_t bytes = row_bytes(r);
    if (quantize_supports(r->type)) {
        quantize_rows(r->type, rows, to, n, r->cols, r->importance);
        return;
    }
#pragma omp parallel for schedule(static) if (n * r->cols > PARALLEL_FROM)
    for (size_t i = 0; i < n; i++)
        CHECK(dtype_from_f32(r->type, rows + i * r->cols, (char *)to + i * bytes, r->cols));
}

static bool all_finite(const float *x, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++)
        finite &= fabsf(x[i]) <= FLT_MAX;
    return finite;
}

int rounding_check_weights(const struct rounding *r, const float *rows, size_t n, struct error *e)
{
    bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite) if (n * r->cols > PARALLEL_FROM)
    for (size_t i = 0; i < n; i++)
        finite = all_finite(rows + i * r->cols, r->cols) && finite;
    return finite ? OK : error_set(e, ERR_FORMAT, "%s holds a weight that is not a number; the model's file is damaged, or "
                                   "its training diverged", r->tensor);
}

static int too_large(const struct rounding *r, struct error *e)
{
    const char *name = dtype_info(r->type)->name;
    char why[96];
    if (quantize_supports(r->type))
        snprintf(why, sizeof why, "so large that no block of %s can stand for them (their scale is of f16)", name);
    else
        snprintf(why, sizeof why, "beyond the range of %s%s", name, r->type == DTYPE_F16 ? " (65504)" : "");
    return error_set(e, ERR_FORMAT, "%s holds weights %s; %s", r->tensor, why, r->advice);
}

int rounding_check_stored(const struct rounding *r, const void *stored, size_t n, float *back, struct error *e)
{
    const size_t bytes = row_bytes(r);
    bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite) if (n * r->cols > PARALLEL_FROM)
    for (size_t i = 0; i < n; i++) {
        float *row = back + i * r->cols;
        CHECK(dtype_to_f32(r->type, (const char *)stored + i * bytes, row, r->cols));
        finite = all_finite(row, r->cols) && finite;
    }
    return finite ? OK : too_large(r, e);
}

int rounding_store_checked(const struct rounding *r, const float *rows, size_t n, void *to, float *back, struct error *e)
{
    int code = rounding_check_weights(r, rows, n, e);
    if (code)
        return code;
    rounding_store(r, rows, n, to);
    return rounding_check_stored(r, to, n, back, e);
}
