/* The sampler against distributions computed here by another road: sort everything, filter, divide. */
#include "infer/sampler.h"

#include "base/memory.h"
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { V = 50 };

static struct sampler make(struct sampler_options o, size_t vocab)
{
    struct sampler s;
    struct error e;
    assert_ok(sampler_init(&s, &o, vocab, &e), e);
    return s;
}

static void random_logits(float *logits, size_t n, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 9);
    rng_fill_normal(&r, logits, n, 2.0f);
}

static const float *sort_key;
static int by_logit(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    if (sort_key[i] != sort_key[j])
        return sort_key[i] < sort_key[j] ? 1 : -1;
    return i - j;
}

static const double *distance_key;
static int by_distance(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    if (distance_key[i] != distance_key[j])
        return distance_key[i] < distance_key[j] ? -1 : 1;
    return by_logit(a, b);
}

/* Probabilities at temperature 1 of the tokens that are kept. */
static void normalise(const float *logits, const bool *keep, size_t n, double *q)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += q[i] = keep[i] ? exp(logits[i]) : 0;
    for (size_t i = 0; i < n; i++)
        q[i] /= sum;
}

/* Keeps the first tokens of an order that together have the mass. */
static void keep_mass(const int *order, size_t n, const double *q, double mass, bool *keep)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!keep[order[i]])
            continue;
        keep[order[i]] = sum < mass;
        sum += q[order[i]];
    }
}

static void keep_typical(const float *logits, size_t n, double mass, bool *keep)
{
    double *q = mem_alloc(n, sizeof *q), *distance = mem_zero(n, sizeof *distance), entropy = 0;
    int *order = mem_alloc(n, sizeof *order);
    normalise(logits, keep, n, q);
    for (size_t i = 0; i < n; i++)
        entropy -= keep[i] ? q[i] * log(q[i]) : 0;
    for (size_t i = 0; i < n; i++) {
        order[i] = (int)i;
        distance[i] = keep[i] ? fabs(-log(q[i]) - entropy) : 0;
    }
    distance_key = distance, sort_key = logits;
    qsort(order, n, sizeof *order, by_distance);
    keep_mass(order, n, q, mass, keep);
    mem_free(q), mem_free(distance), mem_free(order);
}

static double largest(const float *logits, const bool *keep, size_t n)
{
    double max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = keep[i] && logits[i] > max ? logits[i] : max;
    return max;
}

static void keep_sigma(const float *logits, size_t n, double sigmas, bool *keep)
{
    double m = 0, squares = 0, count = 0;
    for (size_t i = 0; i < n; i++)
        if (keep[i])
            m += logits[i], squares += (double)logits[i] * logits[i], count++;
    double deviation = sqrt(squares / count - m / count * (m / count)), max = largest(logits, keep, n);
    for (size_t i = 0; i < n; i++)
        keep[i] = keep[i] && logits[i] >= max - sigmas * deviation;
}

