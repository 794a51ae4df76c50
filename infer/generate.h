/* Text from a model: a generator holds everything large that one sequence needs (keys and values,
 * activations for a chunk of the prompt, logits), reserved once for any number of sequences.
 *
 *     prompt_tokens(tokenizer, text, n, false, &ids, e);
 *     generator_init(&g, &model, tokenizer, capacity, RUNNER_CHUNK, e);
 *     generate(&g, ids.ids, ids.count, &options, print, context, &result, e);
 *     generator_reset(&g);   ... and again, also after the weights have changed
 */
#ifndef LINNET_INFER_GENERATE_H
#define LINNET_INFER_GENERATE_H

#include "infer/completion.h"
#include "infer/runner.h"

#include <stdbool.h>

/* Appends the ids of a text to begin a sequence with: BOS first where the model expects it. An empty
 * text is BOS or else EOS alone; ERR_USAGE when the vocabulary has neither. With `parse_special`,
 * special tokens written in the text count as such. */
int prompt_tokens(const struct tokenizer *t, const char *text, size_t n, bool parse_special,
                  struct tokens *out, struct error *e);

struct generator {
    struct model *model;
    const struct tokenizer *tokenizer;
    size_t capacity;       /* positions of the sequence */
    size_t n_choices;      /* tokens that may be generated: those the tokenizer knows */
    struct runner runner;
    struct kv_cache cache; /* cache.length: tokens of the sequence so far */
    float *logits;         /* (vocab_size), after the last token */
};

/* Room for a sequence of `capacity` tokens, prompt and continuation together; reserves the model's
 * positions. The model and the tokenizer must outlive the generator; the tokenizer may be NULL where
 * only generator_feed is used. */
int generator_init(struct generator *g, struct model *m, const struct tokenizer *t, size_t capacity,
                   size_t chunk, struct error *e);
void generator_free(struct generator *g);
/* An empty sequence. */
void generator_reset(struct generator *g);
/* Back to the first n tokens, or to fewer (kv_cache_rewind); n must not exceed those there are (CHECK). Returns how
 * many there are now. The logits are of no use until the next feed. */
size_t generator_rewind(struct generator *g, size_t n);

/* Appends n > 0 tokens to the sequence; g->logits are then those of what follows the last. ERR_USAGE
 * when they do not fit or an id is no row of the embedding, with the sequence unchanged;
 * ERR_INTERRUPTED when `interrupted` (may be NULL) says so between chunks. */
int generator_feed(struct generator *g, const int32_t *ids, size_t n, bool (*interrupted)(void),
                   struct error *e);

/* Feeds the prompt, then draws tokens and feeds them until there is a reason to stop; `emit` may be
 * NULL. *r is filled anew and must be zeroed or the result of an earlier call, whose memory is used
 * again. The last token drawn is in r->tokens but was not fed. Errors: the prompt does not leave
 * room for a token (ERR_USAGE, says by how much), the model's output is not a number (ERR_FORMAT). */
int generate(struct generator *g, const int32_t *prompt, size_t n,
             const struct generate_options *o, generate_emit *emit, void *context,
             struct generation *r, struct error *e);

#endif
