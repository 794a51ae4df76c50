#include "kernels/activation.h"

#include "base/check.h"
#include "base/rng.h"

#include <math.h>

void swiglu_forward(float *y, const float *gate, const float *up, size_t n)
{
#pragma omp parallel for schedule(static) if (n > 16384)
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). */
void swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n)
{
#pragma omp parallel for schedule(static) if (n > 16384)
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], s = 1 / (1 + expf(-g));
        dgate[i] = dy[i] * u * s * (1 + g * (1 - s));
        dup[i] = dy[i] * g * s;
    }
}

/* Element i is dropped when its hash, read as a number in [0, 1), is below p. */
static uint64_t drop_below(float p)
{
    CHECK(p >= 0 && p < 1);
    return (uint64_t)ldexp((double)p, 53);
}

void residual_add(float *x, const float *y, float p, uint64_t seed, size_t n)
{
    if (p == 0) {
#pragma omp parallel for schedule(static) if (n > 16384)
        for (size_t i = 0; i < n; i++)
            x[i] += y[i];
        return;
    }
    uint64_t below = drop_below(p);
    float scale = 1 / (1 - p);
#pragma omp parallel for schedule(static) if (n > 16384)
    for (size_t i = 0; i < n; i++)
        x[i] += rng_at(seed, i) >> 11 < below ? 0 : y[i] * scale;
}

void residual_add_backward(float *dy, const float *dx, float p, uint64_t seed, size_t n)
{
    uint64_t below = drop_below(p);
    float scale = 1 / (1 - p);
#pragma omp parallel for schedule(static) if (n > 16384)
    for (size_t i = 0; i < n; i++)
        dy[i] = rng_at(seed, i) >> 11 < below ? 0 : dx[i] * scale;
}
