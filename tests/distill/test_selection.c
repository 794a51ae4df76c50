/* What is kept of a distribution, against a sort and softmax in f64. */
#include "distill/selection.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "base/rng.h"
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct kept {
    size_t n;
    int32_t *ids;
    float *log_probs, log_tail;
};

static void kept_free(struct kept *k)
{
    mem_free(k->ids);
    mem_free(k->log_probs);
}

static struct kept keep(const struct selection *s, const float *logits, size_t v, uint64_t position)
{
    size_t most = selection_most(s, v);
    float *copy = mem_alloc(v, sizeof *copy), *scratch = mem_alloc(selection_scratch(s, v), sizeof *scratch);
    struct kept k = {.ids = mem_alloc(most, sizeof *k.ids), .log_probs = mem_alloc(most, sizeof *k.log_probs)};
    memcpy(copy, logits, v * sizeof *copy);
    k.n = selection_row(s, copy, v, position, scratch, k.ids, k.log_probs, &k.log_tail);
    assert_true(k.n <= most);
    mem_free(copy);
    mem_free(scratch);
    return k;
}

/* By the definition. */
struct token {
    int32_t id;
    float logit;
    double p;
};

static int by_probability(const void *a, const void *b)
{
    const struct token *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

static int by_id(const void *a, const void *b)
{
    return ((const struct token *)a)->id - ((const struct token *)b)->id;
}

static struct token *sorted(const float *logits, size_t v, double temperature)
{
    struct token *all = mem_alloc(v, sizeof *all);
    double sum = 0;
    for (size_t i = 0; i < v; i++)
        all[i] = (struct token){(int32_t)i, logits[i], 0};
    qsort(all, v, sizeof *all, by_probability);
    for (size_t i = 0; i < v; i++)
        sum += all[i].p = exp(((double)all[i].logit - all[0].logit) / temperature);
    for (size_t i = 0; i < v; i++)
        all[i].p /= sum;
    return all;
}

static void random_logits(float *logits, size_t v, float spread, bool ties, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 5);
    rng_fill_normal(&r, logits, v, spread);
    for (size_t i = 0; ties && i < v; i++)
        logits[i] = roundf(logits[i]);
}

static void check_row(const struct selection *s, const float *logits, size_t v)
{
    struct token *all = sorted(logits, v, s->temperature);
    size_t n = 0, k = s->k < v ? s->k : v;
    double sum = 0, tail = 0;
    while (n < k && all[n].p > 0 && (s->cumulative == 0 || sum < s->cumulative))
        sum += all[n++].p;
    for (size_t i = n; i < v; i++)
        tail += all[i].p;
    qsort(all, n, sizeof *all, by_id);
    struct kept got = keep(s, logits, v, 0);
    assert_int_equal(got.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got.ids[i], all[i].id);
        assert_true(got.log_probs[i] <= 0);
        assert_true(fabs(got.log_probs[i] - log(all[i].p)) < 2e-5);
    }
    if (tail == 0)
        assert_true(got.log_tail == -INFINITY);
    else
        assert_true(fabs(got.log_tail - log(tail)) < 2e-5);
    kept_free(&got);
    mem_free(all);
}

static void the_likeliest_and_the_rest(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 63, 64, 65, 300, 5003, 40000}, ks[] = {1, 2, 7, 64, 300, 5003};
    static const double temperatures[] = {1, 0.25, 2.5}, cumulatives[] = {0, 0.5, 0.95};
    float *logits = mem_alloc(40000, sizeof *logits);
    uint64_t seed = 1;
    for (int level = CPU_REF; level <= CPU_AVX512; level++) {
        cpu_set_level((enum cpu_level)level);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++)
                for (size_t t = 0; t < 9; t++) {
                    /* not at a sum that rounding decides on: no cumulative where probabilities are few and equal */
                    const struct selection s = {.k = ks[j], .temperature = temperatures[t % 3],
                                                .cumulative = cumulatives[t / 3]};
                    random_logits(logits, sizes[i], t % 2 ? 2 : 6, t / 3 == 0 && t % 2, seed++);
                    check_row(&s, logits, sizes[i]);
                }
    }
    mem_free(logits);
}

static void a_tail_far_below_is_still_measured(void **state)
{
    (void)state;
    enum { V = 1000 };
    float logits[V];
    const struct selection s = {.k = 2, .temperature = 1};
    for (size_t i = 0; i < V; i++)
        logits[i] = i == 17 ? 200 : i == 18 ? 190 : -20;
    struct kept k = keep(&s, logits, V, 0);
    assert_int_equal(k.n, 2);
    assert_true(k.log_probs[0] > -5e-5 && fabs(k.log_probs[1] + 10) < 1e-4);
    assert_true(fabs(k.log_tail - (log(998) - 220)) < 1e-3);
    kept_free(&k);
}

