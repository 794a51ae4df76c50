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
           moment = moment_element_bytes(a->m.type);
    uint16_t *halves = (uint16_t *)(a->w + row * a->c);
    return (struct update_row){
        .w = a->halves ? NULL : a->w + at,
        .high = a->halves ? halves + from : NULL, .low = a->halves ? halves + a->c + from : NULL,
        .gradient = (const char *)a->gradient + at * gradient, .gradient_type = a->gradient_type,
        .m = (char *)a->m.data + at * moment, .v = (char *)a->v.data + at * moment,
        .moment_type = a->m.type,
        .noise = a->noise + (uint32_t)at,
        .n = piece_size(a->c, from),
    };
}

static void adamw_rows(const struct update_arrays *a, const struct adamw_step *step)
{
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for collapse(2) schedule(static) if (a->rows * a->c > 2 * PIECE)
    for (size_t row = 0; row < a->rows; row++) {
        for (size_t from = 0; from < a->c; from += PIECE) {
            struct update_row piece = piece_of(a, row, from);
            table->adamw(&piece, step);
        }
    }
}

/* The block of moments that begins at element `at`, row by row. */
static void adamw_block(const struct kernel_table *table, const struct update_arrays *a, size_t at,
                        const struct adamw_step *step)
{
    size_t left = a->rows * a->c - at, n = left < MOMENT_BLOCK ? left : MOMENT_BLOCK;
    uint32_t noise = a->noise + (uint32_t)at;
    float m[MOMENT_BLOCK], v[MOMENT_BLOCK];
    moment_read_block(&a->m, MOMENT_FIRST, at, n, m);
    moment_read_block(&a->v, MOMENT_SECOND, at, n, v);
    for (size_t i = 0; i < n;) {
        struct update_row piece = piece_of(a, (at + i) / a->c, (at + i) % a->c);
        piece.n = piece.n < n - i ? piece.n : n - i;
        piece.m = m + i, piece.v = v + i, piece.moment_type = MOMENT_F32;
        table->adamw(&piece, step);
        i += piece.n;
    }
    moment_write_block(&a->m, MOMENT_FIRST, at, n, m, &noise);
    moment_write_block(&a->v, MOMENT_SECOND, at, n, v, &noise);
}

static void adamw_blocks(const struct update_arrays *a, const struct adamw_step *step)
{
    const struct kernel_table *table = kernel_table();
    struct update_arrays flat = *a;
    size_t n = a->rows * a->c;
    if (!a->halves) /* nothing but halves knows where rows end */
        flat.rows = 1, flat.c = n;
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t at = 0; at < n; at += MOMENT_BLOCK)
        adamw_block(table, &flat, at, step);
}

void adamw_step(const struct update_arrays *a, const struct adamw_step *step)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    if (a->m.type == MOMENT_8BIT)
        adamw_blocks(a, step);
    else
        adamw_rows(a, step);
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
