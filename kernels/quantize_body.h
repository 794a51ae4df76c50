/* Quantisation of one row to every type of kernels/quantize.h and kernels/quantize_scaled.h, compiled once per instruction set by
 * kernels/quantize_*.c, which define SIMD_WIDTH, ROW_QUANTIZER and SCALED_QUANTIZER. */
#include "kernels/blocks.h"
#include "kernels/quantize_variants.h"

#include "kernels/quantize_search.h"

/* A weight's error matters as its column does, and more the larger the weight is; sigma2: their mean square, or
 * twice that. */
INLINE void weigh(const float *x, const float *importance, int n, float sigma2, float *w)
{
    for (int i = 0; i < n; i++)
        w[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
}

INLINE float sum_of_squares(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

#include "kernels/quantize_k_body.h"
#include "kernels/quantize_simple_body.h"

#include "kernels/quantize_levels_body.h"

#include "kernels/quantize_scaled_body.h"

row_quantizer *ROW_QUANTIZER(enum dtype type)
{
    static row_quantizer *const table[] = {
        [DTYPE_Q4_0] = to_q4_0,   [DTYPE_Q4_1] = to_q4_1,     [DTYPE_Q5_0] = to_q5_0,
        [DTYPE_Q5_1] = to_q5_1,   [DTYPE_Q8_0] = to_q8_0,     [DTYPE_Q2_K] = to_q2_k,
        [DTYPE_Q3_K] = to_q3_k,   [DTYPE_Q4_K] = to_q4_k,     [DTYPE_Q5_K] = to_q5_k,
        [DTYPE_Q6_K] = to_q6_k,   [DTYPE_IQ4_NL] = to_iq4_nl, [DTYPE_IQ4_XS] = to_iq4_xs,
        [DTYPE_MXFP4] = to_mxfp4, [DTYPE_TQ1_0] = to_tq1_0,   [DTYPE_TQ2_0] = to_tq2_0,
    };
    return (size_t)type < sizeof table / sizeof table[0] ? table[type] : NULL;
}

const struct scaled_quantizer *SCALED_QUANTIZER(enum dtype type)
{
    static const struct scaled_quantizer table[] = {
        [DTYPE_Q4_0] = {scaled_q4_0, backward_q4_0}, [DTYPE_Q4_1] = {scaled_q4_1, backward_q4_1},
        [DTYPE_Q5_0] = {scaled_q5_0, backward_q5_0}, [DTYPE_Q5_1] = {scaled_q5_1, backward_q5_1},
        [DTYPE_Q8_0] = {scaled_q8_0, backward_q8_0}, [DTYPE_IQ4_NL] = {scaled_iq4_nl, backward_iq4_nl},
    };
    return (size_t)type < sizeof table / sizeof table[0] && table[type].forward ? &table[type] : NULL;
}
