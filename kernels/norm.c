#include "kernels/norm.h"

#include "kernels/scratch.h"
#include "kernels/profile.h"
#include "kernels/table.h"

#include <omp.h>
#include <string.h>

enum { WORTH_THREADS = 16384 }; /* elements; below, starting threads costs more than it saves */

void rmsnorm_forward(void *y, enum dtype type, float *rstd, const float *x, const float *w,
                     float eps, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_NORMS);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        float r = table->rmsnorm_forward(y, type, i * c, x + i * c, w, eps, c);
        if (rstd)
            rstd[i] = r;
    }
    profile_leave(outer);
}

/* Each thread sums dw over its rows; the threads' sums are added in their order. */
void rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *rstd,
                      const float *w, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_NORMS);
    const struct kernel_table *table = kernel_table();
#pragma omp parallel if (n * c > WORTH_THREADS)
    {
        float *part = NULL;
        if (dw) {
            part = scratch_floats(c);
            memset(part, 0, c * sizeof *part);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < n; i++)
            table->rmsnorm_backward(dx + i * c, part, dy + i * c, x + i * c, rstd[i], w, c);
#pragma omp for ordered schedule(static, 1)
        for (int t = 0; t < omp_get_num_threads(); t++) {
#pragma omp ordered
            if (dw)
                table->axpy(dw, 1, part, c);
        }
    }
    profile_leave(outer);
}
