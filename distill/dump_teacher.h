/* A dump as a teacher: of batches whose target numbers are the dump's positions. */
#ifndef LINNET_DISTILL_DUMP_TEACHER_H
#define LINNET_DISTILL_DUMP_TEACHER_H

#include "distill/align.h"
#include "distill/dump.h"
#include "distill/teacher.h"

/* Positions of `held_out` follow those of `train` in the numbers of targets; it may be NULL. */
struct dump_pair {
    struct dump *train, *held_out;
    const struct alignment *alignment, *held_out_alignment; /* for a student of another tokenizer: positions are theirs */
    size_t vocab_size; /* of the student: entries of tokens beyond (padding) become part of the tail */
};

/* How many positions there are to train on: the number of the first that is held out. */
size_t dump_pair_train_positions(const struct dump_pair *pair);

/* Borrows the pair and its dumps, which nobody else may read meanwhile. The distributions are at source_temperature;
 * logits of a dense dump at 1, unless it is aligned. */
struct teacher dump_teacher(struct dump_pair *pair);

#endif
