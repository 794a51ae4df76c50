/* With s the student's log-probabilities of the outcomes, q = e^s, and g the divergence's gradient with respect to
 * each s by itself, that with respect to a logit z is (g - q G) / T, G being the sum of all g: s = z / T - log sum. A
 * token in the bucket b of all tokens that the teacher does not name has q' (g_b / q_b - G) / T, one factor for all of
 * them, so a sparse row costs what cross-entropy does, and a correction for each entry. Adding a multiple of q to g
 * changes nothing.
 *
 * A tail of the student is never 1 less a sum, which would cancel: the entries' logits are set aside and the others'
 * exponentials summed. TAIL_ZERO is a bucket that the teacher gives 0: where p = 0, a divergence that allows it is
 * linear in q, so that of a sum is the sum's. */
#include "kernels/soft_targets.h"

#include "base/check.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

/* e^max * sum, so that neither the terms nor the sum leave the range of numbers. */
struct big_sum {
    double max, sum;
};

static void sum_add(struct big_sum *s, double max, double sum)
{
    if (sum == 0)
        return;
    if (max > s->max) {
        s->sum *= exp(s->max - max);
        s->max = max;
    }
    s->sum += sum * exp(max - s->max);
}

static double sum_log(const struct big_sum *s)
{
    return log(s->sum) + s->max;
}

/* What both kinds of rows know of theirs. */
struct soft_row_job {
    const struct kernel_table *table;
    const struct soft_loss *loss;
    const struct logit_row *r;
    struct soft_row *out;
    int32_t target;
    float target_logit;
    size_t n;            /* tokens that both vocabularies have */
    bool softened;       /* the temperature is not 1 */
    bool mixed;          /* cross-entropy is part of the loss */
    bool wanted;         /* or only measured, though it may cost a pass */
    double to_divergence; /* r->scale times the weight and T^2 / T: the factor of its gradient by log-probabilities */
    double to_target;    /* r->scale times the weight of the cross-entropy */
    struct big_sum all;  /* of e^logit over the student's vocabulary */
    float further_max;   /* of the logits of tokens that only the student has */
};

static bool has_student_in_front(enum divergence_kind kind)
{
    return kind == REVERSE_KL || kind == SYMMETRIC_KL;
}

/* Rows of the thread's scratch begin at a line of the cache. */
static size_t stride_of(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Where exponentials go of which nothing but a multiple becomes the gradient: in their logits' place unless those are
 * needed for the cap's slope. */
static float *place(const struct soft_row_job *w, float *logits, float *scratch)
{
    return w->r->softcap > 0 ? scratch : logits;
}

static double sum_of_exponentials(const struct soft_row_job *w, float *e, const float *x, float max, size_t n)
{
    if (!w->softened)
        return w->table->exp_sum(e, x, max, n);
    return w->table->exp_sum_scaled(e, x, max, 1 / w->loss->temperature, n);
}

/* --- gradients --- */

static void *element(const struct soft_row_job *w, size_t at)
{
    return (char *)w->r->logits + at * (w->r->type == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float));
}

/* The gradient of one capped logit. */
static void put(const struct soft_row_job *w, int32_t at, float logit, double value)
{
    float cap = w->r->softcap, slope = cap > 0 ? 1 - logit / cap * (logit / cap) : 1, y = (float)value * slope;
    if (w->r->type == DTYPE_BF16)
        bf16_from_f32(&y, element(w, (size_t)at), 1);
    else
        *(float *)element(w, (size_t)at) = y;
}

/* b, that is alpha x + beta z, becomes the gradient of the tokens from `from` on, less that of the target among them.
 * Parts are written in order, since bf16 takes the place of logits before. */
static void write_part(const struct soft_row_job *w, struct soft_blend b, size_t from)
{
    size_t at = (size_t)w->target - from;
    bool here = w->mixed && (size_t)w->target >= from && at < b.n;
    float value = here ? b.alpha * b.x[at] + (b.z ? b.beta * b.z[at] : 0) : 0;
    b.y = element(w, from);
    b.type = w->r->type;
    b.cap = w->r->softcap;
    b.capped = b.cap > 0 ? w->r->logits + from : NULL;
    w->table->soft_blend(&b);
    if (here)
        put(w, w->target, w->target_logit, (double)value - w->to_target);
}

static void write_zeros(const struct soft_row_job *w, size_t from, size_t n)
{
    memset(element(w, from), 0, (size_t)((char *)element(w, n) - (char *)element(w, 0)));
}

/* --- tokens of the student alone --- */

static size_t n_further(const struct soft_row_job *w)
{
    return w->r->v - w->n;
}

