#include "align/objective.h"

#include "align/answer_logps.h"
#include "base/check.h"
#include "kernels/cross_entropy.h"

#include <math.h>
#include <string.h>

static size_t count(const struct objective *o, const struct batch *b)
{
    (void)o;
    return b->n_examples / ANSWER_SIDES;
}

static size_t scratch_floats(const struct objective *o, const struct model_config *c, size_t n)
{
    (void)o;
    return answer_logps_scratch(c, n) + n; /* and a weight for each token */
}

static void *room(void *items, size_t *capacity, size_t n, size_t size)
{
    if (n)
        mem_grow(&items, capacity, n - 1, size);
    return items;
}

/* Two examples that stand next to each other are a pair. */
static void reserve(struct preferences *a, const struct batch *b)
{
    size_t n = b->n_examples;
    CHECK(n % ANSWER_SIDES == 0);
    for (size_t i = 0; i < n; i += ANSWER_SIDES)
        CHECK(b->examples[i].number % ANSWER_SIDES == 0 && b->examples[i + 1].number == b->examples[i].number + 1);
    a->logps = room(a->logps, &a->logps_capacity, n, sizeof *a->logps);
    a->reference_logps = room(a->reference_logps, &a->reference_capacity, n, sizeof *a->reference_logps);
    a->results = room(a->results, &a->results_capacity, n / ANSWER_SIDES, sizeof *a->results);
}

static void begin(const struct objective *o, struct activations *activations, const struct batch *b, float *scratch)
{
    struct preferences *a = o->context;
    const struct reference *r = a->reference;
    reserve(a, b);
    if (b->n_examples)
        memset(a->reference_logps, 0, b->n_examples * sizeof *a->reference_logps);
    if (r && b->n_examples && !a->failure.code)
        r->logps(r->context, activations, b, scratch, a->reference_logps, &a->failure);
}

/* --- from log-probabilities to losses --- */

static size_t count_targets(const struct batch *b, const struct batch_example *x)
{
    size_t n = 0;
    for (size_t t = x->begin; t < x->end; t++)
        n += b->targets[t] >= 0;
    return n;
}

/* How far the model is from the reference on answers that belong to other prompts: their mean log-ratio, and no less
 * than 0 (Ethayarajh et al., 2024, arXiv:2402.01306). */
static double estimate_kl(const struct preferences *a, const struct batch *b)
{
    double sum = 0;
    for (size_t i = REJECTED; i < b->n_examples; i += ANSWER_SIDES)
        sum += a->logps[i] - a->reference_logps[i];
    return sum < 0 || b->n_examples == 0 ? 0 : sum / (double)count(&a->objective, b); /* no number stays none */
}

static void add(struct preferences *a, int measure, double value)
{
    a->measures[measure].sum += value;
    a->measures[measure].count++;
}

static void measure_pair(struct preferences *a, const struct preference_pair *p, const struct preference_result *r)
{
    add(a, REWARDS_CHOSEN, r->rewards[CHOSEN]);
    add(a, REWARDS_REJECTED, r->rewards[REJECTED]);
    add(a, REWARDS_ACCURACIES, r->rewards[CHOSEN] > r->rewards[REJECTED]);
    add(a, REWARDS_MARGINS, r->rewards[CHOSEN] - r->rewards[REJECTED]);
    add(a, LOGPS_CHOSEN, p->logp[CHOSEN]);
    add(a, LOGPS_REJECTED, p->logp[REJECTED]);
}

static void measure_answer(struct preferences *a, const struct preference_pair *p, const struct preference_result *r)
{
    double reward = r->rewards[CHOSEN], neutral = a->mix.settings.beta * p->kl;
    add(a, p->wanted ? REWARDS_CHOSEN : REWARDS_REJECTED, reward);
    add(a, p->wanted ? LOGPS_CHOSEN : LOGPS_REJECTED, p->logp[CHOSEN]);
    add(a, REWARDS_ACCURACIES, p->wanted ? reward > neutral : reward < neutral);
}

/* The difference of a batch's mean rewards of wanted and of other answers, where it has both. */
static void measure_batch(struct preferences *a, const struct batch *b, double kl)
{
    double sum[2] = {0}, n[2] = {0};
    for (size_t i = 0; i < count(&a->objective, b); i++) {
        bool wanted = a->wanted[b->examples[ANSWER_SIDES * i].number / ANSWER_SIDES];
        sum[wanted] += a->results[i].rewards[CHOSEN];
        n[wanted]++;
    }
    if (n[0] > 0 && n[1] > 0)
        add(a, REWARDS_MARGINS, sum[1] / n[1] - sum[0] / n[0]);
    add(a, KL, kl);
}

