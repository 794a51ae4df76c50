/* Random dumps for tests: distributions that look like a language model's, and what a reader must give for them. */
#ifndef LINNET_TESTS_DISTILL_DUMP_SAMPLE_H
#define LINNET_TESTS_DISTILL_DUMP_SAMPLE_H

#include "base/memory.h"
#include "base/rng.h"
#include "distill/dump.h"
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    struct dump_description description;
    size_t n_sequences, n_tokens, n_positions;
    size_t *sequences;   /* (n_sequences + 1) */
    int32_t *ids;        /* (n_tokens) */
    uint8_t *supervised; /* (n_tokens) */
    size_t *begin;       /* (n_positions + 1) */
    int32_t *entry_ids;
    float *log_probs, *log_tail;
    float *logits;       /* (n_positions, vocab) at temperature 1; dense */
};

static inline void sample_free(struct sample *s)
{
    mem_free(s->sequences);
    mem_free(s->ids);
    mem_free(s->supervised);
    mem_free(s->begin);
    mem_free(s->entry_ids);
    mem_free(s->log_probs);
    mem_free(s->log_tail);
    mem_free(s->logits);
}

static int sample_compare(const void *a, const void *b)
{
    float x = **(const float *const *)a, y = **(const float *const *)b;
    return x > y ? -1 : x < y;
}

/* The likeliest of one row of logits, by id as the reader gives them. */
static void sample_row(struct sample *s, size_t position, const float *logits, struct rng *rng)
{
    const struct dump_description *d = &s->description;
    size_t v = d->vocab_size, first = s->begin[position], n = 0;
    const float **order = mem_alloc(v, sizeof *order);
    bool *taken = mem_zero(v, 1);
    double sum = 0, covered = 0;
    for (size_t i = 0; i < v; i++) {
        order[i] = &logits[i];
        sum += exp((double)logits[i] / d->temperature);
    }
    qsort(order, v, sizeof *order, sample_compare);
    size_t most = d->kind == DUMP_SAMPLED ? 1 + rng_below(rng, d->most) : d->most;
    while (n < most && (d->cumulative == 0 || covered < d->cumulative)) {
        covered += exp((double)*order[n] / d->temperature) / sum;
        taken[order[n++] - logits] = true;
    }
    size_t at = first;
    for (size_t i = 0; i < v; i++)
        if (taken[i]) {
            s->entry_ids[at] = (int32_t)i;
            s->log_probs[at++] = (float)((double)logits[i] / d->temperature - log(d->kind == DUMP_SAMPLED ? covered * sum : sum));
        }
    s->log_tail[position] = d->kind == DUMP_SAMPLED || n == v ? -INFINITY : (float)log(fmax(1 - covered, 1e-30));
    s->begin[position + 1] = at;
    mem_free(taken);
    mem_free(order);
}

static inline void sample_init(struct sample *s, const struct dump_description *d, size_t n_sequences, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed, 0);
    *s = (struct sample){.description = *d, .n_sequences = n_sequences};
    s->sequences = mem_zero(n_sequences + 1, sizeof(size_t));
    for (size_t i = 0; i < n_sequences; i++)
        s->sequences[i + 1] = s->sequences[i] + 1 + rng_below(&rng, 60);
    s->n_tokens = s->sequences[n_sequences];
    s->ids = mem_alloc(s->n_tokens, sizeof(int32_t));
    s->supervised = mem_zero(s->n_tokens, 1);
    for (size_t i = 0; i < n_sequences; i++)
        for (size_t j = s->sequences[i]; j < s->sequences[i + 1]; j++) {
            s->ids[j] = (int32_t)rng_below(&rng, d->vocab_size);
            s->supervised[j] = j > s->sequences[i] && rng_below(&rng, 4) > 0;
            s->n_positions += s->supervised[j];
        }
    s->begin = mem_zero(s->n_positions + 1, sizeof(size_t));
    s->entry_ids = mem_alloc(s->n_positions + 1, d->most * sizeof(int32_t));
    s->log_probs = mem_alloc(s->n_positions + 1, d->most * sizeof(float));
    s->log_tail = mem_alloc(s->n_positions + 1, sizeof(float));
    s->logits = mem_alloc(s->n_positions + 1, d->vocab_size * sizeof(float));
    for (size_t i = 0; i < s->n_positions; i++) {
        float *row = s->logits + i * d->vocab_size, sharp = 1 + 3 * (float)rng_uniform(&rng);
        rng_fill_normal(&rng, row, d->vocab_size, sharp);
        sample_row(s, i, row, &rng);
    }
}

/* The rows of n positions from `first` on, as a teacher gives them. */
static inline struct soft_targets sample_rows(const struct sample *s, size_t first)
{
    const struct dump_description *d = &s->description;
    struct soft_targets t = {.v = d->vocab_size, .source_temperature = (float)d->temperature, .sampled = d->kind == DUMP_SAMPLED};
    if (d->kind == DUMP_DENSE) {
        t.logits = s->logits + first * d->vocab_size;
        return t;
    }
    t.begin = s->begin + first;
    t.ids = s->entry_ids;
    t.log_probs = s->log_probs;
    t.log_tail = s->log_tail + first;
    return t;
}

/* Adds sequences from `first` to `end`. */
static inline void sample_add(const struct sample *s, struct dump_writer *w, size_t first, size_t end)
{
    size_t position = 0;
    struct error e;
    for (size_t i = 0; i < end; i++) {
        size_t at = s->sequences[i], n = s->sequences[i + 1] - at, rows = 0;
        for (size_t j = 0; j < n; j++)
            rows += s->supervised[at + j];
        struct soft_targets t = sample_rows(s, position);
        if (i >= first)
            assert_ok(dump_writer_add(w, s->ids + at, s->supervised + at, n, &t, &e), e);
        position += rows;
    }
}

#endif
