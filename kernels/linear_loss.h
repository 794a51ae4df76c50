/* The output layer and a loss of its logits in one pass over blocks of rows, so that the logits of a whole batch never
 * exist. Any loss that is a sum over rows fits. */
#ifndef LINNET_KERNELS_LINEAR_LOSS_H
#define LINNET_KERNELS_LINEAR_LOSS_H

#include "kernels/output_layer.h"

#include <stdint.h>

/* How many of n rows are computed at a time, with a vocabulary of v. */
size_t linear_loss_rows(size_t n, size_t v);
/* Floats of scratch for n rows of c and a vocabulary of v. */
size_t linear_loss_scratch(size_t n, size_t c, size_t v);

/* One row of logits. */
struct logit_row {
    float *logits;   /* (v), scaled and capped; what they become: see struct row_loss */
    size_t v;
    float softcap;   /* 0: none. A capped logit's derivative by itself before the cap is 1 - (logit / softcap)^2 */
    size_t row, i;   /* its number among all rows, and in its block */
    bool backward;   /* the gradient is wanted, */
    enum dtype type; /* in f32 or bf16, */
    float scale;     /* of scale * loss */
};

struct row_loss {
    void *context;
    /* The numbers of the next block's n rows, before `row` is called for each of them; NULL: nobody asks. */
    void (*begin_block)(void *context, const uint32_t *rows, size_t n);
    /* The loss of a row, not scaled. With r->backward its logits become the gradient of r->scale * loss with respect to
     * the logits before the cap: v elements of r->type from the same address on. Else they may become anything. Several
     * threads call it at once, each for another row. */
    float (*row)(void *context, const struct logit_row *r);
};

/* The sum over rows of `loss`, rows with target < 0 left out (they cost nothing); returned in f64, not scaled.
 * hidden (n, c) is of `type`, f32 or bf16; logits and all sums are f32. targets: (n). row_losses (n): each row's own
 * loss, 0 where left out; NULL when not wanted.
 * When dhidden is not NULL, dhidden (n, c) is written and dw and dbias updated, all f32 and of scale * loss. What is
 * added (layer->add) gets block after block of the rows that have a target, each forward and, at once, backward.
 * scratch: linear_loss_scratch floats. */
double linear_loss(const struct output_layer *layer, enum dtype type, const void *hidden, const int32_t *targets,
                   const struct row_loss *loss, float scale, float *row_losses, float *dhidden, size_t n,
                   float *scratch);

#endif