/* p (n) of every token, by the definitions in the header. */
static void expected(const struct sampler_options *o, const float *logits, size_t n, double *p)
{
    int *order = mem_alloc(n, sizeof *order);
    bool *keep = mem_alloc(n, sizeof *keep);
    double *q = mem_alloc(n, sizeof *q);
    for (size_t i = 0; i < n; i++) {
        order[i] = (int)i;
        keep[i] = logits[i] > -INFINITY;
    }
    sort_key = logits;
    qsort(order, n, sizeof *order, by_logit);
    if (o->top_n_sigma > 0)
        keep_sigma(logits, n, o->top_n_sigma, keep);
    for (size_t i = o->top_k ? o->top_k : n; i < n; i++)
        keep[order[i]] = false;
    if (o->typical_p < 1)
        keep_typical(logits, n, o->typical_p, keep);
    normalise(logits, keep, n, q);
    if (o->top_p < 1)
        keep_mass(order, n, q, o->top_p, keep);
    double max = largest(logits, keep, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        keep[i] = keep[i] && logits[i] >= max + log(o->min_p);
    for (size_t i = 0; i < n; i++)
        sum += p[i] = keep[i] ? exp((logits[i] - max) / o->temperature) : 0;
    for (size_t i = 0; i < n; i++)
        p[i] /= sum;
    mem_free(order), mem_free(keep), mem_free(q);
}

static void check_distribution(const struct sampler_options *o, const float *logits, size_t vocab)
{
    struct sampler s = make(*o, vocab);
    double *want = mem_alloc(vocab, sizeof *want), *got = mem_zero(vocab, sizeof *got), sum;
    size_t n;
    expected(o, logits, vocab, want);
    const struct candidate *c = sampler_distribution(&s, logits, &n, &sum);
    assert_non_null(c);
    for (size_t i = 0; i < n; i++)
        got[c[i].id] += c[i].weight / sum;
    for (size_t i = 0; i < vocab; i++)
        if (!(fabs(got[i] - want[i]) < 1e-12))
            fail_msg("T %g k %zu p %g min %g: token %zu has %.15g, expected %.15g", o->temperature,
                     o->top_k, o->top_p, o->min_p, i, got[i], want[i]);
    mem_free(want);
    mem_free(got);
    sampler_free(&s);
}

static void filters_match_their_definitions(void **state)
{
    (void)state;
    static const double temperatures[] = {0.3, 1, 2.5}, tops[] = {1, 0.9, 0.35, 1e-9};
    static const double typicals[] = {1, 0.8, 0.3}, sigmas[] = {0, 0.7, 1.5};
    static const size_t ks[] = {0, 1, 2, 7, V - 1, V, 1000};
    static const double mins[] = {0, 0.02, 0.5, 1};
    float logits[V];
    for (uint64_t seed = 0; seed < 5; seed++) {
        random_logits(logits, V, seed);
        for (size_t t = 0; t < 3; t++)
            for (size_t k = 0; k < 7; k++)
                for (size_t p = 0; p < 4; p++)
                    for (size_t m = 0; m < 36; m++) {
                        struct sampler_options o = sampler_defaults();
                        o.typical_p = typicals[m / 4 % 3];
                        o.top_n_sigma = sigmas[m / 12];
                        o.temperature = temperatures[t];
                        o.top_k = ks[k];
                        o.top_p = tops[p];
                        o.min_p = mins[m % 4];
                        check_distribution(&o, logits, V);
                    }
    }
}

static void equal_logits_are_ordered_by_id(void **state)
{
    (void)state;
    float logits[V];
    for (int i = 0; i < V; i++)
        logits[i] = (float)(i % 3);
    struct sampler_options o = sampler_defaults();
    for (o.top_k = 0; o.top_k <= V; o.top_k++)
        check_distribution(&o, logits, V);
    o.temperature = 0;
    struct sampler s = make(o, V);
    assert_int_equal(sampler_pick(&s, logits), 2);
    sampler_free(&s);
}

static void a_vocabulary_of_one(void **state)
{
    (void)state;
    struct sampler_options o = sampler_defaults();
    float logit = -3;
    o.top_k = 5, o.top_p = 0.5, o.min_p = 0.5;
    struct sampler s = make(o, 1);
    assert_int_equal(sampler_pick(&s, &logit), 0);
    sampler_free(&s);
}

/* Pearson's chi-squared over 200 000 draws; its mean is the degrees of freedom d, its standard
 * deviation sqrt(2 d), and the seed is fixed. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    float logits[V];
    random_logits(logits, V, 77);
    struct sampler_options o = sampler_defaults();
    o.temperature = 1.3, o.top_k = 30, o.top_p = 0.97, o.seed = 4;
    struct sampler s = make(o, V);
    double p[V], chi = 0;
    size_t count[V] = {0}, degrees = 0;
    expected(&o, logits, V, p);
    for (int i = 0; i < DRAWS; i++)
        count[sampler_pick(&s, logits)]++;
    for (int i = 0; i < V; i++) {
        if (p[i] == 0) {
            assert_int_equal(count[i], 0);
            continue;
        }
        double d = (double)count[i] - DRAWS * p[i];
        chi += d * d / (DRAWS * p[i]);
        degrees++;
    }
    double d = (double)degrees - 1;
    assert_true(degrees > 10);
    assert_true(fabs(chi - d) < 4 * sqrt(2 * d));
    sampler_free(&s);
}

static void the_seed_decides(void **state)
{
    (void)state;
    float logits[V];
    random_logits(logits, V, 3);
    struct sampler_options o = sampler_defaults();
    o.seed = 11;
    struct sampler a = make(o, V), b = make(o, V);
    o.seed = 12;
    struct sampler c = make(o, V);
    int first[100], differ = 0;
    for (int i = 0; i < 100; i++) {
        first[i] = sampler_pick(&a, logits);
        assert_int_equal(sampler_pick(&b, logits), first[i]);
        differ += sampler_pick(&c, logits) != first[i];
    }
    assert_true(differ > 30);
    sampler_reset(&c, 11);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sampler_pick(&c, logits), first[i]);
    sampler_free(&a), sampler_free(&b), sampler_free(&c);
}

static float penalised(struct sampler *s, const float *logits, int id)
{
    size_t n;
    double sum;
    const struct candidate *c = sampler_distribution(s, logits, &n, &sum);
    for (size_t i = 0; i < n; i++)
        if (c[i].id == id)
            return c[i].logit;
    fail_msg("token %d is not among the candidates", id);
    return 0;
}

static void the_penalty_covers_its_window(void **state)
{
    (void)state;
    const float logits[6] = {4, -4, 2, -2, 1, 0};
    struct sampler_options o = sampler_defaults();
    o.repetition_penalty = 2, o.repetition_window = 3;
    struct sampler s = make(o, 6);
    sampler_accept(&s, 0), sampler_accept(&s, 0), sampler_accept(&s, 1);
    assert_true(penalised(&s, logits, 0) == 2); /* once, however often it was said */
    assert_true(penalised(&s, logits, 1) == -8);
    assert_true(penalised(&s, logits, 2) == 2);
    sampler_accept(&s, 3), sampler_accept(&s, 1);
    assert_true(penalised(&s, logits, 0) == 4); /* out of the window */
    assert_true(penalised(&s, logits, 3) == -4);
    sampler_accept(&s, 99); /* beyond this vocabulary: no effect */
    sampler_reset(&s, 0);
    assert_true(penalised(&s, logits, 1) == -4);
    sampler_free(&s);

    o.temperature = 0, o.repetition_penalty = 5;
    s = make(o, 6);
    sampler_accept(&s, 0);
    assert_int_equal(sampler_pick(&s, logits), 2); /* the penalty counts for greedy choice too */
    sampler_free(&s);
}

