#include "kernels/norm.h"

#include "kernels/scratch.h"
#include "kernels/profile.h"
#include "kernels/table.h"

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

/* dw is summed by parts of the rows and the parts in their order, so that threads change no bit. */
enum { PARTS = 32 };

void rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *rstd,
                      const float *w, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_NORMS);
    const struct kernel_table *table = kernel_table();
    float *parts = scratch_floats(dw ? PARTS * c : 0);
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t p = 0; p < PARTS; p++) {
        float *part = dw ? parts + p * c : NULL;
        if (dw)
            memset(part, 0, c * sizeof *part);
        for (size_t i = n * p / PARTS; i < n * (p + 1) / PARTS; i++)
            table->rmsnorm_backward(dx + i * c, part, dy + i * c, x + i * c, rstd[i], w, c);
    }
    for (size_t p = 0; dw && p < PARTS; p++)
        table->axpy(dw, 1, parts + p * c, c);
    profile_leave(outer);
}
