#include "distill/selection.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAW_BLOCK = 1024 }; /* logits whose sum is stepped over at once by draws that fall behind it */

/* Logits whose maximum is taken together: enough blocks that the threshold is near the k-th largest logit. */
static size_t block_size(size_t k, size_t v)
{
    size_t block = 64;
    while (block > 1 && v / block < 4 * k)
        block /= 2;
    return block;
}

static size_t kept_most(const struct selection *s, size_t v)
{
    return s->k < v ? s->k : v;
}

size_t selection_most(const struct selection *s, size_t v)
{
    size_t k = kept_most(s, v), rest = v - k;
    return k + (s->samples < rest ? s->samples : rest);
}

/* A row's place in the scratch. Ties may make every logit a candidate. */
struct workspace {
    size_t block, n_blocks;
    float *maxima;   /* (n_blocks) */
    float *values;   /* (v) of the candidates */
    int32_t *ids;    /* (v) */
    float *ordered;  /* (v) what is partially sorted */
    double *sums;    /* (blocks of draws) */
    double *draws;   /* (samples) */
};

static size_t draw_blocks(size_t v)
{
    return (v + DRAW_BLOCK - 1) / DRAW_BLOCK;
}

size_t selection_scratch(const struct selection *s, size_t v)
{
    size_t block = block_size(kept_most(s, v), v);
    return (v + block - 1) / block + 1 + 3 * v + 2 * (draw_blocks(v) + s->samples);
}

static struct workspace lay_out(const struct selection *s, size_t v, float *scratch)
{
    struct workspace w = {.block = block_size(kept_most(s, v), v)};
    w.n_blocks = (v + w.block - 1) / w.block;
    w.sums = (double *)scratch; /* first: doubles need the alignment of the scratch */
    w.draws = w.sums + draw_blocks(v);
    w.maxima = (float *)(w.draws + s->samples);
    w.values = w.maxima + w.n_blocks;
    w.ordered = w.values + v;
    w.ids = (int32_t *)(w.ordered + v);
    return w;
}

/* The k-th largest (from 1) of n numbers, which are reordered: quickselect (Hoare, "Algorithm 65: Find", 1961). */
static float kth_largest(float *x, size_t n, size_t k)
{
    size_t low = 0, high = n - 1, at = k - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (x[i] > pivot)
                i++;
            while (x[j] < pivot)
                j--;
            if (i >= j)
                break;
            float swapped = x[i];
            x[i++] = x[j];
            x[j--] = swapped;
        }
        if (at <= j) /* those up to j are at least the pivot, and those behind at most */
            high = j;
        else
            low = j + 1;
    }
    return x[at];
}

/* Those among which the k largest are, in order; how many. */
static size_t find_candidates(const struct workspace *w, const float *logits, size_t v, size_t k)
{
    const struct kernel_table *table = kernel_table();
    if (w->block == 1)
        memcpy(w->maxima, logits, v * sizeof *logits);
    for (size_t j = 0; w->block > 1 && j < w->n_blocks; j++) {
        size_t at = j * w->block;
        w->maxima[j] = table->max(logits + at, v - at < w->block ? v - at : w->block);
    }
    memcpy(w->ordered, w->maxima, w->n_blocks * sizeof *w->ordered);
    const float threshold = kth_largest(w->ordered, w->n_blocks, k);
    size_t n = 0;
    for (size_t j = 0; j < w->n_blocks; j++) {
        if (!(w->maxima[j] >= threshold))
            continue;
        size_t end = (j + 1) * w->block < v ? (j + 1) * w->block : v;
        for (size_t i = j * w->block; i < end; i++)
            if (logits[i] >= threshold) {
                w->ids[n] = (int32_t)i;
                w->values[n++] = logits[i];
            }
    }
    return n;
}

/* Of n candidates the k largest that have any probability; at the cut those with the lower ids. */
static size_t keep_largest(const struct workspace *w, size_t n, size_t k)
{
    float cut = -INFINITY;
    size_t above = 0, kept = 0;
    if (n > k) {
        memcpy(w->ordered, w->values, n * sizeof *w->ordered);
        cut = kth_largest(w->ordered, n, k);
    }
    for (size_t i = 0; i < n; i++)
        above += w->values[i] > cut;
    size_t ties = n > k ? k - above : 0;
    for (size_t i = 0; i < n; i++) {
        bool tied = w->values[i] == cut && ties > 0 && cut > -INFINITY;
        if (!(w->values[i] > cut) && !tied)
            continue;
        ties -= tied;
        w->ids[kept] = w->ids[i];
        w->values[kept++] = w->values[i];
    }
    return kept;
}

/* Takes n kept logits out of the row and returns the largest that is left. */
static float take_out(const struct workspace *w, float *logits, size_t v, size_t n)
{
    const struct kernel_table *table = kernel_table();
    for (size_t i = 0; i < n; i++)
        logits[w->ids[i]] = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)w->ids[i] / w->block, at = j * w->block;
        if (i == 0 || j != (size_t)w->ids[i - 1] / w->block)
            w->maxima[j] = table->max(logits + at, v - at < w->block ? v - at : w->block);
    }
    return table->max(w->maxima, w->n_blocks);
}

static int compare_falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Drops all but the likeliest whose probabilities, e^(value - log_sum), sum to `cumulative`, and puts them back into the
 * row. How many are left. */
