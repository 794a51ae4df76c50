/* The objective of preferences at work, without PyTorch: the same however batches are made, in bf16, with an adapter of the
 * output layer, and what cannot be done is said. */
#include "tests/align/runs.h"
#include "tests/gradcheck.h"

/* --- the same however batches are made --- */

struct outcome {
    double first_loss, first_norm, loss, norm;
};

static struct outcome outcome_of(const struct want *w)
{
    struct tuning t;
    struct outcome r;
    open_tuning(&t, w, NULL);
    struct train_step s = take_steps(&t, 1);
    r.first_loss = s.loss, r.first_norm = s.grad_norm;
    s = take_steps(&t, 4);
    r.loss = s.loss, r.norm = s.grad_norm;
    close_tuning(&t);
    return r;
}

/* Of losses and the norm of what they were differentiated to, at the first step and after some. */
static double difference(const struct outcome *a, const struct outcome *b)
{
    double worst = fmax(fabs(a->first_loss / b->first_loss - 1), fabs(a->first_norm / b->first_norm - 1));
    assert_true(a->loss < 0.98 * a->first_loss);
    return fmax(worst, fmax(fabs(a->loss / b->loss - 1), fabs(a->norm / b->norm - 1)));
}

/* Measured: 1e-7 to 3e-6. */
static const double ROUNDING = 1e-4;

static void accumulation_is_the_large_batch(void **state)
{
    (void)state;
    static const char *const losses[] = {"sigmoid", "ipo", "sppo_hard", "orpo"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct want w = {.loss = losses[i], .beta = 0.3, .batch_size = 4};
        struct outcome large = outcome_of(&w), small, other;
        w.batch_size = 2, w.grad_accumulation = 2;
        small = outcome_of(&w);
        w.grad_accumulation = 1;
        other = outcome_of(&w);
        assert_true(difference(&large, &small) < ROUNDING);
        assert_true(difference(&large, &other) > 100 * ROUNDING);
    }
}

/* All pairs in every step: one a row, packed, and with prompts that are computed once. */
static void packing_and_shared_prompts_change_nothing(void **state)
{
    (void)state;
    static const char *const losses[] = {"sigmoid", "ipo", "kto"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct want w = {.loss = losses[i], .beta = 0.3, .batch_size = PAIRS};
        struct outcome single = outcome_of(&w), other;
        w.share = true;
        other = outcome_of(&w);
        assert_true(difference(&single, &other) < ROUNDING);
        w.packed = true; /* rows without a pair behind those that have them */
        other = outcome_of(&w);
        assert_true(difference(&single, &other) < ROUNDING);
    }
}

static void products_in_bf16_are_near(void **state)
{
    (void)state;
    struct want w = {.beta = 0.3, .packed = true, .share = true};
    struct outcome f32 = outcome_of(&w), bf16;
    w.dtype = TRAIN_BF16;
    bf16 = outcome_of(&w);
    assert_true(difference(&f32, &bf16) < 0.1);
    assert_true(difference(&f32, &bf16) > 1e-6);
}

/* --- gradients of an adapter of the output layer, which is added to what the layer gives --- */

static double look_at(void *context)
{
    lora_changed(&((struct tuning *)context)->adapter);
    return look(context);
}

