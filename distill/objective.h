/* The objective of distillation: a student's distributions brought near a teacher's, mixed with the cross-entropy of the
 * text. Goes through the output layer by blocks of rows, as next-token prediction does: neither the student's nor the
 * teacher's logits of a batch ever exist. */
#ifndef LINNET_DISTILL_OBJECTIVE_H
#define LINNET_DISTILL_OBJECTIVE_H

#include "distill/hidden.h"
#include "distill/teacher.h"
#include "train/objective.h"

/* Means over the targets: the divergence as configured, at the temperature and without its square; the cross-entropy of
 * the text; the share of positions at which student and teacher hold the same token for the likeliest. */
enum { DISTILL_DIVERGENCE, DISTILL_CROSS_ENTROPY, DISTILL_AGREEMENT,
       DISTILL_HIDDEN,     /* weight times the distance of hidden states, where they are matched */
       DISTILL_ON_POLICY,  /* share of batches that the student wrote: added to by distill/on_policy.h alone */
       DISTILL_MEASURES };

/* Must not move once distillation_init has filled it. */
struct distillation {
    struct objective objective; /* for the trainer */
    struct soft_loss loss;
    const struct teacher *teacher;
    struct hidden_matching *hidden; /* of student and teacher; NULL: hidden states are not matched. Set after the call */
    size_t other_bytes;             /* of what runs with the objective, for the plan */
    /* private */
    struct measure measures[DISTILL_MEASURES];
    struct error failure;
    const struct batch *batch;
    struct soft_targets targets;   /* of the block at hand */
    struct soft_row *rows;         /* what its rows gave, */
    size_t n_rows;                 /* so many */
    float *teacher_scratch;
};

/* Borrows the teacher, which is asked for the distributions of every batch's targets. */
void distillation_init(struct distillation *d, const struct soft_loss *loss, const struct teacher *teacher);

extern const char *const divergence_names[], *const tail_names[]; /* NULL-terminated, in the order of the enums */

#endif
