#include "align/preference_loss.h"

#include "base/buffer.h"
#include "base/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct preference_settings preference_defaults(void)
{
    return (struct preference_settings){.beta = 0.1, .simpo_gamma = 0.5, .cpo_alpha = 1, .desirable_weight = 1,
                                        .undesirable_weight = 1};
}

/* --- what a mix may be --- */

static int error_unknown(const char *name, struct error *e)
{
    const char *names[PREFERENCE_LOSSES];
    struct buffer list = {0};
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++) {
        names[i] = preference_losses[i].name;
        buffer_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = nearest_name(name, names, PREFERENCE_LOSSES);
    error_set(e, ERR_USAGE, "--loss: there is no loss \"%.32s\"; %s%s%s are %s", name, near ? "did you mean " : "",
              near ? near : "", near ? "? There" : "there", list.data);
    buffer_free(&list);
    return ERR_USAGE;
}

static int check_names(struct preference_mix *m, const char *const *names, struct error *e)
{
    for (size_t i = 0; i < m->n; i++) {
        m->losses[i] = preference_loss_find(names[i]);
        if (!m->losses[i])
            return error_unknown(names[i], e);
        for (size_t j = 0; j < i; j++)
            if (m->losses[j] == m->losses[i])
                return error_set(e, ERR_USAGE, "--loss: %s is named twice; name it once, with both weights' sum", names[i]);
        if (m->losses[i]->unpaired != m->losses[0]->unpaired)
            return error_set(e, ERR_USAGE, "--loss: %s and %s do not go together: one learns from pairs of answers, the "
                             "other from single ones; take one of them", names[0], names[i]);
    }
    return OK;
}

/* A number from 0, which itself may be allowed, to below a limit. */
static int check_range(const char *flag, double x, bool zero, double limit, struct error *e)
{
    char most[32] = "";
    if ((zero ? x >= 0 : x > 0) && x < limit)
        return OK;
    if (isfinite(limit))
        snprintf(most, sizeof most, " and below %g", limit);
    return error_set(e, ERR_USAGE, "%s %g: expected a number %s%s", flag, x, zero ? "of at least 0" : "above 0", most);
}

static int check_ranges(const struct preference_mix *m, struct error *e)
{
    const struct preference_settings *s = &m->settings;
    const struct {
        const char *flag;
        double value;
        bool zero;
        double limit;
    } rows[] = {
        {"--beta", s->beta, false, INFINITY},
        {"--label-smoothing", s->label_smoothing, true, 0.5},
        {"--simpo-gamma", s->simpo_gamma, true, INFINITY},
        {"--cpo-alpha", s->cpo_alpha, true, INFINITY},
        {"--desirable-weight", s->desirable_weight, true, INFINITY},
        {"--undesirable-weight", s->undesirable_weight, true, INFINITY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = check_range(rows[i].flag, rows[i].value, rows[i].zero, rows[i].limit, e);
        if (code)
            return code;
    }
    for (size_t i = 0; i < m->n; i++) {
        int code = check_range("--loss-weights", m->weights[i], false, INFINITY, e);
        if (code)
            return error_prefix(e, "the weight of %s", m->losses[i]->name);
    }
    if (s->desirable_weight == 0 && s->undesirable_weight == 0)
        return error_set(e, ERR_USAGE, "--desirable-weight 0 and --undesirable-weight 0: then nothing is learned; leave one out");
    return OK;
}

static bool contains(const struct preference_mix *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->losses[i]->name, name) == 0)
            return true;
    return false;
}

/* Settings that were given and that no loss of the mix looks at. */
static int check_used(const struct preference_mix *m, struct error *e)
{
    const struct preference_settings *s = &m->settings, usual = preference_defaults();
    const struct {
        const char *flag, *loss;
        double value, usual;
    } rows[] = {
        {"--simpo-gamma", "simpo", s->simpo_gamma, usual.simpo_gamma},
        {"--cpo-alpha", "cpo", s->cpo_alpha, usual.cpo_alpha},
        {"--desirable-weight", "kto", s->desirable_weight, usual.desirable_weight},
        {"--undesirable-weight", "kto", s->undesirable_weight, usual.undesirable_weight},
    };
    bool smooths = false, refers = false;
    for (size_t i = 0; i < m->n; i++) {
        smooths |= m->losses[i]->smooths_labels;
        refers |= m->losses[i]->needs_reference;
    }
    if (s->label_smoothing > 0 && !smooths)
        return error_set(e, ERR_USAGE, "--label-smoothing %g changes nothing with --loss %s: leave it out, or take sigmoid or "
                         "robust", s->label_smoothing, m->losses[0]->name);
    if (s->reference_free && !refers)
        return error_set(e, ERR_USAGE, "--reference-free changes nothing with --loss %s, which has no reference: leave it out",
                         m->losses[0]->name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value != rows[i].usual && !contains(m, rows[i].loss))
            return error_set(e, ERR_USAGE, "%s %g changes nothing with --loss %s: leave it out, or take %s", rows[i].flag,
                             rows[i].value, m->losses[0]->name, rows[i].loss);
    return OK;
}

int preference_mix_make(struct preference_mix *m, const struct preference_settings *s, const char *const *names,
                        const double *weights, size_t n, struct error *e)
{
    *m = (struct preference_mix){.settings = *s, .n = n};
    if (n == 0 || n > PREFERENCE_TERMS_MOST)
        return error_set(e, ERR_USAGE, "--loss: %zu losses are named; expected 1 to %d", n, PREFERENCE_TERMS_MOST);
    for (size_t i = 0; i < n; i++)
        m->weights[i] = weights ? weights[i] : 1;
    int code = check_names(m, names, e);
    code = code ? code : check_ranges(m, e);
    return code ? code : check_used(m, e);
}

bool preference_mix_needs_reference(const struct preference_mix *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->losses[i]->needs_reference && !m->settings.reference_free)
            return true;
    return false;
}

bool preference_mix_is_unpaired(const struct preference_mix *m)
{
    return m->losses[0]->unpaired;
}

/* --- what it comes to --- */

struct preference_result preference_mix_of(const struct preference_mix *m, const struct preference_pair *p)
{
    struct preference_result result = {0};
    const struct preference_loss *first = m->losses[0];
    for (size_t i = 0; i < m->n; i++) {
        struct preference_term t = m->losses[i]->term(&m->settings, p);
        result.loss += m->weights[i] * t.loss;
        for (int side = 0; side < ANSWER_SIDES; side++)
            result.dlogp[side] += m->weights[i] * t.dlogp[side];
    }
    for (int side = 0; side < ANSWER_SIDES; side++) {
        bool refers = first->needs_reference && !m->settings.reference_free;
        double r = p->logp[side] - (refers ? p->reference[side] : 0);
        result.rewards[side] = m->settings.beta * (first->by_token ? r / (double)p->n_tokens[side] : r);
    }
    return result;
}
