#include "infer/scheduler.h"

#include "base/check.h"
#include "kernels/gemm.h"

#include <pthread.h>

/* The lock guards the queue, the running tasks' list, the counts, the flags and the strengths. `slots` belongs to the thread,
 * which alone calls the jobs' functions, never with the lock held. */
struct scheduler {
    struct slots slots;
    struct scheduler_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct task *first, **end; /* waiting, oldest first */
    struct task **running;     /* (n_slots) in slots, as the thread last saw them; NULL: none */
    size_t n_queued, n_running;
    uint64_t last_id;
    float *strengths;          /* (n_adapters) for jobs without */
    bool closed, stopping;
    struct scheduler_stats stats;
};

/* Before and after each step, so that no address of a task that is gone stays here. */
static void note_running(struct scheduler *s)
{
    const struct slots *slots = &s->slots;
    s->n_running = slots->n_running;
    for (size_t i = 0; i < slots->n; i++)
        s->running[i] = slots->slots[i].task;
    s->stats.n_prompt = slots->n_prompt, s->stats.n_cached = slots->n_cached;
    s->stats.n_generated = slots->n_generated, s->stats.n_steps = slots->n_steps;
    s->stats.prefill_seconds = slots->prefill_seconds, s->stats.decode_seconds = slots->decode_seconds;
}

/* Takes the task that *at points to out of the queue. */
static struct task *unlink_task(struct scheduler *s, struct task **at)
{
    struct task *t = *at;
    *at = t->next;
    if (s->end == &t->next)
        s->end = at;
    t->next = NULL;
    s->n_queued--;
    return t;
}

/* Out of the queue: tasks that were cancelled, in a list. */
static struct task *take_cancelled(struct scheduler *s)
{
    struct task *list = NULL;
    for (struct task **at = &s->first; *at;) {
        if (!atomic_load(&(*at)->cancelled)) {
            at = &(*at)->next;
            continue;
        }
        struct task *t = unlink_task(s, at);
        t->next = list;
        list = t;
    }
    return list;
}

/* One turn; the lock is held before and after, and not while tokens are computed or others are called; only a prefix
 * that another slot has is copied with it. A job's `finished` is called when its place is free for others again. */
static void turn(struct scheduler *s)
{
    struct task *cancelled = take_cancelled(s);
    while (s->first && s->slots.n_running < s->slots.n && !slots_should_wait(&s->slots, s->first))
        slots_admit(&s->slots, unlink_task(s, &s->first));
    note_running(s);
    pthread_mutex_unlock(&s->lock);
    tasks_finish(cancelled);
    struct task *ended = slots_step(&s->slots);
    pthread_mutex_lock(&s->lock);
    note_running(s);
    pthread_mutex_unlock(&s->lock);
    tasks_finish(ended);
    pthread_mutex_lock(&s->lock);
}

static void *work(void *context)
{
    struct scheduler *s = context;
    kernels_set_threads(s->options.threads); /* OpenMP keeps the number for each thread */
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->first && s->slots.n_running == 0 && !s->stopping)
            pthread_cond_wait(&s->work, &s->lock);
        if (!s->first && s->slots.n_running == 0)
            break;
        turn(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int scheduler_start(struct scheduler **out, struct model *m, const struct tokenizer *t,
                    const struct scheduler_options *o, struct error *e)
{
    *out = NULL;
    struct scheduler *s = mem_zero(1, sizeof *s);
    s->options = *o;
    s->end = &s->first;
    int code = slots_init(&s->slots, m, t, o->n_slots, o->context, o->cache_type, e);
    if (code) {
        mem_free(s);
        return code;
    }
    slots_set_adapters(&s->slots, o->adapters, o->n_adapters);
    s->strengths = mem_alloc(o->n_adapters, sizeof *s->strengths);
    for (size_t i = 0; i < o->n_adapters; i++)
        s->strengths[i] = o->adapters[i]->strength;
    s->running = mem_zero(o->n_slots, sizeof(struct task *));
    s->stats.n_slots = o->n_slots, s->stats.context = o->context;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    if (pthread_create(&s->thread, NULL, work, s) == 0) {
        *out = s;
        return OK;
    }
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->running);
    mem_free(s->strengths);
    slots_free(&s->slots);
    mem_free(s);
    return error_set_errno(e, "cannot start a thread");
}

