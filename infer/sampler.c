#include "infer/sampler.h"

#include "base/check.h"
#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

struct sampler_options sampler_defaults(void)
{
    return (struct sampler_options){
        .temperature = 1, .typical_p = 1, .top_p = 1, .repetition_penalty = 1, .repetition_window = 64,
        .mirostat_tau = 5, .mirostat_eta = 0.1};
}

static int check_filters(const struct sampler_options *o, struct error *e)
{
    if (!(o->temperature >= 0 && o->temperature <= 1e6))
        return error_set(e, ERR_USAGE, "temperature is %g; it must be 0 or more", o->temperature);
    if (!(o->top_n_sigma >= 0 && o->top_n_sigma <= 1e6))
        return error_set(e, ERR_USAGE, "top-n-sigma is %g; it must be 0 or more", o->top_n_sigma);
    if (!(o->typical_p > 0 && o->typical_p <= 1))
        return error_set(e, ERR_USAGE, "typical-p is %g; it must be above 0 and at most 1", o->typical_p);
    if (!(o->top_p > 0 && o->top_p <= 1))
        return error_set(e, ERR_USAGE, "top-p is %g; it must be above 0 and at most 1", o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return error_set(e, ERR_USAGE, "min-p is %g; it must be from 0 to 1", o->min_p);
    if (o->mirostat != MIROSTAT_OFF && o->mirostat != MIROSTAT_2)
        return error_set(e, ERR_USAGE, "mirostat is %zu; it must be 0 (off) or 2", o->mirostat);
    if (!(o->mirostat_tau >= 0 && o->mirostat_tau <= 1e6))
        return error_set(e, ERR_USAGE, "mirostat-tau is %g; it must be 0 or more", o->mirostat_tau);
    if (!(o->mirostat_eta >= 0 && o->mirostat_eta <= 1e6))
        return error_set(e, ERR_USAGE, "mirostat-eta is %g; it must be 0 or more", o->mirostat_eta);
    return OK;
}

static int check_logit_changes(const struct sampler_options *o, size_t vocab_size, struct error *e)
{
    if (!(o->repetition_penalty >= 1e-6 && o->repetition_penalty <= 1e6))
        return error_set(e, ERR_USAGE, "the repetition penalty is %g; it must be above 0 (1 is none)",
                         o->repetition_penalty);
    if (!(fabs(o->frequency_penalty) <= 1e6))
        return error_set(e, ERR_USAGE, "the frequency penalty is %g; it must be from -1e6 to 1e6",
                         o->frequency_penalty);
    if (!(fabs(o->presence_penalty) <= 1e6))
        return error_set(e, ERR_USAGE, "the presence penalty is %g; it must be from -1e6 to 1e6",
                         o->presence_penalty);
    for (size_t i = 0; i < o->n_biases; i++) {
        const struct logit_bias *b = &o->biases[i];
        if (b->id < 0 || (size_t)b->id >= vocab_size)
            return error_set(e, ERR_USAGE, "the logit bias of token %d: the vocabulary has %zu tokens", b->id,
                             vocab_size);
        if (!(b->bias == -INFINITY || fabsf(b->bias) <= 1e6f))
            return error_set(e, ERR_USAGE,
                             "the logit bias of token %d is %g; it must be from -1e6 to 1e6, or -inf", b->id,
                             (double)b->bias);
    }
    return OK;
}

int sampler_check(const struct sampler_options *o, size_t vocab_size, struct error *e)
{
    int code = check_filters(o, e);
    return code ? code : check_logit_changes(o, vocab_size, e);
}

static bool penalises(const struct sampler_options *o)
{
    return o->repetition_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0;
}

int sampler_init(struct sampler *s, const struct sampler_options *o, size_t vocab_size,
                 struct error *e)
{
    *s = (struct sampler){.options = *o, .vocab_size = vocab_size};
    CHECK(vocab_size > 0);
    int code = sampler_check(o, vocab_size, e);
    if (code)
        return code;
    s->candidates = mem_alloc(vocab_size, sizeof *s->candidates);
    if (!penalises(o))
        s->options.repetition_window = 0;
    if (s->options.repetition_window > 0) {
        s->recent = mem_alloc(s->options.repetition_window, sizeof *s->recent);
        s->counts = mem_zero(vocab_size, sizeof *s->counts);
    }
    sampler_reset(s, o->seed);
    return OK;
}

void sampler_free(struct sampler *s)
{
    mem_free(s->candidates);
    mem_free(s->recent);
    mem_free(s->counts);
    *s = (struct sampler){0};
}

void sampler_reset(struct sampler *s, uint64_t seed)
{
    rng_init(&s->rng, seed, 0);
    s->n_recent = s->next_recent = 0;
    if (s->counts)
        memset(s->counts, 0, s->vocab_size * sizeof *s->counts);
    s->mu = 2 * s->options.mirostat_tau;
}

void sampler_accept(struct sampler *s, int32_t id)
{
    size_t window = s->options.repetition_window;
    if (window == 0 || id < 0 || (size_t)id >= s->vocab_size)
        return;
    if (s->n_recent == window)
        s->counts[s->recent[s->next_recent]]--;
    else
        s->n_recent++;
    s->counts[id]++;
    s->recent[s->next_recent] = id;
    s->next_recent = (s->next_recent + 1) % window;
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

/* Nearer the entropy, while typical-p keeps that distance in the weight. */
static bool more_typical(const struct candidate *a, const struct candidate *b)
{
    return a->weight != b->weight ? a->weight < b->weight : likelier(a, b);
}

typedef bool candidate_order(const struct candidate *, const struct candidate *);

/* Heap of n candidates with the first in this order at the root. */
static inline void sift_down(candidate_order *before, struct candidate *c, size_t i, size_t n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && before(&c[child + 1], &c[child]))
            child++;
        if (!before(&c[child], &c[i]))
            return;
        swap(&c[i], &c[child]);
        i = child;
    }
}

