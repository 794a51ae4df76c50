/* Gradients against central finite differences.
 *
 * gradcheck_f32 perturbs the real thing, in f32: its noise is about 1e-7 |loss| / step beside the
 * truncation step^2, so a loss of order 1 and a step near 1e-2 see errors above 1e-3 or so.
 * gradcheck_f64 perturbs an f64 reference of the forward pass and sees errors down to about 1e-6,
 * which is f32's own. Both return the largest
 *     |analytic - numeric| / max(rms of the analytic gradient, |numeric|)
 * over at most n_checked elements, evenly spread; x is left as it was. */
#ifndef LINNET_TESTS_GRADCHECK_H
#define LINNET_TESTS_GRADCHECK_H

#include <math.h>
#include <stddef.h>

static inline double gradcheck_rms(const float *dx, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (double)dx[i] * dx[i];
    return sqrt(squares / (double)n) + 1e-12;
}

static inline double gradcheck_worst(double worst, double analytic, double numeric, double rms)
{
    double error = fabs(analytic - numeric) / fmax(rms, fabs(numeric));
    return error > worst || isnan(error) ? error : worst; /* a NaN stays: it compares false */
}

static inline double gradcheck_f32(double (*loss)(void *context), void *context, float *x,
                                   const float *dx, size_t n, size_t n_checked, float step)
{
    double worst = 0, rms = gradcheck_rms(dx, n);
    size_t stride = n > n_checked ? (n + n_checked - 1) / n_checked : 1;
    for (size_t i = 0; i < n && !isnan(worst); i += stride) {
        float kept = x[i];
        volatile float above = kept + step, below = kept - step;
        x[i] = above;
        double up = loss(context);
        x[i] = below;
        double down = loss(context);
        x[i] = kept;
        worst = gradcheck_worst(worst, dx[i], (up - down) / ((double)above - below), rms);
    }
    return worst;
}

static inline double gradcheck_f64(double (*loss)(void *context), void *context, double *x,
                                   const float *dx, size_t n, size_t n_checked, double step)
{
    double worst = 0, rms = gradcheck_rms(dx, n);
    size_t stride = n > n_checked ? (n + n_checked - 1) / n_checked : 1;
    for (size_t i = 0; i < n && !isnan(worst); i += stride) {
        double kept = x[i];
        x[i] = kept + step;
        double up = loss(context);
        x[i] = kept - step;
        double down = loss(context);
        x[i] = kept;
        worst = gradcheck_worst(worst, dx[i], (up - down) / (2 * step), rms);
    }
    return worst;
}

#endif
