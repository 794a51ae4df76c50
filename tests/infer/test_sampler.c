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

/* p (n) of every token, by the definitions in the header. */
static void expected(const struct sampler_options *o, const float *logits, size_t n, double *p)
{
    int *order = mem_alloc(n, sizeof *order);
    double *q = mem_alloc(n, sizeof *q);
    for (size_t i = 0; i < n; i++)
        order[i] = (int)i;
    sort_key = logits;
    qsort(order, n, sizeof *order, by_logit);
    size_t kept = o->top_k && o->top_k < n ? o->top_k : n;
    double sum = 0, mass = 0;
    for (size_t i = 0; i < kept; i++)
        sum += q[i] = exp((double)logits[order[i]] - logits[order[0]]);
    size_t nucleus = 0;
    while (nucleus < kept && (nucleus == 0 || mass < o->top_p * sum))
        mass += q[nucleus++];
    if (o->top_p < 1)
        kept = nucleus;
    while (q[kept - 1] < o->min_p * q[0])
        kept--;
    sum = 0;
    for (size_t i = 0; i < kept; i++)
        sum += q[i] = pow(q[i], 1 / o->temperature);
    memset(p, 0, n * sizeof *p);
    for (size_t i = 0; i < kept; i++)
        p[order[i]] = q[i] / sum;
    mem_free(order);
    mem_free(q);
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
    static const size_t ks[] = {0, 1, 2, 7, V - 1, V, 1000};
    static const double mins[] = {0, 0.02, 0.5, 1};
    float logits[V];
    for (uint64_t seed = 0; seed < 5; seed++) {
        random_logits(logits, V, seed);
        for (size_t t = 0; t < 3; t++)
            for (size_t k = 0; k < 7; k++)
                for (size_t p = 0; p < 4; p++)
                    for (size_t m = 0; m < 4; m++) {
                        struct sampler_options o = sampler_defaults();
                        o.temperature = temperatures[t];
                        o.top_k = ks[k];
                        o.top_p = tops[p];
                        o.min_p = mins[m];
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
        cmocka_unit_test(impossible_tokens_are_never_drawn),
        cmocka_unit_test(unusable_logits_are_reported),
        cmocka_unit_test(options_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
