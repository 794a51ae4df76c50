/* Packed windows against one pass a window, and distributions against f64. */
#include "infer/score.h"

#include "infer/generate.h"
#include "tests/infer/util.h"

enum { V = 61, TEXTS = 9 };

/* By the definition: each window on its own, each token in the first window that reaches it. */
static struct score expected(struct model *m, const int32_t *ids, size_t n, size_t context,
                             size_t stride)
{
    struct score s = {0};
    size_t counted = 0; /* targets */
    for (size_t from = 0; n > 1 && counted < n - 1; from += stride) {
        size_t inputs = n - 1 - from < context ? n - 1 - from : context;
        float *logits = full_logits(m, ids + from, inputs);
        for (size_t i = 0; i < inputs; i++) {
            if (from + i < counted)
                continue;
            s.nats += nats(logits + i * V, V, ids[from + i + 1]);
            s.n_targets++;
        }
        counted = from + inputs;
        mem_free(logits);
    }
    return s;
}

static void windows_share_rows_without_seeing_each_other(void **state)
{
    (void)state;
    static const size_t lengths[TEXTS] = {5, 1, 40, 0, 17, 16, 2, 33, 9};
    static const struct scorer_options options[] = {
        {16, 0, 1}, {16, 16, 4}, {16, 5, 3}, {16, 1, 2}, {64, 0, 2}, {1, 1, 8}, {32, 31, 2}};
    struct model_config c = small_config(V, ROPE_INTERLEAVED);
    struct model m = make_model(&c, 21);
    for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
        struct scorer s;
        struct error e;
        assert_ok(scorer_init(&s, &m, &options[k], &e), e);
        for (int round = 0; round < 2; round++) { /* a scorer can be used again */
            struct score want = {0};
            for (size_t t = 0; t < TEXTS; t++) {
                int32_t ids[64];
                random_ids(ids, lengths[t], V, t + 100);
                struct score one =
                    expected(&m, ids, lengths[t], options[k].context, s.options.stride);
                assert_int_equal(one.n_targets, lengths[t] ? lengths[t] - 1 : 0);
                want.nats += one.nats;
                want.n_targets += one.n_targets;
                scorer_add(&s, ids, lengths[t]);
            }
            struct score got = scorer_finish(&s);
            assert_int_equal(got.n_targets, want.n_targets);
            assert_true(fabs(got.nats - want.nats) < 1e-5 * want.nats);
        }
        scorer_free(&s);
    }
    model_free(&m);
}

static void a_stride_beyond_the_window_is_refused(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model m = make_model(&c, 21);
    struct scorer s;
    struct error e;
    struct scorer_options o = {.context = 8, .stride = 9, .n_rows = 1};
    assert_int_equal(scorer_init(&s, &m, &o, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "the stride (9) is longer than the context (8)"));
    model_free(&m);
}

static void the_units(void **state)
{
    (void)state;
    struct score s = {.nats = 20 * log(7), .n_targets = 20};
    assert_true(fabs(score_perplexity(&s) - 7) < 1e-12);
    assert_true(fabs(score_bits_per_byte(&s, 40) - log2(7) / 2) < 1e-12);
}

static void distributions_match_f64(void **state)
{
    (void)state;
    enum { N = 150 }; /* more than one chunk, and more positions than the model was made for */
    int32_t ids[N];
    struct error e;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model m = make_model(&c, 8);
    random_ids(ids, N, V, 1);
    float *logits = full_logits(&m, ids, N);
    static const size_t tops[] = {1, 10, V};
    for (size_t k = 0; k < 3; k++) {
        size_t top = tops[k];
        struct token_probability *p = mem_alloc(N * top, sizeof *p);
        assert_ok(score_distributions(&m, ids, N, top, p, &e), e);
        for (size_t i = 0; i < N; i++) {
            bool seen[V] = {false};
            double sum = 0;
            for (size_t j = 0; j < top; j++) {
                const struct token_probability *one = &p[i * top + j];
                assert_false(seen[one->id]);
                seen[one->id] = true;
                assert_true(fabs(one->p - exp(-nats(logits + i * V, V, one->id))) < 1e-5);
                assert_true(j == 0 || one->p <= one[-1].p);
                sum += one->p;
            }
            double least = p[i * top + top - 1].p;
            for (int id = 0; id < V; id++) /* none that is left out is likelier */
                assert_true(seen[id] || exp(-nats(logits + i * V, V, id)) <= least + 1e-5);
            assert_true(top < V || fabs(sum - 1) < 1e-12);
        }
        mem_free(p);
    }
    m.output_norm.weight->value[0] = NAN;
    struct token_probability one[N];
    assert_int_equal(score_distributions(&m, ids, N, 1, one, &e), ERR_FORMAT);
    mem_free(logits);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_share_rows_without_seeing_each_other),
        cmocka_unit_test(a_stride_beyond_the_window_is_refused),
        cmocka_unit_test(the_units),
        cmocka_unit_test(distributions_match_f64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
