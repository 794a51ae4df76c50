#include "kernels/norm.h"

#include <math.h>

void rmsnorm_forward(float *y, float *rstd, const float *x, const float *w, float eps, size_t n,
                     size_t c)
{
#pragma omp parallel for schedule(static) if (n * c > 16384)
    for (size_t i = 0; i < n; i++) {
        const float *xi = x + i * c;
        double squares = 0;
        for (size_t j = 0; j < c; j++)
            squares += (double)xi[j] * xi[j];
        float r = (float)(1 / sqrt(squares / (double)c + eps));
        for (size_t j = 0; j < c; j++)
            y[i * c + j] = xi[j] * r * w[j];
        if (rstd)
            rstd[i] = r;
    }
}

/* With r = rstd: y = x r w, d r / d x_j = -r^3 x_j / c, hence
 * dx_j = r (w_j dy_j - x_j r^2 / c * sum_k w_k dy_k x_k). */
void rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *rstd,
                      const float *w, size_t n, size_t c)
{
#pragma omp parallel for schedule(static) if (n * c > 16384)
    for (size_t i = 0; i < n; i++) {
        const float *xi = x + i * c, *dyi = dy + i * c;
        double dot = 0;
        for (size_t j = 0; j < c; j++)
            dot += (double)w[j] * dyi[j] * xi[j];
        float r = rstd[i], along = (float)(dot * r * r / (double)c);
        for (size_t j = 0; j < c; j++)
            dx[i * c + j] += r * (w[j] * dyi[j] - xi[j] * along);
    }
    if (!dw)
        return;
#pragma omp parallel for schedule(static) if (n * c > 16384)
    for (size_t j = 0; j < c; j++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (double)dy[i * c + j] * x[i * c + j] * rstd[i];
        dw[j] += (float)sum;
    }
}
