/* Weighted sums of preference losses, and which there may be. */
#include "align/preference_loss.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static const struct preference_pair pair = {.logp = {-3, -4}, .reference = {-3.5, -7}, .n_tokens = {2, 4}, .kl = 0.5};

static void a_mix_is_the_weighted_sum(void **state)
{
    (void)state;
    static const char *const names[] = {"sigmoid", "sft", "ipo"};
    static const double weights[] = {0.5, 2, 0.125};
    struct preference_settings s = preference_defaults();
    struct preference_mix m;
    struct error e;
    s.label_smoothing = 0.1;
    assert_ok(preference_mix_make(&m, &s, names, weights, 3, &e), e);
    assert_true(preference_mix_needs_reference(&m) && !preference_mix_is_unpaired(&m));
    struct preference_result x = preference_mix_of(&m, &pair);
    double loss = 0, dlogp[ANSWER_SIDES] = {0};
    for (size_t i = 0; i < 3; i++) {
        struct preference_term t = preference_loss_find(names[i])->term(&s, &pair);
        assert_true(t.loss != 0 && t.dlogp[CHOSEN] != 0);
        loss += weights[i] * t.loss;
        for (int side = 0; side < ANSWER_SIDES; side++)
            dlogp[side] += weights[i] * t.dlogp[side];
    }
    assert_true(fabs(x.loss - loss) < 1e-14);
    for (int side = 0; side < ANSWER_SIDES; side++)
        assert_true(fabs(x.dlogp[side] - dlogp[side]) < 1e-14);
}

static void without_weights_each_counts_once(void **state)
{
    (void)state;
    static const char *const names[] = {"hinge", "sft"};
    static const double ones[] = {1, 1};
    struct preference_settings s = preference_defaults();
    struct preference_mix a, b;
    struct error e;
    assert_ok(preference_mix_make(&a, &s, names, NULL, 2, &e), e);
    assert_ok(preference_mix_make(&b, &s, names, ones, 2, &e), e);
    assert_true(preference_mix_of(&a, &pair).loss == preference_mix_of(&b, &pair).loss);
}

/* The first loss's. */
static void rewards_are(const char *first, const char *second, bool reference_free, double chosen, double rejected)
{
    const char *const names[] = {first, second};
    struct preference_settings s = preference_defaults();
    struct preference_mix m;
    struct error e;
    s.reference_free = reference_free;
    assert_ok(preference_mix_make(&m, &s, names, NULL, second ? 2 : 1, &e), e);
    struct preference_result x = preference_mix_of(&m, &pair);
    assert_true(fabs(x.rewards[CHOSEN] - chosen) < 1e-15 && fabs(x.rewards[REJECTED] - rejected) < 1e-15);
}

static void rewards_are_the_first_losss(void **state)
{
    (void)state;
    rewards_are("sigmoid", "sft", false, 0.05, 0.3);
    rewards_are("sigmoid", NULL, true, -0.3, -0.4);
    rewards_are("ipo", "sigmoid", false, 0.025, 0.075);
    rewards_are("ipo", NULL, true, -0.15, -0.1);
    rewards_are("simpo", NULL, false, -0.15, -0.1);
    rewards_are("cpo", "sigmoid", false, -0.3, -0.4);
    rewards_are("kto", NULL, false, 0.05, 0.3);
}

static void what_a_mix_needs(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool reference_free, needs, unpaired;
    } rows[] = {
        {"sigmoid", false, true, false}, {"sigmoid", true, false, false}, {"orpo", false, false, false},
        {"kto", false, true, true},      {"kto", true, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct preference_settings s = preference_defaults();
        struct preference_mix m;
        struct error e;
        s.reference_free = rows[i].reference_free;
        assert_ok(preference_mix_make(&m, &s, &rows[i].name, NULL, 1, &e), e);
        assert_int_equal(preference_mix_needs_reference(&m), rows[i].needs);
        assert_int_equal(preference_mix_is_unpaired(&m), rows[i].unpaired);
    }
}

static void defaults_fit_every_loss(void **state)
{
    (void)state;
    struct preference_settings usual = preference_defaults();
    assert_true(usual.beta == 0.1 && usual.label_smoothing == 0 && usual.simpo_gamma == 0.5 && usual.cpo_alpha == 1);
    assert_true(usual.desirable_weight == 1 && usual.undesirable_weight == 1 && !usual.reference_free);
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++) {
        struct preference_settings s = preference_defaults();
        struct preference_mix m;
        struct error e;
        assert_ok(preference_mix_make(&m, &s, &preference_losses[i].name, NULL, 1, &e), e);
    }
}

/* --- what is refused --- */

struct refusal {
    const char *names[6];
    size_t n;
    struct preference_settings changed; /* what is 0 stays the default */
    double weight;                      /* of the first; 0: no weights */
    const char *message;
};

#define ALL "sigmoid, hinge, ipo, robust, sigmoid_norm, exo_pair, nca_pair, sppo_hard, apo_zero, apo_down, simpo, cpo, orpo, sft, kto"

