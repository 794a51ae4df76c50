#include "kernels/embedding.h"

#include "base/check.h"
#include "kernels/interleave.h"
#include "kernels/profile.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <omp.h>

void embedding_forward(float *y, const void *table, enum dtype type, bool halves,
                       const int32_t *ids, float scale, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_EMBEDDING);
    const struct kernel_table *kernels = kernel_table();
    size_t row_bytes;
    bool readable = !halves || type == DTYPE_F32;
    CHECK(readable && dtype_bytes((int)type, c, &row_bytes));
#pragma omp parallel for schedule(static) reduction(&& : readable) if (n * c > 16384)
    for (size_t i = 0; i < n; i++) {
        const char *row = (const char *)table + (size_t)ids[i] * row_bytes;
        if (halves)
            kernels->join_row(y + i * c, (const uint16_t *)(const void *)row, c);
        else
            readable = dtype_to_f32(type, row, y + i * c, c) && readable;
        if (scale != 1)
            kernels->scale(y + i * c, scale, c);
    }
    CHECK(readable);
    profile_leave(outer);
}

void embedding_forward_interleaved(float *y, const void *table, enum dtype type, size_t v, const int32_t *ids,
                                   float scale, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_EMBEDDING);
    size_t row_bytes;
    CHECK(dtype_bytes((int)type, c, &row_bytes));
    for (size_t i = 0; i < n; i++) {
        void *row = scratch_floats(row_bytes / sizeof(float) + 1);
        interleaved_row(type, v, c, table, (size_t)ids[i], row);
        CHECK(dtype_to_f32(type, row, y + i * c, c));
        if (scale != 1)
            kernel_table()->scale(y + i * c, scale, c);
    }
    profile_leave(outer);
}

void embedding_backward(float *dtable, const float *dy, const int32_t *ids, float scale, size_t n,
                        size_t c)
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
                row[j] += scale * dy[i * c + j];
        }
    }
    profile_leave(outer);
}
