#include "kernels/update.h"

#include "kernels/profile.h"
#include "kernels/table.h"

enum {
    PIECE = 8192,
    GROUP = 256, /* pieces whose sums are kept before they are added up in order */
};

static size_t piece_size(size_t n, size_t from)
{
    return n - from < PIECE ? n - from : PIECE;
}

/* Rows are handed out, and long ones (a vector is a single row) in pieces. */
static struct update_row piece_of(const struct update_arrays *a, size_t row, size_t from)
{
    size_t at = row * a->c + from, gradient = dtype_info(a->gradient_type)->block_bytes,
           moment = dtype_info(a->moment_type)->block_bytes;
    uint16_t *halves = (uint16_t *)(a->w + row * a->c);
    return (struct update_row){
        .w = a->halves ? NULL : a->w + at,
        .high = a->halves ? halves + from : NULL, .low = a->halves ? halves + a->c + from : NULL,
        .gradient = (const char *)a->gradient + at * gradient, .gradient_type = a->gradient_type,
        .m = (char *)a->m + at * moment, .v = (char *)a->v + at * moment,
        .moment_type = a->moment_type,
        .noise = a->noise + (uint32_t)at,
        .n = piece_size(a->c, from),
    };
}

void adamw_step(const struct update_arrays *a, const struct adamw_step *step)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for collapse(2) schedule(static) if (a->rows * a->c > 2 * PIECE)
    for (size_t row = 0; row < a->rows; row++) {
        for (size_t from = 0; from < a->c; from += PIECE) {
            struct update_row piece = piece_of(a, row, from);
            table->adamw(&piece, step);
        }
    }
    profile_leave(outer);
}

void apply_update(const struct update_arrays *a, float keep, float rate)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for collapse(2) schedule(static) if (a->rows * a->c > 2 * PIECE)
    for (size_t row = 0; row < a->rows; row++) {
        for (size_t from = 0; from < a->c; from += PIECE) {
            struct update_row piece = piece_of(a, row, from);
            table->apply_update(&piece, keep, rate);
        }
    }
    profile_leave(outer);
}

void scale_add(float *y, const float *x, float alpha, const float *z, float beta, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t at = 0; at < n; at += PIECE)
        table->scale_add(y + at, x + at, alpha, z + at, beta, piece_size(n, at));
    profile_leave(outer);
}

double sum_of_squares(const void *x, enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
    double total = 0;
    for (size_t begin = 0; begin < n; begin += (size_t)GROUP * PIECE) {
        double sums[GROUP] = {0};
        size_t left = n - begin, pieces = (left + PIECE - 1) / PIECE;
        if (pieces > GROUP)
            pieces = GROUP;
#pragma omp parallel for schedule(static) if (pieces > 2)
        for (size_t p = 0; p < pieces; p++)
            sums[p] = table->sum_of_squares(x, type, begin + p * PIECE, piece_size(left, p * PIECE));
        for (size_t p = 0; p < pieces; p++)
            total += sums[p];
    }
    profile_leave(outer);
    return total;
}
