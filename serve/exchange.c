#include "serve/exchange.h"

#include "base/check.h"
#include "infer/generate.h"
#include "grammar/json_schema.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { USUAL_COMPLETION = 16 }; /* tokens, OpenAI's default */

/* One of the texts asked for. */
struct choice {
    struct exchange *x;
    size_t index;
    struct generate_options options;
    struct buffer text;      /* of an answer that is no stream */
    json_t *sure, *pending;  /* log probabilities of tokens whose text is out, and of those whose is not; or NULL */
    size_t offset;           /* characters of the text so far */
    size_t prompt_steps;     /* tokens of the prompt that are still to be told */
    bool role_told, finished;
    enum stop_reason reason;
    struct job_result result;
    uint64_t id;
};

struct exchange {
    const struct service *service;
    struct api_request request;
    struct grammar *grammar; /* of all its texts; NULL: none */
    float *strengths;        /* of the adapters; NULL: as the server has them set */
    struct api_head head;
    char id[48];
    struct exchange_listener listener;
    pthread_mutex_t lock;
    struct choice *choices;
    size_t n_choices, n_unfinished;
    struct buffer out; /* the answer, from `taken` on not yet read */
    size_t taken;
    bool asleep, over, closed, failed;
    struct api_error failure;
};

/* Ends */

static void exchange_free(struct exchange *x)
{
    for (size_t i = 0; i < x->n_choices; i++) {
        buffer_free(&x->choices[i].text);
        json_decref(x->choices[i].sure);
        json_decref(x->choices[i].pending);
    }
    mem_free(x->choices);
    grammar_free(x->grammar);
    mem_free(x->strengths);
    api_request_free(&x->request);
    buffer_free(&x->out);
    pthread_mutex_destroy(&x->lock);
    mem_free(x);
}

static void cancel_all(struct exchange *x)
{
    for (size_t i = 0; i < x->n_choices; i++)
        if (!x->choices[i].finished)
            scheduler_cancel(x->service->scheduler, x->choices[i].id);
}

void exchange_close(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->closed = true;
    cancel_all(x);
    bool last = x->n_unfinished == 0;
    pthread_mutex_unlock(&x->lock);
    if (last)
        exchange_free(x);
}

/* Output; the lock is held in all of these. */

static void wake(struct exchange *x)
{
    if (!x->asleep || x->closed)
        return;
    x->asleep = false;
    x->listener.wake(x->listener.context);
}

static int append_json(const char *bytes, size_t n, void *context)
{
    buffer_append(context, bytes, n);
    return 0;
}

static void put_json(struct exchange *x, json_t *value)
{
    CHECK(value); /* text is always made well-formed */
    json_dump_callback(value, append_json, &x->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
}

static void put_event(struct exchange *x, json_t *value)
{
    buffer_string(&x->out, "data: ");
    put_json(x, value);
    buffer_string(&x->out, "\n\n");
}

static json_t *list_of(json_t *choice)
{
    return json_pack("[o]", choice);
}

/* With "include_usage" all chunks but the last say null. */
static void put_chunk(struct choice *c, const char *text, size_t n, const char *finish_reason)
{
    struct exchange *x = c->x;
    json_t *logprobs = NULL;
    if (c->sure && json_array_size(json_object_get(c->sure, c->x->request.kind == API_CHAT ? "content" : "tokens"))) {
        logprobs = c->sure;
        c->sure = api_logprobs_new(x->request.kind);
    }
    json_t *choice = api_chunk_choice_json(x->request.kind, c->index, !c->role_told, text, n, logprobs, finish_reason);
    json_t *chunk = api_answer_json(&x->head, true, list_of(choice));
    c->role_told = true;
    if (x->request.include_usage)
        json_object_set_new(chunk, "usage", json_null());
    put_event(x, chunk);
    wake(x);
}

static json_t *usage(const struct exchange *x)
{
    size_t n_prompt = 0, n_generated = 0, n_cached = 0;
    for (size_t i = 0; i < x->n_choices; i++) {
        const struct job_result *r = &x->choices[i].result;
        n_generated += r->n_generated;
        if (i % x->request.n == 0) /* several texts of one prompt: it counts once */
            n_prompt += r->n_prompt, n_cached += r->n_cached;
    }
    return api_usage_json(n_prompt, n_generated, n_cached);
}

static void put_whole(struct exchange *x)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < x->n_choices; i++) {
        struct choice *c = &x->choices[i];
        json_array_append_new(choices, api_choice_json(x->request.kind, i, c->text.data ? c->text.data : "",
                                                       c->text.size, c->sure, api_finish_reason(c->reason)));
        c->sure = NULL;
    }
    json_t *answer = api_answer_json(&x->head, false, choices);
    json_object_set_new(answer, "usage", usage(x));
    put_json(x, answer);
}

