#include "align/preference_loss.h"

#include <math.h>
#include <string.h>

/* A function of one number, and its derivative there. */
struct curve {
    double y, slope;
};

/* --- the logistic function, for any number: exp never sees a positive one --- */

static double sigmoid(double x)
{
    double small = exp(-fabs(x));
    return x < 0 ? small / (1 + small) : 1 / (1 + small);
}

static double log_sigmoid(double x)
{
    return fmin(x, 0) - log1p(exp(-fabs(x)));
}

/* What a label that is wrong with probability e costs: -(1 - e) log s(x) - e log s(-x). */
static struct curve smoothed(double x, double e)
{
    return (struct curve){-(1 - e) * log_sigmoid(x) - e * log_sigmoid(-x), -(1 - e) * sigmoid(-x) + e * sigmoid(x)};
}

/* s(-x), which is 1 - s(x) without its rounding. */
static struct curve complement(double x)
{
    return (struct curve){sigmoid(-x), -sigmoid(x) * sigmoid(-x)};
}

/* --- what is compared --- */

static double log_ratio(const struct preference_settings *s, const struct preference_pair *p, enum answer_side side)
{
    return p->logp[side] - (s->reference_free ? 0 : p->reference[side]);
}

static double by_tokens(const struct preference_pair *p, enum answer_side side, double sum)
{
    return sum / (double)p->n_tokens[side];
}

static double mean_logp(const struct preference_pair *p, enum answer_side side)
{
    return by_tokens(p, side, p->logp[side]);
}

static double difference(const struct preference_settings *s, const struct preference_pair *p)
{
    return log_ratio(s, p, CHOSEN) - log_ratio(s, p, REJECTED);
}

static double mean_difference(const struct preference_settings *s, const struct preference_pair *p)
{
    return by_tokens(p, CHOSEN, log_ratio(s, p, CHOSEN)) - by_tokens(p, REJECTED, log_ratio(s, p, REJECTED));
}

/* The loss c(factor (chosen's sum - rejected's)), from the curve at that place. */
static struct preference_term of_difference(struct curve c, double factor)
{
    return (struct preference_term){c.y, {factor * c.slope, -factor * c.slope}};
}

/* The same of means over tokens. */
static struct preference_term of_mean_difference(const struct preference_pair *p, struct curve c, double factor)
{
    double slope = factor * c.slope;
    return (struct preference_term){c.y, {by_tokens(p, CHOSEN, slope), -by_tokens(p, REJECTED, slope)}};
}

/* --- losses of the difference of log-ratios --- */

static struct preference_term sigmoid_term(const struct preference_settings *s, const struct preference_pair *p)
{
    return of_difference(smoothed(s->beta * difference(s, p), s->label_smoothing), s->beta);
}

/* Written so that what is no number stays none: fmax would make it 0. */
static struct preference_term hinge_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double missing = 1 - s->beta * difference(s, p);
    struct curve c = {missing, -1};
    if (missing <= 0)
        c = (struct curve){0, 0};
    return of_difference(c, s->beta);
}

static struct preference_term ipo_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double off = mean_difference(s, p) - 1 / (2 * s->beta);
    return of_mean_difference(p, (struct curve){off * off, 2 * off}, 1);
}

/* Unbiased where labels are wrong with probability e: its mean over right and wrong labels is the loss of right ones. */
static struct preference_term robust_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double x = s->beta * difference(s, p), e = s->label_smoothing;
    struct curve c = {(-(1 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1 - 2 * e),
                      (-(1 - e) * sigmoid(-x) - e * sigmoid(x)) / (1 - 2 * e)};
    return of_difference(c, s->beta);
}

static struct preference_term sigmoid_norm_term(const struct preference_settings *s, const struct preference_pair *p)
{
    return of_mean_difference(p, smoothed(s->beta * mean_difference(s, p), s->label_smoothing), s->beta);
}

/* KL of (s(x), s(-x)) from (1 - e, e), infinite for e of 0. Its derivative is s(x) s(-x) times the difference of the two
 * brackets, of which log s(x) - log s(-x) = x. */
static struct preference_term exo_pair_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double x = s->beta * difference(s, p), e = s->label_smoothing > 0 ? s->label_smoothing : 1e-3;
    double right = log1p(-e), wrong = log(e);
    struct curve c = {sigmoid(x) * (log_sigmoid(x) - right) + sigmoid(-x) * (log_sigmoid(-x) - wrong),
                      sigmoid(x) * sigmoid(-x) * (x - right + wrong)};
    return of_difference(c, s->beta);
}

