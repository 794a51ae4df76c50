/* From a row of logits to a token.
 *
 * The order of the steps is llama.cpp's: logit biases, penalties (repetition, then frequency and presence), the mask,
 * top-n-sigma, top-k, typical-p, top-p, min-p, temperature. Each filter sees probabilities of what the one before it
 * left, normalised again and still at temperature 1. (Hugging Face divides by the temperature before its filters; the
 * two agree at temperature 1, and where only one of top-k and temperature is used.) Mirostat stands in place of all
 * filters, behind the temperature.
 *
 * Probabilities are computed in f64. The same seed and logits give the same tokens. Nothing is
 * allocated after sampler_init. */
#ifndef LINNET_INFER_SAMPLER_H
#define LINNET_INFER_SAMPLER_H

#include "base/error.h"
#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

struct logit_bias {
    int32_t id;
    float bias; /* added to the token's logit; -infinity: never drawn */
};

enum mirostat { MIROSTAT_OFF = 0, MIROSTAT_2 = 2 };

struct sampler_options {
    double temperature;        /* 0: the likeliest token (of equals the one with the lower id) */
    double top_n_sigma;        /* logits at most this many standard deviations (of all finite ones) below the
                                  largest (Tang et al., 2024); 0: all */
    size_t top_k;              /* only the k likeliest; 0: all */
    double typical_p;          /* the tokens whose surprise is nearest the entropy, the fewest with at least this
                                  probability (Meister et al., 2022); 1: all */
    double top_p;              /* the fewest tokens with at least this probability; 1: all */
    double min_p;              /* at least this times the likeliest's probability; 0: all */
    double repetition_penalty; /* logits of recent tokens: divided by it when positive, else
                                  multiplied (Keskar et al., 2019); 1: off */
    double frequency_penalty;  /* subtracted from a logit for each time the token is among the recent; 0: off */
    double presence_penalty;   /* and once when it is there at all; 0: off */
    size_t repetition_window;  /* how many tokens are recent, the prompt's included */
    size_t mirostat;           /* enum mirostat: version 2 of Basu et al., 2020, or none */
    double mirostat_tau;       /* the surprise it aims at, in bits a token */
    double mirostat_eta;       /* how much of an error it corrects at once */
    const struct logit_bias *biases; /* (n_biases) borrowed; of equal ids all count. Ids beyond the vocabulary are an
                                        error */
    size_t n_biases;
    size_t seed;
};

/* Draws from the model's own distribution. */
struct sampler_options sampler_defaults(void);

struct candidate {
    double weight; /* probability, not normalised */
    float logit;   /* after biases and penalties */
    int32_t id;
};

struct sampler {
    struct sampler_options options;
    /* Bit i % 32 of word i / 32 says whether token i may be drawn; NULL: all. Borrowed; the caller may set it, or
     * what it points to, before each distribution or pick. */
    const uint32_t *allowed;
    struct rng rng;
    size_t vocab_size;
    struct candidate *candidates; /* (vocab_size) scratch */
    int32_t *recent;              /* ring of repetition_window ids */
    uint32_t *counts;             /* (vocab_size) how often each is in the ring */
    size_t n_recent, next_recent;
    double mu;                    /* Mirostat: the largest surprise allowed, in bits */
    double log_sum;               /* Mirostat: ln of the weights' sum before it cut, at the temperature */
};

/* ERR_USAGE names the option that is out of range; sampler_init checks the same. */
int sampler_check(const struct sampler_options *o, size_t vocab_size, struct error *e);
int sampler_init(struct sampler *s, const struct sampler_options *o, size_t vocab_size,
                 struct error *e);
void sampler_free(struct sampler *s);
/* As after sampler_init with this seed: forgets recent tokens. */
void sampler_reset(struct sampler *s, uint64_t seed);

/* Notes a token of the prompt or of the text so far, for the penalties. */
void sampler_accept(struct sampler *s, int32_t id);

/* The distribution a token would be drawn from: *n candidates (at least one) with their weights and
 * the sum of those, valid until the next call; in no particular order. Temperature 0 gives one
 * candidate. NULL when no allowed token has a logit above -infinity, or a logit is NaN or +infinity. */
const struct candidate *sampler_distribution(struct sampler *s, const float *logits, size_t *n,
                                             double *sum);

/* Draws one of n candidates with the sampler's random numbers (none is used up when n is 1). */
int32_t sampler_draw(struct sampler *s, const struct candidate *c, size_t n, double sum);

/* Tells Mirostat which token of the last distribution was taken; nothing without it, or when the token was no
 * candidate. Who draws by other means than sampler_pick calls it. */
void sampler_observe(struct sampler *s, const struct candidate *c, size_t n, int32_t id);

/* Draws a token; logits (vocab_size) stay as they are. Observes it, and does not accept it. -1 where
 * sampler_distribution gives NULL. */
int32_t sampler_pick(struct sampler *s, const float *logits);

#endif
