/* Many sequences at once give what each gives alone, in whatever order they come and go. */
#include "infer/generate.h"
#include "kernels/gemm.h"
#include "tests/infer/answers.h"

#include <stdio.h>

enum { PROMPT_MOST = 300 };

/* Requests of every kind: short and long prompts, some of them with a beginning in common, greedy and drawn,
 * to a length, to a stop string and to the end of the context. */
static const char *const stops[] = {"\x80", "zz", "A"};
static void make_request(size_t i, int32_t *prompt, size_t *n, struct generate_options *o)
{
    struct rng r;
    rng_init(&r, i, 3);
    *n = i % 5 == 0 ? PROMPT_MOST : 1 + (size_t)rng_below(&r, 60);
    random_ids(prompt, *n, 128, i % 3 == 0 ? 77 : i); /* a third begin alike */
    *o = greedy(i % 7 == 0 ? 0 : 1 + (size_t)rng_below(&r, 60));
    if (i % 2) {
        o->sampler.temperature = 0.9, o->sampler.top_p = 0.9, o->sampler.seed = i;
        o->sampler.repetition_penalty = 1.1;
    }
    if (i % 4 == 1)
        o->stops = stops, o->n_stops = 3;
}

enum { REQUESTS = 36, CLIENTS = 6 };
struct client {
    struct rig *rig;
    struct answer *answers;
    size_t first;
};

/* One of several clients, each with one request after another and two at a time. */
static void *client(void *context)
{
    struct client *c = context;
    for (size_t i = c->first; i < REQUESTS; i += 2 * CLIENTS) {
        int32_t prompt[2][PROMPT_MOST];
        struct generate_options o[2];
        for (size_t k = 0; k < 2; k++) {
            size_t n, at = i + k * CLIENTS;
            struct error e;
            make_request(at, prompt[k], &n, &o[k]);
            struct job job = make_job(prompt[k], n, &o[k], &c->answers[at]);
            assert_ok(scheduler_submit(c->rig->s, &job, 1, &c->answers[at].id, &e), e);
        }
        for (size_t k = 0; k < 2; k++)
            answer_wait(&c->answers[i + k * CLIENTS]);
    }
    return NULL;
}

static void company_changes_nothing(void **state)
{
    (void)state;
    static struct answer answers[REQUESTS];
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    struct rig r;
    struct generator g;
    struct generation alone = {0};
    struct error e;
    rig_init(&r, 3, REQUESTS);
    for (size_t i = 0; i < REQUESTS; i++)
        answer_init(&answers[i]);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){&r, answers, i};
        assert_int_equal(pthread_create(&threads[i], NULL, client, &clients[i]), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    struct scheduler_stats stats = scheduler_stats(r.s);
    assert_int_equal(stats.n_running, 0);
    assert_int_equal(stats.n_queued, 0);
    size_t n_drawn = 0, n_prompt = 0, reasons[5] = {0};
    assert_ok(generator_init(&g, &r.m, r.t, &(struct generator_options){.capacity = CONTEXT, .chunk = 64}, &e), e);
    for (size_t i = 0; i < REQUESTS; i++) {
        int32_t prompt[PROMPT_MOST];
        struct generate_options o;
        size_t n;
        struct answer *a = &answers[i];
        make_request(i, prompt, &n, &o);
        generator_reset(&g);
        assert_ok(generate(&g, prompt, n, &o, NULL, NULL, &alone, &e), e);
        assert_int_equal(a->n_finished, 1);
        assert_int_equal(a->result.code, OK);
        assert_int_equal(a->result.reason, alone.reason);
        assert_int_equal(a->result.n_prompt, n);
        assert_int_equal(a->result.n_generated, alone.tokens.count);
        assert_int_equal(a->n_steps, alone.tokens.count);
        assert_memory_equal(a->ids, alone.tokens.ids, alone.tokens.count * sizeof *a->ids);
        assert_int_equal(a->text.size, alone.text.size);
        if (alone.text.size)
            assert_memory_equal(a->text.data, alone.text.data, alone.text.size);
        n_drawn += alone.tokens.count, n_prompt += n;
        reasons[alone.reason]++;
        answer_free(a);
    }
    assert_true(reasons[STOPPED_STRING] > 0 && reasons[STOPPED_LENGTH] > 0 && reasons[STOPPED_CONTEXT] > 0);
    assert_int_equal(stats.n_generated, n_drawn);
    assert_int_equal(stats.n_prompt + stats.n_cached, n_prompt);
    assert_true(stats.n_steps < n_drawn); /* several in a step */
    generation_free(&alone);
    generator_free(&g);
    rig_free(&r);
}

