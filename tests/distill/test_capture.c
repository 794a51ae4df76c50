/* Dumps of small random models against distributions computed plainly, one sequence at a time. */
#include "distill/capture.h"

#include "base/cpu.h"
#include "kernels/gemm.h"
#include "tests/data/example_set.h"
#include "tests/folder.h"
#include "tests/infer/util.h"

enum { V = 211, CONTEXT = 64 };

static char folder[64];

static struct model make_teacher(void)
{
    struct model_config c = small_config(V, ROPE_HALF);
    return make_model(&c, 21);
}

static struct dump_description describe(const struct capture_options *o)
{
    const struct selection *s = &o->selection;
    return (struct dump_description){
        .kind = o->dense ? DUMP_DENSE : s->samples ? DUMP_SAMPLED : DUMP_TOP,
        .vocab_size = V,
        .most = o->dense ? V : selection_most(s, V),
        .temperature = s->temperature,
        .cumulative = s->cumulative,
        .tokenizer_hash = 5,
        .teacher_hash = 6,
        .teacher = (char *)"random",
    };
}

static void open_writer(const struct capture_options *o, size_t per_part, bool resume, struct dump_writer **w, size_t *n,
                        size_t *n_positions)
{
    struct error e;
    const struct dump_writer_options options = {.path = folder, .positions_per_part = per_part, .compression = 1,
                                                .resume = resume};
    const struct dump_description d = describe(o);
    assert_ok(dump_writer_open(&options, &d, w, n, n_positions, &e), e);
}

/* At most n_passes of a capture that goes on where the folder ends; `kill`: the part at hand is lost. */
static void run(struct model *m, const struct examples *x, const struct capture_options *o, size_t per_part, size_t n_passes,
                bool resume, bool kill)
{
    struct capture c;
    struct dump_writer *w;
    struct error e;
    size_t n, n_positions;
    open_writer(o, per_part, resume, &w, &n, &n_positions);
    assert_ok(capture_init(&c, m, x, o, n, &e), e);
    for (; n_passes > 0 && !capture_is_done(&c); n_passes--)
        assert_ok(capture_pass(&c, w, &e), e);
    if (!kill)
        assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    capture_free(&c);
}

/* --- what a dump holds --- */

struct content {
    struct dump dump;
    struct dump_rows memory;
    struct soft_targets rows;
};

static struct content read_content(void)
{
    struct content c;
    struct error e;
    struct dump_statistics s;
    assert_ok(dump_open(folder, &c.dump, &e), e);
    assert_ok(dump_verify(&c.dump, NULL, &s, &e), e);
    size_t n = c.dump.n_positions, most = c.dump.description.most, *positions = mem_alloc(n, sizeof *positions);
    c.memory = (struct dump_rows){.capacity = n, .most = most, .begin = mem_alloc(n + 1, sizeof(size_t)),
                                  .ids = mem_alloc(n * most, sizeof(int32_t)),
                                  .log_probs = mem_alloc(n * most, sizeof(float)), .log_tail = mem_alloc(n, sizeof(float))};
    for (size_t i = 0; i < n; i++)
        positions[i] = i;
    assert_ok(dump_read(&c.dump, positions, n, &c.memory, &c.rows, &e), e);
    mem_free(positions);
    return c;
}

static void content_free(struct content *c)
{
    dump_close(&c->dump);
    mem_free(c->memory.begin);
    mem_free(c->memory.ids);
    mem_free(c->memory.log_probs);
    mem_free(c->memory.log_tail);
}

static void assert_same_examples(const struct examples *a, const struct examples *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->begin, b->begin, (a->count + 1) * sizeof *a->begin);
    assert_memory_equal(a->ids, b->ids, a->begin[a->count] * sizeof *a->ids);
    assert_memory_equal(a->learned, b->learned, a->begin[a->count]);
}

static void assert_same_content(const struct content *a, const struct content *b)
{
    size_t n = a->dump.n_positions;
    assert_same_examples(&a->dump.examples, &b->dump.examples);
    assert_int_equal(n, b->dump.n_positions);
    if (a->rows.logits) {
        assert_memory_equal(a->rows.logits, b->rows.logits, n * V * sizeof(float));
        return;
    }
    size_t entries = a->rows.begin[n];
    assert_memory_equal(a->rows.begin, b->rows.begin, (n + 1) * sizeof(size_t));
    assert_memory_equal(a->rows.ids, b->rows.ids, entries * sizeof(int32_t));
    assert_memory_equal(a->rows.log_probs, b->rows.log_probs, entries * sizeof(float));
    assert_memory_equal(a->rows.log_tail, b->rows.log_tail, n * sizeof(float));
}

