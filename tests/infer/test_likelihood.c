/* The likelihood of continuations with a shared cache against one pass over each sequence. */
#include "infer/likelihood.h"

#include "tests/infer/util.h"

enum { V = 61, MOST = 400 };

/* ln p of the last n_counted tokens from the logits of the whole sequence, after losing what does
 * not fit. */
static double expected(struct model *m, const int32_t *ids, size_t n, size_t n_counted,
                       size_t capacity)
{
    if (n - 1 > capacity) {
        ids += n - 1 - capacity;
        n = capacity + 1;
    }
    float *logits = full_logits(m, ids, n - 1);
    double sum = 0;
    for (size_t i = n - n_counted; i < n; i++)
        sum -= nats(logits + (i - 1) * V, V, ids[i]);
    mem_free(logits);
    return sum;
}

static void check(struct likelihood *l, const int32_t *ids, size_t n, size_t n_counted)
{
    double sum, want = expected(l->model, ids, n, n_counted, l->capacity);
    struct error e;
    assert_ok(likelihood_of(l, ids, n, n_counted, &sum, &e), e);
    if (!(fabs(sum - want) < 1e-5 * fabs(want)))
        fail_msg("%zu tokens, %zu counted: %.9g, not %.9g", n, n_counted, sum, want);
}

static void sequences_share_what_they_begin_with(void **state)
{
    (void)state;
    static const size_t capacities[] = {300, 129, 40, 1};
    struct model_config c = small_config(V, ROPE_HALF);
    struct model m = make_model(&c, 31);
    for (size_t k = 0; k < 4; k++) {
        struct likelihood l;
        struct rng r;
        int32_t ids[MOST];
        rng_init(&r, 5, k);
        random_ids(ids, MOST, V, 6);
        likelihood_init(&l, &m, capacities[k]);
        for (int i = 0; i < 40; i++) { /* each differs from the one before from some place on */
            size_t n = 2 + rng_below(&r, 330), from = rng_below(&r, n);
            random_ids(ids + from, n - from, V, 100 + (uint64_t)i);
            size_t most = n - 1 < l.capacity ? n - 1 : l.capacity;
            check(&l, ids, n, 1 + rng_below(&r, most));
            assert_true(l.cache.length <= l.room && l.room <= l.capacity);
        }
        likelihood_free(&l);
    }
    model_free(&m);
}

/* A window lets go of keys that an earlier place needs: the sequence is then computed again. */
static void windows_far_beyond_their_length(void **state)
{
    (void)state;
    enum { LONG = 900 };
    struct model_config c = small_config(V, ROPE_HALF);
    while (strcmp(architecture_names[c.architecture], "mistral") != 0)
        c.architecture++;
    c.sliding_window = 8;
    struct model m = make_model(&c, 31);
    struct likelihood l;
    int32_t ids[LONG];
    random_ids(ids, LONG, V, 6);
    likelihood_init(&l, &m, LONG);
    check(&l, ids, LONG, 5);
    assert_true(l.cache.window_base > 0);
    for (size_t from = 850; from > 100; from -= 140) {
        random_ids(ids + from, LONG - from, V, from);
        check(&l, ids, LONG, 20);
    }
    likelihood_free(&l);
    model_free(&m);
}

static void a_question_is_computed_once(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_INTERLEAVED);
    struct model m = make_model(&c, 32);
    struct likelihood l;
    int32_t ids[60];
    random_ids(ids, 60, V, 7);
    likelihood_init(&l, &m, 64);
    check(&l, ids, 55, 5);
    assert_int_equal(l.n_fed, 54);
    random_ids(ids + 50, 10, V, 8); /* another answer to the same 50 tokens */
    check(&l, ids, 60, 10);
    assert_int_equal(l.n_fed, 54 + 10); /* the question's last token predicts: it comes again */
    check(&l, ids, 60, 10);
    assert_int_equal(l.n_fed, 54 + 20);
    likelihood_free(&l);
    model_free(&m);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model m = make_model(&c, 33);
    struct likelihood l;
    struct error e;
    double sum;
    int32_t ids[12] = {1, 2, 3};
    likelihood_init(&l, &m, 8);
    assert_int_equal(likelihood_of(&l, ids, 12, 9, &sum, &e), ERR_USAGE);
    assert_string_equal(e.message, "9 tokens to predict are more than the context of 8");
    check(&l, ids, 12, 8);
    ids[1] = V;
    assert_int_equal(likelihood_of(&l, ids, 3, 1, &sum, &e), ERR_USAGE);
    ids[1] = -1;
    assert_int_equal(likelihood_of(&l, ids, 3, 1, &sum, &e), ERR_USAGE);
    assert_string_equal(e.message, "token -1 is none of the model's 61");
    ids[1] = 2;
    float kept = m.output_norm.weight->value[0];
    m.output_norm.weight->value[0] = NAN;
    assert_int_equal(likelihood_of(&l, ids, 3, 1, &sum, &e), ERR_FORMAT);
    m.output_norm.weight->value[0] = kept;
    check(&l, ids, 3, 1);
    likelihood_free(&l);
    model_free(&m);
}

/* A model made for a million tokens is no reason to reserve a million keys and values. */
static void memory_follows_the_sequences(void **state)
{
    (void)state;
    struct model_config c = small_config(V, ROPE_HALF);
    struct model m = make_model(&c, 34);
    struct likelihood l;
    int32_t ids[1400];
    random_ids(ids, 1400, V, 9);
    likelihood_init(&l, &m, (size_t)1 << 40);
    check(&l, ids, 30, 5);
    size_t first = l.room;
    check(&l, ids, 600, 7);
    assert_true(first < 600 && l.room >= 599 && l.room < 4000);
    check(&l, ids, 1400, 9);
    check(&l, ids, 20, 3);
    likelihood_free(&l);
    likelihood_init(&l, &m, 700);
    check(&l, ids, 600, 7);
    check(&l, ids, 1400, 7);
    assert_int_equal(l.room, 700);
    likelihood_free(&l);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_share_what_they_begin_with),
        cmocka_unit_test(windows_far_beyond_their_length),
        cmocka_unit_test(a_question_is_computed_once),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(memory_follows_the_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
