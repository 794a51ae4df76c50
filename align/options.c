#include "align/options.h"

#define FIELD(member) offsetof(struct align_options, member)

const struct option align_options[] = {
    {.key = "loss", .flag = "--loss", .type = OPTION_STRINGS, .offset = FIELD(loss), .default_value = "sigmoid",
     .placeholder = "NAME...",
     .help = "what is minimised, or several things at once: sigmoid (DPO), hinge, ipo, robust, sigmoid_norm, exo_pair, "
             "nca_pair, sppo_hard, apo_zero, apo_down; without a reference simpo, cpo, orpo, sft; of single answers kto; "
             "formulas below"},
    {.key = "loss_weights", .flag = "--loss-weights", .type = OPTION_NUMBERS, .offset = FIELD(loss_weights),
     .minimum = 0, .maximum = 1e6, .placeholder = "W...", .help = "how much each of several losses counts; default 1 each"},
    {.key = "beta", .flag = "--beta", .type = OPTION_FLOAT, .offset = FIELD(beta), .default_value = "0.1",
     .minimum = 1e-6, .maximum = 1e6, .help = "how dear it is to move away from the reference: b in the formulas"},
    {.key = "label_smoothing", .flag = "--label-smoothing", .type = OPTION_FLOAT, .offset = FIELD(label_smoothing),
     .default_value = "0", .minimum = 0, .maximum = 0.499, .placeholder = "SHARE",
     .help = "share of the pairs held to be the wrong way round: e in the formulas"},
    {.key = "simpo_gamma", .flag = "--simpo-gamma", .type = OPTION_FLOAT, .offset = FIELD(simpo_gamma),
     .default_value = "0.5", .minimum = 0, .maximum = 1e6, .help = "the margin that simpo wants"},
    {.key = "cpo_alpha", .flag = "--cpo-alpha", .type = OPTION_FLOAT, .offset = FIELD(cpo_alpha), .default_value = "1",
     .minimum = 0, .maximum = 1e6, .help = "how much the chosen answer's own loss counts in cpo"},
    {.key = "desirable_weight", .flag = "--desirable-weight", .type = OPTION_FLOAT, .offset = FIELD(desirable_weight),
     .default_value = "1", .minimum = 0, .maximum = 1e6, .help = "how much wanted answers count in kto"},
    {.key = "undesirable_weight", .flag = "--undesirable-weight", .type = OPTION_FLOAT,
     .offset = FIELD(undesirable_weight), .default_value = "1", .minimum = 0, .maximum = 1e6,
     .help = "how much the others do"},
    {.key = "reference_free", .flag = "--reference-free", .type = OPTION_BOOL, .offset = FIELD(reference_free),
     .help = "no reference: all answers count as equally likely to it"},
    {.key = "reference", .flag = "--reference", .type = OPTION_STRING, .offset = FIELD(reference), .placeholder = "FILE",
     .help = "the reference's log-probabilities, from linnet reference; default: computed, with --method lora in every step "
             "with the adapter off, with full once, before the first one"},
};
_Static_assert(sizeof align_options / sizeof *align_options == N_ALIGN_OPTIONS, "count the rows");

int align_options_mix(const struct align_options *o, struct preference_mix *mix, struct error *e)
{
    const struct preference_settings settings = {
        .beta = o->beta, .label_smoothing = o->label_smoothing, .simpo_gamma = o->simpo_gamma, .cpo_alpha = o->cpo_alpha,
        .desirable_weight = o->desirable_weight, .undesirable_weight = o->undesirable_weight,
        .reference_free = o->reference_free,
    };
    if (o->loss_weights.count && o->loss_weights.count != o->loss.count)
        return error_set(e, ERR_USAGE, "--loss-weights: %zu for %zu losses; give one for each", o->loss_weights.count,
                         o->loss.count);
    return preference_mix_make(mix, &settings, (const char *const *)o->loss.items,
                               o->loss_weights.count ? o->loss_weights.items : NULL, o->loss.count, e);
}