static void adapters_of_the_output_layer_learn(void **state)
{
    (void)state;
    struct want w = {.lora = adapters(), .beta = 0.3, .batch_size = PAIRS};
    struct tuning t;
    size_t checked = 0;
    struct rng r;
    option_strings_add(&w.lora.target_modules, "lm_head");
    option_strings_add(&w.lora.target_modules, "q_proj");
    open_tuning(&t, &w, NULL);
    rng_init(&r, 8, 0);
    for (size_t i = 0; i < t.adapter.n_pairs; i++)
        rng_fill_normal(&r, t.adapter.pairs[i].b->value, t.adapter.pairs[i].b->count, 0.05f);
    t.optim.learning_rate = 0;
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        struct param *p = t.adapter.all.items[i];
        float *gradient = mem_alloc(p->count, sizeof *gradient);
        struct activations *a = &t.trainer.activations;
        struct batch *b = &t.trainer.batches[0];
        const struct objective *o = t.trainer.objective;
        struct loader l = example_rows_loader(&t.rows);
        params_clear_gradients(&t.adapter.all);
        loader_next(&l, b);
        objective_begin(o, a, b, t.trainer.scratch);
        const void *hidden = decoder_forward(&t.model, a, b, NULL, 0);
        o->loss(o, &t.model, b, hidden, DTYPE_F32, 1.f / PAIRS, a->dnormed, t.trainer.scratch);
        decoder_backward(&t.model, a, b, a->dnormed, 0);
        memcpy(gradient, p->grad, p->count * sizeof *gradient);
        assert_true(gradcheck_f32(look_at, &t, p->value, gradient, p->count, 6, 4e-3f) < 5e-3);
        checked += strstr(p->name, "lm_head") != NULL;
        mem_free(gradient);
    }
    assert_int_equal(checked, 2);
    close_tuning(&t);
    kind_free(&w.lora);
}

/* --- what goes wrong --- */

static void failures_change_no_weight(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 4};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2, .grad_accumulation = 2, .lora = kind_of(3)};
    struct tuning t;
    struct train_step s;
    struct error e = {0};
    float *before[64];
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    take_steps(&t, 1);
    assert_in_range(t.adapter.all.count, 4, 64);
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        const struct param *p = t.adapter.all.items[i];
        before[i] = mem_alloc(p->count, sizeof(float));
        memcpy(before[i], p->value, p->count * sizeof(float));
    }
    assert_int_equal(trainer_step(&t.trainer, &s, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the reference has gone");
    assert_int_equal(t.trainer.state.step, 1);
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        const struct param *p = t.adapter.all.items[i];
        assert_memory_equal(before[i], p->value, p->count * sizeof(float));
        mem_free(before[i]);
    }
    t.trainer.train.rows_consumed = 0;
    assert_int_equal(trainer_step(&t.trainer, &s, &e), ERR_FORMAT); /* and it is not asked again */
    assert_int_equal(witness.calls, 4);
    close_tuning(&t);
    kind_free(&w.lora);
}

static void evaluations_tell_failures(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 2};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2};
    struct tuning t;
    struct error e = {0};
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    struct evaluator v = {&t.model, t.trainer.objective, &t.trainer.activations, &t.trainer.batches[0], t.trainer.scratch};
    struct loader l = example_rows_loader(&t.rows);
    evaluate(&v, &l, 1, NULL);
    assert_ok(objective_check(t.trainer.objective, &e), e);
    assert_true(isnan(evaluate(&v, &l, 0, NULL).loss));
    assert_int_equal(objective_check(t.trainer.objective, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the reference has gone");
    close_tuning(&t);
}

/* With a loss that has none, or without a reference at all, no pass is made for one. */
static void references_that_are_not_needed_are_not_asked(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 1};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    for (int i = 0; i < 2; i++) {
        struct want w = {.loss = i ? "kto" : "simpo", .reference_free = i};
        struct tuning t;
        open_tuning(&t, &w, &reference);
        witness.model = &t.model;
        take_steps(&t, 1);
        assert_int_equal(witness.calls, 0);
        close_tuning(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_is_the_large_batch),
        cmocka_unit_test(packing_and_shared_prompts_change_nothing),
        cmocka_unit_test(products_in_bf16_are_near),
        cmocka_unit_test(adapters_of_the_output_layer_learn),
        cmocka_unit_test(failures_change_no_weight),
        cmocka_unit_test(evaluations_tell_failures),
        cmocka_unit_test(references_that_are_not_needed_are_not_asked),
    };
    log_set_quiet(true);
    return cmocka_run_group_tests(tests, write_file, remove_file);
}
