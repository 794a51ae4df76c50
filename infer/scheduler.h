/* Continuous batching (Yu et al., 2022, "Orca"): one thread computes the next tokens of all jobs in work, step by
 * step; a job that ends makes room for the next in the queue at once, not when the others are done.
 *
 *     scheduler_start(&s, &model, tokenizer, &options, e);
 *     scheduler_submit(s, jobs, n, ids, e);       from any thread
 *     ... job->progress and job->finished are called by the scheduler's thread ...
 *     scheduler_cancel(s, ids[0]);
 *     scheduler_free(s);
 *
 * What a sequence leaves in its slot is used again by a prompt that begins as it did, so that the next turn of a
 * conversation computes little more than what is new. */
#ifndef LINNET_INFER_SCHEDULER_H
#define LINNET_INFER_SCHEDULER_H

#include "infer/slots.h"

struct scheduler;

struct scheduler_options {
    size_t n_slots;    /* sequences computed at once */
    size_t context;    /* tokens of each */
    size_t max_queued; /* jobs that may wait beside those */
    int threads;       /* to compute with */
    enum dtype cache_type; /* of keys and values: f32, f16, q8_0 or q4_0 */
    struct lora_adapter *const *adapters; /* (n_adapters) all that are attached to the model */
    size_t n_adapters;
};

/* Reserves everything and starts the thread. The model, the tokenizer and the adapters must outlive the scheduler, and no
 * one else may use the model. Jobs that say nothing of the adapters' strengths get those the adapters have now. */
int scheduler_start(struct scheduler **s, struct model *m, const struct tokenizer *t,
                    const struct scheduler_options *o, struct error *e);
/* No more jobs are taken, those there are cancelled, and the thread ends: no job's functions are called any more.
 * What takes a scheduler can still be called. */
void scheduler_stop(struct scheduler *s);
void scheduler_free(struct scheduler *s); /* stops it, too; NULL is fine */

/* Takes n > 0 jobs or none. ids (n) name them to scheduler_cancel. Their functions are called by the scheduler's
 * thread, perhaps before this returns; they must be quick and may call scheduler_cancel alone. Errors: ERR_USAGE,
 * a job is not right, or there are more than ever fit; ERR_MEMORY, the queue is full for now; ERR_INTERRUPTED,
 * scheduler_close was called. */
int scheduler_submit(struct scheduler *s, const struct job *jobs, size_t n, uint64_t *ids, struct error *e);
/* The strengths (n_adapters), finite, of the adapters for jobs submitted from now on that say nothing of them; and which
 * those are. Jobs there are keep theirs. */
void scheduler_set_strengths(struct scheduler *s, const float *strengths);
void scheduler_get_strengths(struct scheduler *s, float *strengths);
/* The job is finished soon, with STOPPED_INTERRUPTED, unless it is finished already. */
void scheduler_cancel(struct scheduler *s, uint64_t id);
/* No more jobs are taken; those there go on. */
void scheduler_close(struct scheduler *s);
void scheduler_cancel_all(struct scheduler *s);

struct scheduler_stats {
    size_t n_slots, context, n_running, n_queued;
    uint64_t n_prompt, n_cached, n_generated, n_steps; /* tokens of prompts computed and found in the cache; drawn */
    double prefill_seconds, decode_seconds;
};
struct scheduler_stats scheduler_stats(struct scheduler *s);

#endif
