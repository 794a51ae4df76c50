#include "kernels/embedding.h"

#include "kernels/profile.h"
#include "kernels/table.h"

#include <omp.h>
#include <string.h>

void embedding_forward(float *y, const float *table, bool halves, const int32_t *ids, size_t n,
                       size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_EMBEDDING);
#pragma omp parallel for schedule(static) if (n * c > 16384)
    for (size_t i = 0; i < n; i++) {
        const float *row = table + (size_t)ids[i] * c;
        if (halves)
            kernel_table()->join_row(y + i * c, (const uint16_t *)row, c);
        else
            memcpy(y + i * c, row, c * sizeof *y);
    }
    profile_leave(outer);
}

void embedding_backward(float *dtable, const float *dy, const int32_t *ids, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_EMBEDDING);
#pragma omp parallel if (n * c > 16384)
    {
        size_t threads = (size_t)omp_get_num_threads(), t = (size_t)omp_get_thread_num();
        /* whole cache lines, so that no two threads write the same one */
        size_t lines = (c + 15) / 16;
        size_t from = lines * t / threads * 16, to = lines * (t + 1) / threads * 16;
        if (to > c)
            to = c;
        for (size_t i = 0; i < n; i++) {
            float *row = dtable + (size_t)ids[i] * c;
            for (size_t j = from; j < to; j++)
                row[j] += dy[i * c + j];
        }
    }
    profile_leave(outer);
}
