/* Plain loops that the compiler turns into vectors of each level's width. */
#include "kernels/half.h"
#include "kernels/update.h"

INLINE void adamw_elements(float *restrict w, uint16_t *restrict bf16, float *restrict gradient,
                           float *restrict m, float *restrict v, size_t n,
                           const struct adamw_step *step)
{
    const struct adamw_step k = *step;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * k.gradient_scale;
        float first = k.beta1 * m[i] + (1 - k.beta1) * g;
        float second = k.beta2 * v[i] + (1 - k.beta2) * g * g;
        gradient[i] = 0;
        m[i] = first;
        v[i] = second;
        w[i] = k.keep * w[i] - k.rate * first / (sqrtf(second) * k.root + k.epsilon);
        if (bf16)
            bf16[i] = bf16_from_float(w[i]);
    }
}

static void row_adamw(float *w, uint16_t *bf16, float *gradient, float *m, float *v, size_t n,
                      const struct adamw_step *step)
{
    if (bf16)
        adamw_elements(w, bf16, gradient, m, v, n, step);
    else
        adamw_elements(w, NULL, gradient, m, v, n, step);
}

static void row_scale_add(float *y, const float *x, float alpha, const float *z, float beta, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(y + i, vf_fma(LOAD(x + i), vf_set(alpha), LOAD(z + i) * beta));
}

static void row_apply_update(float *w, uint16_t *bf16, float *update, float keep, float rate,
                             size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf moved = vf_fma(LOAD(update + i), vf_set(-rate), LOAD(w + i) * keep);
        STORE(w + i, moved);
        STORE(update + i, vf_set(0));
        if (bf16)
            STORE_AS(true, bf16, i, moved);
    }
}

static double row_sum_of_squares(const float *x, size_t n)
{
    enum { LANES = 32 };
    double sums[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sums[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++)
        sums[0] += (double)x[i] * x[i];
    for (size_t j = 0; j < LANES; j++)
        total += sums[j];
    return total;
}
