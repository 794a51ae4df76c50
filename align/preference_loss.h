/* Losses of preferences: from how likely two answers to a prompt are, to a loss and its derivative by these log-probabilities.
 * No model, no tokens: numbers alone. docs/alignment.md has each formula with its source.
 *
 * An answer's log-probability is the sum of those of its tokens. r is an answer's log-ratio, logp - reference; with
 * reference_free, and in losses that have no reference, r is logp.
 *
 * Formulas are written with c and r for the chosen and the rejected answer's log-ratio, d = c - r, C and R for their
 * log-probabilities, /n for the mean over the answer's tokens, s(x) = 1 / (1 + exp(-x)), b for beta and e for
 * label_smoothing. */
#ifndef LINNET_ALIGN_PREFERENCE_LOSS_H
#define LINNET_ALIGN_PREFERENCE_LOSS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum answer_side { CHOSEN, REJECTED, ANSWER_SIDES };

struct preference_settings {
    double beta;            /* how much answers may differ from the reference's: 0.1 */
    double label_smoothing; /* the share of labels that are held to be wrong: 0 to below 0.5 */
    double simpo_gamma;     /* the margin that simpo wants */
    double cpo_alpha;       /* how much of cpo is the chosen answer's own loss */
    double desirable_weight, undesirable_weight; /* kto's */
    bool reference_free;    /* the reference holds everything equally likely */
};
struct preference_settings preference_defaults(void);

/* Two answers to one prompt. In a loss of single answers (`unpaired`) CHOSEN is the answer itself, and REJECTED another
 * prompt's answer put behind this prompt, from which the batch's kl is estimated. */
struct preference_pair {
    double logp[ANSWER_SIDES], reference[ANSWER_SIDES]; /* sums over tokens, in nats */
    size_t n_tokens[ANSWER_SIDES];                      /* more than 0 */
    bool wanted; /* unpaired: whether the answer is */
    double kl;   /* unpaired: how far the model has gone from the reference, at least 0; a constant */
};

struct preference_term {
    double loss, dlogp[ANSWER_SIDES]; /* the loss's derivative by logp */
};

struct preference_loss {
    const char *name;    /* as in configurations */
    const char *formula; /* for --help: one line of ASCII, in the letters above */
    const char *source;  /* the paper: authors, year, arXiv number */
    bool needs_reference;
    bool unpaired;
    bool by_token;       /* it looks at means over tokens: its rewards are of them */
    bool smooths_labels; /* it knows label_smoothing */
    struct preference_term (*term)(const struct preference_settings *s, const struct preference_pair *p);
};
enum { PREFERENCE_LOSSES = 15 };
extern const struct preference_loss preference_losses[PREFERENCE_LOSSES];
const struct preference_loss *preference_loss_find(const char *name); /* NULL: there is none of that name */

/* A weighted sum of losses. */
enum { PREFERENCE_TERMS_MOST = 4 };
struct preference_mix {
    struct preference_settings settings;
    size_t n;
    const struct preference_loss *losses[PREFERENCE_TERMS_MOST];
    double weights[PREFERENCE_TERMS_MOST];
};
/* ERR_USAGE for names that there are not, twice the same, paired and unpaired ones together, none or too many, settings
 * and weights out of their range (weights: above 0), and what changes nothing: label smoothing without a loss that knows
 * it, reference_free without a loss that has a reference, a loss's own setting other than the default without that loss.
 * Messages call settings by their flags. weights NULL: 1 each. */
int preference_mix_make(struct preference_mix *m, const struct preference_settings *s, const char *const *names,
                        const double *weights, size_t n, struct error *e);
bool preference_mix_needs_reference(const struct preference_mix *m); /* also false with reference_free */
bool preference_mix_is_unpaired(const struct preference_mix *m);

struct preference_result {
    double loss, dlogp[ANSWER_SIDES];
    double rewards[ANSWER_SIDES]; /* the first loss's: beta r, or of a loss that is by_token beta times r's mean over tokens */
};
struct preference_result preference_mix_of(const struct preference_mix *m, const struct preference_pair *p);

#endif
