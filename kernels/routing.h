/* Choosing experts for tokens, and moving rows between tokens and experts (Shazeer et al., 2017). Rows of
 * `type` are f32 or bf16; sums are f32, in an order that does not depend on the number of threads. */
#ifndef LINNET_KERNELS_ROUTING_H
#define LINNET_KERNELS_ROUTING_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the weights of chosen experts come from logits. */
enum router {
    ROUTER_SOFTMAX,      /* their probabilities among all */
    ROUTER_RENORMALISED, /* the same, divided by their sum */
    ROUTER_SPARSEMIXER,  /* each in turn: its probability among those not chosen before whose logits are within a
                            fiftieth of the largest (Liu et al., 2023; without its noise) */
};
enum { ROUTER_MOST = 4096 }; /* experts */

/* logits (n, e), e at most ROUTER_MOST. chosen (n, k): the k largest of each row, the first of equal ones first;
 * weight (n, k). */
void route_forward(enum router kind, const float *logits, int32_t *chosen, float *weight, size_t n,
                   size_t e, size_t k);
/* dlogits (n, e) from dweight (n, k). `extra` (e): added to the gradient of every row's probabilities. */
void route_backward(enum router kind, float *dlogits, const float *dweight, const float *logits,
                    const int32_t *chosen, const float *weight, const float *extra, size_t n,
                    size_t e, size_t k);
/* sum (e) += weight * softmax of one row of logits. */
void route_probabilities(float *sum, float weight, const float *logits, size_t e);

/* to (n, c): row i is row index[i] of `from`. */
void rows_gather(void *to, const void *from, enum dtype type, const int32_t *index, size_t n,
                 size_t c);
/* y (n, c) = sum of rows index[i, 0..k) of x; with `add`, + y. */
void rows_collect(void *y, enum dtype type, bool add, const void *x, enum dtype x_type,
                  const int32_t *index, size_t n, size_t k, size_t c);
/* y (n) += x (n). */
void rows_add(void *y, const void *x, enum dtype type, size_t n);
/* y (n, c): row i is multiplied by weight[i]. */
void rows_scale(void *y, enum dtype type, const float *weight, size_t n, size_t c);
/* dot (n): of the rows of x and y. */
void rows_dot(float *dot, const void *x, const void *y, enum dtype type, size_t n, size_t c);
/* y (n) = sigmoid(x), may be x; and dx = dy y (1 - y), may be dy. */
void sigmoid_forward(float *y, const float *x, size_t n);
void sigmoid_backward(float *dx, const float *dy, const float *y, size_t n);

#endif
