/* The `distill:` section of a configuration. */
#ifndef LINNET_DISTILL_OPTIONS_H
#define LINNET_DISTILL_OPTIONS_H

#include "base/options.h"
#include "kernels/soft_targets.h"

struct distill_options {
    char *teacher;            /* a dump, or a model */
    char *validation_teacher; /* a dump for evaluation; NULL: a share of the teacher's */
    char *tokenizer;          /* of a student from scratch, where the teacher has none */
    int divergence;           /* enum divergence_kind */
    double beta, temperature, alpha;
    int tail; /* enum tail_kind */
};
enum { N_DISTILL_OPTIONS = 8 };
extern const struct option distill_options[N_DISTILL_OPTIONS];

/* ERR_USAGE for settings that no loss can have together. */
int distill_options_loss(const struct distill_options *o, struct soft_loss *loss, struct error *e);

#endif
