/* infer/complete_many: many prompts at once give what each gives alone, whatever the number of threads and of sequences, in
 * the middle of training, and as if no call had been before. */
#include "infer/complete_many.h"

#include "distill/on_policy.h"
#include "infer/generate.h"
#include "kernels/gemm.h"
#include "tests/data/example_set.h"
#include "tests/infer/util.h"

enum { CONTEXT = 60, PROMPTS = 20, LONGEST = 40 };

struct rig {
    struct model m;
    struct tokenizer *t;
    int32_t ids[PROMPTS][LONGEST];
    struct prompt prompts[PROMPTS];
    struct tokens out[PROMPTS];
};

/* Prompts of many lengths, a third of which begin alike. The end token comes up now and then. */
static void rig_init(struct rig *r)
{
    *r = (struct rig){.t = make_tokenizer("<|endoftext|>")};
    struct model_config c = small_config(tokenizer_vocab_size(r->t) + 7, ROPE_HALF);
    r->m = make_model(&c, 12);
    struct param *head = r->m.head.weight;
    for (size_t j = 0; j < head->cols; j++) /* ids that are no tokens are the likeliest */
        for (size_t i = tokenizer_vocab_size(r->t); i < head->rows; i++)
            head->value[i * head->cols + j] *= 100;
    for (size_t j = 0; j < head->cols; j++)
        head->value[(size_t)tokenizer_eos(r->t) * head->cols + j] *= 2.5f;
    for (size_t i = 0; i < PROMPTS; i++) {
        size_t n = i % 3 == 0 ? 30 + i % 10 : 1 + i * 7 % 30;
        random_ids(r->ids[i], n, 250, i % 3 == 0 ? 77 : i);
        r->ids[i][n - 1] = (int32_t)i + 10;
        r->prompts[i] = (struct prompt){r->ids[i], n, 1 + i * 5 % 20, rng_at(3, i)};
    }
}

static void rig_free(struct rig *r)
{
    for (size_t i = 0; i < PROMPTS; i++)
        tokens_free(&r->out[i]);
    model_free(&r->m);
    tokenizer_free(r->t);
}

static struct complete_many_options options(size_t n_at_once, double temperature)
{
    struct complete_many_options o = {.n_at_once = n_at_once, .context = CONTEXT, .sampler = sampler_defaults()};
    o.sampler.temperature = temperature;
    return o;
}

static void complete_with(struct complete_many *c, struct rig *r)
{
    struct completer student = complete_many_completer(c);
    struct error e;
    assert_ok(student.complete(student.context, r->prompts, PROMPTS, r->out, &e), e);
}

static void complete_once(struct rig *r, size_t n_at_once, double temperature)
{
    struct complete_many_options o = options(n_at_once, temperature);
    struct complete_many c;
    struct error e;
    assert_ok(complete_many_init(&c, &r->m, r->t, &o, &e), e);
    complete_with(&c, r);
    complete_many_free(&c);
}

static void take(struct rig *r, struct tokens *copies)
{
    for (size_t i = 0; i < PROMPTS; i++) {
        copies[i] = r->out[i];
        r->out[i] = (struct tokens){0};
    }
}

static void drop(struct tokens *copies)
{
    for (size_t i = 0; i < PROMPTS; i++)
        tokens_free(&copies[i]);
}

static size_t count_different(const struct tokens *a, const struct tokens *b)
{
    size_t n = 0;
    for (size_t i = 0; i < PROMPTS; i++)
        n += a[i].count != b[i].count || memcmp(a[i].ids, b[i].ids, a[i].count * sizeof *a[i].ids) != 0;
    return n;
}

