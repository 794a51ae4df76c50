#include "infer/divergence.h"

#include "base/check.h"
#include "infer/logprobs.h"

#include <math.h>

enum { CHUNK = 64 }; /* rows of logits at a time */

struct divergence_row {
    double kl, nats[2], change;
    bool same_top;
};

static void take_memory(struct divergence *d)
{
    const size_t vocab = d->models[0]->config.vocab_size;
    for (int i = 0; i < 2; i++) {
        activations_init(&d->activations[i], d->models[i], DTYPE_F32, 1, d->context, KEEP_NOTHING, &d->arena);
        d->logits[i] = arena_alloc(&d->arena, CHUNK * vocab, sizeof(float));
    }
    batch_init(&d->batch, 1, d->context, &d->arena);
    d->rows = arena_alloc(&d->arena, CHUNK, sizeof *d->rows);
}

int divergence_init(struct divergence *d, struct model *original, struct model *other, size_t context,
                    struct error *e)
{
    CHECK(context > 0);
    *d = (struct divergence){.models = {original, other}, .context = context};
    if (original->config.vocab_size != other->config.vocab_size)
        return error_set(e, ERR_USAGE,
                         "the two models have vocabularies of %zu and %zu tokens; they cannot be compared",
                         original->config.vocab_size, other->config.vocab_size);
    take_memory(d);
    size_t size = d->arena.used;
    activations_free(&d->activations[0]);
    activations_free(&d->activations[1]);
    int code = arena_init(&d->arena, size, "the activations of two models", e);
    if (code)
        return code;
    take_memory(d);
    model_reserve_positions(original, context);
    model_reserve_positions(other, context);
    return OK;
}

void divergence_free(struct divergence *d)
{
    activations_free(&d->activations[0]);
    activations_free(&d->activations[1]);
    arena_free(&d->arena);
    *d = (struct divergence){0};
}

static size_t likeliest(const float *x, size_t n)
{
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        top = x[i] > x[top] ? i : top;
    return top;
}

static struct divergence_row compare(const float *p, const float *q, size_t n, int32_t target)
{
    const double z_p = logits_log_sum(p, n), z_q = logits_log_sum(q, n);
    struct divergence_row row = {.nats = {z_p - (double)p[target], z_q - (double)q[target]},
                                 .same_top = likeliest(p, n) == likeliest(q, n)};
    for (size_t i = 0; i < n; i++) {
        const double log_p = (double)p[i] - z_p;
        const double log_q = (double)q[i] - z_q, p_i = exp(log_p);
        row.kl += p_i * (log_p - log_q);
        row.change = fmax(row.change, fabs(p_i - exp(log_q)));
    }
    return row;
}

/* Rows [from, from + n) of the batch, whose hidden states are given. */
static int add_rows(struct divergence *d, const float *hidden[2], size_t from, size_t n, struct error *e)
{
    const size_t vocab = d->models[0]->config.vocab_size;
    for (int i = 0; i < 2; i++) {
        struct output_layer layer = decoder_output_layer(d->models[i]);
        output_logits(&layer, DTYPE_F32, hidden[i] + from * d->models[i]->config.hidden_size, d->logits[i], n);
    }
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++)
        d->rows[i] = compare(d->logits[0] + i * vocab, d->logits[1] + i * vocab, vocab, d->batch.targets[from + i]);
    for (size_t i = 0; i < n; i++) { /* one after another: the same sum with any number of threads */
        const struct divergence_row *row = &d->rows[i];
        if (!isfinite(row->kl) || !isfinite(row->nats[0]) || !isfinite(row->nats[1]))
            return error_set(e, ERR_FORMAT, "the output of the %s model is not a number",
                             isfinite(row->nats[0]) ? "second" : "first");
        d->sums.kl += row->kl;
        d->sums.nats[0] += row->nats[0];
        d->sums.nats[1] += row->nats[1];
        d->sums.same_top += row->same_top;
        d->sums.change = fmax(d->sums.change, row->change);
        d->sums.n++;
    }
    return OK;
}

/* n inputs and the n tokens that follow them. */
static int add_window(struct divergence *d, const int32_t *ids, size_t n, struct error *e)
{
    struct batch b = d->batch;
    const float *hidden[2];
    int code = OK;
    b.seq_len = n;
    b.first_key = NULL;
    for (size_t i = 0; i < n; i++) {
        b.input_ids[i] = ids[i];
        b.targets[i] = ids[i + 1];
        b.positions[i] = (int32_t)i;
    }
    for (int i = 0; i < 2; i++)
        hidden[i] = decoder_forward(d->models[i], &d->activations[i], &b, NULL, 0);
    for (size_t from = 0; from < n && !code; from += CHUNK)
        code = add_rows(d, hidden, from, n - from < CHUNK ? n - from : CHUNK, e);
    return code;
}

int divergence_add(struct divergence *d, const int32_t *ids, size_t n, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < n; i++)
        CHECK(ids[i] >= 0 && (size_t)ids[i] < d->models[0]->config.vocab_size);
    for (size_t from = 0; from + 1 < n && !code; from += d->context)
        code = add_window(d, ids + from, n - 1 - from < d->context ? n - 1 - from : d->context, e);
    return code;
}
