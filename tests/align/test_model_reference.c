/* A model as its own reference: every kind of adapter begins as the base or next to it, training moves it away, and with the
 * adapter off it is the base to the bit. */
#include "tests/align/runs.h"

static double mean_of(const struct tuning *t, int measure)
{
    const struct measure *m = &t->preferences.objective.measures[measure];
    assert_true(m->count > 0);
    return m->sum / m->count;
}

/* PiSSA adds and takes away the same product, which leaves rounding. In a file's type the base of what trains in full is not
 * rounded to bf16. */
static bool begins_exactly(const struct want *w)
{
    return w->lora.init != LORA_INIT_PISSA && !(w->in_file && w->dtype == TRAIN_BF16 && w->lora.train_in_full.count);
}

/* Every kind of adapter, in f32 and in bf16, of a base in memory and in a file. */
enum { EVERY = KINDS * 4 };
static struct want every(int i)
{
    return (struct want){.lora = kind_of(i / 4), .dtype = i % 2 ? TRAIN_BF16 : TRAIN_F32, .in_file = i / 2 % 2};
}

static void a_fresh_adapter_is_its_own_reference(void **state)
{
    (void)state;
    for (int i = 0; i < EVERY; i++) {
        struct want w = every(i);
        struct tuning t;
        double bar = begins_exactly(&w) ? 0 : w.dtype == TRAIN_F32 ? 1e-5 : 0.05;
        open_tuning(&t, &w, NULL);
        double loss = look(&t);
        assert_true(fabs(loss - log(2)) <= fmax(bar, 1e-15));
        for (int m = REWARDS_CHOSEN; m <= REWARDS_MARGINS; m++)
            assert_true(m == REWARDS_ACCURACIES || fabs(mean_of(&t, m)) <= bar);
        if (begins_exactly(&w))
            assert_true(mean_of(&t, REWARDS_ACCURACIES) == 0);
        assert_true(mean_of(&t, LOGPS_CHOSEN) < -5 && mean_of(&t, LOGPS_REJECTED) < -5);
        close_tuning(&t);
        kind_free(&w.lora);
    }
    struct want w = {.loss = "kto"};
    struct tuning t;
    open_tuning(&t, &w, NULL);
    assert_true(look(&t) == 0.5 && mean_of(&t, KL) == 0);
    close_tuning(&t);
}

/* --- what training changes, and what it does not --- */

static void take_all(struct tuning *t, struct model *m, double *logps)
{
    struct error e;
    struct loader l = example_rows_loader(&t->rows);
    assert_ok(answer_logps_measure(m, DTYPE_F32, &l.rows, t->settings.batch_size, CAPACITY, "answers", logps, &e), e);
}

static void margins_grow_and_the_base_stays(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct want w = {.lora = kind_of(kind), .share = true, .packed = true};
        struct tuning t;
        struct model base = make_base(false);
        double before[EXAMPLES], after[EXAMPLES], trained[EXAMPLES];
        open_tuning(&t, &w, NULL);
        take_all(&t, &base, before);
        double first = look(&t), margin = mean_of(&t, REWARDS_MARGINS);
        take_steps(&t, 12);
        assert_true(t.adapter.attached);
        double last = look(&t);
        assert_true(last < 0.8 * first && mean_of(&t, REWARDS_MARGINS) > margin + 0.2);
        assert_true(mean_of(&t, REWARDS_ACCURACIES) > 0.8);
        take_all(&t, &t.model, trained);
        lora_detach(&t.adapter);
        take_all(&t, &t.model, after);
        lora_attach(&t.adapter);
        assert_memory_equal(before, after, sizeof before);
        for (size_t i = 0; i < EXAMPLES; i++)
            assert_true(trained[i] != before[i]);
        close_tuning(&t);
        model_free(&base);
        kind_free(&w.lora);
    }
}