/* --- by the definition --- */

static void distribution(const float *logits, double temperature, double *p)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < V; i++)
        max = fmax(max, (double)logits[i]);
    for (size_t i = 0; i < V; i++)
        sum += p[i] = exp((logits[i] - max) / temperature);
    for (size_t i = 0; i < V; i++)
        p[i] /= sum;
}

/* Halves have 11 bits, and the model's products are not the same in passes of another length. */
static void assert_log(double got, double p)
{
    double want = log(p);
    if (fabs(got - want) > 2e-3 + fabs(want) / 1024)
        fail_msg("log-probability %g, %g expected", got, want);
}

static size_t count_above(const double *p, double than)
{
    size_t n = 0;
    for (size_t i = 0; i < V; i++)
        n += p[i] > than;
    return n;
}

static void check_entries(const struct soft_targets *t, size_t i, const double *p, const struct capture_options *o)
{
    const struct selection *s = &o->selection;
    double sum = 0, least = 1;
    size_t n = t->begin[i + 1] - t->begin[i];
    for (size_t j = t->begin[i]; j < t->begin[i + 1]; j++) {
        double own = p[t->ids[j]];
        assert_true(j == t->begin[i] || t->ids[j] > t->ids[j - 1]);
        if (s->samples == 0 || count_above(p, own * 1.0001) < s->k)
            assert_log((double)t->log_probs[j], own);
        sum += own;
        least = fmin(least, own);
    }
    if (s->samples) {
        assert_true(n > s->k && n <= s->k + s->samples);
        return;
    }
    assert_true(count_above(p, least * 1.0001) < n); /* they are the likeliest */
    assert_log((double)t->log_tail[i], 1 - sum);
    if (s->cumulative > 0) {
        assert_true(n == s->k || sum > s->cumulative - 1e-5);
        assert_true(n == 1 || sum - least < s->cumulative + 1e-5);
    } else {
        assert_int_equal(n, s->k);
    }
}

static void check_content(struct model *m, const struct examples *x, const struct capture_options *o)
{
    struct content c = read_content();
    double p[V];
    size_t position = 0;
    assert_same_examples(x, &c.dump.examples);
    for (size_t i = 0; i < x->count; i++) {
        size_t from = x->begin[i], n = x->begin[i + 1] - from;
        float *logits = full_logits(m, x->ids + from, n);
        for (size_t k = 1; k < n; k++) {
            if (!x->learned[from + k])
                continue;
            distribution(logits + (k - 1) * V, o->selection.temperature, p);
            if (!o->dense)
                check_entries(&c.rows, position, p, o);
            for (size_t j = 0; j < V && o->dense; j++) /* stored at the dump's temperature, which the dump reader knows */
                assert_true(fabs(exp((double)c.rows.logits[position * V + j]) - p[j]) < 2e-3);
            position++;
        }
        mem_free(logits);
    }
    assert_int_equal(position, c.dump.n_positions);
    content_free(&c);
}

