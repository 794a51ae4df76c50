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

void adamw_step(float *w, uint16_t *bf16, float *gradient, float *m, float *v, size_t n,
                const struct adamw_step *step)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t at = 0; at < n; at += PIECE)
        table->adamw(w + at, bf16 ? bf16 + at : NULL, gradient + at, m + at, v + at,
                     piece_size(n, at), step);
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

void apply_update(float *w, uint16_t *bf16, float *update, float keep, float rate, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_OPTIMIZER);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t at = 0; at < n; at += PIECE)
        table->apply_update(w + at, bf16 ? bf16 + at : NULL, update + at, keep, rate,
                            piece_size(n, at));
    profile_leave(outer);
}

double sum_of_squares(const float *x, size_t n)
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
            sums[p] = table->sum_of_squares(x + begin + p * PIECE, piece_size(left, p * PIECE));
        for (size_t p = 0; p < pieces; p++)
            total += sums[p];
    }
    profile_leave(outer);
    return total;
}