/* What generate() gives for each prompt alone. */
static void one_by_one(struct rig *r, double temperature, struct tokens *want, size_t *reasons)
{
    struct generator g;
    struct generation alone = {0};
    struct error e;
    assert_ok(generator_init(&g, &r->m, r->t, &(struct generator_options){.capacity = CONTEXT}, &e), e);
    for (size_t i = 0; i < PROMPTS; i++) {
        const struct prompt *p = &r->prompts[i];
        struct generate_options o = {.sampler = sampler_defaults(), .max_tokens = p->max_new_tokens};
        o.sampler.temperature = temperature;
        o.sampler.seed = p->seed;
        generator_reset(&g);
        assert_ok(generate(&g, p->ids, p->n, &o, NULL, NULL, &alone, &e), e);
        want[i] = alone.tokens;
        alone.tokens = (struct tokens){0};
        reasons[alone.reason]++;
    }
    generation_free(&alone);
    generator_free(&g);
}

static void company_and_threads_change_nothing(void **state)
{
    (void)state;
    static const size_t at_once[] = {1, 3, 8, 32};
    int threads = kernels_threads();
    struct rig r;
    rig_init(&r);
    for (int temperature = 0; temperature < 2; temperature++) {
        struct tokens want[PROMPTS];
        size_t reasons[5] = {0};
        one_by_one(&r, temperature, want, reasons);
        assert_true(reasons[STOPPED_LENGTH] > 3);
        assert_true(temperature == 0 || reasons[STOPPED_END] > 1);
        for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++)
            for (int n = 1; n <= 3; n++) {
                kernels_set_threads(n);
                complete_once(&r, at_once[i], temperature);
                assert_int_equal(count_different(r.out, want), 0);
            }
        kernels_set_threads(threads);
        drop(want);
    }
    rig_free(&r);
}

static bool go_on_for(void *context)
{
    size_t *left = context;
    return --*left > 0;
}

static void it_ends_when_told_to_and_begins_anew(void **state)
{
    (void)state;
    struct rig r;
    struct complete_many_options o = options(3, 1);
    struct complete_many c;
    struct tokens want[PROMPTS];
    struct error e;
    size_t left = 4;
    rig_init(&r);
    complete_once(&r, 3, 1);
    take(&r, want);
    o.go_on = go_on_for;
    o.go_on_context = &left;
    assert_ok(complete_many_init(&c, &r.m, r.t, &o, &e), e);
    struct completer student = complete_many_completer(&c);
    assert_int_equal(student.complete(student.context, r.prompts, PROMPTS, r.out, &e), ERR_INTERRUPTED);
    assert_int_equal(left, 0);
    assert_true(c.n_prompts < PROMPTS);
    left = SIZE_MAX;
    complete_with(&c, &r);
    assert_int_equal(count_different(r.out, want), 0);
    drop(want);
    complete_many_free(&c);
    rig_free(&r);
}

static void it_counts(void **state)
{
    (void)state;
    struct rig r;
    struct complete_many_options o = options(4, 1);
    struct complete_many c;
    struct error e;
    rig_init(&r);
    size_t n_ended = 0, n_tokens = 0;
    assert_ok(complete_many_init(&c, &r.m, r.t, &o, &e), e);
    complete_with(&c, &r);
    for (size_t i = 0; i < PROMPTS; i++) {
        assert_in_range(r.out[i].count, 1, r.prompts[i].max_new_tokens);
        n_ended += tokenizer_is_end(r.t, r.out[i].ids[r.out[i].count - 1]);
        n_tokens += r.out[i].count;
        for (size_t k = 0; k < r.out[i].count; k++) { /* an end is the last, and ids that are no tokens are not drawn */
            assert_true((size_t)r.out[i].ids[k] < tokenizer_vocab_size(r.t));
            assert_true(k + 1 == r.out[i].count || !tokenizer_is_end(r.t, r.out[i].ids[k]));
        }
    }
    assert_true(n_ended > 0);
    assert_int_equal(c.n_ended, n_ended);
    assert_int_equal(c.n_prompts, PROMPTS);
    assert_int_equal(c.n_generated, n_tokens);
    assert_true(c.slots.n_cached > 0); /* prompts that begin alike */
    assert_true(c.seconds > 0);
    size_t reserved = c.slots.runner.arena.size;
    for (size_t i = 0; i < c.slots.n; i++)
        reserved += c.slots.slots[i].cache.arena.size;
    reserved += 4 * (r.m.config.hidden_size + r.m.config.vocab_size) * sizeof(float);
    assert_int_equal(complete_many_bytes(&r.m, &o), reserved);
    complete_many_free(&c);
    rig_free(&r);
}

