/* A model as a teacher: it runs on every batch of the student's. */
#ifndef LINNET_DISTILL_MODEL_TEACHER_H
#define LINNET_DISTILL_MODEL_TEACHER_H

#include "base/memory.h"
#include "distill/teacher.h"
#include "model/activations.h"

/* Must not move once model_teacher_init has filled it. */
struct model_teacher {
    struct teacher teacher;
    struct model *model;
    const struct stream_hook *stream_hook; /* of its passes; NULL: none. Set before teacher.prepare */
    struct activations activations; /* of the last batch, in f32 */
    const float *hidden;            /* (N, C) of the last batch */
    size_t n_rows, seq_len;         /* capacity; 0 before teacher.prepare */
    struct arena arena;
};

/* Borrows the model, every token of whose batches must be a row of its embedding. Memory is taken by teacher.prepare,
 * which reserves the model's positions; teacher.bytes counts the model's weights with it. */
void model_teacher_init(struct model_teacher *t, struct model *m);
void model_teacher_free(struct model_teacher *t);

#endif