/* Their part of `all`, and their exponentials where a gradient will be made of them, at e or in place. */
static void sum_further(struct soft_row_job *w, float *e)
{
    float *logits = w->r->logits + w->n;
    bool kept = w->r->backward && w->mixed;
    if (n_further(w) > 0)
        sum_add(&w->all, (double)w->further_max, w->table->exp_sum(kept ? place(w, logits, e) : NULL, logits,
                                                                   w->further_max, n_further(w)));
}

static void write_further(const struct soft_row_job *w, float *e)
{
    if (n_further(w) == 0)
        return;
    if (!w->mixed)
        write_zeros(w, w->n, n_further(w));
    else
        write_part(w, (struct soft_blend){.x = place(w, w->r->logits + w->n, e), .n = n_further(w),
                                          .alpha = (float)(w->to_target * exp((double)w->further_max -
                                                                              sum_log(&w->all)))}, w->n);
}

/* --- teachers that know every token --- */

static struct soft_side side_of(const struct soft_row_job *w, float *e, const float *x, double *sum)
{
    float max = w->table->max(x, w->n);
    *sum = sum_of_exponentials(w, e, x, max, w->n);
    return (struct soft_side){.x = x, .e = e, .shift = max, .scale = 1 / w->loss->temperature,
                              .log_sum = (float)log(*sum), .factor = (float)(1 / *sum)};
}

/* p holds the divergence's gradient (forward KL: exponentials of which it is a multiple), e the student's exponentials
 * at the temperature, hard those at 1 if there is a mix of both. */
static void write_dense(const struct soft_row_job *w, const struct soft_outcomes *o, float *p, float *e, float *hard)
{
    double factor = w->to_divergence, max = (double)o->student.shift;
    float on_p = (float)(o->gradient ? factor : -(double)o->teacher.factor * factor);
    double on_e = -factor * o->slope * (double)o->student.factor;
    double on_hard = w->mixed ? w->to_target * exp(max - sum_log(&w->all)) : 0;
    struct soft_blend b = {.x = p, .alpha = on_p, .z = e, .beta = (float)on_e, .n = w->n};
    if (!w->softened) {
        b.beta = (float)(on_e + on_hard);
    } else if (w->mixed) {
        w->table->scale_add(e, e, (float)on_e, p, on_p, w->n);
        b = (struct soft_blend){.x = e, .alpha = 1, .z = hard, .beta = (float)on_hard, .n = w->n};
    }
    write_part(w, b, 0);
}

static double dense_row(struct soft_row_job *w, const float *teacher)
{
    bool backward = w->r->backward;
    size_t n = w->n, stride = stride_of(w->r->v);
    float *logits = w->r->logits, *p = scratch_floats(3 * stride), *e = p + stride, *further = e + stride;
    float *hard = place(w, logits, further);
    double teacher_sum, sum;
    struct soft_outcomes o = {.kind = w->loss->divergence, .beta = w->loss->beta, .n = n};
    o.gradient = backward && o.kind != FORWARD_KL ? p : NULL;
    o.teacher = side_of(w, p, teacher, &teacher_sum);
    o.student = side_of(w, e, logits, &sum);
    w->table->soft_outcomes(&o);
    w->out->agrees = o.top >= fmaxf(o.student.shift, w->further_max);
    if (w->wanted || !w->softened) {
        double hard_sum = w->softened ? w->table->exp_sum(backward ? hard : NULL, logits, o.student.shift, n) : sum;
        sum_add(&w->all, (double)o.student.shift, hard_sum);
        sum_further(w, further + n);
    }
    if (backward) {
        write_dense(w, &o, p, e, hard);
        write_further(w, further + n);
    }
    return o.sum;
}

/* --- teachers that know some --- */

/* The entries of a row, and behind them, where there is one, the bucket of all other tokens. */
struct entries {
    size_t k;
    const int32_t *ids;
    bool bucket, others;    /* there are other tokens; and they are an outcome */
    float *x, *e, *hard;    /* the student's logits less `base`, their exponentials at the temperature and (k) at 1 */
    float *log_p, *p;       /* the teacher's, not normalised */
    float base, others_max; /* the largest logit of an outcome, and of another token */
    double others_sum;      /* of exponentials of the other tokens at the temperature, if they are an outcome */
    double entries_sum, hard_others_sum;
};

static struct entries lay_out(const struct soft_targets *t, size_t row, size_t n, float *scratch)
{
    size_t k = t->begin[row + 1] - t->begin[row], stride = stride_of(k + 1);
    CHECK(k > 0 && k <= n);
    return (struct entries){.k = k, .ids = t->ids + t->begin[row], .x = scratch, .e = scratch + stride,
                            .hard = scratch + 2 * stride, .log_p = scratch + 3 * stride,
                            .p = scratch + 4 * stride, .others = k < n};
}

