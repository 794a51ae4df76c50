/* The optimiser's loops over one row. Included by the variant files after kernels/rows_body.h. */
#include "kernels/update.h"

#define LOAD_HALF(p)     (n_lanes == W ? *(const vh_unaligned *)(p) : vh_load_n(p, n_lanes))
#define STORE_HALF(p, x)                                                                           \
    do {                                                                                           \
        if (n_lanes == W)                                                                          \
            *(vh_unaligned *)(p) = x;                                                              \
        else                                                                                       \
            vh_store_n(p, x, n_lanes);                                                             \
    } while (0)

static void row_split(uint16_t *to, const float *from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf x = LOAD(from + i);
        vh high = vf_to_bf16(x);
        STORE_HALF(to + i, high);
        STORE_HALF(to + n + i, vf_low_half(x, high));
    }
}

static void row_join(float *to, const uint16_t *from, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(to + i, vf_from_halves(LOAD_HALF(from + i), LOAD_HALF(from + n + i)));
}

INLINE vf load_weights(const bool halves, const struct update_row *r, size_t i, size_t n_lanes)
{
    if (halves)
        return vf_from_halves(LOAD_HALF(r->high + i), LOAD_HALF(r->low + i));
    return LOAD(r->w + i);
}

INLINE void store_weights(const bool halves, const struct update_row *r, size_t i, vf x,
                          size_t n_lanes)
{
    if (halves) {
        vh high = vf_to_bf16(x);
        STORE_HALF(r->high + i, high);
        STORE_HALF(r->low + i, vf_low_half(x, high));
    } else {
        STORE(r->w + i, x);
    }
}

INLINE void store_moments(const bool bf16, const struct update_row *r, size_t i, vf m, vf v,
                          size_t n_lanes)
{
    if (!bf16) {
        STORE((float *)r->m + i, m);
        STORE((float *)r->v + i, v);
        return;
    }
    vu noise = vu_noise(r->noise + (uint32_t)i);
    STORE_HALF((uint16_t *)r->m + i, vf_to_bf16_noisy(m, noise & 0xffff));
    STORE_HALF((uint16_t *)r->v + i, vf_to_bf16_noisy(v, noise >> 16));
}

INLINE void adamw_as(const bool halves, const bool bf16_gradient, const bool bf16_moments,
                     const struct update_row *r, const struct adamw_step *k)
{
    FOR_VECTORS(i, r->n)
    {
        vf g = LOAD_AS(bf16_gradient, r->gradient, i) * k->gradient_scale;
        vf m = k->beta1 * LOAD_AS(bf16_moments, r->m, i) + (1 - k->beta1) * g;
        vf v = k->beta2 * LOAD_AS(bf16_moments, r->v, i) + (1 - k->beta2) * g * g;
        vf w = k->keep * load_weights(halves, r, i, n_lanes);
        store_weights(halves, r, i, w - k->rate * m / (vf_sqrt(v) * k->root + k->epsilon), n_lanes);
        store_moments(bf16_moments, r, i, m, v, n_lanes);
    }
}

static void row_adamw(const struct update_row *r, const struct adamw_step *step)
{
    bool gradient = r->gradient_type == DTYPE_BF16, moments = r->moment_type == MOMENT_BF16;
    if (!r->high && !gradient && !moments)
        adamw_as(false, false, false, r, step);
    else if (r->high && gradient && moments)
        adamw_as(true, true, true, r, step);
    else if (r->high && !gradient && moments)
        adamw_as(true, false, true, r, step);
    else
        adamw_as(r->high != NULL, gradient, moments, r, step);
}

static void row_apply_update(const struct update_row *r, float keep, float rate)
{
    bool halves = r->high != NULL, bf16 = r->gradient_type == DTYPE_BF16;
    FOR_VECTORS(i, r->n)
    {
        vf w = load_weights(halves, r, i, n_lanes) * keep;
        vf moved = vf_fma(LOAD_AS(bf16, r->gradient, i), vf_set(-rate), w);
        store_weights(halves, r, i, moved, n_lanes);
    }
}

static void row_scale_add(float *y, const float *x, float alpha, const float *z, float beta, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(y + i, vf_fma(LOAD(x + i), vf_set(alpha), LOAD(z + i) * beta));
}

/* Plain loops that the compiler turns into vectors of each level's width. */
INLINE double sum_of_squares_as(const bool bf16, const void *x, size_t from, size_t n)
{
    enum { LANES = 32 };
    double sums[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            double y = (double)load_as(bf16, x, from + i + j);
            sums[j] += y * y;
        }
    }
    for (; i < n; i++) {
        double y = (double)load_as(bf16, x, from + i);
        sums[0] += y * y;
    }
    for (size_t j = 0; j < LANES; j++)
        total += sums[j];
    return total;
}

static double row_sum_of_squares(const void *x, enum dtype type, size_t from, size_t n)
{
    return type == DTYPE_BF16 ? sum_of_squares_as(true, x, from, n)
                              : sum_of_squares_as(false, x, from, n);
}
