#include "distill/objective.h"

#include "model/decoder.h"

#include <math.h>

const char *const divergence_names[] = {"forward_kl", "reverse_kl", "symmetric_kl", "jensen_shannon", "total_variation",
                                        NULL};
const char *const tail_names[] = {"bucket", "renormalize", "zero", NULL};

/* Floats that n objects of `size` bytes take, so that what follows is aligned. */
static size_t floats_of(size_t n, size_t size)
{
    return (n * size + 63) / 64 * (64 / sizeof(float));
}

static size_t scratch_floats(const struct objective *o, const struct model_config *c, size_t n)
{
    const struct distillation *d = o->context;
    size_t rows = linear_loss_rows(n, c->vocab_size);
    return floats_of(linear_loss_scratch(n, c->hidden_size, c->vocab_size), sizeof(float)) +
           floats_of(rows, sizeof *d->rows) + d->teacher->scratch(d->teacher->context, rows);
}

/* The sums of a block that is done, in the order of its rows whatever thread computed them. */
static void add_rows(struct distillation *d)
{
    struct measure *m = d->measures;
    for (size_t i = 0; i < d->n_rows; i++) {
        const struct soft_row *r = &d->rows[i];
        m[DISTILL_DIVERGENCE].sum += r->divergence;
        m[DISTILL_AGREEMENT].sum += r->agrees;
        if (!isnan(r->cross_entropy)) {
            m[DISTILL_CROSS_ENTROPY].sum += r->cross_entropy;
            m[DISTILL_CROSS_ENTROPY].count++;
        }
    }
    m[DISTILL_DIVERGENCE].count += (double)d->n_rows;
    m[DISTILL_AGREEMENT].count += (double)d->n_rows;
    d->n_rows = 0;
}

static void begin_block(void *context, const uint32_t *rows, size_t n)
{
    struct distillation *d = context;
    const struct teacher *t = d->teacher;
    add_rows(d);
    if (!d->failure.code && t->rows(t->context, d->batch, rows, n, d->teacher_scratch, &d->targets, &d->failure))
        return;
    d->n_rows = d->failure.code ? 0 : n;
}

static float row(void *context, const struct logit_row *r)
{
    struct distillation *d = context;
    if (d->failure.code)
        return NAN;
    return soft_target_row(&d->loss, &d->targets, d->batch->targets[r->row], r, &d->rows[r->i]);
}

/* The teacher's pass over the batch, and with it how far the hidden states are from its own. */
static double begin_teacher(struct distillation *d, const struct batch *b, float scale, bool backward)
{
    const struct teacher *t = d->teacher;
    struct measure *m = &d->measures[DISTILL_HIDDEN];
    if (d->hidden)
        hidden_matching_begin(d->hidden);
    if (t->begin && t->begin(t->context, b, &d->failure))
        return NAN;
    if (!d->hidden)
        return 0;
    double sum = hidden_matching_loss(d->hidden, b, scale, backward);
    m->sum += sum;
    m->count += (double)b->n_targets;
    return sum;
}

static double loss(const struct objective *o, struct model *m, const struct batch *b, const void *hidden, enum dtype type,
                   float scale, float *dhidden, float *scratch)
{
    struct distillation *d = o->context;
    size_t n = b->n_rows * b->seq_len, rows = linear_loss_rows(n, m->config.vocab_size);
    double total = d->failure.code ? NAN : begin_teacher(d, b, scale, dhidden != NULL);
    if (d->failure.code)
        return NAN;
    d->batch = b;
    d->n_rows = 0;
    d->rows = (struct soft_row *)(scratch + floats_of(linear_loss_scratch(n, m->config.hidden_size, m->config.vocab_size),
                                                      sizeof *scratch));
    d->teacher_scratch = (float *)d->rows + floats_of(rows, sizeof *d->rows);
    struct output_layer layer = objective_output_layer(m, dhidden != NULL);
    const struct row_loss each = {.context = d, .begin_block = begin_block, .row = row};
    total += linear_loss(&layer, type, hidden, b->targets, &each, scale, NULL, dhidden, n, scratch);
    add_rows(d);
    return total;
}

static size_t bytes(const struct objective *o, size_t n_rows, size_t seq_len)
{
    const struct distillation *d = o->context;
    const struct teacher *t = d->teacher;
    return d->other_bytes + (t->bytes ? t->bytes(t->context, n_rows, seq_len) : 0) +
           (d->hidden ? hidden_matching_bytes(d->hidden, n_rows * seq_len) : 0);
}

static int prepare(const struct objective *o, size_t n_rows, size_t seq_len, struct error *e)
{
    const struct distillation *d = o->context;
    const struct teacher *t = d->teacher;
    int code = t->prepare ? t->prepare(t->context, n_rows, seq_len, e) : OK;
    if (!code && d->hidden)
        code = hidden_matching_reserve(d->hidden, n_rows * seq_len, e);
    return code;
}

void distillation_init(struct distillation *d, const struct soft_loss *settings, const struct teacher *teacher)
{
    *d = (struct distillation){
        .loss = *settings,
        .teacher = teacher,
        .measures = {[DISTILL_DIVERGENCE] = {.name = divergence_names[settings->divergence]},
                     [DISTILL_CROSS_ENTROPY] = {.name = "cross_entropy"},
                     [DISTILL_AGREEMENT] = {.name = "agreement"},
                     [DISTILL_HIDDEN] = {.name = "hidden"},
                     [DISTILL_ON_POLICY] = {.name = "on_policy"}},
    };
    d->objective = (struct objective){.name = "distillation", .context = d, .measures = d->measures,
                                      .n_measures = DISTILL_MEASURES, .failure = &d->failure,
                                      .bytes = bytes, .prepare = prepare, .scratch = scratch_floats, .loss = loss};
}
