/* How well a model predicts given text: perplexity, and next-token distributions. */
#ifndef LINNET_INFER_SCORE_H
#define LINNET_INFER_SCORE_H

#include "model/decoder.h"

#include <stdbool.h>

/* Texts longer than the context are scored in windows. Window i holds the tokens from i * stride on,
 * `context` of them; each token is predicted in the first window that reaches it, so every token of
 * a text but its first counts once. With stride == context windows do not overlap and a token has on
 * average half a context before it; a smaller stride costs more and gives each at least
 * context - stride. Windows of several texts share the rows of a batch without seeing each other. */
struct scorer_options {
    size_t context;
    size_t stride; /* 1..context; 0: context */
    size_t n_rows; /* rows of `context` tokens at a time */
};

struct score {
    double nats;      /* sum of -ln p over what was predicted */
    size_t n_targets; /* how many tokens that is */
};
double score_perplexity(const struct score *s);                   /* exp(nats / n_targets) */
double score_bits_per_byte(const struct score *s, size_t n_bytes); /* of the text predicted */

/* The sum of -ln p of the targets that are not TARGET_IGNORED, from n rows of what decoder_forward
 * returned (f32); scratch: linear_loss_scratch(n, hidden_size, vocab_size) floats. */
double score_rows(const struct model *m, const float *hidden, const int32_t *targets, size_t n,
                  float *scratch);

struct scorer {
    struct model *model;
    struct scorer_options options;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    float *scratch;
    size_t row, column; /* where the next window goes */
    struct score score;
};

/* Reserves the model's positions. ERR_USAGE for an impossible stride. */
int scorer_init(struct scorer *s, struct model *m, const struct scorer_options *o, struct error *e);
void scorer_free(struct scorer *s);
/* Adds a text's tokens (BOS among them where the model expects it); runs whole batches as they fill.
 * ids must be rows of the embedding (CHECK). */
void scorer_add(struct scorer *s, const int32_t *ids, size_t n);
/* Runs what is left and returns the total since the last finish or init. */
struct score scorer_finish(struct scorer *s);

struct token_probability {
    int32_t id;
    double p;
};

/* For every position of n tokens, the `top` likeliest tokens to follow, likeliest first, into
 * out (n, top); top is at most the model's vocabulary (CHECK). Softmax in f64 over all rows of the
 * output layer. ERR_FORMAT when the output is not a number. */
int score_distributions(struct model *m, const int32_t *ids, size_t n, size_t top,
                        struct token_probability *out, struct error *e);

#endif
