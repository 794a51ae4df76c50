/* The `align:` section of a configuration. */
#ifndef LINNET_ALIGN_OPTIONS_H
#define LINNET_ALIGN_OPTIONS_H

#include "align/preference_loss.h"
#include "base/options.h"

struct align_options {
    struct option_strings loss;         /* names, at least one */
    struct option_numbers loss_weights; /* one for each, or none: 1 each */
    double beta, label_smoothing, simpo_gamma, cpo_alpha, desirable_weight, undesirable_weight;
    bool reference_free;
    char *reference; /* a file of log-probabilities; NULL: computed */
};
enum { N_ALIGN_OPTIONS = 10 };
extern const struct option align_options[N_ALIGN_OPTIONS];

/* ERR_USAGE as preference_mix_make, and where there are not as many weights as losses. */
int align_options_mix(const struct align_options *o, struct preference_mix *mix, struct error *e);

#endif