static size_t keep_cumulative(const struct workspace *w, size_t n, double log_sum, double cumulative, float *logits)
{
    double sum = 0;
    size_t wanted = 0;
    memcpy(w->ordered, w->values, n * sizeof *w->ordered);
    qsort(w->ordered, n, sizeof *w->ordered, compare_falling);
    while (wanted < n && sum < cumulative)
        sum += exp(w->ordered[wanted++] - log_sum);
    for (size_t i = 0; i < n; i++)
        logits[w->ids[i]] = w->values[i];
    size_t kept = keep_largest(w, n, wanted);
    for (size_t i = 0; i < kept; i++)
        logits[w->ids[i]] = -INFINITY;
    return kept;
}

static int compare_rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The m draws from `next` on fall into terms[at .. end), which come behind terms of the sum `before`: entries for them,
 * behind the n that there are, whose values are multiplicities. How many there are then. */
static size_t draw_from_block(const struct workspace *w, const float *terms, size_t at, size_t end, double before,
                              size_t next, size_t m, size_t n)
{
    while (!(terms[end - 1] > 0)) /* the last that can be drawn gets what rounding leaves behind it */
        end--;
    for (size_t i = at, drawn = 0; i < end && drawn < m; i++) {
        size_t times = 0;
        before += terms[i];
        while (drawn < m && (w->draws[next + drawn] < before || i + 1 == end)) {
            drawn++;
            times++;
        }
        if (times) {
            w->ids[n] = (int32_t)i;
            w->values[n++] = (float)times;
        }
    }
    return n;
}

/* Draws from what is left of the row, by e^(logit - shift), which takes the logits' places. As draw_from_block. */
static size_t draw(const struct selection *s, const struct workspace *w, float *logits, size_t v, float shift,
                   uint64_t position, size_t n)
{
    const uint64_t stream = rng_at(s->seed, position);
    double total = 0, before = 0;
    size_t n_blocks = draw_blocks(v), next = 0;
    for (size_t j = 0; j < n_blocks; j++) {
        size_t at = j * DRAW_BLOCK;
        w->sums[j] = kernel_table()->exp_sum(logits + at, logits + at, shift, v - at < DRAW_BLOCK ? v - at : DRAW_BLOCK);
        total += w->sums[j];
    }
    while (!(w->sums[n_blocks - 1] > 0))
        n_blocks--;
    for (size_t i = 0; i < s->samples; i++)
        w->draws[i] = (double)(rng_at(stream, i) >> 11) * 0x1p-53 * total;
    qsort(w->draws, s->samples, sizeof *w->draws, compare_rising);
    for (size_t j = 0; j < n_blocks; before += w->sums[j++]) {
        size_t at = j * DRAW_BLOCK, m = 0;
        while (next + m < s->samples && (w->draws[next + m] < before + w->sums[j] || j + 1 == n_blocks))
            m++;
        if (m > 0)
            n = draw_from_block(w, logits, at, v - at < DRAW_BLOCK ? v : at + DRAW_BLOCK, before, next, m, n);
        next += m;
    }
    return n;
}

/* Two runs of ascending ids, of n_first and of n - n_first entries, as one. Values are log-probabilities by now. */
static void merge(const struct workspace *w, size_t n_first, size_t n, int32_t *ids, float *log_probs)
{
    for (size_t i = 0, a = 0, b = n_first; i < n; i++) {
        size_t from = b == n || (a < n_first && w->ids[a] < w->ids[b]) ? a++ : b++;
        ids[i] = w->ids[from];
        log_probs[i] = w->values[from] < 0 ? w->values[from] : 0;
    }
}

size_t selection_row(const struct selection *s, float *logits, size_t v, uint64_t position, float *scratch, int32_t *ids,
                     float *log_probs, float *log_tail)
{
    const struct kernel_table *table = kernel_table();
    const struct workspace w = lay_out(s, v, scratch);
    const size_t k = kept_most(s, v);
    CHECK(k > 0 && s->temperature > 0);
    if (s->temperature != 1)
        table->scale(logits, (float)(1 / s->temperature), v);
    size_t n = keep_largest(&w, find_candidates(&w, logits, v, k), k), n_drawn = 0;
    float max = table->max(w.values, n);
    if (!isfinite(max))
        return 0;
    float rest_max = take_out(&w, logits, v, n);
    /* Relative to the largest of the rest, however unlikely they are. */
    double rest = rest_max > -INFINITY ? table->exp_sum(NULL, logits, rest_max, v) : 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)w.values[i] - max);
    double log_sum = max + log(sum + rest * exp((double)rest_max - max));
    if (!isfinite(log_sum))
        return 0;
    size_t all = n;
    if (s->cumulative > 0)
        n = keep_cumulative(&w, n, log_sum, s->cumulative, logits);
    if (n < all) {
        rest_max = table->max(logits, v);
        rest = table->exp_sum(NULL, logits, rest_max, v);
    }
    double tail = rest > 0 ? fmin(rest_max + log(rest) - log_sum, 0) : -INFINITY;
    for (size_t i = 0; i < n; i++)
        w.values[i] = (float)(w.values[i] - log_sum);
    if (s->samples > 0 && rest > 0)
        n_drawn = draw(s, &w, logits, v, rest_max, position, n) - n;
    for (size_t i = n; i < n + n_drawn; i++)
        w.values[i] = (float)(tail + log(w.values[i] / (double)s->samples));
    merge(&w, n, n + n_drawn, ids, log_probs);
    *log_tail = s->samples > 0 ? -INFINITY : (float)tail;
    return n + n_drawn;
}