static void what_was_computed_is_used_again(void **state)
{
    (void)state;
    struct rig r;
    struct generate_options o = greedy(20);
    struct answer a[4];
    struct error e;
    int32_t talk[CONTEXT], other[50];
    random_ids(talk, 100, 256, 1);
    random_ids(other, 50, 256, 2);
    rig_init(&r, 2, 4);
    size_t n = 100;
    for (size_t i = 0; i < 2; i++) { /* two turns, something else between them */
        answer_init(&a[i]);
        struct job job = make_job(talk, n, &o, &a[i]);
        assert_ok(scheduler_submit(r.s, &job, 1, &a[i].id, &e), e);
        answer_wait(&a[i]);
        memcpy(talk + n, a[i].ids, a[i].n_steps * sizeof *talk);
        n += a[i].n_steps;
        random_ids(talk + n, 10, 256, 3);
        n += 10;
        answer_init(&a[2 + i]);
        job = make_job(other, 50, &o, &a[2 + i]);
        assert_ok(scheduler_submit(r.s, &job, 1, &a[2 + i].id, &e), e);
        answer_wait(&a[2 + i]);
    }
    assert_int_equal(a[0].result.n_cached, 0);
    assert_int_equal(a[1].result.n_cached, 100 + 19); /* the last token drawn was not fed */
    assert_int_equal(a[2].result.n_cached, 0);
    assert_int_equal(a[3].result.n_cached, 49); /* the last is always fed */
    assert_int_equal(scheduler_stats(r.s).n_cached, 119 + 49);
    assert_memory_equal(a[2].ids, a[3].ids, 20 * sizeof *a[2].ids);
    for (size_t i = 0; i < 4; i++)
        answer_free(&a[i]);
    rig_free(&r);
}

/* What two conversations begin with is copied, and neither drops the other. */
static void a_common_beginning_is_copied(void **state)
{
    (void)state;
    enum { COMMON = 40, OWN = 90 };
    struct rig r;
    struct generate_options o = greedy(5);
    struct answer a[4], alone;
    struct error e;
    int32_t talks[2][COMMON + OWN];
    for (size_t i = 0; i < 2; i++) {
        random_ids(talks[i], COMMON + OWN, 256, 50 + i);
        random_ids(talks[i], COMMON, 256, 49);
    }
    rig_init(&r, 2, 4);
    for (size_t i = 0; i < 4; i++) {
        answer_init(&a[i]);
        struct job job = make_job(talks[i % 2], COMMON + OWN, &o, &a[i]);
        assert_ok(scheduler_submit(r.s, &job, 1, &a[i].id, &e), e);
        answer_wait(&a[i]);
    }
    assert_int_equal(a[0].result.n_cached, 0);
    assert_int_equal(a[1].result.n_cached, COMMON);
    assert_int_equal(a[2].result.n_cached, COMMON + OWN - 1);
    assert_int_equal(a[3].result.n_cached, COMMON + OWN - 1);
    scheduler_free(r.s);
    struct scheduler_options one = {1, CONTEXT, 1, 1, DTYPE_F32, NULL, 0};
    assert_ok(scheduler_start(&r.s, &r.m, r.t, &one, &e), e);
    answer_init(&alone);
    struct job job = make_job(talks[1], COMMON + OWN, &o, &alone);
    assert_ok(scheduler_submit(r.s, &job, 1, &alone.id, &e), e);
    answer_wait(&alone);
    assert_memory_equal(alone.ids, a[1].ids, 5 * sizeof *alone.ids);
    assert_memory_equal(alone.ids, a[3].ids, 5 * sizeof *alone.ids);
    answer_free(&alone);
    for (size_t i = 0; i < 4; i++)
        answer_free(&a[i]);
    rig_free(&r);
}

/* Several texts for one prompt, asked for at once. */
static void a_prompt_is_computed_once(void **state)
{
    (void)state;
    enum { N = 3, PROMPT = 270 }; /* more than a chunk */
    struct rig r;
    struct generate_options o[N];
    struct answer a[N];
    struct job jobs[N];
    uint64_t ids[N];
    struct error e;
    int32_t prompt[PROMPT];
    random_ids(prompt, PROMPT, 256, 60);
    rig_init(&r, N, 0);
    for (size_t i = 0; i < N; i++) {
        o[i] = greedy(6);
        answer_init(&a[i]);
        jobs[i] = make_job(prompt, PROMPT, &o[i], &a[i]);
    }
    assert_ok(scheduler_submit(r.s, jobs, N, ids, &e), e);
    for (size_t i = 0; i < N; i++) {
        answer_wait(&a[i]);
        assert_int_equal(a[i].result.n_cached, i ? PROMPT - 1 : 0);
        assert_memory_equal(a[i].ids, a[0].ids, 6 * sizeof *a[i].ids);
    }
    assert_int_equal(scheduler_stats(r.s).n_prompt, PROMPT + N - 1);
    for (size_t i = 0; i < N; i++)
        answer_free(&a[i]);
    rig_free(&r);
}