static void put_end(struct exchange *x)
{
    if (x->failed && x->request.stream)
        put_event(x, api_error_json(&x->failure));
    else if (x->failed)
        put_json(x, api_error_json(&x->failure));
    else if (!x->request.stream)
        put_whole(x);
    if (x->request.stream && x->request.include_usage && !x->failed) {
        json_t *chunk = api_answer_json(&x->head, true, json_array());
        json_object_set_new(chunk, "usage", usage(x));
        put_event(x, chunk);
    }
    if (x->request.stream)
        buffer_string(&x->out, "data: [DONE]\n\n");
    x->over = true;
    wake(x);
}

/* What the scheduler tells; its thread calls these. */

static void let_out(struct choice *c, const char *text, size_t n)
{
    if (c->sure)
        api_logprobs_move(c->sure, c->pending);
    if (c->x->request.stream)
        put_chunk(c, text, n, NULL);
    else
        buffer_append(&c->text, text, n);
}

static void on_progress(void *context, const struct progress_step *step)
{
    struct choice *c = context;
    struct exchange *x = c->x;
    pthread_mutex_lock(&x->lock);
    if (x->closed)
        goto done;
    if (c->pending && step->has_token)
        api_logprobs_add(c->pending, x->request.kind, x->service->tokenizer, step, &c->offset);
    if (c->prompt_steps > 0 && --c->prompt_steps == 0)
        let_out(c, "", 0);
    else if (step->n > 0)
        let_out(c, step->text, step->n);
done:
    pthread_mutex_unlock(&x->lock);
}

static void note_failure(struct exchange *x, const struct job_result *r)
{
    x->failed = true;
    if (r->code == ERR_USAGE)
        api_refuse(&x->failure, 400, NULL, "invalid_value", "%s", r->error->message);
    else if (r->code)
        api_refuse(&x->failure, 500, NULL, "model_failed", "%s", r->error->message);
    else
        api_refuse(&x->failure, 503, NULL, "shutting_down", "the server is shutting down");
}

static void on_finished(void *context, const struct job_result *result)
{
    struct choice *c = context;
    struct exchange *x = c->x;
    pthread_mutex_lock(&x->lock);
    c->finished = true;
    c->result = *result;
    c->reason = result->reason;
    if (result->code || result->reason == STOPPED_INTERRUPTED)
        note_failure(x, result);
    if (c->sure && c->reason != STOPPED_STRING) /* a stop string's tokens are no part of the text */
        api_logprobs_move(c->sure, c->pending);
    if (!x->closed && !x->failed && x->request.stream)
        put_chunk(c, NULL, 0, api_finish_reason(c->reason));
    if (--x->n_unfinished == 0 && !x->closed)
        put_end(x);
    bool last = x->n_unfinished == 0 && x->closed;
    pthread_mutex_unlock(&x->lock);
    if (last)
        exchange_free(x);
}

/* Beginning */

static int prompt_of(const struct exchange *x, size_t i, struct tokens *ids, struct api_error *e)
{
    const struct api_request *q = &x->request;
    const struct service *s = x->service;
    struct error why;
    if (q->kind == API_CHAT) {
        if (!s->template)
            return api_refuse(e, 400, "messages", "no_chat_template",
                              "the model has no chat template; use /v1/completions, or start the server with "
                              "--chat-template FILE");
        if (chat_prompt_tokens(s->template, s->tokenizer, q->messages, q->tools, q->variables, ids, &why))
            return api_refuse(e, 400, "messages", "chat_template", "%s", why.message);
        return OK;
    }
    const json_t *prompt = json_array_get(q->prompts, i);
    if (json_is_string(prompt)) {
        if (prompt_tokens(s->tokenizer, json_string_value(prompt), json_string_length(prompt), true, ids, &why))
            return api_refuse(e, 400, "prompt", "invalid_value", "%s", why.message);
        return OK;
    }
    for (size_t k = 0; k < json_array_size(prompt); k++)
        tokens_push(ids, (int32_t)json_integer_value(json_array_get(prompt, k)));
    return OK;
}

