/* A scheduler on a small random model, and what its jobs are told. */
#ifndef LINNET_TESTS_INFER_ANSWERS_H
#define LINNET_TESTS_INFER_ANSWERS_H

#include "infer/scheduler.h"
#include "tests/infer/util.h"

#include <pthread.h>

enum { CONTEXT = 400 };

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buffer text;
    size_t n_steps, n_finished;
    double logprobs[CONTEXT], best[CONTEXT];
    int32_t ids[CONTEXT];
    struct job_result result;
    struct error error;
    pthread_t thread;
    struct scheduler *cancel_in; /* where it is cancelled after that many steps */
    size_t cancel_after;
    uint64_t id;
};

static void on_progress(void *context, const struct progress_step *step)
{
    struct answer *a = context;
    pthread_mutex_lock(&a->lock);
    assert_int_equal(a->n_finished, 0);
    buffer_append(&a->text, step->text ? step->text : "", step->n);
    if (step->has_token) {
        a->ids[a->n_steps] = step->id;
        a->logprobs[a->n_steps] = step->logprob;
        a->best[a->n_steps++] = step->n_top ? step->top[0].logprob : 0;
    }
    bool cancel = a->cancel_in && a->n_steps == a->cancel_after;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (cancel)
        scheduler_cancel(a->cancel_in, a->id);
}

static void on_finished(void *context, const struct job_result *result)
{
    struct answer *a = context;
    pthread_mutex_lock(&a->lock);
    a->result = *result;
    if (result->error)
        a->error = *result->error;
    a->n_finished++;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

__attribute__((unused)) static void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
}

__attribute__((unused)) static void answer_wait(struct answer *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->n_finished)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

__attribute__((unused)) static void answer_free(struct answer *a)
{
    buffer_free(&a->text);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
}

struct rig {
    struct model m;
    struct tokenizer *t;
    struct scheduler *s;
};

__attribute__((unused)) static void rig_init(struct rig *r, size_t n_slots, size_t max_queued)
{
    struct model_config c = small_config(256, ROPE_HALF);
    struct error e;
    c.max_position_embeddings = CONTEXT;
    r->m = make_model(&c, 12);
    assert_ok(tokenizer_new_bytes(NULL, 0, &r->t, &e), e);
    struct scheduler_options o = {n_slots, CONTEXT, max_queued, 1, DTYPE_F32, NULL, 0};
    assert_ok(scheduler_start(&r->s, &r->m, r->t, &o, &e), e);
}

__attribute__((unused)) static void rig_free(struct rig *r)
{
    scheduler_free(r->s);
    tokenizer_free(r->t);
    model_free(&r->m);
}

__attribute__((unused)) static struct job make_job(const int32_t *prompt, size_t n, const struct generate_options *o, struct answer *a)
{
    return (struct job){.prompt = prompt, .n_prompt = n, .options = o, .progress = on_progress,
                        .finished = on_finished, .context = a};
}

__attribute__((unused)) static struct generate_options greedy(size_t max_tokens)
{
    struct generate_options o = {.sampler = sampler_defaults(), .max_tokens = max_tokens};
    o.sampler.temperature = 0;
    return o;
}

#endif
