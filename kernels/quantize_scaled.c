#include "kernels/quantize_scaled.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/blocks.h"
#include "kernels/quantize_variants.h"

#include <stddef.h>
#include <string.h>

enum { WORTH_THREADS = 4096 };

const struct scaled_type *scaled_type(enum dtype type)
{
    static const struct scaled_type table[] = {
        [DTYPE_Q4_0] = {-8, 7, 1},  [DTYPE_Q4_1] = {0, 15, 2},     [DTYPE_Q5_0] = {-16, 15, 1},
        [DTYPE_Q5_1] = {0, 31, 2},  [DTYPE_Q8_0] = {-127, 127, 1}, [DTYPE_IQ4_NL] = {-127, 113, 1},
    };
    return (size_t)type < sizeof table / sizeof *table && table[type].n_scales ? &table[type] : NULL;
}

static const struct scaled_quantizer *best_quantizer(enum dtype type)
{
#if defined(__x86_64__)
    if (cpu_level() >= CPU_AVX2)
        return scaled_quantizer_avx2(type);
#endif
    return scaled_quantizer_ref(type);
}

void quantize_rows_scaled(enum dtype type, const float *from, const float *scales, void *to, size_t n_rows, size_t n_cols)
{
    const struct scaled_quantizer *quantizer = best_quantizer(type);
    size_t row_bytes;
    CHECK(quantizer && dtype_bytes(type, n_cols, &row_bytes));
    const size_t row_scales = n_cols / SCALED_BLOCK * scaled_type(type)->n_scales;
#pragma omp parallel for schedule(static) if (n_rows * n_cols > WORTH_THREADS)
    for (size_t i = 0; i < n_rows; i++)
        quantizer->forward(from + i * n_cols, scales + i * row_scales, (char *)to + i * row_bytes, n_cols);
}

void quantize_rows_scaled_backward(enum dtype type, const float *from, const float *scales, const float *d_to,
                                   float *d_scales, size_t n_rows, size_t n_cols)
{
    const struct scaled_quantizer *quantizer = best_quantizer(type);
    CHECK(quantizer && n_cols % SCALED_BLOCK == 0);
    const size_t row_scales = n_cols / SCALED_BLOCK * scaled_type(type)->n_scales;
#pragma omp parallel for schedule(static) if (n_rows * n_cols > WORTH_THREADS)
    for (size_t i = 0; i < n_rows; i++)
        quantizer->backward(from + i * n_cols, scales + i * row_scales, d_to + i * n_cols, d_scales + i * row_scales,
                            n_cols);
}

/* Every block begins with them. */
_Static_assert(offsetof(struct block_q4_0, d) == 0 && offsetof(struct block_q5_0, d) == 0 &&
               offsetof(struct block_q8_0, d) == 0 && offsetof(struct block_iq4_nl, d) == 0, "d");
_Static_assert(offsetof(struct block_q4_1, m) == 2 && offsetof(struct block_q5_1, m) == 2, "m");

void quantized_scales(enum dtype type, const void *blocks, size_t n_blocks, float *scales)
{
    const struct scaled_type *t = scaled_type(type);
    CHECK(t);
    const size_t bytes = dtype_info(type)->block_bytes;
    for (size_t i = 0; i < n_blocks; i++) {
        uint16_t halves[2];
        memcpy(halves, (const char *)blocks + i * bytes, t->n_scales * sizeof *halves);
        for (size_t j = 0; j < t->n_scales; j++)
            scales[i * t->n_scales + j] = half_to_f32(halves[j]) / (j == 0 ? 1 : t->high);
    }
}