static const struct capture_options kinds[] = {
    {.selection = {.k = 8, .temperature = 1}, .context = CONTEXT},
    {.selection = {.k = 8, .temperature = 2}, .context = CONTEXT},
    {.selection = {.k = 40, .cumulative = 0.8, .temperature = 1}, .context = CONTEXT},
    {.selection = {.k = 4, .samples = 6, .temperature = 1, .seed = 9}, .context = CONTEXT},
    {.selection = {.k = 1, .temperature = 1}, .dense = true, .context = CONTEXT},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void dumps_hold_what_the_model_says(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(60, 1, 50, V, 4);
    for (int level = CPU_REF; level <= CPU_AVX512; level++) {
        cpu_set_level((enum cpu_level)level);
        for (size_t i = 0; i < KINDS; i++) {
            run(&m, &x, &kinds[i], 0, SIZE_MAX, false, false);
            check_content(&m, &x, &kinds[i]);
            remove_files(folder);
        }
    }
    example_set_free(&x);
    model_free(&m);
}

static void any_number_of_threads(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(40, 2, 50, V, 5);
    for (int threads = 1; threads <= 5; threads += 2) {
        kernels_set_threads(threads);
        run(&m, &x, &kinds[2], 0, SIZE_MAX, false, false);
        check_content(&m, &x, &kinds[2]);
        remove_files(folder);
    }
    kernels_set_threads(2);
    example_set_free(&x);
    model_free(&m);
}

/* Some passes; stopped and killed at several places, within a pass too. */
static void what_goes_on_is_the_same(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(400, 1, 60, V, 6);
    for (size_t i = 0; i < KINDS; i++) {
        run(&m, &x, &kinds[i], 0, SIZE_MAX, false, false);
        struct content whole = read_content();
        remove_files(folder);
        run(&m, &x, &kinds[i], 777, 2, false, true);  /* parts end within passes */
        run(&m, &x, &kinds[i], 555, 1, true, false);
        run(&m, &x, &kinds[i], 10000, 1, true, true); /* nothing complete: as if it had not been */
        run(&m, &x, &kinds[i], 1000, SIZE_MAX, true, false);
        run(&m, &x, &kinds[i], 1000, SIZE_MAX, true, false); /* there is nothing left to do */
        struct content parts = read_content();
        assert_true(parts.dump.n_parts > 3);
        assert_same_content(&whole, &parts);
        content_free(&whole);
        content_free(&parts);
        remove_files(folder);
    }
    example_set_free(&x);
    model_free(&m);
}

/* Longer than a pass otherwise is. */
static void a_long_sequence(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(3, 2300, 2400, V, 7);
    const struct capture_options o = {.selection = {.k = 5, .temperature = 1}, .context = 2400};
    run(&m, &x, &o, 0, SIZE_MAX, false, false);
    check_content(&m, &x, &o);
    remove_files(folder);
    example_set_free(&x);
    model_free(&m);
}

static void a_trial_changes_nothing(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(200, 2, 50, V, 8);
    struct capture c;
    struct capture_trial trial;
    struct dump_writer *w;
    struct error e;
    size_t n, n_positions;
    for (size_t i = 0; i < KINDS; i += KINDS - 1) {
        open_writer(&kinds[i], 0, false, &w, &n, &n_positions);
        assert_ok(capture_init(&c, &m, &x, &kinds[i], 0, &e), e);
        while (!capture_is_done(&c)) {
            assert_ok(capture_try(&c, 500, &trial, &e), e);
            assert_true(trial.n_tokens >= 500 && trial.n_tokens < 516);
            assert_int_equal(trial.n_entries, trial.n_positions * (kinds[i].dense ? V : 8));
            assert_ok(capture_pass(&c, w, &e), e);
        }
        assert_int_equal(c.n_tokens, x.begin[x.count]);
        assert_ok(dump_writer_finish(w, &e), e);
        dump_writer_close(w);
        capture_free(&c);
        check_content(&m, &x, &kinds[i]);
        remove_files(folder);
    }
    example_set_free(&x);
    model_free(&m);
}

static void output_that_is_no_number_is_named(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(30, 10, 20, V - 1, 9);
    struct error e;
    for (size_t k = x.begin[7] + 1; k < x.begin[8]; k++)
        x.learned[k] = 1;
    x.ids[x.begin[7] + 4] = V - 1; /* the embedding of which is broken */
    m.token_embd->value[(V - 1) * m.config.hidden_size] = NAN;
    struct param *head = m.head.weight;
    assert_true(head && head != m.token_embd);
    for (size_t i = 0; i < KINDS; i++) {
        struct capture c;
        struct dump_writer *w;
        size_t n, n_positions;
        open_writer(&kinds[i], 0, false, &w, &n, &n_positions);
        assert_ok(capture_init(&c, &m, &x, &kinds[i], 0, &e), e);
        assert_int_equal(capture_pass(&c, w, &e), ERR_FORMAT);
        assert_string_equal(e.message, "sequence 7: the model's output is not a number");
        dump_writer_close(w);
        capture_free(&c);
        remove_files(folder);
    }
    example_set_free(&x);
    model_free(&m);
}

static void tokens_beyond_the_vocabulary_are_refused(void **state)
{
    (void)state;
    struct model m = make_teacher();
    struct examples x = example_set(4, 3, 6, V, 10);
    struct capture c;
    struct error e;
    x.ids[x.begin[2]] = V;
    assert_int_equal(capture_init(&c, &m, &x, &kinds[0], 0, &e), ERR_USAGE);
    assert_string_equal(e.message, "sequence 2: token 211 is none of the model's 211");
    capture_free(&c);
    example_set_free(&x);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_hold_what_the_model_says),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(what_goes_on_is_the_same),
        cmocka_unit_test(a_long_sequence),
        cmocka_unit_test(a_trial_changes_nothing),
        cmocka_unit_test(output_that_is_no_number_is_named),
        cmocka_unit_test(tokens_beyond_the_vocabulary_are_refused),
    };
    snprintf(folder, sizeof folder, "/tmp/linnet-capture-%d", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files(folder);
    return failed;
}
