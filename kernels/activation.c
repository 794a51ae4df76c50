#include "kernels/activation.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

/* Elementwise loops are handed out in pieces of this many elements. */
enum { PIECE = 8192 };

static size_t pieces(size_t n)
{
    return (n + PIECE - 1) / PIECE;
}

static size_t piece_size(size_t n, size_t from)
{
    return n - from < PIECE ? n - from : PIECE;
}

void glu_forward(enum activation activation, void *y, const void *gate, const void *up,
                 enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++)
        table->glu_forward(activation, y, gate, up, type, p * PIECE, piece_size(n, p * PIECE));
    profile_leave(outer);
}

void glu_backward(enum activation activation, void *dgate, void *dup, const void *dy,
                  const void *gate, const void *up, enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++)
        table->glu_backward(activation, dgate, dup, dy, gate, up, type, p * PIECE,
                            piece_size(n, p * PIECE));
    profile_leave(outer);
}

/* Element i is dropped when its hash, read as a number in [0, 1), is below p. */
static struct dropout make_dropout(float scale, float p, uint64_t seed)
{
    CHECK(p >= 0 && p < 1);
    return (struct dropout){(uint64_t)ldexp((double)p, 53), seed, scale / (1 - p)};
}

void residual_add(float *out, const float *x, const void *y, enum dtype type, float scale, float p,
                  uint64_t seed, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
    const struct kernel_table *table = kernel_table();
    struct dropout drop = make_dropout(scale, p, seed);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++)
        table->residual_add(out, x, y, type, &drop, i * PIECE, piece_size(n, i * PIECE));
    profile_leave(outer);
}

void residual_add_backward(void *dy, enum dtype type, const float *dx, float scale, float p,
                           uint64_t seed, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
    const struct kernel_table *table = kernel_table();
    struct dropout drop = make_dropout(scale, p, seed);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++)
        table->residual_add_backward(dy, type, dx, &drop, i * PIECE, piece_size(n, i * PIECE));
    profile_leave(outer);
}

void bias_add(void *y, enum dtype type, const float *bias, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n * c > 2 * PIECE)
    for (size_t i = 0; i < n; i++)
        table->add(y, type, i * c, bias, c);
    profile_leave(outer);
}

void bias_backward_strided(float *dbias, float beta, const void *dy, enum dtype type, size_t ld,
                           size_t n, size_t c)
{
    enum { PARTS = 32 }; /* of the rows, summed by themselves and then in their order */
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
    float *parts = scratch_floats(PARTS * c);
#pragma omp parallel for schedule(static) if (n * c > 2 * PIECE)
    for (size_t p = 0; p < PARTS; p++) {
        memset(parts + p * c, 0, c * sizeof *parts);
        for (size_t i = n * p / PARTS; i < n * (p + 1) / PARTS; i++)
            table->accumulate(parts + p * c, dy, type, i * ld, c);
    }
    if (beta == 0)
        memset(dbias, 0, c * sizeof *dbias);
    else if (beta != 1)
        table->scale(dbias, beta, c);
    for (size_t p = 0; p < PARTS; p++)
        table->axpy(dbias, 1, parts + p * c, c);
    profile_leave(outer);
}

void bias_backward(float *dbias, float beta, const void *dy, enum dtype type, size_t n, size_t c)
{
    bias_backward_strided(dbias, beta, dy, type, c, n, c);
}
