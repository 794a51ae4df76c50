#include "kernels/cross_entropy.h"

#include "kernels/gemm.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

/* Every block reads w twice and dw once, so large blocks are faster (64 rows: 95 GFLOP/s a core, 128:
 * 105, 256: 115, all: 121) and memory is their only cost: 32 MB of logits, but no fewer than 128
 * rows. */
static size_t block_rows(size_t n, size_t v)
{
    size_t rows = ((size_t)8 << 20) / (v ? v : 1) / 32 * 32;
    if (rows < 128)
        rows = 128;
    return rows < n ? rows : n;
}

size_t linear_cross_entropy_scratch(size_t n, size_t v)
{
    return block_rows(n, v) * (v + 1);
}

/* The loss of one row of logits, which become scale * (softmax - onehot) if `backward`. */
static float row_cross_entropy(float *logits, int32_t target, float scale, bool backward, size_t v)
{
    const struct kernel_table *table = kernel_table();
    if (target < 0) {
        if (backward)
            memset(logits, 0, v * sizeof *logits);
        return 0;
    }
    float max = table->max(logits, v), own = logits[target];
    double sum = table->exp_sum(backward ? logits : NULL, logits, max, v);
    if (backward) {
        table->scale(logits, (float)(scale / sum), v);
        logits[target] -= scale;
    }
    return (float)(log(sum) + max - own);
}

static bool all_ignored(const int32_t *targets, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        if (targets[i] >= 0)
            return false;
    }
    return true;
}

double linear_cross_entropy(const float *hidden, const float *w, const int32_t *targets,
                            float scale, float *row_loss, float *dhidden, float *dw, size_t n,
                            size_t c, size_t v, float *scratch)
{
    size_t block = block_rows(n, v);
    float *losses = scratch + block * v;
    double total = 0;
    for (size_t from = 0; from < n; from += block) {
        size_t rows = n - from < block ? n - from : block;
        const float *h = hidden + from * c;
        if (all_ignored(targets + from, rows)) {
            if (row_loss)
                memset(row_loss + from, 0, rows * sizeof *row_loss);
            if (dhidden)
                memset(dhidden + from * c, 0, rows * c * sizeof *dhidden);
            continue;
        }
        gemm_f32(false, true, rows, v, c, h, c, w, c, 0, scratch, v);
#pragma omp parallel for schedule(static) if (rows * v > 4096)
        for (size_t i = 0; i < rows; i++)
            losses[i] =
                row_cross_entropy(scratch + i * v, targets[from + i], scale, dhidden != NULL, v);
        if (row_loss)
            memcpy(row_loss + from, losses, rows * sizeof *row_loss);
        for (size_t i = 0; i < rows; i++)
            total += losses[i];
        if (!dhidden)
            continue;
        gemm_f32(false, false, rows, c, v, scratch, v, w, c, 0, dhidden + from * c, c);
        if (dw)
            gemm_f32(true, false, v, c, rows, scratch, v, h, c, 1, dw, c);
    }
    return total;
}