/* A hook that adds nothing, and sees whether dropout is on. */
static size_t n_with_dropout, n_without;
static void look(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type, size_t n)
{
    const struct model *m = context;
    (void)l, (void)y, (void)x, (void)n;
    assert_true(type == DTYPE_F32 && y_type == DTYPE_F32);
    n_with_dropout += m->dropout_seed != 0;
    n_without += m->dropout_seed == 0;
}

static void it_runs_in_the_middle_of_training(void **state)
{
    (void)state;
    struct rig r;
    struct tokens want[PROMPTS];
    rig_init(&r);
    struct linear_hook hook = {.context = &r.m, .forward = look};
    complete_once(&r, 5, 1);
    take(&r, want);
    const struct param *q = r.m.layers[1].q.weight;
    float *before = mem_alloc(q->count, sizeof *before);
    r.m.layers[1].q.hook = &hook;
    r.m.dropout_seed = 99;
    model_split(&r.m);
    memcpy(before, q->value, q->count * sizeof *before);
    complete_once(&r, 5, 1);
    assert_int_equal(count_different(r.out, want), 0);
    assert_true(model_is_split(&r.m));
    assert_memory_equal(q->value, before, q->count * sizeof *before);
    assert_true(r.m.dropout_seed == 99);
    assert_true(n_with_dropout == 0 && n_without > 0);
    model_join(&r.m);
    complete_once(&r, 5, 1);
    assert_false(model_is_split(&r.m));
    assert_int_equal(count_different(r.out, want), 0);
    mem_free(before);
    drop(want);
    rig_free(&r);
}

/* After the weights have changed what was computed with the old ones is of no use; and back, all is as it was. */
static void it_remembers_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct tokens want[PROMPTS];
    struct complete_many_options o = options(6, 0.8);
    struct complete_many c;
    struct error e;
    rig_init(&r);
    assert_ok(complete_many_init(&c, &r.m, r.t, &o, &e), e);
    complete_with(&c, &r);
    struct tokens first[PROMPTS];
    take(&r, first);
    struct param *v = r.m.layers[0].v.weight;
    for (size_t i = 0; i < v->count; i++)
        v->value[i] = -v->value[i];
    complete_once(&r, 6, 0.8);
    take(&r, want);
    assert_true(count_different(first, want) > PROMPTS / 2);
    complete_with(&c, &r);
    assert_int_equal(count_different(r.out, want), 0);
    for (size_t i = 0; i < v->count; i++)
        v->value[i] = -v->value[i];
    complete_with(&c, &r);
    assert_int_equal(count_different(r.out, first), 0);
    for (size_t i = 0; i < PROMPTS; i++) /* and other seeds give other texts */
        r.prompts[i].seed++;
    complete_with(&c, &r);
    assert_true(count_different(r.out, first) > PROMPTS / 2);
    drop(want);
    drop(first);
    complete_many_free(&c);
    rig_free(&r);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    struct rig r;
    struct complete_many_options o = options(3, 1);
    struct complete_many c;
    struct error e;
    struct tokens want[PROMPTS];
    rig_init(&r);
    complete_once(&r, 3, 1);
    take(&r, want);
    o.sampler.temperature = -1;
    assert_int_equal(complete_many_init(&c, &r.m, r.t, &o, &e), ERR_USAGE);
    o.sampler.temperature = 1;
    assert_ok(complete_many_init(&c, &r.m, r.t, &o, &e), e);
    struct completer student = complete_many_completer(&c);
    int32_t other[CONTEXT] = {0};
    const struct prompt good = r.prompts[7];
    const struct {
        struct prompt prompt;
        const char *message;
    } bad[] = {
        {{other, 0, 5, 1}, "the prompt has no tokens"},
        {{other, CONTEXT, 5, 1}, "has no room for it and an answer"},
        {{(const int32_t[]){1, 100000}, 2, 5, 1}, "token 100000 is none of the model's"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.prompts[7] = bad[i].prompt;
        assert_int_equal(student.complete(student.context, r.prompts, PROMPTS, r.out, &e), ERR_USAGE);
        assert_non_null(strstr(e.message, bad[i].message));
        r.prompts[7] = good; /* and goes on as if nothing had been */
        complete_with(&c, &r);
        assert_int_equal(count_different(r.out, want), 0);
    }
    float *weight = &r.m.output_norm.weight->value[3], kept = *weight;
    *weight = NAN;
    model_split(&r.m);
    assert_int_equal(student.complete(student.context, r.prompts, PROMPTS, r.out, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "not a number"));
    assert_true(model_is_split(&r.m));
    model_join(&r.m);
    *weight = kept;
    complete_with(&c, &r);
    assert_int_equal(count_different(r.out, want), 0);
    assert_int_equal(student.complete(student.context, r.prompts, 0, r.out, &e), OK);
    drop(want);
    complete_many_free(&c);
    rig_free(&r);
}

