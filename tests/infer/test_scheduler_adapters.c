/* Sequences with adapters of different strengths at the same time: each is what it is alone. */
#include "infer/generate.h"
#include "tests/infer/answers.h"
#include "tests/lora/random.h"

enum { ADAPTERS = 2, SETS = 4 };
static const float sets[SETS][ADAPTERS] = {{0, 0}, {1, 0}, {0, 1}, {0.5f, -0.75f}};

/* A scheduler whose model has adapters. */
struct adapted {
    struct rig rig;
    struct lora_adapter adapters[ADAPTERS], *list[ADAPTERS];
};

static void adapted_start(struct adapted *x, size_t n_slots)
{
    struct error e;
    scheduler_free(x->rig.s);
    struct scheduler_options o = {n_slots, CONTEXT, 100, 1, DTYPE_F32, x->list, ADAPTERS};
    assert_ok(scheduler_start(&x->rig.s, &x->rig.m, x->rig.t, &o, &e), e);
}

static void adapted_init(struct adapted *x, size_t n_slots)
{
    struct error e;
    *x = (struct adapted){0};
    rig_init(&x->rig, 1, 1);
    scheduler_free(x->rig.s);
    x->rig.s = NULL;
    for (size_t i = 0; i < ADAPTERS; i++) {
        assert_ok(random_adapter(&x->rig.m, true, false, 90 + i, &x->adapters[i], &e), e);
        lora_attach(&x->adapters[i]);
        x->list[i] = &x->adapters[i];
    }
    if (n_slots > 0)
        adapted_start(x, n_slots);
}

static void adapted_free(struct adapted *x)
{
    scheduler_free(x->rig.s);
    x->rig.s = NULL;
    for (size_t i = ADAPTERS; i-- > 0;) {
        lora_detach(&x->adapters[i]);
        lora_free(&x->adapters[i]);
    }
    rig_free(&x->rig);
}

static void ask(struct adapted *x, const int32_t *prompt, size_t n, const struct generate_options *o,
                const float *strengths, struct answer *a)
{
    struct error e;
    struct job job = make_job(prompt, n, o, a);
    job.strengths = strengths;
    job.logprobs = true;
    answer_init(a);
    assert_ok(scheduler_submit(x->rig.s, &job, 1, &a->id, &e), e);
}

/* Both, and how likely each token was, to the last bit. */
static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->result.code, OK);
    assert_int_equal(a->n_steps, b->n_steps);
    assert_memory_equal(a->ids, b->ids, a->n_steps * sizeof *a->ids);
    assert_memory_equal(a->logprobs, b->logprobs, a->n_steps * sizeof *a->logprobs);
}

static bool differ(const struct answer *a, const struct answer *b)
{
    return memcmp(a->logprobs, b->logprobs, a->n_steps * sizeof *a->logprobs) != 0;
}

/* One prompt, at the same time under all sets: what each gets where it is alone, to the bit. */
static void each_set_is_as_alone(void **state)
{
    (void)state;
    enum { PROMPT = 300, DRAWN = 12 }; /* more than a chunk */
    struct adapted x;
    struct generate_options o = greedy(DRAWN);
    static struct answer alone[SETS], together[SETS];
    int32_t prompt[PROMPT];
    random_ids(prompt, PROMPT, 256, 5);
    adapted_init(&x, 0);
    for (size_t i = 0; i < SETS; i++) {
        adapted_start(&x, 1); /* that has computed nothing */
        ask(&x, prompt, PROMPT, &o, sets[i], &alone[i]);
        answer_wait(&alone[i]);
        assert_int_equal(alone[i].n_steps, DRAWN);
        for (size_t k = 0; k < i; k++)
            assert_true(differ(&alone[i], &alone[k]));
    }
    adapted_start(&x, SETS);
    for (size_t i = 0; i < SETS; i++)
        ask(&x, prompt, PROMPT, &o, sets[i], &together[i]);
    for (size_t i = 0; i < SETS; i++) {
        answer_wait(&together[i]);
        assert_same(&together[i], &alone[i]);
        assert_int_equal(together[i].result.n_cached, 0);
        answer_free(&together[i]);
        answer_free(&alone[i]);
    }
    adapted_free(&x);
}

/* More requests than slots, with beginnings in common within and across sets: the texts that one sequence without a
 * scheduler gives under those strengths. */