/* --- losses of each answer's log-ratio --- */

static struct preference_term nca_pair_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double b = s->beta, c = b * log_ratio(s, p, CHOSEN), r = b * log_ratio(s, p, REJECTED);
    return (struct preference_term){-log_sigmoid(c) - 0.5 * log_sigmoid(-c) - 0.5 * log_sigmoid(-r),
                                    {b * (-sigmoid(-c) + 0.5 * sigmoid(c)), b * 0.5 * sigmoid(r)}};
}

static struct preference_term sppo_hard_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double goal = 0.5 / s->beta;
    double c = log_ratio(s, p, CHOSEN) - goal, r = log_ratio(s, p, REJECTED) + goal;
    return (struct preference_term){c * c + r * r, {2 * c, 2 * r}};
}

static struct preference_term apo_zero_term(const struct preference_settings *s, const struct preference_pair *p)
{
    struct curve c = complement(s->beta * log_ratio(s, p, CHOSEN)), r = complement(-s->beta * log_ratio(s, p, REJECTED));
    return (struct preference_term){c.y + r.y, {s->beta * c.slope, -s->beta * r.slope}};
}

static struct preference_term apo_down_term(const struct preference_settings *s, const struct preference_pair *p)
{
    struct curve c = complement(-s->beta * log_ratio(s, p, CHOSEN)), d = complement(s->beta * difference(s, p));
    return (struct preference_term){c.y + d.y, {s->beta * (d.slope - c.slope), -s->beta * d.slope}};
}

/* --- losses without a reference --- */

static struct preference_term sft_term(const struct preference_settings *s, const struct preference_pair *p)
{
    (void)s;
    return (struct preference_term){-mean_logp(p, CHOSEN), {-by_tokens(p, CHOSEN, 1), 0}};
}

static struct preference_term simpo_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double z = s->beta * (mean_logp(p, CHOSEN) - mean_logp(p, REJECTED)) - s->simpo_gamma;
    return of_mean_difference(p, smoothed(z, s->label_smoothing), s->beta);
}

static struct preference_term cpo_term(const struct preference_settings *s, const struct preference_pair *p)
{
    struct curve c = smoothed(s->beta * (p->logp[CHOSEN] - p->logp[REJECTED]), s->label_smoothing);
    struct preference_term t = of_difference(c, s->beta), own = sft_term(s, p);
    t.loss += s->cpo_alpha * own.loss;
    t.dlogp[CHOSEN] += s->cpo_alpha * own.dlogp[CHOSEN];
    return t;
}

/* log(P / (1 - P)) of a token's mean log-probability m. At P = 1 odds and their derivative 1 / (1 - P) are infinite, and
 * log-probabilities in f32 come to that, or by rounding beyond it: nearer to 0 than ORPO_NEAREST, which is their rounding,
 * the curve goes on along its tangent. So log odds reach 14.8 and their slope a million, with which a rejected answer that
 * is certain is pushed away; clipping bounds that. */
#define ORPO_NEAREST (-1e-6)

static struct curve log_odds(double m)
{
    double at = m > ORPO_NEAREST ? ORPO_NEAREST : m, others = -expm1(at);
    return (struct curve){at - log(others) + (m - at) / others, 1 / others};
}

static struct preference_term orpo_term(const struct preference_settings *s, const struct preference_pair *p)
{
    struct curve c = log_odds(mean_logp(p, CHOSEN)), r = log_odds(mean_logp(p, REJECTED));
    double x = c.y - r.y, slope = -s->beta * sigmoid(-x);
    struct preference_term t = sft_term(s, p);
    t.loss -= s->beta * log_sigmoid(x);
    t.dlogp[CHOSEN] += by_tokens(p, CHOSEN, slope * c.slope);
    t.dlogp[REJECTED] = -by_tokens(p, REJECTED, slope * r.slope);
    return t;
}

/* --- single answers --- */

static struct preference_term kto_term(const struct preference_settings *s, const struct preference_pair *p)
{
    double sign = p->wanted ? 1 : -1, weight = p->wanted ? s->desirable_weight : s->undesirable_weight;
    struct curve c = complement(sign * s->beta * (log_ratio(s, p, CHOSEN) - p->kl));
    return (struct preference_term){weight * c.y, {weight * sign * s->beta * c.slope, 0}};
}