static void jobs_can_be_cancelled(void **state)
{
    (void)state;
    enum { N = 6 };
    struct rig r;
    struct generate_options o = greedy(0), brief = greedy(5);
    static struct answer a[N];
    struct job jobs[N];
    uint64_t ids[N];
    struct error e;
    int32_t prompt[20];
    random_ids(prompt, 20, 256, 1);
    rig_init(&r, 2, N);
    for (size_t i = 0; i < N; i++) {
        answer_init(&a[i]);
        jobs[i] = make_job(prompt, 20, i < 4 ? &o : &brief, &a[i]);
        a[i].cancel_in = r.s;
        a[i].cancel_after = i == 0 ? 7 : SIZE_MAX;
        a[i].id = i + 1; /* the first names there are */
    }
    assert_ok(scheduler_submit(r.s, jobs, N, ids, &e), e);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(ids[i], i + 1);
    scheduler_cancel(r.s, ids[3]); /* waiting, most likely */
    scheduler_cancel(r.s, 12345);  /* nobody's */
    answer_wait(&a[0]);
    scheduler_cancel(r.s, ids[0]); /* gone already */
    scheduler_cancel(r.s, ids[1]);
    scheduler_cancel(r.s, ids[2]);
    for (size_t i = 0; i < N; i++) {
        answer_wait(&a[i]);
        assert_int_equal(a[i].n_finished, 1);
        assert_int_equal(a[i].result.code, OK);
        if (i == 1) /* it may have come to its end before */
            continue;
        assert_int_equal(a[i].result.reason, i < 4 ? STOPPED_INTERRUPTED : STOPPED_LENGTH);
    }
    assert_int_equal(a[0].n_steps, 7);
    assert_int_equal(a[4].n_steps, 5);
    for (size_t i = 0; i < N; i++)
        answer_free(&a[i]);
    /* and those that are there when it stops */
    for (size_t i = 0; i < 4; i++) {
        answer_init(&a[i]);
        jobs[i] = make_job(prompt, 20, &o, &a[i]);
    }
    assert_ok(scheduler_submit(r.s, jobs, 4, ids, &e), e);
    rig_free(&r);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(a[i].n_finished, 1);
        answer_free(&a[i]);
    }
}

/* Holds the scheduler's thread in its callback, so that the queue stays as it is. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static void on_gate(void *context, const struct progress_step *step)
{
    on_progress(context, step);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct rig r;
    struct generate_options o = greedy(2), wrong = greedy(2);
    struct answer a[4];
    struct job jobs[5];
    uint64_t ids[5];
    struct error e;
    int32_t prompt[CONTEXT + 1] = {1}, bad[] = {1, 256};
    rig_init(&r, 1, 2);
    for (size_t i = 0; i < 5; i++) {
        jobs[i] = make_job(prompt, 3, &o, &a[i % 4]);
        if (i < 4)
            answer_init(&a[i]);
    }
    struct job job = jobs[0];
    job.n_prompt = 0;
    assert_int_equal(scheduler_submit(r.s, &job, 1, ids, &e), ERR_USAGE);
    job.n_prompt = CONTEXT;
    assert_int_equal(scheduler_submit(r.s, &job, 1, ids, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "400 tokens long"));
    job = make_job(bad, 2, &o, a);
    assert_int_equal(scheduler_submit(r.s, &job, 1, ids, &e), ERR_USAGE);
    wrong.sampler.top_p = 0;
    job = make_job(prompt, 2, &wrong, a);
    assert_int_equal(scheduler_submit(r.s, &job, 1, ids, &e), ERR_USAGE);
    assert_int_equal(scheduler_submit(r.s, jobs, 4, ids, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "asks for 4 texts at once; the queue takes 3"));

    pthread_mutex_lock(&gate);
    jobs[0].progress = on_gate;
    assert_ok(scheduler_submit(r.s, jobs, 1, ids, &e), e);
    pthread_mutex_lock(&a[0].lock);
    while (a[0].n_steps == 0)
        pthread_cond_wait(&a[0].changed, &a[0].lock);
    pthread_mutex_unlock(&a[0].lock);
    assert_ok(scheduler_submit(r.s, jobs + 1, 1, ids, &e), e);
    assert_int_equal(scheduler_submit(r.s, jobs + 2, 2, ids, &e), ERR_MEMORY); /* all or nothing */
    assert_ok(scheduler_submit(r.s, jobs + 2, 1, ids, &e), e);
    assert_int_equal(scheduler_submit(r.s, jobs + 3, 1, ids, &e), ERR_MEMORY);
    assert_string_equal(e.message, "the queue is full: 1 requests are being answered and 2 wait");
    assert_int_equal(scheduler_stats(r.s).n_queued, 2);
    scheduler_close(r.s);
    assert_int_equal(scheduler_submit(r.s, jobs + 3, 1, ids, &e), ERR_INTERRUPTED);
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < 3; i++) { /* those taken before go on */
        answer_wait(&a[i]);
        assert_int_equal(a[i].result.reason, STOPPED_LENGTH);
        assert_int_equal(a[i].n_steps, 2);
    }
    assert_int_equal(a[3].n_finished, 0);
    for (size_t i = 0; i < 4; i++)
        answer_free(&a[i]);
    rig_free(&r);
}

