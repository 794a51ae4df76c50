#include "model/linear.h"

#include "base/check.h"
#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "kernels/quantized.h"
#include "model/model.h"

void linear_product(const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type, size_t n)
{
    size_t out = l->weight->rows, in = l->weight->cols;
    struct matrix w = param_computed(l->weight);
    CHECK(!w.interleaved || (type == DTYPE_F32 && y_type == DTYPE_F32));
    if (w.interleaved)
        quantized_product_interleaved(n, out, in, x, in, w.type, w.data, y, out);
    else if (w.in_integers)
        quantized_product(n, out, in, type, x, in, w.type, w.data, w.ld, y_type, y, out);
    else
        gemm(false, true, n, out, in, type, x, in, w.type, w.data, w.ld, 0, y_type, y, out);
}

void linear_product_backward(const struct linear *l, void *dx, enum dtype dx_type, bool accumulate, const void *dy,
                             enum dtype type, size_t n)
{
    size_t out = l->weight->rows, in = l->weight->cols;
    struct matrix w = param_computed(l->weight);
    gemm(false, false, n, in, out, type, dy, out, w.type, w.data, w.ld, accumulate ? 1 : 0, dx_type, dx, in);
}

void linear_forward(const struct linear *l, void *y, enum dtype y_type, const void *x,
                    enum dtype type, size_t n)
{
    linear_product(l, y, y_type, x, type, n);
    if (l->hook && l->hook->forward)
        l->hook->forward(l->hook->context, l, y, y_type, x, type, n);
    if (l->bias)
        bias_add(y, y_type, l->bias->value, n, l->weight->rows);
}

void linear_backward(const struct linear *l, void *dx, enum dtype dx_type, bool accumulate,
                     const void *dy, const void *x, enum dtype type, size_t n)
{
    struct param *p = l->weight;
    size_t out = p->rows, in = p->cols;
    if (dx)
        linear_product_backward(l, dx, dx_type, accumulate, dy, type, n);
    if (p->grad)
        gemm(true, false, out, in, n, type, dy, out, type, x, in, param_grad_beta(p), p->grad_type,
             p->grad, in);
    if (l->bias && l->bias->grad)
        bias_backward(l->bias->grad, 1, dy, type, n, out);
    if (l->hook && l->hook->backward)
        l->hook->backward(l->hook->context, l, dx, dx_type, dy, x, type, n);
}

static void add_delta(const void *linear, float *logits, enum dtype type, const void *hidden, size_t n)
{
    const struct linear *l = linear;
    l->hook->forward(l->hook->context, l, logits, DTYPE_F32, hidden, type, n);
}

static void add_delta_backward(const void *linear, float *dhidden, const void *dlogits, enum dtype type,
                               const void *hidden, size_t n)
{
    const struct linear *l = linear;
    l->hook->backward(l->hook->context, l, dhidden, DTYPE_F32, dlogits, hidden, type, n);
}

struct output_layer linear_output_layer(const struct linear *l)
{
    struct matrix w = param_computed(l->weight);
    return (struct output_layer){.v = l->weight->rows, .c = l->weight->cols, .w_type = w.type,
                                 .w = w.data, .ld = w.ld, .in_integers = w.in_integers, .interleaved = w.interleaved,
                                 .bias = l->bias ? l->bias->value : NULL,
                                 .add = l->hook && l->hook->forward ? add_delta : NULL,
                                 .add_backward = l->hook && l->hook->backward ? add_delta_backward : NULL,
                                 .add_context = l, .dw_beta = 1};
}
