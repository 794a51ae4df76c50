#include "kernels/compensate.h"

#include "base/check.h"
#include "base/memory.h"
#include "kernels/gemm.h"
#include "kernels/quantize.h"
#include "kernels/relevel.h"

#include <math.h>
#include <string.h>

/* --- the sums --- */

enum { PANEL = 256 }; /* columns that a product is of */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void gram_init(struct input_gram *g, size_t n)
{
    size_t count;
    CHECK(size_mul(n, n, &count));
    *g = (struct input_gram){.n = n, .h = mem_zero(count, sizeof *g->h), .d = mem_zero(n, sizeof *g->d)};
}

void gram_free(struct input_gram *g)
{
    mem_free(g->h);
    mem_free(g->d);
    *g = (struct input_gram){0};
}

void gram_add(struct input_gram *g, const float *x, size_t rows)
{
    const size_t n = g->n;
    for (size_t from = 0; from < n; from += PANEL) {
        const size_t to = least(from + PANEL, n);
        gemm_f32(true, false, to - from, to, rows, x + from, n, x, n, 1, g->h + from * n, n);
    }
    g->rows += rows;
}

bool gram_is_finite(const struct input_gram *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!isfinite(g->h[i * g->n + i])) /* no other element is as large */
            return false;
    return true;
}

/* --- the factors --- */

enum { FACTOR = 64 }; /* columns that are factored at a time */

/* Factors the square of `size` columns from `at` on, in f64. false: it is not positive definite. */
static bool factor_square(struct input_gram *g, size_t at, size_t size)
{
    double a[FACTOR][FACTOR];
    for (size_t i = 0; i < size; i++)
        for (size_t j = i; j < size; j++)
            a[i][j] = i == j ? g->d[at + i] : g->h[(at + i) * g->n + at + j];
    for (size_t k = size; k-- > 0;) {
        if (!(a[k][k] > 0) || !(a[k][k] > 1e-7 * g->h[(at + k) * g->n + at + k])) /* nothing that f32 can tell from 0 */
            return false;
        for (size_t i = 0; i < k; i++) {
            const double u = a[i][k] / a[k][k];
            for (size_t j = i; j < k; j++)
                a[i][j] -= u * a[j][k];
        }
        for (size_t i = 0; i < k; i++)
            a[i][k] /= a[k][k];
    }
    for (size_t i = 0; i < size; i++) {
        g->d[at + i] = (float)a[i][i];
        for (size_t j = i + 1; j < size; j++)
            g->h[(at + i) * g->n + at + j] = (float)a[i][j];
    }
    return true;
}

/* The rows above that square: what they are becomes U's, and `scaled` (at, size) -U D. */
static void factor_above(struct input_gram *g, size_t at, size_t size, float *scaled)
{
    const size_t n = g->n;
#pragma omp parallel for schedule(static) if (at * size > 4096)
    for (size_t i = 0; i < at; i++) {
        float *row = g->h + i * n + at, *ud = scaled + i * size;
        double x[FACTOR];
        for (size_t j = size; j-- > 0;) {
            x[j] = row[j];
            for (size_t k = j + 1; k < size; k++)
                x[j] -= x[k] * (double)g->h[(at + j) * n + at + k];
        }
        for (size_t j = 0; j < size; j++) {
            ud[j] = (float)-x[j];
            row[j] = (float)(x[j] / (double)g->d[at + j]);
        }
    }
}

/* What is left of H above and left of the square, without what the square's columns explain: -= (U D) U^T. The products
 * reach below the diagonal, which is not theirs: each panel is made beside it. */
static void subtract(struct input_gram *g, size_t at, size_t size, const float *scaled, float *panel)
{
    const size_t n = g->n;
    for (size_t from = 0; from < at; from += PANEL) {
        const size_t to = least(from + PANEL, at), columns = at - from;
        gemm_f32(false, true, to - from, columns, size, scaled + from * size, size, g->h + from * n + at, n, 0, panel,
                 columns);
#pragma omp parallel for schedule(static) if ((to - from) * columns > 4096)
        for (size_t i = from; i < to; i++) {
            const float *sums = panel + (i - from) * columns;
            g->d[i] += sums[i - from];
            for (size_t j = i + 1; j < at; j++)
                g->h[i * n + j] += sums[j - from];
        }
    }
}