/* A token said twice pays the repetition and the presence penalty once. The weight marks who has paid. */
static void penalise(struct sampler *s)
{
    const struct sampler_options *o = &s->options;
    float repetition = (float)o->repetition_penalty;
    for (size_t i = 0; i < s->n_recent; i++) {
        struct candidate *c = &s->candidates[s->recent[i]];
        if (c->weight != 0)
            continue;
        c->weight = 1;
        c->logit = c->logit > 0 ? c->logit / repetition : c->logit * repetition;
        c->logit -= (float)(s->counts[c->id] * o->frequency_penalty + o->presence_penalty);
    }
}

/* The allowed tokens with a chance, biases and penalties applied: how many; 0 when the logits are unusable. */
static size_t fill_candidates(struct sampler *s, const float *logits)
{
    struct candidate *c = s->candidates;
    for (size_t i = 0; i < s->vocab_size; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return 0;
        c[i] = (struct candidate){.logit = logits[i], .id = (int32_t)i};
    }
    for (size_t i = 0; i < s->options.n_biases; i++)
        c[s->options.biases[i].id].logit += s->options.biases[i].bias;
    penalise(s);
    size_t n = 0;
    for (size_t i = 0; i < s->vocab_size; i++)
        if (c[i].logit > -INFINITY && (!s->allowed || s->allowed[i / 32] >> i % 32 & 1))
            c[n++] = c[i];
    return n;
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
        sift_down(likelier, c, i, n);
    while (first > n - limit && mass < wanted) {
        swap(&c[0], &c[--first]);
        sift_down(likelier, c, 0, first);
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

/* Keeps what has at least this logit. */
static size_t filter_logit(struct candidate *c, size_t n, double least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].logit >= least)
            c[kept++] = c[i];
    return kept;
}

static size_t filter_sigma(struct candidate *c, size_t n, double sigmas)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += c[i].logit;
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (c[i].logit - mean) * (c[i].logit - mean);
    double max = c[likeliest(c, n)].logit;
    return filter_logit(c, n, max - sigmas * sqrt(variance / (double)n));
}

