#include "kernels/quantize.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/quantize_variants.h"

static row_quantizer *best_quantizer(enum dtype type)
{
#if defined(__x86_64__)
    if (cpu_level() >= CPU_AVX2)
        return row_quantizer_avx2(type);
#endif
    return row_quantizer_ref(type);
}

bool quantize_supports(enum dtype type)
{
    return row_quantizer_ref(type) != NULL;
}

bool quantize_weighs(enum dtype type)
{
    return quantize_supports(type) && type != DTYPE_Q8_0 && type != DTYPE_MXFP4 && type != DTYPE_TQ1_0 &&
           type != DTYPE_TQ2_0;
}

void quantize_rows(enum dtype type, const float *from, void *to, size_t n_rows, size_t n_cols,
                   const float *importance)
{
    row_quantizer *quantizer = best_quantizer(type);
    size_t row_bytes;
    CHECK(quantizer && dtype_bytes(type, n_cols, &row_bytes));
#pragma omp parallel for schedule(dynamic, 4) if (n_rows * n_cols > 4096)
    for (size_t i = 0; i < n_rows; i++)
        quantizer(from + i * n_cols, (char *)to + i * row_bytes, n_cols, importance);
}
