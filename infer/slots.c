#include "infer/slots.h"

#include "base/check.h"
#include "base/log.h"

#include <math.h>
#include <string.h>

static size_t chunk_of(size_t n)
{
    return RUNNER_CHUNK > 2 * n ? RUNNER_CHUNK : 2 * n;
}

int slots_init(struct slots *s, struct model *m, const struct tokenizer *t, size_t n, size_t context,
               enum dtype cache_type, struct error *e)
{
    CHECK(n > 0 && context > 0);
    size_t vocab = m->config.vocab_size, chunk = chunk_of(n);
    *s = (struct slots){.model = m, .tokenizer = t, .n = n, .context = context, .n_choices = vocab};
    if (tokenizer_vocab_size(t) < s->n_choices)
        s->n_choices = tokenizer_vocab_size(t);
    s->slots = mem_zero(n, sizeof *s->slots);
    int code = runner_init(&s->runner, m, chunk, e);
    for (size_t i = 0; !code && i < n; i++)
        code = kv_cache_init(&s->slots[i].cache, m, cache_type, context, chunk < context ? chunk : context, e);
    if (code) {
        slots_free(s);
        return code;
    }
    s->hidden = mem_alloc(n * m->config.hidden_size, sizeof *s->hidden);
    s->logits = mem_alloc(n * vocab, sizeof *s->logits);
    s->parts = mem_zero(n, sizeof *s->parts);
    s->owners = mem_zero(n, sizeof(struct slot *));
    model_reserve_positions(m, context);
    return OK;
}

size_t slots_bytes(const struct model *m, size_t n, size_t context, enum dtype cache_type)
{
    size_t chunk = chunk_of(n);
    return runner_bytes(m, chunk) + n * kv_cache_bytes(m, cache_type, context, chunk < context ? chunk : context) +
           n * (m->config.hidden_size + m->config.vocab_size) * sizeof(float);
}

void slots_set_adapters(struct slots *s, struct lora_adapter *const *adapters, size_t n)
{
    CHECK(s->n_adapters == 0 && s->n_running == 0);
    s->adapters = adapters;
    s->n_adapters = n;
    for (size_t i = 0; i < s->n; i++)
        s->slots[i].strengths = mem_zero(n, sizeof *s->slots[i].strengths);
}

void slots_forget(struct slots *s)
{
    CHECK(s->n_running == 0);
    for (size_t i = 0; i < s->n; i++) {
        struct slot *slot = &s->slots[i];
        kv_cache_rewind(&slot->cache, 0);
        slot->held.count = 0;
        slot->last_used = slot->turn = 0;
    }
    s->clock = 0;
}

void slots_free(struct slots *s)
{
    for (size_t i = 0; i < s->n; i++) {
        CHECK(!s->slots[i].task);
        kv_cache_free(&s->slots[i].cache);
        tokens_free(&s->slots[i].held);
        mem_free(s->slots[i].strengths);
    }
    runner_free(&s->runner);
    mem_free(s->slots);
    mem_free(s->hidden);
    mem_free(s->logits);
    mem_free(s->parts);
    mem_free(s->owners);
    *s = (struct slots){0};
}

/* Tasks */

static void keep_text(void *context, const char *text, size_t n)
{
    struct task *t = context;
    buffer_append(&t->delta, text, n);
}

void task_free(struct task *t)
{
    completion_free(&t->completion);
    generation_free(&t->generation);
    buffer_free(&t->delta);
    mem_free(t->prompt);
    mem_free(t->strengths);
    mem_free(t);
}

int task_new(const struct slots *s, const struct job *job, struct task **task, struct error *e)
{
    *task = NULL;
    if (job->n_prompt == 0)
        return error_set(e, ERR_USAGE, "the prompt has no tokens");
    if (job->n_prompt > s->context - !job->draws_nothing)
        return error_set(e, ERR_USAGE,
                         "the prompt is %zu tokens long; the context of %zu tokens has no room for it and an answer",
                         job->n_prompt, s->context);
    int code = runner_check_tokens(s->model, job->prompt, job->n_prompt, e);
    if (code)
        return code;
    CHECK(job->n_top <= LOGPROBS_MOST);
    struct task *t = mem_zero(1, sizeof *t);
    t->job = *job;
    code = completion_init(&t->completion, s->tokenizer, s->n_choices, job->options, keep_text, t,
                           &t->generation, e);
    if (code) {
        task_free(t);
        return code;
    }
    t->prompt = mem_alloc(job->n_prompt, sizeof *t->prompt);
    memcpy(t->prompt, job->prompt, job->n_prompt * sizeof *t->prompt);
    t->strengths = mem_zero(s->n_adapters, sizeof *t->strengths);
    if (job->strengths && s->n_adapters > 0)
        memcpy(t->strengths, job->strengths, s->n_adapters * sizeof *t->strengths);
    completion_begin(&t->completion, t->prompt, job->n_prompt, false);
    *task = t;
    return OK;
}