static void many_are_as_alone(void **state)
{
    (void)state;
    enum { N = 32, COMMON = 30, MOST = 70, DRAWN = 20 };
    struct adapted x;
    struct generate_options o = greedy(DRAWN);
    static struct answer answers[N];
    static int32_t prompts[N][MOST];
    struct generator g;
    struct generation alone = {0};
    struct error e;
    size_t n_cached = 0;
    adapted_init(&x, 3);
    for (size_t i = 0; i < N; i++) {
        random_ids(prompts[i], MOST, 256, i);
        random_ids(prompts[i], COMMON, 256, 500 + i % 2);
        ask(&x, prompts[i], COMMON + 1 + i, &o, sets[i / 3 % SETS], &answers[i]);
    }
    for (size_t i = 0; i < N; i++)
        answer_wait(&answers[i]);
    scheduler_free(x.rig.s);
    x.rig.s = NULL;
    assert_ok(generator_init(&g, &x.rig.m, x.rig.t, &(struct generator_options){.capacity = CONTEXT}, &e), e);
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < ADAPTERS; k++)
            x.adapters[k].strength = sets[i / 3 % SETS][k];
        generator_reset(&g);
        assert_ok(generate(&g, prompts[i], COMMON + 1 + i, &o, NULL, NULL, &alone, &e), e);
        assert_int_equal(answers[i].n_steps, alone.tokens.count);
        assert_memory_equal(answers[i].ids, alone.tokens.ids, alone.tokens.count * sizeof *answers[i].ids);
        n_cached += answers[i].result.n_cached;
        answer_free(&answers[i]);
    }
    assert_true(n_cached > 0);
    generation_free(&alone);
    generator_free(&g);
    adapted_free(&x);
}

/* The same prompt again and again: found in the cache under the same set alone, wherever it lies; and a switch back
 * gives what there was before. */
static void keys_are_of_their_set(void **state)
{
    (void)state;
    enum { PROMPT = 60, N = 6 };
    static const size_t order[N] = {1, 2, 1, 3, 2, 1}; /* sets */
    static const size_t cached[3][N] = {{0}, {0, 0, PROMPT - 1, 0, 0, 0},
                                        {0, 0, PROMPT - 1, 0, PROMPT - 1, PROMPT - 1}};
    struct adapted x;
    struct generate_options o = greedy(1);
    int32_t prompt[PROMPT];
    random_ids(prompt, PROMPT, 256, 6);
    adapted_init(&x, 0);
    for (size_t n_slots = 1; n_slots <= 3; n_slots++) {
        struct answer a[N];
        adapted_start(&x, n_slots);
        for (size_t i = 0; i < N; i++) {
            ask(&x, prompt, PROMPT, &o, sets[order[i]], &a[i]);
            answer_wait(&a[i]);
            assert_int_equal(a[i].result.n_cached, cached[n_slots - 1][i]);
            for (size_t k = 0; k < i; k++) {
                assert_int_equal(a[i].ids[0] == a[k].ids[0] && fabs(a[i].logprobs[0] - a[k].logprobs[0]) < 1e-5,
                                 order[i] == order[k]);
            }
        }
        for (size_t i = 0; i < N; i++)
            answer_free(&a[i]);
    }
    adapted_free(&x);
}

/* Jobs that say nothing get what is set when they are taken; others are not touched by it. */
static void what_is_set_is_for_those_who_do_not_say(void **state)
{
    (void)state;
    struct adapted x;
    struct generate_options o = greedy(8);
    struct answer said[SETS], unsaid[SETS];
    int32_t prompt[20];
    float now[ADAPTERS];
    random_ids(prompt, 20, 256, 7);
    adapted_init(&x, 0);
    x.adapters[0].strength = 0.25f;
    adapted_start(&x, 1);
    scheduler_get_strengths(x.rig.s, now);
    assert_true(now[0] == 0.25f && now[1] == 1);
    for (size_t i = 0; i < SETS; i++) {
        ask(&x, prompt, 20, &o, sets[i], &said[i]);
        scheduler_set_strengths(x.rig.s, sets[i]);
        scheduler_get_strengths(x.rig.s, now);
        assert_memory_equal(now, sets[i], sizeof now);
        ask(&x, prompt, 20, &o, NULL, &unsaid[i]);
        scheduler_set_strengths(x.rig.s, sets[0]);
    }
    for (size_t i = 0; i < SETS; i++) {
        answer_wait(&said[i]);
        answer_wait(&unsaid[i]);
        assert_memory_equal(said[i].ids, unsaid[i].ids, 8 * sizeof *said[i].ids);
        if (i > 0)
            assert_true(differ(&unsaid[i], &unsaid[0]));
    }
    for (size_t i = 0; i < SETS; i++) {
        answer_free(&said[i]);
        answer_free(&unsaid[i]);
    }
    adapted_free(&x);
}

