/* A linear layer and the hook through which adapters and fake quantisation reach it.
 *
 * The three axes meet here: an objective never sees weights, a hook never sees a loss, and neither
 * knows how the weight is stored. */
#ifndef LINNET_MODEL_LINEAR_H
#define LINNET_MODEL_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

struct param;
struct linear;

/* Any member may be NULL. x: (n, in), y: (n, out). */
struct linear_hook {
    void *context;
    /* The weights (out, in) to multiply with instead of the layer's own: fake quantisation. The
     * gradient still goes to the layer's own weights (straight-through). */
    const float *(*weight)(void *context, const struct linear *l);
    /* y += delta(x), after the product: adapters. */
    void (*forward)(void *context, const struct linear *l, float *y, const float *x, size_t n);
    /* dx += through the delta (skipped when NULL), and the adapter's own gradients. */
    void (*backward)(void *context, const struct linear *l, float *dx, const float *dy,
                     const float *x, size_t n);
};

struct linear {
    struct param *weight;            /* (out, in) */
    const struct linear_hook *hook;  /* NULL: none */
};

/* y (n, out) = x (n, in) W^T, then the hook. */
void linear_forward(const struct linear *l, float *y, const float *x, size_t n);

/* dx = dy W, or += with `accumulate`; skipped when dx is NULL. dW += dy^T x unless frozen. */
void linear_backward(const struct linear *l, float *dx, bool accumulate, const float *dy,
                     const float *x, size_t n);

#endif