/* Rows of what a model writes: those that begin at a row are the same whatever was filled before, and hold its likeliest
 * tokens. */
static void a_student_fills_rows(void **state)
{
    (void)state;
    enum { ROWS = 2, T = 48 };
    struct rig r;
    struct complete_many_options o = options(4, 0);
    struct complete_many c;
    struct arena plan = {0}, arena;
    struct batch b;
    struct error e, failure = {0};
    struct example_rows rows;
    rig_init(&r);
    o.context = T;
    struct examples x = example_set(20, 6, 20, 250, 3);
    example_rows_init(&rows, &x, NULL, 0, T, true, true, 4);
    assert_ok(complete_many_init(&c, &r.m, r.t, &o, &e), e);
    batch_init(&b, ROWS, T, &plan);
    assert_ok(arena_init(&arena, plan.used, "batch", &e), e);
    batch_init(&b, ROWS, T, &arena);
    struct on_policy own = {.rows = &rows, .lambda = 1, .seed = 8, .student = complete_many_completer(&c),
                            .failure = &failure};
    on_policy_init(&own);
    int32_t first[ROWS * T];
    for (uint64_t k = 0; k < 4; k++) {
        struct loader l = on_policy_loader(&own);
        l.rows_consumed = k % 3 * ROWS;
        loader_next(&l, &b);
        assert_ok(failure.code, failure);
        assert_true(b.n_targets > 0);
        size_t n = b.n_rows * b.seq_len;
        if (k == 0)
            memcpy(first, b.input_ids, n * sizeof *first);
        if (k == 3)
            assert_memory_equal(first, b.input_ids, n * sizeof *first);
        for (size_t at = 0; at < n; at++) {
            if (b.targets[at] == TARGET_IGNORED)
                continue;
            size_t begin = at - (size_t)b.positions[at], length = (size_t)b.positions[at] + 1, best = 0;
            float *logits = full_logits(&r.m, b.input_ids + begin, length);
            const float *last = logits + (length - 1) * r.m.config.vocab_size;
            for (size_t i = 1; i < tokenizer_vocab_size(r.t); i++)
                best = last[i] > last[best] ? i : best;
            assert_int_equal(b.targets[at], best);
            mem_free(logits);
        }
    }
    on_policy_free(&own);
    complete_many_free(&c);
    example_rows_free(&rows);
    example_set_free(&x);
    arena_free(&arena);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_and_threads_change_nothing),
        cmocka_unit_test(it_ends_when_told_to_and_begins_anew),
        cmocka_unit_test(it_counts),
        cmocka_unit_test(it_runs_in_the_middle_of_training),
        cmocka_unit_test(it_remembers_nothing),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_student_fills_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
