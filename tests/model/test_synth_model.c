/* Random models: every parameter a function of its name and the seed, of the right spread, and silent where asked. */
#include "tests/test.h"

#include "kernels/dtype.h"
#include "model/synth_model.h"
#include "tests/model/architectures.h"

#include <math.h>

static float value(const struct param *p, size_t i)
{
    float x;
    assert_true(dtype_to_f32(p->type, (const char *)p->data + i * dtype_info(p->type)->block_bytes, &x, 1));
    return x;
}

static double deviation(const struct param *p)
{
    double sum = 0;
    for (size_t i = 0; i < p->count; i++)
        sum += pow((double)value(p, i) - p->init_mean, 2);
    return sqrt(sum / (double)p->count);
}

static bool same(const struct param *a, const struct param *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        if (value(a, i) != value(b, i))
            return false;
    return true;
}

static struct synth_model make(const struct model_config *c, uint64_t seed, size_t active_blocks)
{
    const struct synth_model_settings o = {seed, active_blocks};
    struct synth_model s;
    struct error e;
    assert_ok(synth_model_init(&s, c, &o, &e), e);
    return s;
}

/* Of every family: matrices of mean 0 and vectors about what they begin with, both with initializer_range's spread. */
static void test_spread(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_EXAMPLES; k++) {
        struct model_config c;
        struct error e;
        assert_ok(example_config(&examples[k], 300, &c, &e), e);
        c.initializer_range = 0.03;
        struct synth_model s = make(&c, 1, 0);
        for (size_t i = 0; i < s.model.n_params; i++) {
            const struct param *p = &s.model.params[i];
            const double tolerance = 0.03 * 4 / sqrt(2 * (double)p->count); /* four of its standard errors */
            assert_true(p->value != NULL || p->matrix);
            if (fabs(deviation(p) - 0.03) > tolerance + 1e-4)
                fail_msg("%s: %s has a deviation of %g", examples[k].name, p->name, deviation(p));
        }
        synth_model_free(&s);
    }
}

/* A smaller model of the same widths has the same weights where it has any; two matrices of one shape differ, as do two
 * seeds. */
static void test_names_decide(void **state)
{
    (void)state;
    struct model_config c;
    struct error e;
    assert_ok(example_config(&examples[0], 300, &c, &e), e);
    struct synth_model large = make(&c, 1, 0), other = make(&c, 2, 0);
    c.num_hidden_layers = 2;
    struct synth_model small = make(&c, 1, 0);
    for (size_t i = 0; i < small.model.n_params; i++) {
        const struct param *p = &small.model.params[i];
        assert_true(same(p, model_find(&large.model, p->name)));
        assert_false(same(p, model_find(&other.model, p->name)));
    }
    assert_false(same(large.model.layers[0].q.weight, large.model.layers[1].q.weight));
    assert_false(same(large.model.layers[0].ffn.gate.weight, large.model.layers[0].ffn.up.weight));
    synth_model_free(&large);
    synth_model_free(&other);
    synth_model_free(&small);
}

static bool is_output(const struct param *p)
{
    return strstr(p->name, "o_proj") || strstr(p->name, "down_proj");
}

static void test_silent_blocks(void **state)
{
    (void)state;
    struct model_config c;
    struct error e;
    assert_ok(example_config(&examples[1], 300, &c, &e), e); /* with biases */
    struct synth_model all = make(&c, 1, 0), s = make(&c, 1, 3);
    size_t n_silent = 0;
    for (size_t i = 0; i < s.model.n_params; i++) {
        const struct param *p = &s.model.params[i];
        const bool silent = p->layer >= 3 && is_output(p);
        n_silent += silent;
        if (silent)
            assert_true(deviation(p) == 0 && value(p, 0) == 0);
        else if (p != s.model.output_norm.weight)
            assert_true(same(p, &all.model.params[i]));
    }
    /* of 64 numbers about 1 times weights of a deviation of 0.2, logits of 16 */
    assert_true(fabs(s.model.output_norm.weight->value[7] /
                     all.model.output_norm.weight->value[7] * 0.2 * 8 - 16) < 1e-3);
    assert_int_equal(n_silent, 4); /* two matrices and two biases of the one block */
    synth_model_free(&all);
    synth_model_free(&s);
    const struct synth_model_settings too_many = {1, 5};
    assert_int_equal(synth_model_init(&s, &c, &too_many, &e), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spread), cmocka_unit_test(test_names_decide),
                                       cmocka_unit_test(test_silent_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
