#include "infer/complete_many.h"

#include "base/check.h"
#include "base/log.h"

int complete_many_init(struct complete_many *c, struct model *m, const struct tokenizer *t,
                       const struct complete_many_options *o, struct error *e)
{
    *c = (struct complete_many){.sampler = o->sampler, .go_on = o->go_on, .go_on_context = o->go_on_context};
    int code = sampler_check(&o->sampler, m->config.vocab_size, e);
    return code ? code : slots_init(&c->slots, m, t, o->n_at_once, o->context, o->cache_type, e);
}

void complete_many_free(struct complete_many *c)
{
    slots_free(&c->slots);
}

size_t complete_many_bytes(const struct model *m, const struct complete_many_options *o)
{
    return slots_bytes(m, o->n_at_once, o->context, o->cache_type);
}

struct work;

/* One prompt of a call. */
struct request {
    struct work *work;
    struct generate_options options;
    struct tokens *out;
};

/* A call. */
struct work {
    struct complete_many *c;
    const struct prompt *prompts;
    struct request *requests;
    size_t n, n_begun;
    struct task *next; /* begun, and without a slot yet */
    int code;          /* the first thing that went wrong, and `error` says it */
    struct error error;
};

static void on_progress(void *context, const struct progress_step *step)
{
    (void)context;
    (void)step; /* all is told at the end */
}

static void on_finished(void *context, const struct job_result *result)
{
    struct request *r = context;
    struct work *w = r->work;
    r->out->count = 0;
    for (size_t i = 0; i < result->tokens->count; i++)
        tokens_push(r->out, result->tokens->ids[i]);
    w->c->n_prompts++;
    w->c->n_generated += result->n_generated;
    w->c->n_ended += !result->code && result->reason == STOPPED_END;
    if (!result->code || w->code)
        return;
    w->code = result->code;
    w->error = *result->error;
}

static void begin_next(struct work *w)
{
    const struct prompt *p = &w->prompts[w->n_begun];
    struct request *r = &w->requests[w->n_begun++];
    CHECK(p->max_new_tokens > 0);
    r->options = (struct generate_options){.sampler = w->c->sampler, .max_tokens = p->max_new_tokens};
    r->options.sampler.seed = (size_t)p->seed;
    struct job job = {.prompt = p->ids, .n_prompt = p->n, .options = &r->options, .progress = on_progress,
                      .finished = on_finished, .context = r};
    w->code = task_new(&w->c->slots, &job, &w->next, &w->error);
}

/* Gives free slots to the prompts that come next, as far as these are not to wait. */
static void admit(struct work *w)
{
    struct slots *s = &w->c->slots;
    while (!w->code && s->n_running < s->n) {
        if (!w->next && w->n_begun < w->n)
            begin_next(w);
        if (!w->next || slots_should_wait(s, w->next))
            return;
        slots_admit(s, w->next);
        w->next = NULL;
    }
}

/* Whoever asked wants no more: what is in work ends with the next step. */
static void interrupt(struct work *w)
{
    struct slots *s = &w->c->slots;
    w->code = error_set(&w->error, ERR_INTERRUPTED, "interrupted");
    for (size_t i = 0; i < s->n; i++)
        if (s->slots[i].task)
            s->slots[i].task->cancelled = true;
}

/* A prompt that is refused, or fails, keeps those behind it from being begun; those in work go on to their end. */
static void run(struct work *w)
{
    struct slots *s = &w->c->slots;
    do {
        admit(w);
        tasks_finish(slots_step(s));
        if (!w->code && w->c->go_on && !w->c->go_on(w->c->go_on_context))
            interrupt(w);
    } while (s->n_running > 0 || (!w->code && (w->next || w->n_begun < w->n)));
    if (w->next)
        task_free(w->next);
}

static int complete(void *context, const struct prompt *prompts, size_t n, struct tokens *out, struct error *e)
{
    struct complete_many *c = context;
    struct model *m = c->slots.model;
    bool split = model_is_split(m);
    uint64_t dropout_seed = m->dropout_seed;
    double began = clock_seconds();
    struct work w = {.c = c, .prompts = prompts, .requests = mem_alloc(n, sizeof *w.requests), .n = n};
    for (size_t i = 0; i < n; i++)
        w.requests[i] = (struct request){.work = &w, .out = &out[i]};
    model_join(m);
    m->dropout_seed = 0;
    slots_forget(&c->slots);
    run(&w);
    m->dropout_seed = dropout_seed;
    if (split)
        model_split(m);
    mem_free(w.requests);
    c->seconds += clock_seconds() - began;
    if (w.code && e)
        *e = w.error;
    return w.code;
}

struct completer complete_many_completer(struct complete_many *c)
{
    return (struct completer){c, complete};
}
