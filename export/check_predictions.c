#include "export/check.h"

#include "base/check.h"
#include "base/memory.h"
#include "infer/generate.h"
#include "infer/logprobs.h"

#include <math.h>

static size_t longest_row(const struct checked_rows *rows)
{
    size_t n = 1;
    for (size_t i = 0; i < rows->n_samples; i++)
        n = rows->samples[i].n > n ? rows->samples[i].n : n;
    return n;
}

static int check_ids(struct model *models[2], const struct checked_rows *rows, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < rows->n_samples && !code; i++)
        code = runner_check_tokens(models[0], rows->samples[i].ids, rows->samples[i].n, e);
    return code;
}

static int compare_rows(struct model *models[2], const struct checked_rows *rows, struct divergence_sums *sums,
                        struct error *e)
{
    struct divergence d = {0};
    int code = divergence_init(&d, models[0], models[1], longest_row(rows), e);
    for (size_t i = 0; i < rows->n_samples && !code; i++)
        code = divergence_add(&d, rows->samples[i].ids, rows->samples[i].n, e);
    *sums = d.sums;
    divergence_free(&d);
    return code;
}

/* ---- greedy answers ---- */

struct answers {
    struct generator generators[2];
    struct generation texts[2];
    struct generate_options options;
    struct checked_predictions *p;
};

static int answers_init(struct answers *a, struct model *models[2], const struct tokenizer *const tokenizers[2],
                        const struct checked_rows *rows, size_t n_tokens, struct error *e)
{
    const struct generator_options o = {.capacity = longest_row(rows) + n_tokens + 1};
    a->options = (struct generate_options){.sampler = sampler_defaults(), .max_tokens = n_tokens};
    a->options.sampler.temperature = 0;
    int code = generator_init(&a->generators[0], models[0], tokenizers[0], &o, e);
    if (!code) {
        code = generator_init(&a->generators[1], models[1], tokenizers[1], &o, e);
        if (code)
            generator_free(&a->generators[0]);
    }
    return code;
}

static void answers_free(struct answers *a)
{
    for (int i = 0; i < 2; i++) {
        generator_free(&a->generators[i]);
        generation_free(&a->texts[i]);
    }
}

/* Both models' probabilities of both tokens where the answers part. */
static int weigh(struct answers *a, const struct checked_row *row, struct checked_parting *x, struct error *e)
{
    int code = OK;
    for (int i = 0; i < 2 && !code; i++) {
        struct generator *g = &a->generators[i];
        generator_reset(g);
        code = generator_feed(g, row->ids, row->n_prompt, NULL, e);
        if (!code && x->at)
            code = generator_feed(g, a->texts[0].tokens.ids, x->at, NULL, e);
        const double sum = code ? 0 : logits_log_sum(g->logits, g->model->config.vocab_size);
        for (int j = 0; j < 2 && !code; j++)
            x->p[i][j] = x->ids[j] == TOKEN_NONE ? 0 : exp((double)g->logits[x->ids[j]] - sum);
    }
    return code;
}

static int compare_answers(struct answers *a, const struct checked_row *row, struct error *e)
{
    const struct tokens *one = &a->texts[0].tokens, *other = &a->texts[1].tokens;
    struct checked_predictions *p = a->p;
    struct checked_parting x = {.row = row, .ids = {TOKEN_NONE, TOKEN_NONE}};
    while (x.at < one->count && x.at < other->count && one->ids[x.at] == other->ids[x.at])
        x.at++;
    p->answers++;
    p->tokens += one->count;
    for (int i = 0; i < 2; i++) {
        p->ended[i] += a->texts[i].reason == STOPPED_END;
        if (x.at < a->texts[i].tokens.count)
            x.ids[i] = a->texts[i].tokens.ids[x.at];
    }
    if (x.ids[0] == TOKEN_NONE && x.ids[1] == TOKEN_NONE) {
        p->same++;
        return OK;
    }
    int code = weigh(a, row, &x, e);
    const bool only_end = x.ids[0] == TOKEN_NONE || x.ids[1] == TOKEN_NONE; /* one stops where the other one goes on */
    if (!code && (!p->parting.row || only_end || x.p[0][0] - x.p[0][1] > p->parting.p[0][0] - p->parting.p[0][1]))
        p->parting = x;
    return code;
}

static int answer_all(struct model *models[2], const struct tokenizer *const tokenizers[2],
                      const struct checked_rows *rows, size_t n_tokens, struct checked_predictions *p, struct error *e)
{
    struct answers a = {.p = p};
    int code = answers_init(&a, models, tokenizers, rows, n_tokens, e);
    if (code)
        return code;
    for (size_t i = 0; i < rows->n_samples && !code; i++) {
        const struct checked_row *row = &rows->samples[i];
        for (int k = 0; k < 2 && !code; k++) {
            generator_reset(&a.generators[k]);
            code = generate(&a.generators[k], row->ids, row->n_prompt, &a.options, NULL, NULL, &a.texts[k], e);
        }
        if (!code)
            code = compare_answers(&a, row, e);
    }
    answers_free(&a);
    return code;
}

int check_predictions(struct model *models[2], const struct tokenizer *const tokenizers[2],
                      const struct checked_rows *rows, size_t n_tokens, struct checked_predictions *p, struct error *e)
{
    CHECK(models[0]->config.vocab_size == models[1]->config.vocab_size);
    *p = (struct checked_predictions){0};
    int code = check_ids(models, rows, e);
    if (!code)
        code = compare_rows(models, rows, &p->sums, e);
    if (!code && n_tokens && rows->n_samples)
        code = answer_all(models, tokenizers, rows, n_tokens, p, e);
    return code;
}
