/* How far one model's predictions are from another's over given text: what quantisation changes. */
#ifndef LINNET_INFER_DIVERGENCE_H
#define LINNET_INFER_DIVERGENCE_H

#include "model/decoder.h"

/* Sums over the predicted tokens: every token of a text but its first, each given at most a context of tokens before
 * it, in windows that do not overlap (as infer/score.h with stride == context, whose perplexity is the same). */
struct divergence_sums {
    size_t n;
    double nats[2]; /* -ln p of the tokens in the text, by the original and by the other model */
    double kl;      /* sum over v of p(v) ln(p(v) / q(v)), p the original's distribution, q the other's */
    size_t same_top; /* positions at which both hold the same token for the likeliest */
    double change;   /* the largest |p(v) - q(v)| of any token at any position */
};

struct divergence {
    struct model *models[2];
    size_t context;
    struct arena arena;
    struct activations activations[2];
    struct batch batch;
    float *logits[2]; /* of some rows: never of the whole text */
    struct divergence_row *rows;
    struct divergence_sums sums;
};

/* Both models must have the same number of tokens: ERR_USAGE. Reserves positions of both. */
int divergence_init(struct divergence *d, struct model *original, struct model *other, size_t context,
                    struct error *e);
void divergence_free(struct divergence *d);
/* Adds a text's n tokens, rows of the embedding (CHECK). ERR_FORMAT when a model's output is not a number. */
int divergence_add(struct divergence *d, const int32_t *ids, size_t n, struct error *e);

#endif