static void task_finish(struct task *t)
{
    completion_stop(&t->completion, STOPPED_INTERRUPTED); /* unless it is done */
    if (t->delta.size > 0)
        t->job.progress(t->job.context, &(struct progress_step){.text = t->delta.data, .n = t->delta.size});
    struct job_result r = {.code = t->code, .error = t->code ? &t->error : NULL,
                           .reason = t->generation.reason, .tokens = &t->generation.tokens, .n_prompt = t->job.n_prompt,
                           .n_cached = t->n_cached, .n_generated = t->generation.tokens.count};
    t->job.finished(t->job.context, &r);
    task_free(t);
}

void tasks_finish(struct task *list)
{
    while (list) {
        struct task *next = list->next;
        task_finish(list);
        list = next;
    }
}

/* A place for a task */

static bool same_set(const struct slots *s, const float *a, const float *b)
{
    for (size_t i = 0; i < s->n_adapters; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static size_t common_prefix(const struct tokens *held, const int32_t *prompt, size_t n)
{
    size_t i = 0;
    while (i < held->count && i < n && held->ids[i] == prompt[i])
        i++;
    return i;
}

/* A beginning that is short beside what follows it in the slot and in the prompt is most conversations' own: it is
 * no reason to overwrite this one's, and can be copied. */
static bool worth_keeping(size_t common, size_t held, size_t prompt)
{
    return common > 0 && (2 * common >= held || 2 * common >= prompt);
}

/* How many of the prompt's tokens need not be computed where the slot's are; its last always is: its logits are
 * wanted. */
static size_t usable(const struct slots *s, const struct slot *slot, const struct task *t)
{
    return t->job.score_prompt || !same_set(s, slot->strengths, t->strengths)
               ? 0 : common_prefix(&slot->held, t->prompt, t->job.n_prompt - 1);
}

static struct slot *choose_slot(struct slots *s, const struct task *t)
{
    struct slot *best = NULL;
    size_t most = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->task)
            continue;
        size_t n = usable(s, slot, t);
        if (!worth_keeping(n, slot->held.count, t->job.n_prompt))
            n = 0;
        if (!best || n > most || (n == most && slot->last_used < best->last_used)) {
            best = slot;
            most = n;
        }
    }
    return best;
}

/* Makes the slot hold the beginning of the prompt, as far as it or another one has it: returns how far. */
static size_t take_over(struct slots *s, struct slot *slot, const struct task *t)
{
    const struct slot *donor = slot;
    size_t n = usable(s, slot, t), most = n;
    for (size_t i = 0; i < s->n; i++) {
        size_t other = usable(s, &s->slots[i], t);
        if (other > most) {
            donor = &s->slots[i];
            most = other;
        }
    }
    if (donor == slot) {
        slot->held.count = kv_cache_rewind(&slot->cache, n);
        return slot->held.count;
    }
    most = kv_cache_copy(&slot->cache, &donor->cache, most);
    slot->held.count = 0;
    for (size_t i = 0; i < most; i++)
        tokens_push(&slot->held, t->prompt[i]);
    return most;
}

bool slots_should_wait(const struct slots *s, const struct task *t)
{
    for (size_t i = 0; i < s->n && !t->job.score_prompt; i++) {
        const struct task *other = s->slots[i].task;
        if (!other || other->n_fed == other->job.n_prompt || !same_set(s, other->strengths, t->strengths))
            continue;
        const struct tokens coming = {.ids = other->prompt, .count = other->job.n_prompt};
        size_t common = common_prefix(&coming, t->prompt, t->job.n_prompt - 1);
        if (common > other->n_fed && 2 * common >= t->job.n_prompt)
            return true;
    }
    return false;
}

