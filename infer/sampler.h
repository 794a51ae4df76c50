/* From a row of logits to a token.
 *
 * The order of the steps is llama.cpp's: repetition penalty, top-k, top-p, min-p, temperature. Each
 * filter sees probabilities of what the one before it left, normalised again and still at
 * temperature 1. (Hugging Face divides by the temperature before its filters; the two agree at
 * temperature 1, and where only one of top-k and temperature is used.)
 *
 * Probabilities are computed in f64. The same seed and logits give the same tokens. Nothing is
 * allocated after sampler_init. */
#ifndef LINNET_INFER_SAMPLER_H
#define LINNET_INFER_SAMPLER_H

#include "base/error.h"
#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

struct sampler_options {
    double temperature;        /* 0: the likeliest token (of equals the one with the lower id) */
    size_t top_k;              /* only the k likeliest; 0: all */
    double top_p;              /* the fewest tokens with at least this probability; 1: all */
    double min_p;              /* at least this times the likeliest's probability; 0: all */
    double repetition_penalty; /* logits of recent tokens: divided by it when positive, else
                                  multiplied (Keskar et al., 2019); 1: off */
    size_t repetition_window;  /* how many tokens are recent, the prompt's included */
    size_t seed;
};

/* Draws from the model's own distribution. */
struct sampler_options sampler_defaults(void);

struct candidate {
    double weight; /* probability, not normalised */
    float logit;   /* after the penalty */
    int32_t id;
};

struct sampler {
    struct sampler_options options;
    struct rng rng;
    size_t vocab_size;
    struct candidate *candidates; /* (vocab_size) scratch */
    int32_t *recent;              /* ring of repetition_window ids */
    size_t n_recent, next_recent;
};

/* ERR_USAGE names the option that is out of range. */
int sampler_init(struct sampler *s, const struct sampler_options *o, size_t vocab_size,
                 struct error *e);
void sampler_free(struct sampler *s);
/* As after sampler_init with this seed: forgets recent tokens. */
void sampler_reset(struct sampler *s, uint64_t seed);

/* Notes a token of the prompt or of the text so far, for the repetition penalty. */
void sampler_accept(struct sampler *s, int32_t id);

/* The distribution a token would be drawn from: *n candidates (at least one) with their weights and
 * the sum of those, valid until the next call; in no particular order. Temperature 0 gives one
 * candidate. NULL when no logit is a number above -infinity, or one is NaN. */
const struct candidate *sampler_distribution(struct sampler *s, const float *logits, size_t *n,
                                             double *sum);

/* Draws a token; logits (vocab_size) stay as they are. Does not accept it. -1 where
 * sampler_distribution gives NULL. */
int32_t sampler_pick(struct sampler *s, const float *logits);

#endif
