/* What rounding costs against its definition: logits of whole passes of a model whose weights were replaced. */
#include "infer/sensitivity.h"

#include "kernels/quantize.h"
#include "tests/infer/util.h"

enum { V = 61, CONTEXT = 20, CHUNKS = 3 };

static struct model_config config(bool tied)
{
    struct model_config c = small_config(V, ROPE_HALF);
    c.hidden_size = 64;
    c.intermediate_size = 96;
    c.tie_word_embeddings = tied;
    return c;
}

static void round_values(struct param *p, enum dtype type, const float *importance)
{
    size_t bytes;
    assert_true(dtype_bytes(type, p->count, &bytes));
    void *blocks = mem_alloc(bytes, 1);
    quantize_rows(type, p->value, blocks, p->rows, p->cols, importance);
    assert_true(dtype_to_f32(type, blocks, p->value, p->count));
    mem_free(blocks);
}

/* kl and nats by the definition, of two models. */
static struct sensitivity_case expected(struct model *a, struct model *b, const int32_t *ids, size_t n_chunks)
{
    struct sensitivity_case sums = {0};
    for (size_t at = 0; at < n_chunks * (CONTEXT + 1); at += CONTEXT + 1) {
        float *p = full_logits(a, ids + at, CONTEXT), *q = full_logits(b, ids + at, CONTEXT);
        for (size_t i = 0; i < CONTEXT; i++) {
            const float *x = p + i * V, *y = q + i * V;
            for (int32_t v = 0; v < V; v++)
                sums.kl += exp(-nats(x, V, v)) * (nats(y, V, v) - nats(x, V, v));
            sums.nats += nats(y, V, ids[at + i + 1]) - nats(x, V, ids[at + i + 1]);
        }
        mem_free(p), mem_free(q);
    }
    return sums;
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-3 * fabs(want) + 1e-5))
        fail_msg("%.9g instead of %.9g", got, want);
}

/* Every matrix of a model alone; and a pass that begins in the middle leaves the same bits as one from the start. */
static void each_matrix_by_the_definition(void **state)
{
    struct model_config c = config(*state != NULL);
    struct model m = make_model(&c, 61);
    struct sensitivity s;
    struct error e;
    int32_t ids[CHUNKS * (CONTEXT + 1)];
    float importance[96];
    size_t first_seen[4] = {0};
    for (size_t i = 0; i < 96; i++)
        importance[i] = (float)(1 + i % 7);
    random_ids(ids, sizeof ids / sizeof *ids, V, 3);
    for (size_t i = 0; i < m.n_params; i++) {
        if (!m.params[i].matrix)
            continue;
        const struct rounded_matrix x = {&m.params[i], DTYPE_Q4_0, i % 2 ? importance : NULL, "some"};
        struct sensitivity_case one = {.matrices = &x, .n_matrices = 1};
        struct model changed = make_model(&c, 61);
        round_values(&changed.params[i], DTYPE_Q4_0, x.importance);
        const struct sensitivity_case want = expected(&m, &changed, ids, CHUNKS);
        assert_ok(sensitivity_init(&s, &m, &(struct sensitivity_options){CONTEXT, 2}, &one, 1, &e), e);
        first_seen[sensitivity_first_block(&m, &one)]++;
        assert_ok(sensitivity_set_text(&s, ids, 2, &e), e);
        assert_ok(sensitivity_measure(&s, &one, &e), e);
        assert_ok(sensitivity_set_text(&s, ids + 2 * (CONTEXT + 1), 1, &e), e); /* fewer rows than there is room for */
        assert_ok(sensitivity_measure(&s, &one, &e), e);
        assert_int_equal(s.n_tokens, CHUNKS * CONTEXT);
        assert_true(want.kl > 1e-3);
        assert_near(one.kl, want.kl);
        assert_near(one.nats, want.nats);
        assert_null(m.params[i].view);
        sensitivity_free(&s);
        model_free(&changed);
    }
    assert_int_equal(first_seen[0], 8); /* a block's seven and the embedding */
    assert_int_equal(first_seen[1], 7);
    assert_int_equal(first_seen[2], 7);
    assert_int_equal(first_seen[3], *state ? 0 : 1); /* the output layer: tied, it is the embedding */
    model_free(&m);
}

static void several_together_and_what_changes_nothing(void **state)
{
    (void)state;
    struct model_config c = config(false);
    struct model m = make_model(&c, 62), changed = make_model(&c, 62);
    struct sensitivity s;
    struct error e;
    int32_t ids[CONTEXT + 1];
    random_ids(ids, CONTEXT + 1, V, 4);
    struct rounded_matrix x[2] = {{m.layers[1].q.weight, DTYPE_Q8_0, NULL, "q"}, {m.layers[0].ffn.up.weight, DTYPE_Q4_0, NULL, "up"}};
    const struct rounded_matrix same[2] = {{x[0].param, DTYPE_F32, NULL, "q"}, {x[1].param, DTYPE_F32, NULL, "up"}};
    struct sensitivity_case both[] = {{.matrices = x, .n_matrices = 2}, {.matrices = same, .n_matrices = 2}};
    round_values(changed.layers[1].q.weight, DTYPE_Q8_0, NULL);
    round_values(changed.layers[0].ffn.up.weight, DTYPE_Q4_0, NULL);
    const struct sensitivity_case want = expected(&m, &changed, ids, 1);
    assert_ok(sensitivity_init(&s, &m, &(struct sensitivity_options){CONTEXT, 1}, both, 2, &e), e);
    assert_ok(sensitivity_set_text(&s, ids, 1, &e), e);
    assert_int_equal(sensitivity_first_block(&m, &both[0]), 0);
    assert_ok(sensitivity_measure(&s, &both[0], &e), e);
    assert_ok(sensitivity_measure(&s, &both[1], &e), e);
    assert_near(both[0].kl, want.kl);
    assert_near(both[0].nats, want.nats);
    assert_true(both[1].kl == 0 && both[1].nats == 0); /* to the last bit */

    m.layers[0].ffn.up.weight->value[3] = 1e9f; /* more than the f16 of a scale holds */
    assert_int_equal(sensitivity_measure(&s, &both[0], &e), ERR_FORMAT);
    assert_string_equal(e.message, "up holds weights so large that no block of q4_0 can stand for them (their scale is of f16); "
                                   "leave that type out of --types");
    assert_null(m.layers[1].q.weight->view);
    m.layers[1].q.weight->value[5] = NAN;
    assert_int_equal(sensitivity_measure(&s, &both[0], &e), ERR_FORMAT);
    assert_string_equal(e.message, "q holds a weight that is not a number; the model's file is damaged, or its training diverged");
    assert_int_equal(sensitivity_set_text(&s, ids, 1, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the output of the model is not a number; its file is damaged, or its training diverged");
    sensitivity_free(&s);
    model_free(&m), model_free(&changed);
}

int main(void)
{
    static int tied = 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(each_matrix_by_the_definition, NULL),
        cmocka_unit_test_prestate(each_matrix_by_the_definition, &tied),
        cmocka_unit_test(several_together_and_what_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
