/* Text from a model: a generator holds everything large that one sequence needs (keys and values,
 * activations for a chunk of the prompt, logits), reserved once for any number of sequences.
 *
 *     prompt_tokens(tokenizer, text, n, false, &ids, e);
 *     generator_init(&g, &model, tokenizer, &(struct generator_options){.capacity = 4096}, e);
 *     generate(&g, ids.ids, ids.count, &options, print, context, &result, e);
 *     generator_reset(&g);   ... and again, also after the weights have changed
 */
#ifndef LINNET_INFER_GENERATE_H
#define LINNET_INFER_GENERATE_H

#include "infer/completion.h"
#include "infer/draft.h"
#include "infer/runner.h"

#include <stdbool.h>

/* Appends the ids of a text to begin a sequence with: BOS first where the model expects it. An empty
 * text is BOS or else EOS alone; ERR_USAGE when the vocabulary has neither. With `parse_special`,
 * special tokens written in the text count as such. */
int prompt_tokens(const struct tokenizer *t, const char *text, size_t n, bool parse_special,
                  struct tokens *out, struct error *e);

struct generator_options {
    size_t capacity;       /* positions of the sequence, more than 0 */
    size_t chunk;          /* tokens of a prompt at a time; 0: RUNNER_CHUNK */
    enum dtype cache_type; /* of keys and values (model/kv_cache.h): f32, exact, where nothing is said */
};

struct generator {
    struct model *model;
    const struct tokenizer *tokenizer;
    size_t capacity;       /* positions of the sequence */
    size_t n_choices;      /* tokens that may be generated: those the tokenizer knows */
    size_t n_discarded;    /* tokens that shifts have dropped since the sequence began */
    size_t n_kept;         /* tokens that they left in front of those */
    struct runner runner;
    struct kv_cache cache; /* cache.length: tokens of the sequence so far */
    struct tokens text;    /* those tokens */
    float *logits;         /* (vocab_size), after the last token */
    struct drafter *drafter; /* for generate() to be faster; NULL: none. Borrowed, set by the owner */
    float *drafted;        /* (DRAFT_MOST + 1, vocab_size) logits of checked guesses; NULL until needed */
};

/* Room for a sequence of o->capacity tokens, prompt and continuation together; reserves the model's
 * positions. The model and the tokenizer must outlive the generator; the tokenizer may be NULL where
 * only generator_feed is used. ERR_USAGE: the cache type is none for this model; ERR_MEMORY. */
int generator_init(struct generator *g, struct model *m, const struct tokenizer *t,
                   const struct generator_options *o, struct error *e);
void generator_free(struct generator *g);
/* An empty sequence. */
void generator_reset(struct generator *g);
/* Back to the first n tokens, or to fewer (kv_cache_rewind); n must not exceed those there are (CHECK). Returns how
 * many there are now. The logits are of no use until the next feed. */
size_t generator_rewind(struct generator *g, size_t n);
/* Makes room for n more tokens where there is none, at the cost of what was first: half of the sequence behind its
 * first `keep` tokens is dropped, or more where that is not enough (kv_cache_shift says what becomes of the rest).
 * False, and nothing changed, when even all of it would not do. */
bool generator_make_room(struct generator *g, size_t n, size_t keep);
/* How many tokens a shift keeps by these options: o->keep, and at least the one that begins every text (BOS). */
size_t generator_keep(const struct generator *g, const struct generate_options *o);

/* Appends n > 0 tokens to the sequence; g->logits are then those of what follows the last. ERR_USAGE
 * when they do not fit or an id is no row of the embedding, with the sequence unchanged;
 * ERR_INTERRUPTED when `interrupted` (may be NULL) says so between chunks: the sequence is then what it was, or empty
 * where a window does not let it go back (kv_cache_rewind). */
int generator_feed(struct generator *g, const int32_t *ids, size_t n, bool (*interrupted)(void),
                   struct error *e);

/* Feeds the prompt, then draws tokens and feeds them until there is a reason to stop; `emit` may be
 * NULL. With o->context_shift a full sequence is no reason: generator_make_room. *r is filled anew and must be
 * zeroed or the result of an earlier call, whose memory is used again. The last token drawn is in r->tokens but was not fed. Errors: the prompt does not leave
 * room for a token (ERR_USAGE, says by how much), the model's output is not a number (ERR_FORMAT). */
int generate(struct generator *g, const int32_t *prompt, size_t n,
             const struct generate_options *o, generate_emit *emit, void *context,
             struct generation *r, struct error *e);

#endif
