/* The `distill:` section of a configuration. */
#ifndef LINNET_DISTILL_OPTIONS_H
#define LINNET_DISTILL_OPTIONS_H

#include "base/options.h"
#include "distill/hidden.h"
#include "kernels/soft_targets.h"

enum distill_align {
    ALIGN_NONE, /* the student's tokens are the teacher's */
    ALIGN_TEXT, /* distill/align.h */
};

struct distill_options {
    char *teacher;            /* a dump, or a model */
    char *validation_teacher; /* a dump for evaluation; NULL: a share of the teacher's */
    char *tokenizer;          /* of a student from scratch, where the teacher has none */
    int align;                /* enum distill_align */
    int divergence;           /* enum divergence_kind */
    double beta, temperature, alpha;
    int tail; /* enum tail_kind */
    double hidden_weight; /* 0: hidden states are not matched */
    size_t hidden_layers;
    int hidden_loss;      /* enum hidden_kind */
    double on_policy;     /* share of batches that the student writes itself */
    size_t max_new_tokens;
    double sampling_temperature;
};
enum { N_DISTILL_OPTIONS = 15 };
extern const struct option distill_options[N_DISTILL_OPTIONS];

/* ERR_USAGE for settings that no loss can have together. */
int distill_options_loss(const struct distill_options *o, struct soft_loss *loss, struct error *e);
struct hidden_settings distill_options_hidden(const struct distill_options *o);

#endif
