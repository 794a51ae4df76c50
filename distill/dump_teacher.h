/* A dump as a teacher: of batches whose target numbers are the dump's positions. */
#ifndef LINNET_DISTILL_DUMP_TEACHER_H
#define LINNET_DISTILL_DUMP_TEACHER_H

#include "distill/dump.h"
#include "distill/teacher.h"

/* Positions of `held_out` follow those of `train` in the numbers of targets; it may be NULL. */
struct dump_pair {
    struct dump *train, *held_out;
    size_t vocab_size; /* of the student: entries of tokens beyond (padding) become part of the tail */
};

/* Borrows the pair and its dumps, which nobody else may read meanwhile. The distributions are at source_temperature;
 * logits of a dense dump at 1. */
struct teacher dump_teacher(struct dump_pair *pair);

#endif