static void probabilities_are_those_of_a_full_pass(void **state)
{
    (void)state;
    enum { N = 290, DRAWN = 9 }; /* more than a chunk */
    struct rig r;
    struct generate_options o = greedy(DRAWN);
    struct answer a[2];
    struct error e;
    int32_t ids[N + DRAWN];
    random_ids(ids, N, 256, 4);
    rig_init(&r, 2, 4);
    for (size_t i = 0; i < 2; i++) { /* the second finds the prompt in the cache, and needs it anew */
        answer_init(&a[i]);
        struct job job = make_job(ids, N, &o, &a[i]);
        job.logprobs = job.score_prompt = true;
        job.n_top = 3;
        job.draws_nothing = i == 1;
        assert_ok(scheduler_submit(r.s, &job, 1, &a[i].id, &e), e);
        answer_wait(&a[i]);
    }
    assert_int_equal(a[0].n_steps, N + DRAWN);
    assert_int_equal(a[1].n_steps, N);
    assert_int_equal(a[1].result.reason, STOPPED_LENGTH);
    assert_int_equal(a[1].result.n_generated, 0);
    memcpy(ids + N, a[0].ids + N, DRAWN * sizeof *ids);
    scheduler_free(r.s);
    r.s = NULL;
    float *want = full_logits(&r.m, ids, N + DRAWN);
    assert_true(isnan(a[0].logprobs[0]) && isnan(a[1].logprobs[0]));
    for (size_t i = 1; i < N + DRAWN; i++) {
        const float *row = want + (i - 1) * 256;
        double expected = -nats(row, 256, ids[i]), best = -INFINITY;
        for (int32_t k = 0; k < 256; k++)
            best = fmax(best, -nats(row, 256, k));
        assert_int_equal(a[0].ids[i], ids[i]);
        assert_true(fabs(a[0].logprobs[i] - expected) < 1e-4);
        assert_true(fabs(a[0].best[i] - best) < 1e-4);
        if (i < N)
            assert_true(a[1].ids[i] == ids[i] && fabs(a[1].logprobs[i] - expected) < 1e-4);
    }
    mem_free(want);
    answer_free(&a[0]);
    answer_free(&a[1]);
    rig_free(&r);
}

static void the_likeliest_come_first(void **state)
{
    (void)state;
    const float logits[] = {1, 3, -2, 3, 0};
    struct token_logprob top[LOGPROBS_MOST];
    double log_sum = logits_log_sum(logits, 5);
    assert_true(fabs(log_sum - log(exp(1) + 2 * exp(3) + exp(-2) + 1)) < 1e-12);
    assert_int_equal(logits_top(logits, 5, log_sum, 3, top), 3);
    assert_int_equal(top[0].id, 1);
    assert_int_equal(top[1].id, 3);
    assert_int_equal(top[2].id, 0);
    assert_true(fabs(top[2].logprob - (1 - log_sum)) < 1e-12);
    assert_int_equal(logits_top(logits, 5, log_sum, LOGPROBS_MOST, top), 5);
    assert_int_equal(top[4].id, 2);
    assert_int_equal(logits_top(logits, 5, log_sum, 0, top), 0);
}

static void damaged_weights_are_reported(void **state)
{
    (void)state;
    struct rig r;
    struct generate_options o = greedy(2);
    struct answer a;
    struct error e;
    int32_t prompt[] = {1, 2};
    rig_init(&r, 1, 1);
    r.m.output_norm.weight->value[3] = NAN;
    answer_init(&a);
    struct job job = make_job(prompt, 2, &o, &a);
    assert_ok(scheduler_submit(r.s, &job, 1, &a.id, &e), e);
    answer_wait(&a);
    assert_int_equal(a.result.code, ERR_FORMAT);
    assert_non_null(strstr(a.error.message, "not a number"));
    answer_free(&a);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(what_was_computed_is_used_again),
        cmocka_unit_test(a_common_beginning_is_copied),
        cmocka_unit_test(a_prompt_is_computed_once),
        cmocka_unit_test(jobs_can_be_cancelled),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(probabilities_are_those_of_a_full_pass),
        cmocka_unit_test(the_likeliest_come_first),
        cmocka_unit_test(damaged_weights_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
