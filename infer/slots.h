/* The sequences that a batch is made of: each slot keeps the keys and values of one sequence, and a step computes
 * the next tokens of all of them in one forward pass. Knows nothing of threads; infer/scheduler.h does.
 *
 * Where the model has adapters (slots_set_adapters), each sequence has strengths of its own for them. A pass is then over
 * the sequences that have the same, and sets take turns; keys and values are of use to sequences of the same set alone. */
#ifndef LINNET_INFER_SLOTS_H
#define LINNET_INFER_SLOTS_H

#include "infer/completion.h"
#include "infer/logprobs.h"
#include "infer/runner.h"
#include "lora/adapter.h"

#include <stdatomic.h>

enum { LOGPROBS_MOST = 20 }; /* alternatives to a token that are told */

/* One token of a sequence, and what it made certain of the text. */
struct progress_step {
    bool has_token;       /* false for an end token, and for text that the end of the sequence let go */
    int32_t id;
    double logprob;       /* where the job asked for it; NAN for a prompt's first token */
    const struct token_logprob *top; /* (n_top) the likeliest, likeliest first */
    size_t n_top;
    const char *text;     /* (n) whole UTF-8 characters; n may be 0 */
    size_t n;
};

struct job_result {
    int code; /* what was wrong: *error says it; else OK */
    const struct error *error;
    enum stop_reason reason;
    const struct tokens *tokens; /* what was drawn, an end token included; until `finished` returns */
    size_t n_prompt, n_cached, n_generated; /* tokens: asked with, of these found in the cache, drawn */
};

/* What is asked for. */
struct job {
    const int32_t *prompt; /* (n_prompt) copied */
    size_t n_prompt;
    const struct generate_options *options; /* and its strings must outlive the job; `interrupted` is not asked */
    bool logprobs;
    size_t n_top;          /* with logprobs: alternatives, at most LOGPROBS_MOST */
    bool score_prompt;     /* steps for the prompt's tokens, too, with their probabilities; nothing is taken from the
                              cache */
    bool draws_nothing;    /* ends behind the prompt */
    const float *strengths; /* (n_adapters) of the adapters, finite, copied; NULL: what whoever takes the job has set */
    void (*progress)(void *context, const struct progress_step *step);
    void (*finished)(void *context, const struct job_result *result); /* once, the last that is called */
    void *context;
};

/* A job in work. */
struct task {
    struct job job;
    int32_t *prompt;
    float *strengths;    /* (n_adapters) */
    struct completion completion;
    struct generation generation;
    struct buffer delta; /* text let through since the last step */
    size_t n_cached, n_fed;
    int code;           /* how it went, with the reason in `error` */
    struct error error;
    uint64_t id;
    atomic_bool cancelled; /* set by anyone, seen by the next step */
    struct task *next;
};

struct slot {
    struct kv_cache cache;
    struct tokens held;  /* those in the cache */
    float *strengths;    /* (n_adapters) which those were computed with */
    struct task *task;   /* NULL: free */
    int32_t next;        /* drawn and not yet fed */
    uint64_t last_used;
    uint64_t turn;       /* when its set last had one */
};

struct slots {
    struct model *model;
    const struct tokenizer *tokenizer;
    struct runner runner;
    struct slot *slots;
    struct lora_adapter *const *adapters; /* (n_adapters) all attached */
    size_t n_adapters;
    size_t n, context, n_choices, n_running;
    uint64_t clock;
    struct task *ended;
    float *hidden, *logits; /* (n, C), (n, vocab_size) */
    struct runner_tokens *parts; /* (n) of the step */
    struct slot **owners;        /* (n) whose they are */
    /* Since the beginning */
    uint64_t n_prompt, n_cached, n_generated, n_steps;
    double prefill_seconds, decode_seconds; /* of a step with both: shared out by tokens */
};

/* n sequences of `context` tokens each, their keys and values stored as `cache_type` (kv_cache_init); reserves the
 * model's positions. Model and tokenizer must outlive it. */
int slots_init(struct slots *s, struct model *m, const struct tokenizer *t, size_t n, size_t context,
               enum dtype cache_type, struct error *e);
void slots_free(struct slots *s);
/* The bytes that slots_init reserves. */
size_t slots_bytes(const struct model *m, size_t n, size_t context, enum dtype cache_type);
/* Empties all slots, of which none may have a task (CHECK): the model's weights are others now. What comes then does not
 * depend on what was. */
void slots_forget(struct slots *s);
/* The adapters that are attached to the model, before there is any task. Array and adapters must outlive the slots, to
 * which their strengths belong from now on. */
void slots_set_adapters(struct slots *s, struct lora_adapter *const *adapters, size_t n);

/* ERR_USAGE when the prompt is empty, too long or has ids that are none, or an option is out of range. */
int task_new(const struct slots *s, const struct job *job, struct task **task, struct error *e);
/* Says to each task of a list that it is over, and frees it. */
void tasks_finish(struct task *list);
/* Frees a task that never began, without a word. */
void task_free(struct task *t);

/* Whether most of the prompt is just being computed for another task, so that it can be copied soon. */
bool slots_should_wait(const struct slots *s, const struct task *t);
/* Gives the task a free slot, of which there must be one (CHECK): the one whose sequence begins as the prompt does,
 * or the one that was not used for longest. What another slot has of the prompt's beginning is copied. */
void slots_admit(struct slots *s, struct task *t);
/* One forward pass: a token of each sequence that is being continued, and as much of the prompts as there is room
 * for, the longest waiting first; of those whose adapters are as strong as those of the one whose turn it is. Tasks that end leave their slots, as do those cancelled: returns a list of
 * them, for tasks_finish. */
struct task *slots_step(struct slots *s);

#endif