/* The losses of all pairs, in their order, and their sum. */
static double judge_pairs(struct preferences *a, const struct batch *b)
{
    bool unpaired = preference_mix_is_unpaired(&a->mix);
    double total = 0, kl = unpaired ? estimate_kl(a, b) : 0;
    for (size_t i = 0; i < count(&a->objective, b); i++) {
        struct preference_pair p = {.kl = kl};
        const struct batch_example *examples = &b->examples[ANSWER_SIDES * i];
        for (int side = 0; side < ANSWER_SIDES; side++) {
            p.logp[side] = a->logps[ANSWER_SIDES * i + (size_t)side];
            p.reference[side] = a->reference_logps[ANSWER_SIDES * i + (size_t)side];
            p.n_tokens[side] = count_targets(b, &examples[side]);
        }
        p.wanted = unpaired && a->wanted[examples->number / ANSWER_SIDES];
        a->results[i] = preference_mix_of(&a->mix, &p);
        total += a->results[i].loss;
        (unpaired ? measure_answer : measure_pair)(a, &p, &a->results[i]);
    }
    if (unpaired && b->n_examples)
        measure_batch(a, b, kl);
    return total;
}

/* --- and to gradients --- */

/* The derivative of a token's own loss is minus that of its answer's log-probability. */
static void set_weights(const struct preferences *a, const struct batch *b, float *weights)
{
    memset(weights, 0, b->n_rows * b->seq_len * sizeof *weights);
    for (size_t i = 0; i < b->n_examples; i++) {
        const struct batch_example *x = &b->examples[i];
        double dlogp = a->results[i / ANSWER_SIDES].dlogp[i % ANSWER_SIDES];
        for (size_t t = x->begin; t < x->end; t++)
            weights[t] = (float)-dlogp;
    }
}

static void scale_rows(float *dhidden, const float *weights, size_t n, size_t c)
{
#pragma omp parallel for schedule(static) if (n * c > 65536)
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < c; i++)
            dhidden[t * c + i] *= weights[t];
}

static double loss(const struct objective *o, struct model *m, const struct batch *b, const void *hidden, enum dtype type,
                   float scale, float *dhidden, float *scratch)
{
    struct preferences *a = o->context;
    const struct model_config *c = &m->config;
    size_t n = b->n_rows * b->seq_len;
    float *row_losses = scratch + linear_loss_scratch(n, c->hidden_size, c->vocab_size), *weights = row_losses + n;
    if (a->failure.code)
        return NAN;
    struct output_layer layer = objective_output_layer(m, dhidden != NULL);
    bool at_once = dhidden && !layer.dw && !layer.dbias && !layer.add;
    linear_cross_entropy(&layer, type, hidden, b->targets, scale, row_losses, at_once ? dhidden : NULL, n, scratch);
    answer_logps_add_up(b, row_losses, a->logps);
    double total = judge_pairs(a, b);
    if (!dhidden)
        return total;
    set_weights(a, b, weights);
    if (at_once)
        scale_rows(dhidden, weights, n, c->hidden_size);
    else
        linear_weighted_cross_entropy(&layer, type, hidden, b->targets, weights, scale, NULL, dhidden, n, scratch);
    return total;
}

void preferences_init(struct preferences *a, const struct preference_mix *mix, const struct reference *reference,
                    const bool *wanted)
{
    CHECK(reference || !preference_mix_needs_reference(mix));
    CHECK(wanted || !preference_mix_is_unpaired(mix));
    *a = (struct preferences){
        .mix = *mix,
        .reference = preference_mix_needs_reference(mix) ? reference : NULL,
        .wanted = wanted,
        .measures = {[REWARDS_CHOSEN] = {.name = "rewards/chosen"},
                     [REWARDS_REJECTED] = {.name = "rewards/rejected"},
                     [REWARDS_ACCURACIES] = {.name = "rewards/accuracies"},
                     [REWARDS_MARGINS] = {.name = "rewards/margins"},
                     [LOGPS_CHOSEN] = {.name = "logps/chosen"},
                     [LOGPS_REJECTED] = {.name = "logps/rejected"},
                     [KL] = {.name = "kl"}},
    };
    a->objective = (struct objective){.name = "preferences", .context = a, .measures = a->measures,
                                      .n_measures = PREFERENCE_MEASURES, .failure = &a->failure, .count = count,
                                      .begin = begin, .scratch = scratch_floats, .loss = loss};
}

void preferences_free(struct preferences *a)
{
    mem_free(a->logps);
    mem_free(a->reference_logps);
    mem_free(a->results);
    *a = (struct preferences){0};
}