/* The entries' logits, which are set aside, and what the student and the teacher hold likeliest. What is left in their
 * place adds no more than 4e-18 of the others' sum each: it does not underflow, which would take processors fifty times
 * as long. */
static void take_entries(struct soft_row_job *w, const struct soft_targets *t, struct entries *s)
{
    const float *log_probs = t->log_probs + t->begin[w->r->i];
    float ratio = t->source_temperature / w->loss->temperature, *logits = w->r->logits;
    size_t likeliest = 0;
    CHECK(t->source_temperature > 0);
    for (size_t i = 0; i < s->k; i++) {
        size_t id = (size_t)s->ids[i];
        CHECK(id < w->n);
        s->x[i] = logits[id];
        logits[id] = -INFINITY;
        s->log_p[i] = ratio == 1 ? log_probs[i] : log_probs[i] * ratio;
        likeliest = log_probs[i] > log_probs[likeliest] ? i : likeliest;
    }
    s->base = w->table->max(s->x, s->k);
    s->others_max = s->others ? w->table->max(logits, w->n) : -INFINITY;
    float aside = s->others ? s->others_max - 40 * fmaxf(1, w->loss->temperature) : 0;
    for (size_t i = 0; i < s->k; i++)
        logits[s->ids[i]] = aside;
    w->out->agrees = s->x[likeliest] >= fmaxf(s->base, fmaxf(s->others_max, w->further_max));
}

/* The logarithm of what the teacher leaves to the bucket. */
static float bucket_log_p(const struct soft_row_job *w, const struct soft_targets *t)
{
    if (w->loss->tail == TAIL_ZERO || t->sampled)
        return -INFINITY;
    float log_tail = t->log_tail[w->r->i];
    CHECK(log_tail == -INFINITY || t->source_temperature == w->loss->temperature);
    return has_student_in_front(w->loss->divergence) ? fmaxf(log_tail, logf(SOFT_LEAST_TAIL)) : log_tail;
}

static struct soft_side teacher_side(const struct soft_row_job *w, const struct soft_targets *t,
                                     const struct entries *s)
{
    size_t n = s->k + s->bucket;
    if (s->bucket)
        s->log_p[s->k] = bucket_log_p(w, t);
    float max = t->sampled ? 0 : w->table->max(s->log_p, n);
    double sum = w->table->exp_sum(s->p, s->log_p, max, n);
    if (t->sampled)
        sum = 1;
    return (struct soft_side){.x = s->log_p, .e = s->p, .shift = max, .scale = 1, .log_sum = (float)log(sum),
                              .factor = (float)(1 / sum)};
}

static struct soft_side student_side(const struct soft_row_job *w, struct entries *s, float *soft)
{
    float temperature = w->loss->temperature, base = s->base;
    if (s->bucket) {
        s->others_sum = sum_of_exponentials(w, soft, w->r->logits, s->others_max, w->n);
        s->base = base = fmaxf(base, s->others_max);
        s->x[s->k] = (float)((double)s->others_max - (double)base + (double)temperature * log(s->others_sum));
    }
    for (size_t i = 0; i < s->k; i++)
        s->x[i] -= base;
    double sum = s->entries_sum = sum_of_exponentials(w, s->e, s->x, 0, s->k);
    if (s->bucket)
        sum += (double)(s->e[s->k] = expf(s->x[s->k] / temperature));
    return (struct soft_side){.x = s->x, .e = s->e, .scale = 1 / temperature, .log_sum = (float)log(sum),
                              .factor = (float)(1 / sum)};
}

/* e^logit of all tokens; those of the other ones to `hard` where they were not summed before. */
static void sum_all(struct soft_row_job *w, struct entries *s, float *hard, float *further)
{
    const struct kernel_table *table = w->table;
    if (!w->softened)
        s->hard = s->e;
    double sum = w->softened ? table->exp_sum(s->hard, s->x, 0, s->k) : s->entries_sum;
    sum_add(&w->all, (double)s->base, sum);
    if (s->others) {
        bool known = s->bucket && !w->softened;
        sum = known ? s->others_sum : table->exp_sum(hard, w->r->logits, s->others_max, w->n);
        sum_add(&w->all, (double)s->others_max, sum);
    }
    sum_further(w, further);
}

