/* Losses against a teacher's distributions over the vocabulary (soft targets: Hinton et al., "Distilling the Knowledge
 * in a Neural Network", 2015), row by row, for kernels/linear_loss.h. */
#ifndef LINNET_KERNELS_SOFT_TARGETS_H
#define LINNET_KERNELS_SOFT_TARGETS_H

#include "kernels/linear_loss.h"

#include <stdint.h>

/* The least that TAIL_BUCKET takes the tail of p for where q is in front, which an impossible tail would make infinite:
 * about as near to 1 as log-probabilities in f16 let the entries' sum come. */
#define SOFT_LEAST_TAIL 1e-7f

/* How far the student's distribution q is from the teacher's p, both softened by the temperature.
 * m = beta p + (1 - beta) q (Agarwal et al., "On-Policy Distillation of Language Models", 2024). */
enum divergence_kind {
    FORWARD_KL,      /* KL(p || q) */
    REVERSE_KL,      /* KL(q || p) */
    SYMMETRIC_KL,    /* (1 - beta) KL(p || q) + beta KL(q || p) */
    JENSEN_SHANNON,  /* beta KL(p || m) + (1 - beta) KL(q || m), 0 < beta < 1 */
    TOTAL_VARIATION, /* sum of |p - q| / 2 */
    DIVERGENCES,
};

/* What is done where only the likeliest tokens are known of p. Where every token is known all are the same. */
enum tail_kind {
    TAIL_BUCKET,      /* all other tokens are one outcome, of p as of q */
    TAIL_RENORMALIZE, /* p and q given that the token is one of those that are known */
    TAIL_ZERO,        /* p, renormalised, is 0 beyond them, q is over all: not with q in front (REVERSE_KL,
                         SYMMETRIC_KL) */
    TAILS,
};

struct soft_loss {
    enum divergence_kind divergence;
    float beta;
    float temperature;    /* > 0 */
    enum tail_kind tail;
    float teacher_weight; /* loss = teacher_weight * temperature^2 * divergence */
    float target_weight;  /*        + target_weight * -log q(target), at temperature 1 */
};

/* The teacher's distributions at n rows: logits of every token, or log-probabilities of some. They are normalised: over
 * all tokens that both vocabularies have, over the entries, or with TAIL_BUCKET over entries and tail. Where q is in
 * front, log p counts as -80 where it is less (a logit of -infinity). */
struct soft_targets {
    size_t v;            /* tokens it has */
    const float *logits; /* (n, v), of any sum, at temperature 1; NULL: sparse */
    /* sparse: */
    const size_t *begin;    /* (n + 1) row i has the entries begin[i] to begin[i + 1], at least one */
    const int32_t *ids;     /* below v and the student's vocabulary, each once in a row */
    const float *log_probs; /* at most 0, at the temperature of the loss already, or at any with TAIL_RENORMALIZE and
                               TAIL_ZERO, see source_temperature */
    const float *log_tail;  /* (n) of the probability of all other tokens; -infinity: none */
    float source_temperature; /* of log_probs; TAIL_BUCKET with a tail needs it to be the loss's */
    /* log_probs are an estimate whose expectation is p (importance sampling: Anshumann et al., "Sparse Logit Sampling",
     * 2025), summing to 1 in the mean: taken as they are, for FORWARD_KL alone and at source_temperature. */
    bool sampled;
};

/* What a row gives beside its loss. */
struct soft_row {
    float divergence;    /* at the loss's temperature, without its square; forward KL against a teacher that knows only
                            some tokens is that of what the tail is taken for */
    float cross_entropy; /* -log q(target) at temperature 1; NAN where it would cost a backward row another pass:
                            without target_weight at another temperature, or with TAIL_RENORMALIZE */
    bool agrees;         /* the student's likeliest token is the teacher's */
};

/* The loss of a row (struct row_loss): row r->i of `t`. target: its token, for the cross-entropy. Where one vocabulary
 * is longer (padded), both distributions are over the tokens that both have, and the student's others get no gradient
 * from the divergence. The student's logits are finite (where one is no number, so is the loss that reads it). Each row
 * is computed by itself, in the calling thread's scratch. What soft_loss and soft_targets exclude is a broken
 * invariant. */
float soft_target_row(const struct soft_loss *loss, const struct soft_targets *t, int32_t target,
                      const struct logit_row *r, struct soft_row *out);

#endif