/* H + damping I from below the diagonal to above it. */
static void reflect(struct input_gram *g, double damping)
{
    const size_t n = g->n;
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++)
            g->h[i * n + j] = g->h[j * n + i];
        g->d[i] = (float)((double)g->h[i * n + i] + damping);
    }
}

static bool factor(struct input_gram *g, double damping, float *scaled, float *panel)
{
    reflect(g, damping);
    for (size_t end = g->n; end > 0;) {
        const size_t size = least(FACTOR, end), at = end - size;
        if (!factor_square(g, at, size))
            return false;
        factor_above(g, at, size, scaled);
        subtract(g, at, size, scaled, panel);
        end = at;
    }
    return true;
}

double gram_factor(struct input_gram *g, double damping)
{
    double mean = 0;
    for (size_t i = 0; i < g->n; i++)
        mean += (double)g->h[i * g->n + i] / (double)g->n;
    CHECK(mean > 0 && damping > 0);
    float *scaled = mem_alloc(g->n, FACTOR * sizeof *scaled), *panel = mem_alloc(g->n, PANEL * sizeof *panel);
    while (!factor(g, damping * mean, scaled, panel))
        damping *= 10;
    mem_free(scaled);
    mem_free(panel);
    return damping;
}

/* --- rounding --- */

/* One block of one row: what its columns are by now, and what becomes of them. */
struct attempt {
    float x[RELEVEL_MOST];     /* weights and the errors before them */
    float error[RELEVEL_MOST]; /* w - q */
    uint8_t codes[RELEVEL_MOST];
    unsigned char block[256];
    double loss;
};

_Static_assert((int)PANEL % (int)RELEVEL_MOST == 0, "panels are whole blocks");

/* The block has its scales: rounds column by column. targets: a->x at first; w: the weights; at: the block's columns. */
static void round_columns(enum dtype type, struct attempt *a, const float *targets, const float *w, size_t at,
                          const struct input_gram *g)
{
    struct block_levels l;
    relevel_read(type, a->block, &l);
    memcpy(a->x, targets, l.n * sizeof *targets);
    a->loss = 0;
    for (size_t j = 0; j < l.n; j++) {
        const float *u = g->h + (at + j) * g->n + at;
        float value;
        a->codes[j] = relevel_nearest(&l, j, a->x[j], &value);
        const float error = w[j] - value, left = a->x[j] - value;
        a->error[j] = error;
        a->loss += (double)g->d[at + j] * (double)left * (double)left;
        for (size_t k = j + 1; k < l.n; k++)
            a->x[k] += error * u[k];
    }
    relevel_write(type, a->block, a->codes);
}

/* Scales for what `x` are, with importance or NULL, and then everything else. */
static void try_scales(enum dtype type, struct attempt *a, const float *x, const float *importance, const float *targets,
                       const float *w, size_t at, const struct input_gram *g)
{
    quantize_rows(type, x, a->block, 1, dtype_info(type)->block, importance);
    round_columns(type, a, targets, w, at, g);
}

enum { PASSES = 3 };

/* targets (block): what its columns are by now. */
static void round_block(enum dtype type, struct attempt *best, const float *targets, const float *w, size_t at,
                        const struct input_gram *g)
{
    struct attempt next;
    try_scales(type, best, targets, g->d + at, targets, w, at, g);
    try_scales(type, &next, targets, NULL, targets, w, at, g);
    if (next.loss < best->loss)
        *best = next;
    for (int i = 1; i < PASSES; i++) {
        try_scales(type, &next, best->x, g->d + at, targets, w, at, g);
        if (!(next.loss < best->loss))
            break;
        *best = next;
    }
}

/* Columns [from, from + n) of one row. targets (n): what they are after the errors before them; is written over. Returns the
 * loss. */
static double round_panel(enum dtype type, const float *w, float *errors, float *targets, size_t from, size_t n,
                          const struct input_gram *g, char *to)
{
    const struct dtype_info *info = dtype_info(type);
    double loss = 0;
    for (size_t at = 0; at < n; at += info->block, to += info->block_bytes) {
        struct attempt a;
        round_block(type, &a, targets + at, w + at, from + at, g);
        memcpy(to, a.block, info->block_bytes);
        memcpy(errors + at, a.error, info->block * sizeof *errors);
        loss += a.loss;
        for (size_t j = 0; j < info->block; j++) {
            const float *u = g->h + (from + at + j) * g->n + from, error = a.error[j];
            for (size_t k = at + info->block; k < n; k++)
                targets[k] += error * u[k];
        }
    }
    return loss;
}