/* The base's log-probabilities to the bit, from a model of the same weights that never had an adapter. */
static void check_reference(struct tuning *t, struct model *base)
{
    struct trainer *r = &t->trainer;
    struct loader l = example_rows_loader(&t->rows);
    struct error e;
    double got[EXAMPLES], want[EXAMPLES], own[EXAMPLES];
    bool moved = false;
    loader_next(&l, &r->batches[0]);
    size_t n = r->batches[0].n_examples;
    assert_true(n > 2);
    const struct reference *reference = t->preferences.reference;
    assert_ok(reference->logps(reference->context, &r->activations, &r->batches[0], r->scratch, got, &e), e);
    assert_true(t->adapter.attached);
    answer_logps(&t->model, &r->activations, &r->batches[0], r->scratch, own);
    answer_logps(base, &r->activations, &r->batches[0], r->scratch, want);
    assert_memory_equal(got, want, n * sizeof *got);
    for (size_t i = 0; i < n; i++)
        moved |= fabs(own[i] - want[i]) > 0.05;
    assert_true(moved);
}

static void what_is_detached_is_the_base(void **state)
{
    (void)state;
    for (int i = 0; i < EVERY; i++) {
        struct want w = every(i);
        struct tuning t;
        struct model base = make_base(w.in_file);
        w.packed = w.share = true;
        w.lora.dropout = w.lora.use_dora ? 0.3 : 0;
        model_reserve_positions(&base, CAPACITY);
        if (w.dtype == TRAIN_BF16)
            model_split(&base);
        open_tuning(&t, &w, NULL);
        take_steps(&t, 5);
        check_reference(&t, &base);
        close_tuning(&t);
        model_join(&base);
        model_free(&base);
        kind_free(&w.lora);
    }
}

/* --- while it looks --- */

/* In every micro-batch, not in the first alone. */
static void the_reference_has_no_dropout(void **state)
{
    (void)state;
    struct witness witness = {0};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2, .grad_accumulation = 2, .lora = adapters()};
    struct tuning t;
    w.lora.dropout = 0.3;
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    take_steps(&t, 2);
    assert_int_equal(witness.calls, 4);
    assert_false(witness.dropout);
    close_tuning(&t);
}

/* --- a whole epoch of answers --- */

static void an_epoch_is_its_batches(void **state)
{
    (void)state;
    struct want w = {0};
    struct tuning t;
    struct example_rows singles;
    struct error e;
    double epoch[EXAMPLES], other[EXAMPLES], some[EXAMPLES];
    size_t seen = 0;
    open_tuning(&t, &w, NULL);
    take_steps(&t, 3);
    example_rows_init(&singles, &t.examples, NULL, 0, CAPACITY, true, false, 0);
    struct loader l = example_rows_loader(&singles);
    assert_true(l.rows.per_epoch % t.settings.batch_size); /* rows of nothing behind the last */
    assert_ok(answer_logps_measure(&t.model, DTYPE_F32, &l.rows, t.settings.batch_size, CAPACITY, "answers", epoch, &e), e);
    while (l.rows_consumed < l.rows.per_epoch) {
        struct batch *b = &t.trainer.batches[0];
        loader_next(&l, b);
        answer_logps(&t.model, &t.trainer.activations, b, t.trainer.scratch, some);
        for (size_t i = 0; i < b->n_examples; i++, seen++)
            assert_true(some[i] == epoch[b->examples[i].number]);
    }
    assert_int_equal(seen, EXAMPLES);
    take_all(&t, &t.model, other); /* in pairs */
    for (size_t i = 0; i < EXAMPLES; i++)
        assert_true(epoch[i] < 0 && fabs(other[i] / epoch[i] - 1) < 1e-5);
    assert_ok(answer_logps_measure(&t.model, DTYPE_BF16, &l.rows, 3, CAPACITY, "answers", other, &e), e);
    assert_false(model_is_split(&t.model));
    for (size_t i = 0; i < EXAMPLES; i++)
        assert_true(other[i] != epoch[i] && fabs(other[i] / epoch[i] - 1) < 0.05);
    example_rows_free(&singles);
    close_tuning(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_adapter_is_its_own_reference),
        cmocka_unit_test(margins_grow_and_the_base_stays),
        cmocka_unit_test(what_is_detached_is_the_base),
        cmocka_unit_test(the_reference_has_no_dropout),
        cmocka_unit_test(an_epoch_is_its_batches),
    };
    log_set_quiet(true);
    return cmocka_run_group_tests(tests, write_file, remove_file);
}
