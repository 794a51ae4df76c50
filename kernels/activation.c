#include "kernels/activation.h"

#include "base/check.h"
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

void swiglu_forward(float *y, const float *gate, const float *up, size_t n)
{
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++) {
        size_t at = p * PIECE;
        table->swiglu_forward(y + at, gate + at, up + at, piece_size(n, at));
    }
}

void swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n)
{
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t p = 0; p < pieces(n); p++) {
        size_t at = p * PIECE;
        table->swiglu_backward(dgate + at, dup + at, dy + at, gate + at, up + at,
                               piece_size(n, at));
    }
}

/* Element i is dropped when its hash, read as a number in [0, 1), is below p. */
static uint64_t drop_below(float p)
{
    CHECK(p >= 0 && p < 1);
    return (uint64_t)ldexp((double)p, 53);
}

void residual_add(float *x, const float *y, float p, uint64_t seed, size_t n)
{
    const struct kernel_table *table = kernel_table();
    uint64_t below = drop_below(p);
    float scale = 1 / (1 - p);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++) {
        size_t at = i * PIECE, size = piece_size(n, at);
        if (below == 0)
            table->axpy(x + at, 1, y + at, size);
        else
            table->dropout_add(x, y, below, scale, seed, at, at + size);
    }
}

void residual_add_backward(float *dy, const float *dx, float p, uint64_t seed, size_t n)
{
    const struct kernel_table *table = kernel_table();
    uint64_t below = drop_below(p);
    float scale = 1 / (1 - p);
#pragma omp parallel for schedule(static) if (n > 2 * PIECE)
    for (size_t i = 0; i < pieces(n); i++) {
        size_t at = i * PIECE, size = piece_size(n, at);
        if (below == 0)
            memcpy(dy + at, dx + at, size * sizeof *dy);
        else
            table->dropout_backward(dy, dx, below, scale, seed, at, at + size);
    }
}