static size_t random_number(void)
{
    size_t n = 0;
    while (getrandom(&n, sizeof n, 0) != sizeof n)
        continue;
    return n;
}

/* The text that is echoed is the one that was sent, or that of the ids. */
static void echo(struct choice *c, const json_t *prompt, const struct tokens *ids)
{
    struct buffer text = {0};
    if (json_is_string(prompt))
        buffer_append(&text, json_string_value(prompt), json_string_length(prompt));
    else
        tokenizer_decode(c->x->service->tokenizer, ids->ids, ids->count, true, &text);
    if (c->x->request.stream)
        put_chunk(c, text.data ? text.data : "", text.size, NULL);
    else if (text.size)
        buffer_append(&c->text, text.data, text.size);
    buffer_free(&text);
}

static void set_up(struct choice *c, const struct tokens *ids, struct job *job)
{
    const struct api_request *q = &c->x->request;
    size_t usual = q->kind == API_COMPLETION ? USUAL_COMPLETION : 0;
    struct sampler_options *sampler = &c->options.sampler;
    c->options = q->options;
    c->options.grammar = c->x->grammar;
    c->options.trie = c->x->grammar ? c->x->service->trie : NULL;
    c->options.max_tokens = q->max_tokens == API_NOT_GIVEN ? usual : q->max_tokens;
    if (q->has_seed)
        sampler->seed += c->index % q->n;
    else
        sampler->seed = random_number();
    if (sampler->repetition_window == API_NOT_GIVEN) { /* OpenAI's penalties look at the whole text */
        bool whole = sampler->presence_penalty != 0 || sampler->frequency_penalty != 0;
        sampler->repetition_window = whole ? c->x->service->context : sampler_defaults().repetition_window;
    }
    *job = (struct job){.prompt = ids->ids, .n_prompt = ids->count, .options = &c->options,
                        .logprobs = q->logprobs, .n_top = q->n_top, .score_prompt = q->logprobs && q->echo,
                        .draws_nothing = q->max_tokens == 0, .strengths = c->x->strengths, .progress = on_progress, .finished = on_finished,
                        .context = c};
    c->prompt_steps = job->score_prompt ? ids->count : 0;
    if (q->logprobs) {
        c->sure = api_logprobs_new(q->kind);
        c->pending = api_logprobs_new(q->kind);
    }
    if (q->echo)
        echo(c, json_array_get(q->prompts, c->index / q->n), ids);
    else if (q->stream && q->kind == API_CHAT)
        put_chunk(c, "", 0, NULL);
}

static int refuse_job(int code, const struct error *why, struct api_error *e)
{
    if (code == ERR_MEMORY)
        return api_refuse(e, 429, NULL, "queue_full", "%s", why->message);
    if (code == ERR_INTERRUPTED)
        return api_refuse(e, 503, NULL, "shutting_down", "%s", why->message);
    return api_refuse(e, 400, NULL, "invalid_value", "%s", why->message);
}

static int check_length(const struct exchange *x, const struct tokens *ids, struct api_error *e)
{
    size_t context = x->service->context, room = context - (x->request.max_tokens != 0);
    if (ids->count <= room)
        return OK;
    return api_refuse(e, 400, x->request.kind == API_CHAT ? "messages" : "prompt", "context_length_exceeded",
                      "the prompt is %zu tokens long; the context is %zu tokens, prompt and answer together",
                      ids->count, context);
}

/* All jobs or none. The lock is held, so that no callback comes before all is as it should be. */
static int submit(struct exchange *x, const struct tokens *prompts, struct api_error *e)
{
    struct job *jobs = mem_zero(x->n_choices, sizeof *jobs);
    uint64_t *ids = mem_zero(x->n_choices, sizeof *ids);
    struct error why;
    for (size_t i = 0; i < x->n_choices; i++) {
        x->choices[i] = (struct choice){.x = x, .index = i};
        set_up(&x->choices[i], &prompts[i / x->request.n], &jobs[i]);
    }
    int code = scheduler_submit(x->service->scheduler, jobs, x->n_choices, ids, &why);
    if (code)
        code = refuse_job(code, &why, e);
    for (size_t i = 0; i < x->n_choices; i++)
        x->choices[i].id = ids[i];
    mem_free(jobs);
    mem_free(ids);
    return code;
}

