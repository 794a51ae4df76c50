#include "kernels/cross_entropy.h"

#include "base/check.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

/* Every block reads w twice and dw once, so large blocks are faster (64 rows: 161 GFLOP/s on a
 * core, 128: 197, 256: 217, all: 225) and memory is their only cost: 32 MB of logits, but no fewer
 * than 128 rows. */
static size_t block_rows(size_t n, size_t v)
{
    size_t rows = ((size_t)8 << 20) / (v ? v : 1) / 32 * 32;
    if (rows < 128)
        rows = 128;
    return rows < n ? rows : n;
}

size_t linear_cross_entropy_scratch(size_t n, size_t v)
{
    return block_rows(n, v) * (v + 2); /* logits, losses, indices */
}

/* The loss of one row of logits, which become scale * (softmax - onehot) if `backward`. */
static float row_cross_entropy(float *logits, int32_t target, float scale, bool backward, size_t v)
{
    const struct kernel_table *table = kernel_table();
    float max = table->max(logits, v), own = logits[target];
    double sum = table->exp_sum(backward ? logits : NULL, logits, max, v);
    if (backward) {
        table->scale(logits, (float)(scale / sum), v);
        logits[target] -= scale;
    }
    return (float)(log(sum) + max - own);
}

/* Rows without a target (prompts in fine-tuning, often most of a batch) cost nothing: the products
 * run over the others alone. */

/* The rows of one block that have a target: row i of the block is row index[i] of the batch. */
struct kept_rows {
    size_t n, from, to; /* how many, among rows [from, to) of the batch */
    uint32_t *index;
};

static void find_kept_rows(struct kept_rows *k, const int32_t *targets, size_t n, size_t most)
{
    k->n = 0;
    k->from = k->to;
    for (; k->to < n && k->n < most; k->to++) {
        if (targets[k->to] >= 0)
            k->index[k->n++] = (uint32_t)k->to;
    }
}

/* Nothing lies between them, so they need not be put side by side. */
static bool kept_are_adjacent(const struct kept_rows *k)
{
    return k->n == k->to - k->from;
}

static const float *gather_hidden(const struct kept_rows *k, const float *hidden, size_t c)
{
    if (kept_are_adjacent(k))
        return hidden + k->from * c;
    float *gathered = scratch_floats(k->n * c);
    for (size_t i = 0; i < k->n; i++)
        memcpy(gathered + i * c, hidden + k->index[i] * c, c * sizeof *hidden);
    return gathered;
}

/* dhidden = logits w for the kept rows, 0 for the others. */
static void scatter_dhidden(const struct kept_rows *k, float *dhidden, const float *logits,
                            const float *w, size_t c, size_t v)
{
    bool adjacent = kept_are_adjacent(k);
    float *to = adjacent ? dhidden + k->from * c : scratch_floats(k->n * c);
    gemm_f32(false, false, k->n, c, v, logits, v, w, c, 0, to, c);
    if (adjacent)
        return;
    memset(dhidden + k->from * c, 0, (k->to - k->from) * c * sizeof *dhidden);
    for (size_t i = 0; i < k->n; i++)
        memcpy(dhidden + k->index[i] * c, to + i * c, c * sizeof *to);
}

double linear_cross_entropy(const float *hidden, const float *w, const int32_t *targets,
                            float scale, float *row_loss, float *dhidden, float *dw, size_t n,
                            size_t c, size_t v, float *scratch)
{
    CHECK(n <= UINT32_MAX);
    size_t block = block_rows(n, v);
    float *logits = scratch, *losses = scratch + block * v;
    struct kept_rows k = {.index = (uint32_t *)(losses + block)};
    double total = 0;
    while (k.to < n) {
        find_kept_rows(&k, targets, n, block);
        const float *h = gather_hidden(&k, hidden, c);
        gemm_f32(false, true, k.n, v, c, h, c, w, c, 0, logits, v);
#pragma omp parallel for schedule(static) if (k.n * v > 4096)
        for (size_t i = 0; i < k.n; i++)
            losses[i] =
                row_cross_entropy(logits + i * v, targets[k.index[i]], scale, dhidden != NULL, v);
        if (row_loss)
            memset(row_loss + k.from, 0, (k.to - k.from) * sizeof *row_loss);
        for (size_t i = 0; i < k.n; i++) {
            total += losses[i];
            if (row_loss)
                row_loss[k.index[i]] = losses[i];
        }
        if (dhidden && dw && k.n > 0)
            gemm_f32(true, false, v, c, k.n, logits, v, h, c, 1, dw, c);
        if (dhidden)
            scatter_dhidden(&k, dhidden, logits, w, c, v);
    }
    return total;
}