void slots_admit(struct slots *s, struct task *t)
{
    struct slot *slot = choose_slot(s, t);
    CHECK(slot);
    t->n_cached = t->n_fed = take_over(s, slot, t);
    for (size_t i = 0; i < s->n_adapters; i++)
        slot->strengths[i] = t->strengths[i];
    slot->task = t;
    slot->last_used = slot->turn = ++s->clock;
    s->n_running++;
    s->n_cached += t->n_cached;
}

static void leave(struct slots *s, struct slot *slot)
{
    slot->task->next = s->ended;
    s->ended = slot->task;
    slot->task = NULL;
    slot->last_used = ++s->clock;
    s->n_running--;
}

/* A step */

static void add_part(struct slots *s, size_t *n_parts, struct slot *slot, const int32_t *ids, size_t n)
{
    s->parts[*n_parts] = (struct runner_tokens){&slot->cache, ids, n};
    s->owners[(*n_parts)++] = slot;
}

/* Makes the adapters as strong as the sequence wants them whose set had no turn for longest. Returns that: all of the set
 * have had one then, also those for which there is no room in the pass. NULL: nothing is to be computed. */
static const struct slot *begin_turn(struct slots *s)
{
    const struct slot *first = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->slots[i].task && (!first || s->slots[i].turn < first->turn))
            first = &s->slots[i];
    if (!first)
        return NULL;
    for (size_t i = 0; i < s->n_adapters; i++)
        s->adapters[i]->strength = first->strengths[i];
    s->clock++;
    for (size_t i = 0; i < s->n; i++)
        if (same_set(s, s->slots[i].strengths, first->strengths))
            s->slots[i].turn = s->clock;
    return first;
}

static bool takes_part(const struct slots *s, const struct slot *slot, const struct slot *first)
{
    return slot->task && same_set(s, slot->strengths, first->strengths);
}

/* Of the slots that take part and whose prompt is not fed, the one that waits longest and comes after `last`. */
static struct slot *next_prompt(struct slots *s, const struct slot *first, uint64_t last)
{
    struct slot *next = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct slot *slot = &s->slots[i];
        if (takes_part(s, slot, first) && slot->task->n_fed < slot->task->job.n_prompt && slot->last_used > last &&
            (!next || slot->last_used < next->last_used))
            next = slot;
    }
    return next;
}

/* What the pass is over: tokens drawn, then pieces of prompts. Returns the number of parts; *n_decoding of these
 * are of the first kind. */
static size_t gather(struct slots *s, const struct slot *first, size_t *n_decoding, size_t *n_tokens)
{
    size_t n_parts = 0, room = s->runner.chunk;
    for (size_t i = 0; i < s->n; i++) {
        struct slot *slot = &s->slots[i];
        if (!takes_part(s, slot, first) || slot->task->n_fed < slot->task->job.n_prompt)
            continue;
        add_part(s, &n_parts, slot, &slot->next, 1);
        room--;
    }
    *n_decoding = n_parts;
    uint64_t last = 0;
    for (struct slot *slot; room > 0 && (slot = next_prompt(s, first, last)); last = slot->last_used) {
        struct task *t = slot->task;
        size_t left = t->job.n_prompt - t->n_fed, n = left < room ? left : room;
        add_part(s, &n_parts, slot, t->prompt + t->n_fed, n);
        room -= n;
    }
    *n_tokens = s->runner.chunk - room;
    return n_parts;
}

static void fill_logprobs(const struct slots *s, const struct job *job, const float *logits,
                          struct progress_step *step, struct token_logprob *top)
{
    if (!job->logprobs)
        return;
    double log_sum = logits_log_sum(logits, s->n_choices);
    step->logprob = logits[step->id] - log_sum;
    step->top = top;
    step->n_top = logits_top(logits, s->n_choices, log_sum, job->n_top, top);
}