/* Typical-p, off a heap as in filter_sorted. Returns the first that stays. */
static size_t filter_typical(struct candidate *c, size_t n, double typical_p)
{
    float max = c[likeliest(c, n)].logit;
    double log_sum = max + log(weigh(c, n, max, 1)), entropy = 0, mass = 0;
    for (size_t i = 0; i < n; i++)
        entropy += exp(c[i].logit - log_sum) * (log_sum - c[i].logit);
    for (size_t i = 0; i < n; i++)
        c[i].weight = fabs(log_sum - c[i].logit - entropy);
    for (size_t i = n / 2; i-- > 0;)
        sift_down(more_typical, c, i, n);
    size_t first = n;
    while (first > 0 && mass < typical_p) {
        swap(&c[0], &c[--first]);
        sift_down(more_typical, c, 0, first);
        mass += exp(c[first].logit - log_sum);
    }
    return first;
}

/* What the filters leave of n candidates; they move to the front of what is returned. */
static struct candidate *filter(const struct sampler_options *o, struct candidate *c, size_t *n)
{
    struct sampler_options top = *o; /* top-k and top-p at once, unless typical-p comes between them */
    bool typical = o->typical_p < 1;
    if (typical)
        top.top_p = 1;
    if (o->top_n_sigma > 0)
        *n = filter_sigma(c, *n, o->top_n_sigma);
    for (int pass = 0; pass <= typical; pass++) {
        if (pass) {
            size_t first = filter_typical(c, *n, o->typical_p);
            c += first, *n -= first;
            top.top_k = 0, top.top_p = o->top_p;
        }
        if ((top.top_k && top.top_k < *n) || top.top_p < 1) {
            size_t first = filter_sorted(&top, c, *n);
            c += first, *n -= first;
        }
    }
    if (o->min_p > 0)
        *n = filter_logit(c, *n, c[likeliest(c, *n)].logit + log(o->min_p));
    return c;
}

/* Cuts off what surprises more than mu bits, but for the likeliest. Returns the sum of weights left. */
static double cut_surprise(struct sampler *s, struct candidate *c, size_t *n, double sum)
{
    size_t best = likeliest(c, *n), kept = 0;
    double left = 0;
    s->log_sum = log(sum) + c[best].logit / s->options.temperature;
    for (size_t i = 0; i < *n; i++) {
        if (i != best && !(-log2(c[i].weight / sum) <= s->mu))
            continue;
        left += c[i].weight;
        c[kept++] = c[i];
    }
    *n = kept;
    return left;
}

const struct candidate *sampler_distribution(struct sampler *s, const float *logits, size_t *n,
                                             double *sum)
{
    const struct sampler_options *o = &s->options;
    struct candidate *c = s->candidates;
    *n = fill_candidates(s, logits);
    if (*n == 0)
        return NULL;
    if (o->temperature == 0) {
        c += likeliest(c, *n);
        c->weight = *sum = *n = 1;
        return c;
    }
    if (o->mirostat == MIROSTAT_OFF)
        c = filter(o, c, n);
    *sum = weigh(c, *n, c[likeliest(c, *n)].logit, o->temperature);
    if (o->mirostat == MIROSTAT_2)
        *sum = cut_surprise(s, c, n, *sum);
    return c;
}

int32_t sampler_draw(struct sampler *s, const struct candidate *c, size_t n, double sum)
{
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

/* The surprise is the model's own, as in the paper's algorithms; llama.cpp takes that among the tokens left. */
void sampler_observe(struct sampler *s, const struct candidate *c, size_t n, int32_t id)
{
    const struct sampler_options *o = &s->options;
    if (o->mirostat != MIROSTAT_2 || o->temperature == 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (c[i].id == id) {
            double bits = (s->log_sum - c[i].logit / o->temperature) / log(2);
            s->mu -= o->mirostat_eta * (bits - o->mirostat_tau);
            return;
        }
}

int32_t sampler_pick(struct sampler *s, const float *logits)
{
    size_t n;
    double sum;
    const struct candidate *c = sampler_distribution(s, logits, &n, &sum);
    if (!c)
        return -1;
    int32_t id = sampler_draw(s, c, n, sum);
    sampler_observe(s, c, n, id);
    return id;
}
