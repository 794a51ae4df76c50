/* What a model writes to many prompts, several of them at a time: for training on it.
 *
 *     complete_many_init(&c, &model, tokenizer, &options, e);
 *     struct completer student = complete_many_completer(&c);
 *     student.complete(student.context, prompts, n, out, e);   ... and again, also after the weights have changed
 *     complete_many_free(&c);
 *
 * All that is large (keys and values, activations, logits) is reserved once. The model may be in the middle of training: if
 * it is split it is joined for the time of a call, dropout is off, and nothing of the trainer's activations is touched.
 * Adapters that are attached work as they are.
 *
 * A call depends on nothing that an earlier one left, and random numbers on nothing but each prompt's seed. Logits do not
 * depend on the company of others or on the number of threads but for the rounding of f32: the same prompts with the same
 * number of threads give the same bits, others may give another token where two are all but equally likely. */
#ifndef LINNET_INFER_COMPLETE_MANY_H
#define LINNET_INFER_COMPLETE_MANY_H

#include "data/completer.h"
#include "infer/slots.h"

struct complete_many_options {
    size_t n_at_once;      /* sequences computed together, more than 0 */
    size_t context;        /* tokens of the longest prompt and its continuation, together */
    enum dtype cache_type; /* of keys and values: f32, f16, q8_0 or q4_0 */
    struct sampler_options sampler; /* but for its seed */
    /* Asked between steps; NULL: never. False ends the call with ERR_INTERRUPTED. */
    bool (*go_on)(void *context);
    void *go_on_context;
};

struct complete_many {
    struct slots slots;
    struct sampler_options sampler;
    bool (*go_on)(void *context);
    void *go_on_context;
    /* Since the beginning */
    uint64_t n_prompts, n_ended, n_generated; /* prompts, those whose continuation has ended, tokens of all */
    double seconds;
};

/* Reserves the model's positions up to `context` where fewer are: with a context no longer than what the model trains on,
 * after the trainer has its memory, its angles stay as they are. Model and tokenizer must outlive it. ERR_USAGE: an option
 * is out of range, or the cache type is none for this model; ERR_MEMORY. */
int complete_many_init(struct complete_many *c, struct model *m, const struct tokenizer *t,
                       const struct complete_many_options *o, struct error *e);
void complete_many_free(struct complete_many *c);
/* The bytes that complete_many_init reserves. */
size_t complete_many_bytes(const struct model *m, const struct complete_many_options *o);

/* c must outlive it. It fails where a prompt is empty, has ids that are none or leaves no room in the context (ERR_USAGE),
 * where the model's output is not a number (ERR_FORMAT), and when go_on says so. */
struct completer complete_many_completer(struct complete_many *c);

#endif
