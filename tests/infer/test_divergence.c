/* Divergence of two models against its definition, in f64 over logits of whole passes. */
#include "infer/divergence.h"

#include "infer/score.h"
#include "tests/infer/util.h"

enum { V = 61, CONTEXT = 24, N = 57 };

/* By the definition, window after window. */
static struct divergence_sums expected(struct model *a, struct model *b, const int32_t *ids, size_t n)
{
    struct divergence_sums s = {0};
    for (size_t from = 0; from + 1 < n; from += CONTEXT) {
        const size_t inputs = n - 1 - from < CONTEXT ? n - 1 - from : CONTEXT;
        float *p = full_logits(a, ids + from, inputs), *q = full_logits(b, ids + from, inputs);
        for (size_t i = 0; i < inputs; i++) {
            const float *x = p + i * V, *y = q + i * V;
            size_t best_x = 0, best_y = 0;
            for (int32_t v = 0; v < V; v++) {
                const double log_p = -nats(x, V, v), log_q = -nats(y, V, v);
                s.kl += exp(log_p) * (log_p - log_q);
                s.change = fmax(s.change, fabs(exp(log_p) - exp(log_q)));
                best_x = x[v] > x[best_x] ? (size_t)v : best_x;
                best_y = y[v] > y[best_y] ? (size_t)v : best_y;
            }
            s.nats[0] += nats(x, V, ids[from + i + 1]);
            s.nats[1] += nats(y, V, ids[from + i + 1]);
            s.same_top += best_x == best_y;
            s.n++;
        }
        mem_free(p), mem_free(q);
    }
    return s;
}

static void sums_are_those_of_the_definition(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model a = make_model(&c, 51), b = make_model(&c, 51);
    struct error e;
    struct divergence d;
    int32_t ids[N];
    random_ids(ids, N, V, 5);
    for (size_t i = 0; i < b.layers[1].ffn.down.weight->count; i++)
        b.layers[1].ffn.down.weight->value[i] *= 1.3f;
    struct divergence_sums want = expected(&a, &b, ids, N);
    assert_ok(divergence_init(&d, &a, &b, CONTEXT, &e), e);
    assert_ok(divergence_add(&d, ids, N, &e), e);
    assert_int_equal(d.sums.n, N - 1);
    assert_int_equal(d.sums.n, want.n);
    assert_int_equal(d.sums.same_top, want.same_top);
    assert_true(want.same_top < N - 1 && want.kl > 0.1); /* there is something to see */
    assert_true(fabs(d.sums.kl - want.kl) < 1e-4 * want.kl);
    assert_true(want.change > 0.01 && fabs(d.sums.change - want.change) < 1e-4 * want.change);
    for (int i = 0; i < 2; i++)
        assert_true(fabs(d.sums.nats[i] - want.nats[i]) < 1e-5 * want.nats[i]);
    assert_ok(divergence_add(&d, ids, 1, &e), e); /* nothing to predict */
    assert_int_equal(d.sums.n, N - 1);
    divergence_free(&d);

    struct scorer s; /* the perplexity that linnet eval ppl prints */
    assert_ok(scorer_init(&s, &b, &(struct scorer_options){.context = CONTEXT, .n_rows = 2}, &e), e);
    scorer_add(&s, ids, N);
    struct score score = scorer_finish(&s);
    assert_int_equal(score.n_targets, want.n);
    assert_true(fabs(score.nats - want.nats[1]) < 1e-5 * score.nats);
    scorer_free(&s);
    model_free(&a), model_free(&b);
}

static void a_model_does_not_diverge_from_itself(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model a = make_model(&c, 52), b = make_model(&c, 52);
    struct error e;
    struct divergence d;
    int32_t ids[N];
    random_ids(ids, N, V, 6);
    assert_ok(divergence_init(&d, &a, &b, CONTEXT, &e), e);
    assert_ok(divergence_add(&d, ids, N, &e), e);
    assert_true(fabs(d.sums.kl) < 1e-12 && d.sums.change == 0 && d.sums.same_top == N - 1 && d.sums.nats[0] == d.sums.nats[1]);
    divergence_free(&d);
    b.layers[0].ffn.down.weight->value[0] = NAN;
    assert_ok(divergence_init(&d, &a, &b, CONTEXT, &e), e);
    assert_int_equal(divergence_add(&d, ids, N, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the output of the second model is not a number");
    divergence_free(&d);
    model_free(&b);
    c.vocab_size = V + 1;
    b = make_model(&c, 52);
    assert_int_equal(divergence_init(&d, &a, &b, CONTEXT, &e), ERR_USAGE);
    divergence_free(&d);
    model_free(&a), model_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_definition),
        cmocka_unit_test(a_model_does_not_diverge_from_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