void scheduler_stop(struct scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    bool running = !s->stopping;
    s->closed = s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    scheduler_cancel_all(s);
    if (running)
        pthread_join(s->thread, NULL);
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    scheduler_stop(s);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->running);
    mem_free(s->strengths);
    slots_free(&s->slots);
    mem_free(s);
}

static int make_tasks(struct scheduler *s, const struct job *jobs, size_t n, struct task **tasks, struct error *e)
{
    for (size_t i = 0; i < n; i++) {
        int code = task_new(&s->slots, &jobs[i], &tasks[i], e);
        if (code) {
            while (i-- > 0)
                task_free(tasks[i]);
            return code;
        }
    }
    return OK;
}

static int find_room(const struct scheduler *s, size_t n, struct error *e)
{
    size_t most = s->options.n_slots + s->options.max_queued;
    if (n > most)
        return error_set(e, ERR_USAGE, "asks for %zu texts at once; the queue takes %zu", n, most);
    if (s->closed)
        return error_set(e, ERR_INTERRUPTED, "the server is shutting down");
    if (s->n_running + s->n_queued + n > most)
        return error_set(e, ERR_MEMORY, "the queue is full: %zu requests are being answered and %zu wait",
                         s->n_running, s->n_queued);
    return OK;
}

int scheduler_submit(struct scheduler *s, const struct job *jobs, size_t n, uint64_t *ids, struct error *e)
{
    CHECK(n > 0);
    struct task **tasks = mem_zero(n, sizeof(struct task *));
    int code = make_tasks(s, jobs, n, tasks, e);
    if (code)
        goto done;
    pthread_mutex_lock(&s->lock);
    code = find_room(s, n, e);
    for (size_t i = 0; i < n; i++) {
        if (code) {
            task_free(tasks[i]);
            continue;
        }
        for (size_t k = 0; !jobs[i].strengths && k < s->options.n_adapters; k++)
            tasks[i]->strengths[k] = s->strengths[k];
        tasks[i]->id = ids[i] = ++s->last_id;
        *s->end = tasks[i];
        s->end = &tasks[i]->next;
        s->n_queued++;
    }
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
done:
    mem_free(tasks);
    return code;
}

static void copy_strengths(struct scheduler *s, float *to, const float *from)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->options.n_adapters; i++)
        to[i] = from[i];
    pthread_mutex_unlock(&s->lock);
}

void scheduler_set_strengths(struct scheduler *s, const float *strengths)
{
    copy_strengths(s, s->strengths, strengths);
}

void scheduler_get_strengths(struct scheduler *s, float *strengths)
{
    copy_strengths(s, strengths, s->strengths);
}

static void cancel(struct scheduler *s, uint64_t id, bool all)
{
    pthread_mutex_lock(&s->lock);
    for (struct task *t = s->first; t; t = t->next)
        if (all || t->id == id)
            atomic_store(&t->cancelled, true);
    for (size_t i = 0; i < s->options.n_slots; i++)
        if (s->running[i] && (all || s->running[i]->id == id))
            atomic_store(&s->running[i]->cancelled, true);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

void scheduler_cancel(struct scheduler *s, uint64_t id)
{
    cancel(s, id, false);
}

void scheduler_cancel_all(struct scheduler *s)
{
    cancel(s, 0, true);
}

void scheduler_close(struct scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_mutex_unlock(&s->lock);
}

struct scheduler_stats scheduler_stats(struct scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    struct scheduler_stats stats = s->stats;
    stats.n_running = s->n_running;
    stats.n_queued = s->n_queued;
    pthread_mutex_unlock(&s->lock);
    return stats;
}
