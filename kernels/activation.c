#include "kernels/activation.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/table.h"

#include <math.h>

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

void swiglu_forward(void *y, const void *gate, const void *up, enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++)
        table->swiglu_forward(y, gate, up, type, p * PIECE, piece_size(n, p * PIECE));
    profile_leave(outer);
}

void swiglu_backward(void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                     enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++)
        table->swiglu_backward(dgate, dup, dy, gate, up, type, p * PIECE,
                               piece_size(n, p * PIECE));
    profile_leave(outer);
}

/* Element i is dropped when its hash, read as a number in [0, 1), is below p. */
static struct dropout make_dropout(float p, uint64_t seed)
{
    CHECK(p >= 0 && p < 1);
    return (struct dropout){(uint64_t)ldexp((double)p, 53), seed, 1 / (1 - p)};
}

void residual_add(float *out, const float *x, const void *y, enum dtype type, float p,
                  uint64_t seed, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
    const struct kernel_table *table = kernel_table();
    struct dropout drop = make_dropout(p, seed);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++)
        table->residual_add(out, x, y, type, &drop, i * PIECE, piece_size(n, i * PIECE));
    profile_leave(outer);
}

void residual_add_backward(void *dy, enum dtype type, const float *dx, float p, uint64_t seed,
                           size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
    const struct kernel_table *table = kernel_table();
    struct dropout drop = make_dropout(p, seed);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++)
        table->residual_add_backward(dy, type, dx, &drop, i * PIECE, piece_size(n, i * PIECE));
    profile_leave(outer);
}