/* The gradient of the other tokens: exponentials of both temperatures, of one or, where nothing reaches them, 0. */
static void write_others(const struct soft_row_job *w, const struct entries *s, const struct soft_outcomes *o,
                         const float *soft, const float *hard)
{
    double on_soft = 0, on_hard = 0;
    if (s->bucket) {
        double q = (double)(s->e[s->k] * o->student.factor);
        on_soft = w->to_divergence * ((double)o->gradient[s->k] - q * o->slope) / s->others_sum;
    }
    if (w->mixed)
        on_hard = w->to_target * exp((double)s->others_max - sum_log(&w->all));
    struct soft_blend b = {.x = soft, .alpha = (float)on_soft, .n = w->n};
    if (!s->others || !(s->bucket || w->mixed))
        write_zeros(w, 0, w->n);
    else if (!s->bucket)
        write_part(w, (struct soft_blend){.x = hard, .alpha = (float)on_hard, .n = w->n}, 0);
    else if (!w->softened)
        b.alpha = (float)(on_soft + on_hard), write_part(w, b, 0);
    else
        b.z = w->mixed ? hard : NULL, b.beta = (float)on_hard, write_part(w, b, 0);
}

static void write_entries(const struct soft_row_job *w, const struct entries *s, const struct soft_outcomes *o)
{
    double on_hard = w->mixed ? w->to_target * exp((double)s->base - sum_log(&w->all)) : 0;
    double on_e = o->slope * (double)o->student.factor;
    for (size_t i = 0; i < s->k; i++) {
        double value = w->to_divergence * ((double)o->gradient[i] - (double)s->e[i] * on_e);
        if (w->mixed)
            value += on_hard * (double)s->hard[i] - (s->ids[i] == w->target ? w->to_target : 0);
        put(w, s->ids[i], s->x[i] + s->base, value);
    }
}

static double sparse_row(struct soft_row_job *w, const struct soft_targets *t)
{
    bool backward = w->r->backward, twice = w->mixed && w->softened;
    size_t stride = stride_of(w->r->v), k = t->begin[w->r->i + 1] - t->begin[w->r->i];
    float *scratch = scratch_floats(2 * stride + 5 * stride_of(k + 1)), *further = scratch + stride + w->n;
    float *logits = w->r->logits;
    float *soft = !backward ? NULL : twice ? scratch : place(w, logits, scratch);
    float *hard = backward && w->mixed ? place(w, logits, scratch + stride) : NULL;
    struct entries s = lay_out(t, w->r->i, w->n, scratch + 2 * stride);
    take_entries(w, t, &s);
    s.bucket = s.others && (t->sampled || w->loss->tail != TAIL_RENORMALIZE);
    struct soft_outcomes o = {.kind = w->loss->divergence, .beta = w->loss->beta, .n = k + s.bucket, .gradient = s.p};
    o.student = student_side(w, &s, soft);
    o.teacher = teacher_side(w, t, &s);
    w->table->soft_outcomes(&o);
    if (w->wanted || (!w->softened && (s.bucket || !s.others)))
        sum_all(w, &s, hard, further);
    if (backward) {
        write_others(w, &s, &o, soft, hard);
        write_entries(w, &s, &o);
        write_further(w, further);
    }
    return o.sum;
}

static void check(const struct soft_loss *loss, const struct soft_targets *t)
{
    CHECK(loss->temperature > 0);
    CHECK(loss->divergence != JENSEN_SHANNON || (loss->beta > 0 && loss->beta < 1));
    CHECK(t->logits || loss->tail != TAIL_ZERO || !has_student_in_front(loss->divergence));
    CHECK(t->logits || !t->sampled ||
          (loss->divergence == FORWARD_KL && t->source_temperature == loss->temperature));
}

float soft_target_row(const struct soft_loss *loss, const struct soft_targets *t, int32_t target,
                      const struct logit_row *r, struct soft_row *out)
{
    check(loss, t);
    CHECK(target >= 0 && (size_t)target < r->v);
    double temperature = (double)loss->temperature;
    struct soft_row_job w = {
        .table = kernel_table(), .loss = loss, .r = r, .out = out, .target = target,
        .target_logit = r->logits[target], .n = t->v < r->v ? t->v : r->v, .softened = loss->temperature != 1,
        .mixed = loss->target_weight > 0, .all.max = -INFINITY,
        .to_divergence = (double)r->scale * (double)loss->teacher_weight * temperature,
        .to_target = (double)r->scale * (double)loss->target_weight,
    };
    w.wanted = w.mixed || !r->backward;
    w.further_max = w.table->max(r->logits + w.n, r->v - w.n);
    double divergence = t->logits ? dense_row(&w, t->logits + r->i * t->v) : sparse_row(&w, t);
    double cross_entropy = w.all.sum > 0 ? sum_log(&w.all) - (double)w.target_logit : NAN;
    out->divergence = (float)divergence;
    out->cross_entropy = (float)cross_entropy;
    double of_teacher = (double)loss->teacher_weight * temperature * temperature * divergence;
    return (float)(w.mixed ? of_teacher + (double)loss->target_weight * cross_entropy : of_teacher);
}
