#include "kernels/halves.h"

#include "kernels/scratch.h"
#include "kernels/table.h"

#include <string.h>

enum { WORTH_THREADS = 16384 };

void halves_split(float *x, size_t rows, size_t c)
{
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (rows * c > WORTH_THREADS)
    for (size_t i = 0; i < rows; i++) {
        float *copy = scratch_floats(c);
        memcpy(copy, x + i * c, c * sizeof *x);
        table->split_row((uint16_t *)(x + i * c), copy, c);
    }
}

void halves_join(float *x, size_t rows, size_t c)
{
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (rows * c > WORTH_THREADS)
    for (size_t i = 0; i < rows; i++) {
        float *copy = scratch_floats(c);
        memcpy(copy, x + i * c, c * sizeof *x);
        table->join_row(x + i * c, (const uint16_t *)copy, c);
    }
}