const struct preference_loss preference_losses[PREFERENCE_LOSSES] = {
    {.name = "sigmoid", .formula = "-(1-e) log s(b d) - e log s(-b d)",
     .source = "Rafailov et al. 2023, arXiv:2305.18290 (DPO); Mitchell 2023 (label smoothing)",
     .needs_reference = true, .smooths_labels = true, .term = sigmoid_term},
    {.name = "hinge", .formula = "max(0, 1 - b d)",
     .source = "Zhao et al. 2023, arXiv:2305.10425 (SLiC-HF); Liu et al. 2023, arXiv:2309.06657 (with a reference)",
     .needs_reference = true, .term = hinge_term},
    {.name = "ipo", .formula = "(c/n - r/n - 1/(2b))^2", .source = "Azar et al. 2023, arXiv:2310.12036",
     .needs_reference = true, .by_token = true, .term = ipo_term},
    {.name = "robust", .formula = "(-(1-e) log s(b d) + e log s(-b d)) / (1-2e)",
     .source = "Chowdhury et al. 2024, arXiv:2403.00409", .needs_reference = true, .smooths_labels = true,
     .term = robust_term},
    {.name = "sigmoid_norm", .formula = "-(1-e) log s(x) - e log s(-x), x = b (c/n - r/n)",
     .source = "Lambert et al. 2024, arXiv:2411.15124; Meng et al. 2024, arXiv:2405.14734 (means over tokens)",
     .needs_reference = true, .by_token = true, .smooths_labels = true, .term = sigmoid_norm_term},
    {.name = "exo_pair", .formula = "s(b d) (log s(b d) - log(1-e)) + s(-b d) (log s(-b d) - log e), e = 0.001 for 0",
     .source = "Ji et al. 2024, arXiv:2402.00856", .needs_reference = true, .smooths_labels = true,
     .term = exo_pair_term},
    {.name = "nca_pair", .formula = "-log s(b c) - 1/2 log s(-b c) - 1/2 log s(-b r)",
     .source = "Chen et al. 2024, arXiv:2402.05369", .needs_reference = true, .term = nca_pair_term},
    {.name = "sppo_hard", .formula = "(c - 1/(2b))^2 + (r + 1/(2b))^2", .source = "Wu et al. 2024, arXiv:2405.00675",
     .needs_reference = true, .term = sppo_hard_term},
    {.name = "apo_zero", .formula = "1 - s(b c) + s(b r)", .source = "D'Oosterlinck et al. 2024, arXiv:2408.06266",
     .needs_reference = true, .term = apo_zero_term},
    {.name = "apo_down", .formula = "s(b c) + 1 - s(b d)", .source = "D'Oosterlinck et al. 2024, arXiv:2408.06266",
     .needs_reference = true, .term = apo_down_term},
    {.name = "simpo", .formula = "-(1-e) log s(z) - e log s(-z), z = b (C/n - R/n) - simpo_gamma",
     .source = "Meng et al. 2024, arXiv:2405.14734", .by_token = true, .smooths_labels = true, .term = simpo_term},
    {.name = "cpo", .formula = "-(1-e) log s(b (C - R)) - e log s(-b (C - R)) - cpo_alpha C/n",
     .source = "Xu et al. 2024, arXiv:2401.08417", .smooths_labels = true, .term = cpo_term},
    {.name = "orpo", .formula = "-C/n - b log s(odds(C/n) - odds(R/n)), odds(x) = x - log(1 - exp(x))",
     .source = "Hong et al. 2024, arXiv:2403.07691", .by_token = true, .term = orpo_term},
    {.name = "sft", .formula = "-C/n", .source = "Pang et al. 2024, arXiv:2404.19733 (beside another loss)",
     .by_token = true, .term = sft_term},
    {.name = "kto", .formula = "wanted: desirable_weight (1 - s(b (c - kl))); else undesirable_weight (1 - s(b (kl - c)))",
     .source = "Ethayarajh et al. 2024, arXiv:2402.01306", .needs_reference = true, .unpaired = true,
     .term = kto_term},
};

const struct preference_loss *preference_loss_find(const char *name)
{
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++)
        if (strcmp(preference_losses[i].name, name) == 0)
            return &preference_losses[i];
    return NULL;
}
