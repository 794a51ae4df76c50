/* What the parts of the decoder share; private to them. */
#ifndef LINNET_MODEL_PASS_H
#define LINNET_MODEL_PASS_H

#include "model/decoder.h"

/* One call of the decoder. */
struct pass {
    const struct model *m;
    struct activations *a;
    const struct batch *b;
    const struct kv_spans *caches; /* NULL: none */
    size_t n;               /* tokens */
    enum dtype type;        /* of what products read */
    uint64_t dropout_seed;
    float dropout;
};

/* Rows of a parameter of norms: y = norm(x), n rows of the weights' width. */
void pass_norm(const struct pass *p, const struct layer_norm *w, void *y, enum dtype type,
               const struct norm_activations *kept, const void *x, enum dtype x_type, size_t n);
/* dx (of dx_type) = or, with `accumulate`, += through the norm, and the norm's own gradients. */
void pass_norm_backward(const struct pass *p, const struct layer_norm *w, void *dx,
                        enum dtype dx_type, bool accumulate, const float *dy, const void *x,
                        enum dtype x_type, const struct norm_activations *kept, size_t n);

/* What a branch reads of the residual stream x: its norm, or where it has none x itself, as `type`. In
 * a->normed, or x. `kept` NULL: it was computed before. */
const void *branch_input(const struct pass *p, const struct layer_norm *w,
                         const struct norm_activations *kept, const float *x);
/* Where the gradient of that goes (f32, (N, C)), and whether it is added there; and from there into a->dx. */
struct branch_gradient {
    float *to;
    bool accumulate;
};
struct branch_gradient branch_gradient(const struct pass *p, const struct layer_norm *w);
void branch_input_backward(const struct pass *p, const struct layer_norm *w,
                           const struct norm_activations *kept, const float *x);

/* Layer i's attention and feed-forward: from the stream to a->branch, what the block adds, and back from
 * its gradient in a->branch to a->dx. */
void attention_branch(const struct pass *p, size_t i);
void attention_branch_backward(const struct pass *p, size_t i);
void ffn_branch(const struct pass *p, size_t i);
void ffn_branch_backward(const struct pass *p, size_t i);
/* Only as much of ffn_branch as its backward needs. */
void ffn_branch_again(const struct pass *p, size_t i);

/* The experts' part of a feed-forward: x (N, C) of the pass's type, (N, C) is written to a->branch; and
 * dy (N, C) in a->branch to dx (N, C), to which is added. */
void experts_forward(const struct pass *p, size_t i, const void *x);
void experts_backward(const struct pass *p, size_t i, const void *x, float *dx);

/* n rows of a gated feed-forward. weight (n): what each row of its output is multiplied by; NULL: 1. */
struct gated_rows {
    const struct feed_forward *ffn;
    size_t n;
    void *gate, *up;      /* (n, F) kept */
    void *gated;          /* (n, F) scratch */
    void *dgate, *dup;    /* (n, F) scratch of the backward pass */
    const float *weight;
};
/* gate and up of x (n, C); and from them y (n, C). */
void gated_inputs(const struct pass *p, const struct gated_rows *g, const void *x);
void gated_output(const struct pass *p, const struct gated_rows *g, void *y);
/* From dy (n, C) to dgate and dup, and dweight (n) where there are weights; then from those to dx (n, C). */
void gated_output_backward(const struct pass *p, const struct gated_rows *g, const void *dy,
                           float *dweight);
void gated_inputs_backward(const struct pass *p, const struct gated_rows *g,
                           struct branch_gradient dx, const void *x);

#endif