static const struct refusal refusals[] = {
    {{"sigmiod"}, 1, {.beta = 0}, 0, "--loss: there is no loss \"sigmiod\"; did you mean sigmoid? There are " ALL},
    {{"sft", "preferences"}, 2, {.beta = 0}, 0, "--loss: there is no loss \"preferences\"; there are " ALL},
    {{"sft", "ipo", "sft"}, 3, {.beta = 0}, 0, "--loss: sft is named twice; name it once, with both weights' sum"},
    {{"sigmoid", "kto"}, 2, {.beta = 0}, 0, "--loss: sigmoid and kto do not go together: one learns from pairs of answers, the other "
                                    "from single ones; take one of them"},
    {{NULL}, 0, {.beta = 0}, 0, "--loss: 0 losses are named; expected 1 to 4"},
    {{"sft", "ipo", "hinge", "orpo", "cpo"}, 5, {.beta = 0}, 0, "--loss: 5 losses are named; expected 1 to 4"},
    {{"sigmoid"}, 1, {.beta = -1}, 0, "--beta -1: expected a number above 0"},
    {{"sigmoid"}, 1, {.beta = NAN}, 0, "--beta nan: expected a number above 0"},
    {{"sigmoid"}, 1, {.beta = INFINITY}, 0, "--beta inf: expected a number above 0"},
    {{"robust"}, 1, {.label_smoothing = 0.5}, 0, "--label-smoothing 0.5: expected a number of at least 0 and below 0.5"},
    {{"robust"}, 1, {.label_smoothing = -0.1}, 0, "--label-smoothing -0.1: expected a number of at least 0 and below 0.5"},
    {{"simpo"}, 1, {.simpo_gamma = -2}, 0, "--simpo-gamma -2: expected a number of at least 0"},
    {{"cpo"}, 1, {.cpo_alpha = -2}, 0, "--cpo-alpha -2: expected a number of at least 0"},
    {{"kto"}, 1, {.desirable_weight = -1}, 0, "--desirable-weight -1: expected a number of at least 0"},
    {{"kto"}, 1, {.undesirable_weight = -1}, 0, "--undesirable-weight -1: expected a number of at least 0"},
    {{"sigmoid", "sft"}, 2, {.beta = 0}, -1, "the weight of sigmoid: --loss-weights -1: expected a number above 0"},
    {{"hinge", "sft"}, 2, {.label_smoothing = 0.1}, 0,
     "--label-smoothing 0.1 changes nothing with --loss hinge: leave it out, or take sigmoid or robust"},
    {{"orpo"}, 1, {.reference_free = true}, 0,
     "--reference-free changes nothing with --loss orpo, which has no reference: leave it out"},
    {{"sigmoid"}, 1, {.simpo_gamma = 1}, 0,
     "--simpo-gamma 1 changes nothing with --loss sigmoid: leave it out, or take simpo"},
    {{"simpo"}, 1, {.cpo_alpha = 2}, 0, "--cpo-alpha 2 changes nothing with --loss simpo: leave it out, or take cpo"},
    {{"ipo"}, 1, {.desirable_weight = 2}, 0,
     "--desirable-weight 2 changes nothing with --loss ipo: leave it out, or take kto"},
    {{"ipo"}, 1, {.undesirable_weight = 2}, 0,
     "--undesirable-weight 2 changes nothing with --loss ipo: leave it out, or take kto"},
};

static struct preference_settings changed(const struct preference_settings *c)
{
    struct preference_settings s = preference_defaults();
    s.beta = c->beta != 0 ? c->beta : s.beta;
    s.label_smoothing = c->label_smoothing;
    s.simpo_gamma = c->simpo_gamma != 0 ? c->simpo_gamma : s.simpo_gamma;
    s.cpo_alpha = c->cpo_alpha != 0 ? c->cpo_alpha : s.cpo_alpha;
    s.desirable_weight = c->desirable_weight != 0 ? c->desirable_weight : s.desirable_weight;
    s.undesirable_weight = c->undesirable_weight != 0 ? c->undesirable_weight : s.undesirable_weight;
    s.reference_free = c->reference_free;
    return s;
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        const double weights[PREFERENCE_TERMS_MOST] = {r->weight, 1, 1, 1};
        struct preference_settings s = changed(&r->changed);
        struct preference_mix m;
        struct error e = {0};
        assert_int_equal(preference_mix_make(&m, &s, r->names, r->weight != 0 ? weights : NULL, r->n, &e), ERR_USAGE);
        assert_string_equal(e.message, r->message);
    }
}

static void nothing_learned_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"kto", "sft"};
    static const double weights[] = {1, 0};
    struct preference_settings s = preference_defaults();
    struct preference_mix m;
    struct error e;
    s.desirable_weight = s.undesirable_weight = 0;
    assert_int_equal(preference_mix_make(&m, &s, names, NULL, 1, &e), ERR_USAGE);
    assert_string_equal(e.message, "--desirable-weight 0 and --undesirable-weight 0: then nothing is learned; leave one out");
    s.desirable_weight = 1; /* one alone may be 0 */
    assert_ok(preference_mix_make(&m, &s, names, NULL, 1, &e), e);
    s = preference_defaults();
    assert_int_equal(preference_mix_make(&m, &s, (const char *const[]){"ipo", "sft"}, weights, 2, &e), ERR_USAGE);
    assert_string_equal(e.message, "the weight of sft: --loss-weights 0: expected a number above 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mix_is_the_weighted_sum),
        cmocka_unit_test(without_weights_each_counts_once),
        cmocka_unit_test(rewards_are_the_first_losss),
        cmocka_unit_test(what_a_mix_needs),
        cmocka_unit_test(defaults_fit_every_loss),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(nothing_learned_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
