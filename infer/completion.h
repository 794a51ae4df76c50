/* From rows of logits to a text: what one sequence's next token is, what of the text may be shown, and when it
 * ends. Knows nothing of how logits are computed, so that one sequence, many at once and speculation share it.
 *
 *     completion_init(&c, tokenizer, n_choices, &options, emit, context, &result, e);
 *     completion_begin(&c, prompt, n_prompt, continues);
 *     while (!c.done)
 *         ... logits of what is there ..., completion_next(&c, logits, &id, e), ... feed id ...
 *     completion_free(&c);
 */
#ifndef LINNET_INFER_COMPLETION_H
#define LINNET_INFER_COMPLETION_H

#include "grammar/grammar.h"
#include "infer/sampler.h"
#include "infer/stop.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>

enum stop_reason {
    STOPPED_END,         /* the model ended the text, or it is all that the grammar allows */
    STOPPED_STRING,      /* a stop string came up */
    STOPPED_LENGTH,      /* max_tokens */
    STOPPED_CONTEXT,     /* the sequence is full */
    STOPPED_INTERRUPTED,
};
const char *stop_reason_name(enum stop_reason r); /* "end", "stop", "length", "context", ... */

struct generate_options {
    struct sampler_options sampler;
    size_t max_tokens;         /* 0: until the sequence is full */
    const char *const *stops;  /* strings that end the text and are no part of it; not empty */
    size_t n_stops;
    bool ignore_end;           /* go on after an end token */
    bool context_shift;        /* a full sequence drops its older half and goes on; whoever feeds tokens sees to it */
    size_t keep;               /* but for its first tokens */
    bool show_special;         /* special tokens appear in the text */
    bool (*interrupted)(void); /* asked between tokens; NULL: never */
    /* What the text must follow from its first character on; NULL: nothing. An end token is drawn only where
     * the grammar may end. Where max_tokens or the context end the text first, it is the beginning of one. */
    const struct grammar *grammar;
    const struct token_trie *trie; /* with a grammar: of the n_choices tokens that may be drawn */
};

struct generation {
    struct tokens tokens;      /* what was drawn, an end token and a stop string's included */
    struct buffer text;        /* what was let through */
    enum stop_reason reason;
    size_t n_prompt;
    size_t n_decoded; /* tokens that were fed again */
    double prefill_seconds, decode_seconds;
};
void generation_free(struct generation *r);

/* Receives text as it comes: whole UTF-8 characters, n > 0. */
typedef void generate_emit(void *context, const char *text, size_t n);

struct completion {
    const struct tokenizer *tokenizer;
    const struct generate_options *options;
    struct sampler sampler;
    struct grammar_state grammar; /* with a grammar: where the text is */
    uint32_t *allowed;            /* the sampler's mask */
    struct decode_stream stream;
    struct stop_filter filter;
    struct buffer characters;
    generate_emit *emit;
    void *emit_context;
    struct generation *r;
    bool done;
};

/* n_choices: tokens that may be drawn, the first of the vocabulary. The options, the tokenizer and *r outlive the
 * completion; *r is filled anew and must be zeroed or the result of an earlier one, whose memory is used again.
 * `emit` may be NULL. ERR_USAGE names the option that is out of range. */
int completion_init(struct completion *c, const struct tokenizer *t, size_t n_choices,
                    const struct generate_options *o, generate_emit *emit, void *context,
                    struct generation *r, struct error *e);
void completion_free(struct completion *c);

/* What stands before the first token: for penalties, and because a first word may lose the space in front of it.
 * `continues`: there is text before the prompt, too. */
void completion_begin(struct completion *c, const int32_t *prompt, size_t n, bool continues);

/* Draws a token from logits (n_choices or more), notes it in *r and lets text through. `done` is set, with the
 * reason, when that was the last. ERR_FORMAT when the logits are not numbers, or no token of the vocabulary
 * continues the grammar (grammar_mask); ERR_USAGE when logit biases leave none. */
int completion_next(struct completion *c, const float *logits, int32_t *id, struct error *e);

/* Ends it from outside: the sequence is full, or the user has seen enough. Nothing when it is done already. */
void completion_stop(struct completion *c, enum stop_reason reason);

#endif