static void equals_go_by_their_ids(void **state)
{
    (void)state;
    enum { V = 700 };
    float logits[V] = {0};
    const struct selection s = {.k = 5, .temperature = 1};
    logits[300] = 1;
    struct kept k = keep(&s, logits, V, 0);
    static const int32_t expected[] = {0, 1, 2, 3, 300};
    assert_int_equal(k.n, 5);
    assert_memory_equal(k.ids, expected, sizeof expected);
    kept_free(&k);
}

static void impossible_tokens_are_not_kept(void **state)
{
    (void)state;
    float logits[300];
    const struct selection s = {.k = 8, .temperature = 1, .samples = 4};
    for (size_t i = 0; i < 300; i++)
        logits[i] = i % 100 == 7 ? (float)i : -INFINITY;
    struct kept k = keep(&s, logits, 300, 0);
    static const int32_t expected[] = {7, 107, 207};
    assert_int_equal(k.n, 3);
    assert_memory_equal(k.ids, expected, sizeof expected);
    assert_true(k.log_tail == -INFINITY);
    kept_free(&k);
}

static void what_is_no_number_is_found(void **state)
{
    (void)state;
    enum { V = 500 };
    static const float wrong[] = {NAN, INFINITY};
    static const size_t places[] = {0, 63, 64, 250, V - 1};
    float logits[V];
    for (int samples = 0; samples < 2; samples++)
        for (size_t w = 0; w < 2; w++)
            for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
                const struct selection s = {.k = 4, .temperature = 1, .samples = samples ? 3 : 0};
                random_logits(logits, V, 3, false, 9);
                logits[places[i]] = wrong[w];
                struct kept k = keep(&s, logits, V, 0);
                assert_int_equal(k.n, 0);
                kept_free(&k);
            }
    for (size_t i = 0; i < V; i++)
        logits[i] = -INFINITY;
    struct kept k = keep(&(struct selection){.k = 4, .temperature = 1}, logits, V, 0);
    assert_int_equal(k.n, 0);
    kept_free(&k);
}

/* The mean of many draws is the distribution: within five standard errors for each token. */
static void draws_are_unbiased(void **state)
{
    (void)state;
    enum { V = 3000, SAMPLES = 16, DRAWS = 40000 };
    const struct selection s = {.k = 4, .temperature = 1.5, .samples = SAMPLES, .seed = 3};
    float *logits = mem_alloc(V, sizeof *logits);
    double *sum = mem_zero(V, sizeof *sum), tail = 0;
    random_logits(logits, V, 2, false, 77);
    for (size_t i = 1024; i < 2048; i++) /* a whole block of next to nothing */
        logits[i] = -300;
    struct token *all = sorted(logits, V, s.temperature);
    for (size_t i = 4; i < V; i++)
        tail += all[i].p;
    for (size_t position = 0; position < DRAWS; position++) {
        struct kept k = keep(&s, logits, V, position);
        double total = 0;
        assert_true(k.n > 4 && k.n <= 4 + SAMPLES && k.log_tail == -INFINITY);
        for (size_t i = 0; i < k.n; i++) {
            assert_true(i == 0 || k.ids[i] > k.ids[i - 1]);
            total += exp(k.log_probs[i]);
            sum[k.ids[i]] += exp(k.log_probs[i]);
        }
        assert_true(fabs(total - 1) < 1e-5);
        kept_free(&k);
    }
    for (size_t i = 0; i < V; i++) {
        double p = all[i].p, share = p / tail, mean = sum[all[i].id] / DRAWS;
        double error = i < 4 ? 1e-6 : 5 * tail * sqrt(share * (1 - share) / SAMPLES / DRAWS) + tail * 5.0 / SAMPLES / DRAWS;
        assert_true(fabs(mean - p) < error);
    }
    mem_free(all);
    mem_free(logits);
    mem_free(sum);
}

static void draws_are_a_function_of_seed_and_position(void **state)
{
    (void)state;
    enum { V = 2500 };
    float logits[V];
    struct selection s = {.k = 2, .temperature = 1, .samples = 20, .seed = 3};
    random_logits(logits, V, 1, false, 1);
    struct kept a = keep(&s, logits, V, 12), b = keep(&s, logits, V, 12), other = keep(&s, logits, V, 13);
    s.seed = 4;
    struct kept another = keep(&s, logits, V, 12);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
    assert_memory_equal(a.log_probs, b.log_probs, a.n * sizeof *a.log_probs);
    assert_true(a.n != other.n || memcmp(a.ids, other.ids, a.n * sizeof *a.ids) != 0);
    assert_true(a.n != another.n || memcmp(a.ids, another.ids, a.n * sizeof *a.ids) != 0);
    kept_free(&a);
    kept_free(&b);
    kept_free(&other);
    kept_free(&another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_likeliest_and_the_rest),
        cmocka_unit_test(a_tail_far_below_is_still_measured),
        cmocka_unit_test(equals_go_by_their_ids),
        cmocka_unit_test(impossible_tokens_are_not_kept),
        cmocka_unit_test(what_is_no_number_is_found),
        cmocka_unit_test(draws_are_unbiased),
        cmocka_unit_test(draws_are_a_function_of_seed_and_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
