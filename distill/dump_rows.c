/* A teacher's rows as they are stored. */
#include "base/memory.h"
#include "distill/dump_private.h"
#include "kernels/dtype.h"

#include <math.h>
#include <stdlib.h>

static const float f16_lowest = -65504;

bool dump_counted(const struct dump_description *d)
{
    return d->kind == DUMP_SAMPLED || (d->kind == DUMP_TOP && d->cumulative > 0);
}

int dump_bad_row(size_t row, const char *what, double value, struct error *e)
{
    return error_set(e, ERR_USAGE, "a teacher's distribution at target %zu of a sequence: %s (%g)", row, what, value);
}

float dump_clamp(float log_prob)
{
    return log_prob > 0 ? 0 : log_prob < f16_lowest && log_prob > -INFINITY ? f16_lowest : log_prob;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Entries of a row by id: each id in the upper half of a key, its place in the lower one. Ascending ones need no keys: NULL. */
static uint64_t *sort_entries(const int32_t *ids, size_t n)
{
    size_t sorted = 1;
    while (sorted < n && ids[sorted] > ids[sorted - 1])
        sorted++;
    if (sorted == n)
        return NULL;
    uint64_t *keys = mem_alloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++)
        keys[i] = (uint64_t)(uint32_t)ids[i] << 32 | i;
    qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

/* One row's gaps and log-probabilities, n of each. NULL, or what is wrong with it, and the value that is. */
static const char *make_entries(const struct dump_description *d, const int32_t *ids, const float *log_probs, float log_tail,
                                size_t n, uint32_t *gaps, float *out, double *value)
{
    const char *wrong = NULL;
    uint64_t *keys = sort_entries(ids, n);
    double sum = exp((double)log_tail);
    uint32_t last = 0;
    for (size_t i = 0; i < n && !wrong; i++) {
        size_t from = keys ? (size_t)(keys[i] & UINT32_MAX) : i;
        uint32_t id = (uint32_t)ids[from];
        float log_prob = log_probs[from];
        gaps[i] = id - last;
        out[i] = dump_clamp(log_prob);
        sum += (double)expf(log_prob);
        if (id >= d->vocab_size || (i && id == last)) {
            wrong = "an id that is beyond the vocabulary or there twice";
            *value = (double)ids[from];
        } else if (!(log_prob <= 1e-3f) || !isfinite(log_prob)) {
            wrong = "a log-probability";
            *value = (double)log_prob;
        }
        last = id;
    }
    if (!wrong && (!(sum >= 0) || (d->kind == DUMP_TOP && fabs(sum - 1) > 0.01))) {
        wrong = "the sum of its probabilities and the tail's";
        *value = sum;
    }
    mem_free(keys);
    return wrong;
}

int dump_make_entries(const struct dump_description *d, const struct soft_targets *t, size_t n, uint32_t *gaps, float *log_probs,
                     struct error *e)
{
    size_t bad = SIZE_MAX, first = t->begin[0];
    double value = 0;
#pragma omp parallel for schedule(static) reduction(min : bad)
    for (size_t i = 0; i < n; i++) {
        size_t at = t->begin[i], count = t->begin[i + 1] - at;
        double ignored;
        if (make_entries(d, t->ids + at, t->log_probs + at, t->log_tail[i], count, gaps + at - first, log_probs + at - first, &ignored))
            bad = i < bad ? i : bad;
    }
    if (bad == SIZE_MAX)
        return OK;
    size_t at = t->begin[bad];
    const char *wrong = make_entries(d, t->ids + at, t->log_probs + at, t->log_tail[bad], t->begin[bad + 1] - at, gaps,
                                     log_probs, &value);
    return dump_bad_row(bad, wrong, value, e);
}

int dump_make_counts(const struct dump_description *d, const struct soft_targets *t, size_t n, uint32_t *counts, struct error *e)
{
    for (size_t i = 0; i < n; i++) {
        size_t count = t->begin[i + 1] - t->begin[i];
        if (count == 0 || count > d->most || (!dump_counted(d) && count != d->most))
            return dump_bad_row(i, "number of entries", (double)count, e);
        counts[i] = (uint32_t)count;
    }
    return OK;
}

bool dump_normalise(const float *logits, size_t v, float temperature, uint16_t *out)
{
    float most = -INFINITY;
    double sum = 0;
    bool good = true;
    for (size_t i = 0; i < v; i++) {
        good = good && logits[i] < INFINITY; /* a NaN is not */
        most = logits[i] > most ? logits[i] : most;
    }
    if (!good || most == -INFINITY)
        return false;
    for (size_t i = 0; i < v; i++)
        sum += (double)expf((logits[i] - most) / temperature);
    float log_sum = (float)log(sum), block[256];
    for (size_t i = 0; i < v; i += 256) {
        size_t n = v - i < 256 ? v - i : 256;
        for (size_t j = 0; j < n; j++)
            block[j] = dump_clamp((logits[i + j] - most) / temperature - log_sum);
        f16_from_f32(block, out + i, n);
    }
    return true;
}

