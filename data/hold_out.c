#include "data/hold_out.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

uint64_t hold_out_draw(uint64_t seed, size_t file, uint64_t line)
{
    return rng_at(rng_at(seed, file), line);
}

uint64_t hold_out_draw_window(uint64_t seed, size_t file, uint64_t line, uint32_t window)
{
    return rng_at(hold_out_draw(seed, file, line), window);
}

uint64_t hold_out_draw_prompt(uint64_t seed, uint64_t prompt)
{
    return rng_at(seed, prompt);
}

static uint64_t draw_of(const struct examples *all, size_t i, uint64_t seed)
{
    const struct example_origin *o = &all->origins[i];
    if (all->answers != ANSWERS_IMITATED)
        return hold_out_draw_prompt(seed, o->prompt);
    return o->split ? hold_out_draw_window(seed, o->file, o->line, o->window) : hold_out_draw(seed, o->file, o->line);
}

void hold_out_pick(const uint64_t *draws, size_t n, double fraction, bool *held)
{
    double limit = ldexp(fraction, 64);
    size_t lowest = 0, highest = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        held[i] = (double)draws[i] < limit;
        count += held[i];
        lowest = draws[i] < draws[lowest] ? i : lowest;
        highest = draws[i] > draws[highest] ? i : highest;
    }
    if (n < 2 || draws[lowest] == draws[highest] || fraction <= 0) {
        memset(held, 0, n * sizeof *held);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (count == 0)
            held[i] = draws[i] == draws[lowest];
        else if (count == n)
            held[i] = draws[i] != draws[highest];
}

static void copy_files(const struct examples *from, struct examples *to)
{
    to->n_files = from->n_files;
    to->files = mem_zero(from->n_files, sizeof *to->files);
    for (size_t i = 0; i < from->n_files; i++)
        to->files[i] = mem_string(from->files[i]);
}

/* Example i of `from` becomes the last of `to`, which may be the same (with i no smaller than its count). */
static void move_example(const struct examples *from, size_t i, struct examples *to)
{
    size_t begin = from->begin[i], n = from->begin[i + 1] - begin, at = to->begin[to->count];
    struct example_report *r = &to->report;
    to->origins[to->count] = from->origins[i];
    memmove(to->ids + at, from->ids + begin, n * sizeof *to->ids);
    memmove(to->learned + at, from->learned + begin, n);
    for (size_t k = 0; k < n; k++)
        r->learned_tokens += to->learned[at + k];
    r->tokens += n;
    r->longest = n > r->longest ? n : r->longest;
    r->truncated += to->origins[to->count].truncated && (to->answers == ANSWERS_IMITATED || to->count % 2 == 0);
    to->begin[++to->count] = at + n; /* of `from` itself nothing behind begin[i] */
}

void examples_hold_out(struct examples *all, double fraction, uint64_t seed, struct examples *held)
{
    size_t n = all->count, n_tokens = 0, n_held = 0;
    uint64_t *draws = mem_alloc(n, sizeof *draws);
    bool *picked = mem_zero(n, sizeof *picked);
    for (size_t i = 0; i < n; i++)
        draws[i] = draw_of(all, i, seed);
    hold_out_pick(draws, n, fraction, picked);
    for (size_t i = 0; i < n; i++)
        if (picked[i]) {
            n_held++;
            n_tokens += all->begin[i + 1] - all->begin[i];
        }
    *held = (struct examples){.answers = all->answers};
    held->begin = mem_zero(n_held + 1, sizeof *held->begin);
    held->ids = mem_alloc(n_tokens, sizeof *held->ids);
    held->learned = mem_alloc(n_tokens, 1);
    held->origins = mem_alloc(n_held, sizeof *held->origins);
    copy_files(all, held);
    struct example_report *r = &all->report;
    r->tokens = r->learned_tokens = r->longest = r->truncated = 0;
    all->count = 0;
    for (size_t i = 0; i < n; i++)
        move_example(all, i, picked[i] ? held : all);
    mem_free(draws);
    mem_free(picked);
}