/* OpenAI's definition: logit - count * frequency - (count > 0) * presence; behind the repetition penalty. */
static void frequency_and_presence(void **state)
{
    (void)state;
    const float logits[4] = {4, -4, 2, 0};
    struct sampler_options o = sampler_defaults();
    o.frequency_penalty = 0.5, o.presence_penalty = 0.25, o.repetition_penalty = 2, o.repetition_window = 4;
    struct sampler s = make(o, 4);
    static const int said[] = {0, 0, 0, 1};
    for (size_t i = 0; i < 4; i++)
        sampler_accept(&s, said[i]);
    assert_true(penalised(&s, logits, 0) == 4 / 2 - 3 * 0.5f - 0.25f);
    assert_true(penalised(&s, logits, 1) == -4 * 2 - 0.5f - 0.25f);
    assert_true(penalised(&s, logits, 2) == 2);
    sampler_accept(&s, 2), sampler_accept(&s, 2);
    assert_true(penalised(&s, logits, 0) == 4 / 2 - 1 * 0.5f - 0.25f);
    sampler_accept(&s, 2);
    assert_true(penalised(&s, logits, 0) == 4);
    assert_true(penalised(&s, logits, 2) == 2 / 2 - 3 * 0.5f - 0.25f);
    sampler_free(&s);
}

static void biases_come_before_penalties(void **state)
{
    (void)state;
    const float logits[4] = {-1, 1, 5, 0};
    const struct logit_bias biases[] = {{0, 3}, {2, -INFINITY}, {0, 1}};
    struct sampler_options o = sampler_defaults();
    o.biases = biases, o.n_biases = 3, o.repetition_penalty = 2;
    struct sampler s = make(o, 4);
    sampler_accept(&s, 0), sampler_accept(&s, 2);
    assert_true(penalised(&s, logits, 0) == (-1 + 3 + 1) / 2.0f);
    for (int i = 0; i < 200; i++)
        assert_int_not_equal(sampler_pick(&s, logits), 2);
    sampler_free(&s);
    o.temperature = 0;
    s = make(o, 4);
    assert_int_equal(sampler_pick(&s, logits), 0);
    sampler_free(&s);
}

static void the_mask_comes_before_the_filters(void **state)
{
    (void)state;
    float logits[V], masked[V];
    uint32_t allowed[(V + 31) / 32];
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_logits(logits, V, seed);
        allowed[0] = 0x12345678u * (uint32_t)(seed + 1), allowed[1] = 0x0A0A0A0Bu;
        for (size_t i = 0; i < V; i++)
            masked[i] = allowed[i / 32] >> i % 32 & 1 ? logits[i] : -INFINITY;
        struct sampler_options o = sampler_defaults();
        o.top_k = 12, o.typical_p = 0.9, o.top_p = 0.9, o.top_n_sigma = 2, o.temperature = 1.5;
        double want[V], got[V] = {0}, sum;
        expected(&o, masked, V, want);
        struct sampler s = make(o, V);
        s.allowed = allowed;
        size_t n;
        const struct candidate *c = sampler_distribution(&s, logits, &n, &sum);
        for (size_t i = 0; i < n; i++)
            got[c[i].id] = c[i].weight / sum;
        for (size_t i = 0; i < V; i++)
            assert_true(fabs(got[i] - want[i]) < 1e-12);
        memset(allowed, 0, sizeof allowed);
        assert_int_equal(sampler_pick(&s, logits), -1);
        sampler_free(&s);
    }
}