static struct task *make_task(const struct slots *s, const int32_t *prompt, size_t n, const struct generate_options *o,
                              const float *strengths, struct answer *a)
{
    struct task *t;
    struct error e;
    struct job job = make_job(prompt, n, o, a);
    job.strengths = strengths;
    answer_init(a);
    assert_ok(task_new(s, &job, &t, &e), e);
    return t;
}

static struct task *admit(struct slots *s, const int32_t *prompt, size_t n, const struct generate_options *o,
                          const float *strengths, struct answer *a)
{
    struct task *t = make_task(s, prompt, n, o, strengths, a);
    slots_admit(s, t);
    return t;
}

/* A prompt waits for the same one to be computed, if it is under the same set. */
static void only_its_set_is_waited_for(void **state)
{
    (void)state;
    struct adapted x;
    struct slots s;
    struct generate_options o = greedy(1);
    struct answer a[1 + SETS];
    struct error e;
    int32_t prompt[20];
    random_ids(prompt, 20, 256, 8);
    adapted_init(&x, 0);
    assert_ok(slots_init(&s, &x.rig.m, x.rig.t, 2, CONTEXT, DTYPE_F32, &e), e);
    slots_set_adapters(&s, x.list, ADAPTERS);
    admit(&s, prompt, 20, &o, sets[2], &a[0]);
    for (size_t i = 0; i < SETS; i++) {
        struct task *t = make_task(&s, prompt, 20, &o, sets[i], &a[1 + i]);
        assert_int_equal(slots_should_wait(&s, t), i == 2);
        task_free(t);
        answer_free(&a[1 + i]);
    }
    tasks_finish(slots_step(&s));
    assert_int_equal(a[0].n_finished, 1);
    answer_free(&a[0]);
    slots_free(&s);
    adapted_free(&x);
}

/* However long the prompts of one set and however many its sequences, another has every second pass; and one that comes
 * later is not made to wait longer. */
static void sets_take_turns(void **state)
{
    (void)state;
    enum { LONG = 390, N = 4 };
    struct adapted x;
    struct slots s;
    struct generate_options o = greedy(9);
    struct answer a[N];
    struct task *t[N];
    struct error e;
    int32_t prompts[3][LONG];
    adapted_init(&x, 0);
    assert_ok(slots_init(&s, &x.rig.m, x.rig.t, N, CONTEXT, DTYPE_F32, &e), e);
    slots_set_adapters(&s, x.list, ADAPTERS);
    for (size_t i = 0; i < 3; i++) {
        random_ids(prompts[i], LONG, 256, 30 + i);
        t[i] = admit(&s, prompts[i], i < 2 ? LONG : 4, &o, sets[i < 2 ? 1 : 2], &a[i]);
    }
    for (size_t i = 0; i < 6; i++)
        assert_null(slots_step(&s));
    assert_int_equal(a[2].n_steps, 3);
    assert_int_equal(t[0]->n_fed, LONG); /* three passes of 256 tokens: 256, 134 + 122, 1 + 255 */
    assert_int_equal(t[1]->n_fed, 122 + 255);
    assert_int_equal(a[0].n_steps, 2);
    t[3] = admit(&s, prompts[2], 4, &o, sets[3], &a[3]);
    for (size_t i = 0; i < 3; i++)
        assert_null(slots_step(&s));
    assert_int_equal(a[0].n_steps, 3);
    assert_int_equal(a[1].n_steps, 1);
    assert_int_equal(a[2].n_steps, 4);
    assert_int_equal(a[3].n_steps, 1);
    for (size_t i = 0; i < 60; i++)
        tasks_finish(slots_step(&s));
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(a[i].n_finished, 1);
        assert_int_equal(a[i].n_steps, 9);
        answer_free(&a[i]);
    }
    assert_int_equal(s.n_steps, 3 + 9 + 9 + 9); /* the second began to draw behind three; where none is left is no pass */
    slots_free(&s);
    adapted_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_set_is_as_alone),
        cmocka_unit_test(many_are_as_alone),
        cmocka_unit_test(keys_are_of_their_set),
        cmocka_unit_test(what_is_set_is_for_those_who_do_not_say),
        cmocka_unit_test(only_its_set_is_waited_for),
        cmocka_unit_test(sets_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
