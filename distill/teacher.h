/* Whose distributions a student learns: those of a dump, or of a model that runs beside the student. */
#ifndef LINNET_DISTILL_TEACHER_H
#define LINNET_DISTILL_TEACHER_H

#include "base/error.h"
#include "data/batch.h"
#include "kernels/soft_targets.h"

struct teacher {
    void *context;
    /* Bytes that it holds for batches of at most n_rows x seq_len tokens, and the call that takes them, before the first
     * batch; NULL: none. */
    size_t (*bytes)(const void *context, size_t n_rows, size_t seq_len);
    int (*prepare)(void *context, size_t n_rows, size_t seq_len, struct error *e);
    /* Floats of scratch for blocks of at most n rows. */
    size_t (*scratch)(const void *context, size_t n);
    /* Before rows of a batch are asked for: a model runs on it. NULL: nothing to do. */
    int (*begin)(void *context, const struct batch *b, struct error *e);
    /* What it holds likely to stand at the targets of n rows of that batch, into *out, which borrows from the scratch
     * and from the teacher until the next call. */
    int (*rows)(void *context, const struct batch *b, const uint32_t *rows, size_t n, float *scratch,
                struct soft_targets *out, struct error *e);
};

#endif