/* What the answer must follow. */
static int make_grammar(struct exchange *x, struct api_error *e)
{
    static const char any_object[] = "{\"type\": \"object\"}";
    const struct api_request *q = &x->request;
    struct buffer text = {0};
    struct error why;
    int code = OK;
    if (q->format == FORMAT_TEXT)
        return OK;
    if (q->format == FORMAT_GRAMMAR)
        buffer_string(&text, q->grammar);
    else if (q->format == FORMAT_JSON_SCHEMA)
        code = json_schema_write(q->schema, &text, &why);
    else
        code = json_schema_parse(any_object, sizeof any_object - 1, &text, &why);
    if (!code)
        code = grammar_parse(text.data, text.size, &x->grammar, &why);
    buffer_free(&text);
    if (code)
        return api_refuse(e, 400, q->format == FORMAT_GRAMMAR ? "grammar" : "response_format", "invalid_value", "%s",
                          why.message);
    return OK;
}

static int begin(struct exchange *x, struct api_error *e)
{
    size_t n = x->request.kind == API_CHAT ? 1 : json_array_size(x->request.prompts);
    struct tokens *prompts = mem_zero(n, sizeof *prompts);
    int code = OK;
    if (x->request.max_tokens == 0 && x->request.kind == API_CHAT)
        code = api_refuse(e, 400, "max_tokens", "invalid_value", "\"max_tokens\" must be 1 or more");
    if (!code)
        code = make_grammar(x, e);
    if (!code)
        code = api_choose_adapters(&x->request, x->service->adapters, x->service->n_adapters, &x->strengths,
                                   &x->head.model, e);
    for (size_t i = 0; !code && i < n; i++)
        code = prompt_of(x, i, &prompts[i], e);
    for (size_t i = 0; !code && i < n; i++)
        code = check_length(x, &prompts[i], e);
    if (!code) {
        x->n_choices = x->n_unfinished = n * x->request.n;
        x->choices = mem_zero(x->n_choices, sizeof *x->choices);
        pthread_mutex_lock(&x->lock);
        code = submit(x, prompts, e);
        pthread_mutex_unlock(&x->lock);
    }
    for (size_t i = 0; i < n; i++)
        tokens_free(&prompts[i]);
    mem_free(prompts);
    return code;
}

int exchange_begin(const struct service *s, enum api_kind kind, const char *body, size_t n,
                   const struct exchange_listener *l, struct exchange **out, struct api_error *e)
{
    *out = NULL;
    struct exchange *x = mem_zero(1, sizeof *x);
    x->service = s;
    x->listener = *l;
    int code = api_parse(kind, body, n, &x->request, e);
    if (code) {
        mem_free(x);
        return code;
    }
    pthread_mutex_init(&x->lock, NULL);
    snprintf(x->id, sizeof x->id, "%s-%016zx%016zx", kind == API_CHAT ? "chatcmpl" : "cmpl", random_number(),
             random_number());
    x->head = (struct api_head){kind, x->id, s->model, (int64_t)time(NULL)};
    code = begin(x, e);
    if (code)
        exchange_free(x);
    else
        *out = x;
    return code;
}

/* Reading */

bool exchange_streams(const struct exchange *x)
{
    return x->request.stream;
}

/* A stream may be read as it comes, a whole answer when it is there. */
static bool readable(const struct exchange *x)
{
    return x->over || (x->request.stream && x->out.size > x->taken);
}

size_t exchange_read(struct exchange *x, char *bytes, size_t most, bool *over)
{
    pthread_mutex_lock(&x->lock);
    size_t n = readable(x) ? x->out.size - x->taken : 0;
    n = n < most ? n : most;
    if (n > 0)
        memcpy(bytes, x->out.data + x->taken, n);
    x->taken += n;
    if (x->taken == x->out.size) {
        buffer_clear(&x->out);
        x->taken = 0;
    }
    *over = x->over && x->out.size == 0;
    pthread_mutex_unlock(&x->lock);
    return n;
}

bool exchange_sleep(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool nothing = !readable(x);
    if (nothing) {
        x->asleep = true;
        x->listener.sleep(x->listener.context);
    }
    pthread_mutex_unlock(&x->lock);
    return nothing;
}

int exchange_status(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    int status = x->failed ? x->failure.status : 200;
    pthread_mutex_unlock(&x->lock);
    return status;
}

void exchange_look(struct exchange *x, bool (*look)(void *context), void *context)
{
    pthread_mutex_lock(&x->lock);
    if (x->asleep && look(context))
        cancel_all(x);
    pthread_mutex_unlock(&x->lock);
}