/* The loss of errors as they are. before (n): what those in front of the panel make of its columns; is written over. */
static double panel_loss(const float *errors, float *before, size_t from, size_t n, const struct input_gram *g)
{
    double loss = 0;
    for (size_t j = 0; j < n; j++) {
        const float *u = g->h + (from + j) * g->n + from, left = errors[j] + before[j];
        loss += (double)g->d[from + j] * (double)left * (double)left;
        for (size_t k = j + 1; k < n; k++)
            before[k] += errors[j] * u[k];
    }
    return loss;
}

enum { BATCH = 512 }; /* rows: what is known of their errors is as large as they are */

/* Of a batch. */
struct work {
    enum dtype type;
    const struct input_gram *g;
    size_t row_bytes;
    float *errors;   /* (BATCH, n) */
    float *targets;  /* (BATCH, PANEL) */
    char *plain;     /* (BATCH) rows of blocks */
    double loss[BATCH], plain_loss[BATCH];
};

static void compensate_batch(struct work *x, const float *w, size_t rows, char *to)
{
    const struct dtype_info *info = dtype_info(x->type);
    const size_t n = x->g->n;
    memset(x->loss, 0, sizeof x->loss);
    for (size_t from = 0; from < n; from += PANEL) {
        const size_t columns = least(PANEL, n - from);
        if (from)
            gemm_f32(false, false, rows, columns, from, x->errors, n, x->g->h + from, n, 0, x->targets, PANEL);
#pragma omp parallel for schedule(dynamic, 4)
        for (size_t i = 0; i < rows; i++) {
            const float *row = w + i * n + from;
            float *target = x->targets + i * PANEL;
            for (size_t j = 0; j < columns; j++)
                target[j] = from ? target[j] + row[j] : row[j];
            x->loss[i] += round_panel(x->type, row, x->errors + i * n + from, target, from, columns, x->g,
                                      to + i * x->row_bytes + from / info->block * info->block_bytes);
        }
    }
}

/* What each row loses by plain rounding. */
static void round_plainly(struct work *x, const float *w, size_t rows)
{
    const size_t n = x->g->n;
    memset(x->plain_loss, 0, sizeof x->plain_loss);
    quantize_rows(x->type, w, x->plain, rows, n, NULL);
    CHECK(dtype_to_f32(x->type, x->plain, x->errors, rows * n));
    for (size_t i = 0; i < rows * n; i++)
        x->errors[i] = w[i] - x->errors[i];
    for (size_t from = 0; from < n; from += PANEL) {
        const size_t columns = least(PANEL, n - from);
        gemm_f32(false, false, rows, columns, from, x->errors, n, x->g->h + from, n, 0, x->targets, PANEL);
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < rows; i++)
            x->plain_loss[i] += panel_loss(x->errors + i * n + from, x->targets + i * PANEL, from, columns, x->g);
    }
}

void compensate_rows(enum dtype type, const float *w, size_t rows, const struct input_gram *g, void *to)
{
    const size_t most = least(rows, BATCH);
    struct work x = {.type = type, .g = g};
    CHECK(relevel_supports(type) && dtype_bytes(type, g->n, &x.row_bytes));
    CHECK(dtype_info(type)->block_bytes <= sizeof ((struct attempt *)0)->block);
    x.errors = mem_alloc(most, g->n * sizeof *x.errors);
    x.targets = mem_alloc(most, PANEL * sizeof *x.targets);
    x.plain = mem_alloc(most, x.row_bytes);
    for (size_t at = 0; at < rows; at += BATCH) {
        const size_t n = least(BATCH, rows - at);
        char *blocks = (char *)to + at * x.row_bytes;
        compensate_batch(&x, w + at * g->n, n, blocks);
        round_plainly(&x, w + at * g->n, n);
        for (size_t i = 0; i < n; i++)
            if (!(x.loss[i] <= x.plain_loss[i])) /* columns that could not take what was left to them */
                memcpy(blocks + i * x.row_bytes, x.plain + i * x.row_bytes, x.row_bytes);
    }
    mem_free(x.errors);
    mem_free(x.targets);
    mem_free(x.plain);
}