/* Probabilities of the n prompt tokens just fed, whose final states are `hidden`; each is told by the state before. */
static void score_prompt(struct slots *s, struct task *t, const float *hidden, size_t first, size_t n)
{
    struct token_logprob top[LOGPROBS_MOST];
    size_t width = s->model->config.hidden_size, vocab = s->model->config.vocab_size;
    if (first == 0)
        t->job.progress(t->job.context, &(struct progress_step){.has_token = true, .id = t->prompt[0],
                                                                .logprob = NAN});
    for (size_t done = 0; done < n;) {
        size_t now = n - done < s->n ? n - done : s->n;
        runner_logits(&s->runner, hidden + done * width, now, s->logits);
        for (size_t i = 0; i < now && first + done + i + 1 < t->job.n_prompt; i++) {
            struct progress_step step = {.has_token = true, .id = t->prompt[first + done + i + 1]};
            /* an id that cannot be drawn has a row of logits all the same */
            fill_logprobs(s, &t->job, s->logits + i * vocab, &step, top);
            t->job.progress(t->job.context, &step);
        }
        done += now;
    }
}

/* Notes what was fed; true when the logits behind it are wanted. */
static bool note_fed(struct slots *s, struct slot *slot, const struct runner_tokens *part, const float *hidden)
{
    struct task *t = slot->task;
    for (size_t i = 0; i < part->n; i++)
        tokens_push(&slot->held, part->ids[i]);
    if (t->n_fed == t->job.n_prompt)
        return true;
    if (t->job.score_prompt)
        score_prompt(s, t, hidden, t->n_fed, part->n);
    t->n_fed += part->n;
    s->n_prompt += part->n;
    return t->n_fed == t->job.n_prompt;
}

static void tell(struct slots *s, struct task *t, const float *logits)
{
    struct token_logprob top[LOGPROBS_MOST];
    const struct generation *r = &t->generation;
    int32_t id = r->tokens.ids[r->tokens.count - 1];
    bool ended = t->completion.done && r->reason == STOPPED_END && tokenizer_is_end(s->tokenizer, id);
    struct progress_step step = {.has_token = !ended, .id = id,
                                 .text = t->delta.data ? t->delta.data : "", .n = t->delta.size};
    if (!ended)
        fill_logprobs(s, &t->job, logits, &step, top);
    t->job.progress(t->job.context, &step);
    buffer_clear(&t->delta);
}

/* Draws the next token of a sequence from its logits. */
static void advance(struct slots *s, struct slot *slot, const float *logits)
{
    struct task *t = slot->task;
    if (t->job.draws_nothing) {
        completion_stop(&t->completion, STOPPED_LENGTH);
    } else {
        t->code = completion_next(&t->completion, logits, &slot->next, &t->error);
        if (!t->code) {
            s->n_generated++;
            if (slot->cache.length == slot->cache.capacity)
                completion_stop(&t->completion, STOPPED_CONTEXT);
            tell(s, t, logits);
        }
    }
    if (t->code || t->completion.done)
        leave(s, slot);
}

static void remove_cancelled(struct slots *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->slots[i].task && atomic_load(&s->slots[i].task->cancelled))
            leave(s, &s->slots[i]);
}

static void compute(struct slots *s, size_t n_parts)
{
    size_t n_rows = 0, width = s->model->config.hidden_size;
    const float *hidden = runner_forward(&s->runner, s->parts, n_parts), *at = hidden;
    for (size_t i = 0; i < n_parts; i++) {
        struct slot *slot = s->owners[i];
        const float *last = at + (s->parts[i].n - 1) * width;
        if (note_fed(s, slot, &s->parts[i], at)) {
            memcpy(s->hidden + n_rows * width, last, width * sizeof *last);
            s->owners[n_rows++] = slot;
        }
        at = last + width;
    }
    if (n_rows > 0)
        runner_logits(&s->runner, s->hidden, n_rows, s->logits);
    for (size_t i = 0; i < n_rows; i++)
        advance(s, s->owners[i], s->logits + i * s->model->config.vocab_size);
}

struct task *slots_step(struct slots *s)
{
    size_t n_decoding, n_tokens;
    remove_cancelled(s);
    const struct slot *first = begin_turn(s);
    if (first) {
        size_t n_parts = gather(s, first, &n_decoding, &n_tokens);
        double start = clock_seconds();
        compute(s, n_parts);
        double seconds = clock_seconds() - start, share = (double)n_decoding / (double)n_tokens;
        s->decode_seconds += seconds * share;
        s->prefill_seconds += seconds * (1 - share);
        s->n_steps++;
    }
    struct task *ended = s->ended;
    s->ended = NULL;
    return ended;
}
