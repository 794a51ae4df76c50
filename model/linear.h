/* A linear layer and the hook through which adapters reach it.
 *
 * The three axes meet here: an objective never sees weights, a hook never sees a loss, and neither
 * knows how the weight is stored, or what stands for it in products (param_view). */
#ifndef LINNET_MODEL_LINEAR_H
#define LINNET_MODEL_LINEAR_H

#include "kernels/output_layer.h"
#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

struct param;
struct linear;

/* Any member may be NULL. x: (n, in) of `type`, y: (n, out) of y_type, both f32 or bf16. */
struct linear_hook {
    void *context;
    /* y += delta(x): adapters. The outermost hook (the layer's own) finds the product alone in y, and the bias comes last. */
    void (*forward)(void *context, const struct linear *l, void *y, enum dtype y_type,
                    const void *x, enum dtype type, size_t n);
    /* dx += through the delta (skipped when NULL), and the adapter's own gradients. */
    void (*backward)(void *context, const struct linear *l, void *dx, enum dtype dx_type,
                     const void *dy, const void *x, enum dtype type, size_t n);
};

struct linear {
    struct param *weight;            /* (out, in) */
    struct param *bias;              /* (out), or NULL */
    const struct linear_hook *hook;  /* NULL: none */
};

/* y (n, out) = x (n, in) W^T, what the hook adds, and the bias. W is read as it is stored. */
void linear_forward(const struct linear *l, void *y, enum dtype y_type, const void *x,
                    enum dtype type, size_t n);

/* dx = dy W, or += with `accumulate`; skipped when dx is NULL. dW += dy^T x unless frozen (=, when what it
 * holds is stale), and likewise the bias's. dy and x are of `type`. */
void linear_backward(const struct linear *l, void *dx, enum dtype dx_type, bool accumulate,
                     const void *dy, const void *x, enum dtype type, size_t n);

/* Parts of the two that hooks need: y = x W^T, and dx = (or +=) dy W. */
void linear_product(const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type, size_t n);
void linear_product_backward(const struct linear *l, void *dx, enum dtype dx_type, bool accumulate, const void *dy,
                             enum dtype type, size_t n);
/* The layer as the output of a model: shape, the weights that products read, what the hook adds, and bias; no
 * gradients but the hook's own. It is of use as long as the layer is, and no other weight is asked for. */
struct output_layer linear_output_layer(const struct linear *l);

#endif