/* Mirostat 2 step by step: what may be drawn, and how mu follows the surprise of what was. */
static void mirostat_by_its_definition(void **state)
{
    (void)state;
    struct sampler_options o = sampler_defaults();
    o.mirostat = MIROSTAT_2, o.mirostat_tau = 2.6, o.mirostat_eta = 0.3, o.temperature = 1.2, o.seed = 5;
    struct sampler s = make(o, V);
    double mu = 2 * o.mirostat_tau, mean = 0;
    for (uint64_t step = 0; step < 2000; step++) {
        float logits[V];
        double p[V], q = 0, sum, kept = 0;
        random_logits(logits, V, step);
        struct sampler_options plain = sampler_defaults();
        plain.temperature = o.temperature;
        expected(&plain, logits, V, p);
        size_t n, most = 0;
        for (size_t i = 0; i < V; i++)
            most = p[i] > p[most] ? i : most;
        for (size_t i = 0; i < V; i++)
            kept += i == most || -log2(p[i]) <= mu ? p[i] : 0;
        const struct candidate *c = sampler_distribution(&s, logits, &n, &sum);
        for (size_t i = 0; i < n; i++) {
            size_t id = (size_t)c[i].id;
            assert_true(id == most || -log2(p[id]) <= mu);
            assert_true(fabs(c[i].weight / sum - p[id] / kept) < 1e-12);
            q += c[i].weight / sum;
        }
        assert_true(fabs(q - 1) < 1e-12);
        size_t id = (size_t)sampler_pick(&s, logits);
        mu -= o.mirostat_eta * (-log2(p[id]) - o.mirostat_tau);
        assert_true(fabs(s.mu - mu) < 1e-9);
        mean += -log2(p[id]) / 2000;
    }
    if (!(fabs(mean - o.mirostat_tau) < 0.05)) /* what it is for */
        fail_msg("%g bits a token, mu %g", mean, mu);
    sampler_reset(&s, 5);
    assert_true(s.mu == 2 * o.mirostat_tau);
    sampler_free(&s);
}

static void impossible_tokens_are_never_drawn(void **state)
{
    (void)state;
    const float logits[4] = {-INFINITY, 1, -INFINITY, 0};
    struct sampler_options o = sampler_defaults();
    for (o.top_k = 0; o.top_k < 4; o.top_k++) {
        struct sampler s = make(o, 4);
        for (int i = 0; i < 200; i++)
            assert_true(sampler_pick(&s, logits) % 2 == 1);
        sampler_free(&s);
    }
}

static void unusable_logits_are_reported(void **state)
{
    (void)state;
    const float rows[][3] = {{1, NAN, 2}, {-INFINITY, -INFINITY, -INFINITY}, {0, INFINITY, 0}};
    for (size_t i = 0; i < 3; i++) {
        struct sampler_options o = sampler_defaults();
        for (o.temperature = 0; o.temperature < 2; o.temperature++) {
            struct sampler s = make(o, 3);
            assert_int_equal(sampler_pick(&s, rows[i]), -1);
            sampler_free(&s);
        }
    }
}

static void options_out_of_range(void **state)
{
    (void)state;
    struct sampler s;
    struct error e;
    struct sampler_options o = sampler_defaults();
    o.temperature = -1;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "temperature"));
    o = sampler_defaults(), o.top_p = 0;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "top-p"));
    o = sampler_defaults(), o.min_p = 1.5;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "min-p"));
    o = sampler_defaults(), o.repetition_penalty = NAN;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "penalty"));
    o = sampler_defaults(), o.typical_p = 0;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "typical-p"));
    o = sampler_defaults(), o.mirostat = 1;
    assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "mirostat is 1"));
    const struct logit_bias wrong[] = {{4, 1}, {-1, 1}, {0, NAN}, {0, INFINITY}};
    for (size_t i = 0; i < 4; i++) {
        o = sampler_defaults(), o.biases = &wrong[i], o.n_biases = 1;
        assert_int_equal(sampler_init(&s, &o, 4, &e), ERR_USAGE);
        assert_non_null(strstr(e.message, "logit bias"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_match_their_definitions),
        cmocka_unit_test(equal_logits_are_ordered_by_id),
        cmocka_unit_test(a_vocabulary_of_one),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(the_penalty_covers_its_window),
        cmocka_unit_test(frequency_and_presence),
        cmocka_unit_test(biases_come_before_penalties),
        cmocka_unit_test(the_mask_comes_before_the_filters),
        cmocka_unit_test(mirostat_by_its_definition),
        cmocka_unit_test(impossible_tokens_are_never_drawn),
        cmocka_unit_test(unusable_logits_are_reported),
        cmocka_unit_test(options_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
