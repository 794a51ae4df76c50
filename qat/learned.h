/* Scales of blocks that are learned, and gradients of what lies beyond the levels.
 *
 * Learned step sizes (LSQ; Esser et al., 2020, arXiv:1902.08153, equations 1 to 3; minima: LSQ+, Bhalgat et al., 2020,
 * arXiv:2004.09576): where blocks of 32 weights have numbers of their own (kernels/quantize_scaled.h), these are
 * parameters beside the weights, "<weight's name>.scale" of (rows, numbers of a row), which start at what the type's own
 * function chooses. Their gradient comes from that of the rounded weights, with LSQ's factor 1 / sqrt(32 * highest level).
 * They have no weight decay, and the learning rate that moves the outermost level of a block as far as its weights, times
 * the options' factor.
 *
 * Clipping: a weight further than half a step beyond what its block's levels span is rounded to the same level wherever
 * it goes, so that the straight-through estimator's gradient says nothing about it; it is set to 0. (With learned scales,
 * that is LSQ's gradient of weights, but for the half step.)
 *
 * While the rounded comes in, at a share s < 1, gradients of scales are multiplied by s, and those of weights beyond by
 * 1 - s: the derivatives of weights + s (rounded - weights). */
#ifndef LINNET_QAT_LEARNED_H
#define LINNET_QAT_LEARNED_H

#include "qat/qat.h"

/* Scales for every matrix that trains and whose type has them; q->trains becomes the list with them. ERR_USAGE: there are
 * none, or an adapter trains, also with options->clip; ERR_MEMORY. Nothing else without options->learned_scales. */
int learned_init(struct qat *q, struct error *e);
void learned_free(struct qat *q);

/* Scales as the type's own function chooses them for the present weights: all, or with only_new those that have no values
 * yet. The matrices' memory is there. */
void learned_start(struct qat *q, bool only_new);

#endif
