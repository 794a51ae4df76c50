#include "infer/sampler.h"

#include "base/check.h"
#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

struct sampler_options sampler_defaults(void)
{
    return (struct sampler_options){
        .temperature = 1, .top_p = 1, .repetition_penalty = 1, .repetition_window = 64};
}

static int check_options(const struct sampler_options *o, struct error *e)
{
    if (!(o->temperature >= 0 && o->temperature <= 1e6))
        return error_set(e, ERR_USAGE, "temperature is %g; it must be 0 or more", o->temperature);
    if (!(o->top_p > 0 && o->top_p <= 1))
        return error_set(e, ERR_USAGE, "top-p is %g; it must be above 0 and at most 1", o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return error_set(e, ERR_USAGE, "min-p is %g; it must be from 0 to 1", o->min_p);
    if (!(o->repetition_penalty > 0 && o->repetition_penalty <= 1e6))
        return error_set(e, ERR_USAGE, "the repetition penalty is %g; it must be above 0 (1 is none)",
                         o->repetition_penalty);
    return OK;
}

int sampler_init(struct sampler *s, const struct sampler_options *o, size_t vocab_size,
                 struct error *e)
{
    *s = (struct sampler){.options = *o, .vocab_size = vocab_size};
    CHECK(vocab_size > 0);
    int code = check_options(o, e);
    if (code)
        return code;
    s->candidates = mem_alloc(vocab_size, sizeof *s->candidates);
    if (o->repetition_penalty == 1)
        s->options.repetition_window = 0;
    if (s->options.repetition_window > 0)
        s->recent = mem_alloc(s->options.repetition_window, sizeof *s->recent);
    sampler_reset(s, o->seed);
    return OK;
}

void sampler_free(struct sampler *s)
{
    mem_free(s->candidates);
    mem_free(s->recent);
    *s = (struct sampler){0};
}

void sampler_reset(struct sampler *s, uint64_t seed)
{
    rng_init(&s->rng, seed, 0);
    s->n_recent = s->next_recent = 0;
}

void sampler_accept(struct sampler *s, int32_t id)
{
    size_t window = s->options.repetition_window;
    if (window == 0)
        return;
    s->recent[s->next_recent] = id;
    s->next_recent = (s->next_recent + 1) % window;
    if (s->n_recent < window)
        s->n_recent++;
}

/* A total order, so that equal logits do not make the result depend on the algorithm. */
static bool likelier(const struct candidate *a, const struct candidate *b)
{
    return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate t = *a;
    *a = *b;
    *b = t;
}

/* Heap of n candidates with the likeliest at the root. */
static void sift_down(struct candidate *c, size_t i, size_t n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && likelier(&c[child + 1], &c[child]))
            child++;
        if (!likelier(&c[child], &c[i]))
            return;
        swap(&c[i], &c[child]);
        i = child;
    }
}

/* All tokens with the penalty applied; false when the logits are unusable. A token said twice is
 * penalised once: its logit is always taken from the row. */
static bool fill_candidates(struct sampler *s, const float *logits)
{
    struct candidate *c = s->candidates;
    bool some = false;
    for (size_t i = 0; i < s->vocab_size; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return false;
        some |= logits[i] > -INFINITY;
        c[i] = (struct candidate){.logit = logits[i], .id = (int32_t)i};
    }
    float penalty = (float)s->options.repetition_penalty;
    for (size_t i = 0; i < s->n_recent; i++) {
        int32_t id = s->recent[i];
        if (id >= 0 && (size_t)id < s->vocab_size)
            c[id].logit = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
    return some;
}

static size_t likeliest(const struct candidate *c, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (likelier(&c[i], &c[best]))
            best = i;
    return best;
}

static double weigh(struct candidate *c, size_t n, float max, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        c[i].weight = exp(((double)c[i].logit - max) / temperature);
        sum += c[i].weight;
    }
    return sum;
}

/* Top-k and top-p. Candidates come off a heap one by one, so that only those that stay are ever
 * sorted: n + m log n for m of them. They gather at the end of the array, likeliest last. Returns
 * the first that stays. */
static size_t filter_sorted(const struct sampler_options *o, struct candidate *c, size_t n)
{
    size_t limit = o->top_k && o->top_k < n ? o->top_k : n, first = n;
    /* Without top-k the mass is known before anything is sorted, and popping stops early. */
    bool by_mass = o->top_p < 1, all = limit == n;
    double wanted = INFINITY, mass = 0;
    if (by_mass && all)
        wanted = o->top_p * weigh(c, n, c[likeliest(c, n)].logit, 1);
    for (size_t i = n / 2; i-- > 0;)
        sift_down(c, i, n);
    while (first > n - limit && mass < wanted) {
        swap(&c[0], &c[--first]);
        sift_down(c, 0, first);
        mass += c[first].weight;
    }
    if (!by_mass || all)
        return first;
    wanted = o->top_p * weigh(c + first, limit, c[n - 1].logit, 1);
    size_t kept = n;
    for (mass = 0; kept > first && mass < wanted;)
        mass += c[--kept].weight;
    return kept;
}

const struct candidate *sampler_distribution(struct sampler *s, const float *logits, size_t *n,
                                             double *sum)
{
    const struct sampler_options *o = &s->options;
    struct candidate *c = s->candidates;
    if (!fill_candidates(s, logits))
        return NULL;
    *n = s->vocab_size;
    if (o->temperature > 0 && ((o->top_k && o->top_k < *n) || o->top_p < 1)) {
        size_t first = filter_sorted(o, c, *n);
        c += first;
        *n -= first;
    }
    size_t best = likeliest(c, *n);
    float max = c[best].logit;
    if (o->temperature == 0) {
        c += best;
        c->weight = *sum = *n = 1;
        return c;
    }
    if (o->min_p > 0) {
        double least = max + log(o->min_p);
        size_t kept = 0;
        for (size_t i = 0; i < *n; i++)
            if (c[i].logit >= least)
                c[kept++] = c[i];
        *n = kept;
    }
    *sum = weigh(c, *n, max, o->temperature);
    return c;
}

int32_t sampler_pick(struct sampler *s, const float *logits)
{
    size_t n;
    double sum;
    const struct candidate *c = sampler_distribution(s, logits, &n, &sum);
    if (!c)
        return -1;
    if (n == 1)
        return c->id;
    double left = rng_uniform(&s->rng) * sum;
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].weight == 0)
            continue;
        last = i;
        left -= c[i].weight;
        if (left < 0)
            break;
    }
    return c[last].id;
}
