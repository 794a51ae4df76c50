/* The teacher of a distillation as it is given on the command line: a dump, with what its sequences are, or a model. */
#ifndef LINNET_CLI_DISTILL_TEACHER_H
#define LINNET_CLI_DISTILL_TEACHER_H

#include "cli/inference.h"
#include "distill/dump_teacher.h"
#include "distill/model_teacher.h"
#include "distill/options.h"

/* Must not move once it is open. */
struct distill_teacher {
    const char *path, *held_out_path;
    bool is_dump;
    struct dump dump, held_out; /* held_out: of --validation-teacher; no parts where none was given */
    const struct examples *examples, *held_out_examples; /* of dumps, aligned or as they are; held_out_examples may be NULL */
    struct dump_pair pair;
    struct token_map map;                      /* with --align, */
    struct alignment alignment, held_out_alignment;
    struct alignment_shares shares;
    struct inference inference;
    struct model_teacher model;
    struct tokenizer *tokenizer; /* of its tokens; NULL: a dump that has none */
    struct teacher *teacher;     /* for the objective */
    struct teacher from_dump;
};

/* Opens it; of dumps the tokens alone, see distill_teacher_check. distill_teacher_free in any case. */
int distill_teacher_open(const struct distill_options *o, struct distill_teacher *t, struct error *e);
void distill_teacher_free(struct distill_teacher *t);

/* With --align (else it does nothing), before the check: the examples are from then on in the student's tokens, of a
 * model with vocab_size of them. */
int distill_teacher_align(struct distill_teacher *t, const struct distill_options *o, const struct tokenizer *student,
                          size_t vocab_size, struct error *e);

/* Before anything is learned from it: that the student's tokens are its tokens (or aligned), that the loss can be had from what it
 * knows, and that a dump is whole. */
int distill_teacher_check(struct distill_teacher *t, const struct tokenizer *student, const struct soft_loss *loss,
                          struct error *e);

/* A line about it. */
void distill_teacher_say(const struct distill_teacher *t);

#endif
