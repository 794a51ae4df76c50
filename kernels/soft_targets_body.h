/* Soft targets' loops over one row. Included by the variant files after kernels/rows_body.h. */
#include "kernels/soft_targets.h"

/* A teacher's log-probabilities below this count as this (p = 2e-35): what has q in front stays finite where a logit is
 * -infinity, and no p is a denormal. */
#define LEAST_LOG_PROB -80.0f

INLINE vf soft_log_prob(const struct soft_side *side, vf x)
{
    return (x - side->shift) * side->scale - side->log_sum;
}

/* Of outcomes with log-probabilities s, log_p and probabilities q, p: the divergence, and its gradient g with respect
 * to s. A constant times q is left out of g, which changes nothing: see kernels/soft_targets.c. */
INLINE vf soft_terms(const enum divergence_kind kind, float beta, vf s, vf q, vf log_p, vf p, vf *g)
{
    switch (kind) {
    case FORWARD_KL:
        *g = -p;
        return p * (log_p - s);
    case REVERSE_KL:
        return *g = q * (s - log_p);
    case SYMMETRIC_KL: {
        vf reverse = beta * q * (s - log_p), forward = (1 - beta) * p;
        *g = reverse - forward;
        return vf_fma(forward, log_p - s, reverse);
    }
    case JENSEN_SHANNON: {
        vf teachers = beta * p, students = (1 - beta) * q, log_m = vf_log(teachers + students);
        *g = students * (s - log_m);
        return vf_fma(teachers, log_p - log_m, *g);
    }
    default: { /* TOTAL_VARIATION */
        vf half = 0.5f * q;
        *g = vf_where((vi)(q > p), half, vf_where((vi)(q < p), -half, vf_set(0)));
        return 0.5f * vf_abs(p - q);
    }
    }
}

/* Lanes behind the end hold x = 0 and e = 0, which add nothing. Sums as in row_exp_sum. */
INLINE void soft_outcomes_of(const enum divergence_kind kind, struct soft_outcomes *o)
{
    enum { CHUNK = 1024 };
    const struct soft_side *student = &o->student, *teacher = &o->teacher;
    vf top = vf_set(-INFINITY);
    o->sum = o->slope = 0;
    for (size_t at = 0; at < o->n; at += CHUNK) {
        size_t size = o->n - at < CHUNK ? o->n - at : CHUNK;
        vf sum = {0}, slope = {0};
        FOR_VECTORS(i, size)
        {
            vf x = LOAD(student->x + at + i), y = LOAD(teacher->x + at + i), g;
            vf q = LOAD(student->e + at + i) * student->factor, p = LOAD(teacher->e + at + i) * teacher->factor;
            vf log_p = vf_max(vf_set(LEAST_LOG_PROB), soft_log_prob(teacher, y));
            sum += soft_terms(kind, o->beta, soft_log_prob(student, x), q, log_p, p, &g);
            slope += g;
            if (o->gradient)
                STORE(o->gradient + at + i, g);
            vf likeliest = vf_where((vi)(y == teacher->shift), x, vf_set(-INFINITY));
            top = vf_max(top, n_lanes == W ? likeliest : vf_keep(likeliest, vf_set(-INFINITY), 0, (float)n_lanes));
        }
        o->sum += (double)vf_sum(sum);
        o->slope += (double)vf_sum(slope);
    }
    o->top = vf_largest(top);
}

static void row_soft_outcomes(struct soft_outcomes *o)
{
    switch (o->kind) {
    case FORWARD_KL: soft_outcomes_of(FORWARD_KL, o); break;
    case REVERSE_KL: soft_outcomes_of(REVERSE_KL, o); break;
    case SYMMETRIC_KL: soft_outcomes_of(SYMMETRIC_KL, o); break;
    case JENSEN_SHANNON: soft_outcomes_of(JENSEN_SHANNON, o); break;
    default: soft_outcomes_of(TOTAL_VARIATION, o); break;
    }
}

INLINE void soft_blend_of(const bool bf16, const bool two, const bool capped, const struct soft_blend *b)
{
    FOR_VECTORS(i, b->n)
    {
        vf y = LOAD(b->x + i) * b->alpha;
        if (two)
            y = vf_fma(LOAD(b->z + i), vf_set(b->beta), y);
        if (capped) {
            vf t = LOAD(b->capped + i) / b->cap;
            y *= 1 - t * t;
        }
        STORE_AS(bf16, b->y, i, y);
    }
}

INLINE void soft_blend_as(const bool bf16, const struct soft_blend *b)
{
    if (b->z && b->capped)
        soft_blend_of(bf16, true, true, b);
    else if (b->z)
        soft_blend_of(bf16, true, false, b);
    else if (b->capped)
        soft_blend_of(bf16, false, true, b);
    else
        soft_blend_of(bf16, false, false, b);
}

static void row_soft_blend(const struct soft_blend *b)
{
    if (b->type == DTYPE_BF16)
        soft_blend_as(true, b);
    else
        soft_blend_as(false, b);
}
