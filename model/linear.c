#include "model/linear.h"

#include "kernels/gemm.h"
#include "model/model.h"

static const float *effective_weight(const struct linear *l)
{
    if (l->hook && l->hook->weight)
        return l->hook->weight(l->hook->context, l);
    return l->weight->value;
}

void linear_forward(const struct linear *l, float *y, const float *x, size_t n)
{
    size_t out = l->weight->rows, in = l->weight->cols;
    gemm_f32(false, true, n, out, in, x, in, effective_weight(l), in, 0, y, out);
    if (l->hook && l->hook->forward)
        l->hook->forward(l->hook->context, l, y, x, n);
}

void linear_backward(const struct linear *l, float *dx, bool accumulate, const float *dy,
                     const float *x, size_t n)
{
    size_t out = l->weight->rows, in = l->weight->cols;
    if (dx)
        gemm_f32(false, false, n, in, out, dy, out, effective_weight(l), in, accumulate ? 1 : 0, dx,
                 in);
    if (l->weight->grad)
        gemm_f32(true, false, out, in, n, dy, out, x, in, 1, l->weight->grad, in);
    if (l->hook && l->hook->backward)
        l->hook->backward(l->hook->context, l, dx, dy, x, n);
}
