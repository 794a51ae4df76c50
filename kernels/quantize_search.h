/* The searches behind kernels/quantize.h, compiled once per instruction set with the rest of
 * kernels/quantize_body.h.
 *
 * ggml tries one candidate after another, each with sums over the weights of a group whose order decides the bits.
 * Here a vector holds the same sum of as many candidates as it has lanes: every sum keeps its order, and the
 * candidates are compared one by one, so the bits are the same at several times the speed. */
#include "kernels/half.h"
#include "kernels/simd.h"

#include <limits.h>

enum { MOST_GROUP = 32 };

/* Below this all of a group counts as zero (ggml's GROUP_MAX_EPS). */
#define GROUP_EPSILON 1e-15f

/* Nearest whole number, ties to even, by the bits of x + 1.5 * 2^23; beyond 2^22 it is what those bits say. */
INLINE int nearest(float x)
{
    return (int)(bits_from_float(x + 12582912.0f) & 0x007fffff) - 0x00400000;
}

INLINE vf vf_nearest(vf x)
{
    vi bits = (vi)(x + 12582912.0f);
    return __builtin_convertvector((bits & 0x007fffff) - 0x00400000, vf);
}

INLINE vf vf_clamped(vf x, float low, float high)
{
    return vf_min(vf_max(x, vf_set(low)), vf_set(high));
}

INLINE int clamped(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

INLINE vf vf_if(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* Whole part, as x86 converts: what does not fit (infinity and NaN, from scales that were denormal) is INT_MIN,
 * whose low byte is 0. */
INLINE int truncated(float x)
{
    return x > -2147483648.0f && x < 2147483648.0f ? (int)x : INT_MIN;
}

INLINE void no_levels(uint8_t *levels, int n)
{
    for (int i = 0; i < n; i++)
        levels[i] = 0;
}

/* The first weight of the largest magnitude. */
INLINE float extreme(const float *x, int n)
{
    float value = 0, largest = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > largest) {
            largest = fabsf(x[i]);
            value = x[i];
        }
    return value;
}

/* levels = x + shift over scale, rounded, within [low, high], counted from `low`. n: a multiple of 16. */
INLINE void round_levels(const float *x, int n, float shift, float scale, float low, float high, uint8_t *levels)
{
    float rounded[MOST_GROUP];
    for (int i = 0; i < n; i += W)
        vf_store(rounded + i, vf_clamped(vf_nearest((vf_load(x + i) + shift) / scale), low, high) - low);
    for (int i = 0; i < n; i++)
        levels[i] = (uint8_t)rounded[i];
}

/* Candidates of 1 / scale: (first + step * i + top) / range, for i up to and with `last`. */
struct affine_search {
    int top; /* largest level */
    float first, step;
    int last;
    bool absolute; /* least weighted sum of |error| instead of squares */
};

struct affine_group {
    const float *x, *w;
    int n;
    float low, sum_w, sum_x; /* the minimum to start from; sums of w and of w x */
};

/* Sums of the candidates in the lanes of `inverse`, and what follows from them: scale and minimum by least squares,
 * their error, and whether they can be solved for (determinant > 0). */
INLINE void fit_lanes(const struct affine_search *s, const struct affine_group *g, vf inverse, float *scale,
                      float *min, float *error, float *determinant)
{
    vf level[MOST_GROUP], sum_l = vf_set(0), sum_l2 = vf_set(0), sum_xl = vf_set(0), sum = vf_set(0);
    for (int i = 0; i < g->n; i++) {
        vf l = vf_clamped(vf_nearest(inverse * (g->x[i] - g->low)), 0, (float)s->top), wl = g->w[i] * l;
        level[i] = l;
        sum_l += wl;
        sum_l2 += wl * l;
        sum_xl += wl * g->x[i];
    }
    vf d = g->sum_w * sum_l2 - sum_l * sum_l;
    vf a = (g->sum_w * sum_xl - g->sum_x * sum_l) / d, b = (sum_l2 * g->sum_x - sum_l * sum_xl) / d;
    vi above = b > vf_set(0); /* zero must stay a level: no minimum above it */
    a = vf_if(above, sum_xl / sum_l2, a);
    b = vf_if(above, vf_set(0), b);
    for (int i = 0; i < g->n; i++) {
        vf difference = a * level[i] + b - g->x[i];
        if (s->absolute)
            sum += g->w[i] * vf_abs(difference);
        else
            sum += g->w[i] * (difference * difference);
    }
    vf_store(scale, a);
    vf_store(min, b);
    vf_store(error, sum);
    vf_store(determinant, d);
}

/* Levels 0..top of n weights x with weights w of their errors, for x = scale * level - *min; returns the scale.
 * ggml: make_qkx2_quants, make_qkx3_quants. A better candidate's minimum is where later candidates start from, so the
 * lanes behind it are computed again. */
static float search_affine(const struct affine_search *s, const float *x, const float *w, int n, uint8_t *levels,
                           float *min)
{
    struct affine_group g = {x, w, n, x[0], w[0], w[0] * x[0]};
    float high = x[0], best_error = 0, chosen_low;
    for (int i = 1; i < n; i++) {
        g.low = x[i] < g.low ? x[i] : g.low;
        high = x[i] > high ? x[i] : high;
        g.sum_w += w[i];
        g.sum_x += w[i] * x[i];
    }
    g.low = chosen_low = g.low > 0 ? 0 : g.low;
    *min = -g.low;
    no_levels(levels, n);
    if (high == g.low)
        return 0;
    float inverse = (float)s->top / (high - g.low), scale = 1 / inverse;
    for (int i = 0; i < n; i++) {
        float l = (float)clamped(nearest(inverse * (x[i] - g.low)), 0, s->top), d = scale * l + g.low - x[i];
        best_error += w[i] * (s->absolute ? fabsf(d) : d * d);
    }
    for (int from = 0, next; from <= s->last; from = next) {
        float tried[W], a[W], b[W], error[W], determinant[W];
        for (int k = 0; k < W; k++)
            tried[k] = (s->first + s->step * (float)(from + k) + (float)s->top) / (high - g.low);
        fit_lanes(s, &g, vf_load(tried), a, b, error, determinant);
        next = from + W;
        for (int i = from; i < next && i <= s->last; i++) {
            const int k = i - from;
            if (!(determinant[k] > 0 && error[k] < best_error))
                continue;
            best_error = error[k];
            inverse = tried[k];
            scale = a[k];
            chosen_low = g.low;
            if (b[k] != g.low)
                next = i + 1;
            g.low = b[k];
        }
    }
    *min = -g.low;
    for (int i = 0; i < n; i++)
        levels[i] = (uint8_t)clamped(nearest(inverse * (x[i] - chosen_low)), 0, s->top);
    return scale;
}

enum { SCALE_CANDIDATES = 19, SCALE_LANES = (SCALE_CANDIDATES + W - 1) / W * W };

/* Levels -top..top - 1, counted from -top, of n weights x with weights w of their errors, for x = scale * level;
 * returns the scale. ggml: make_qx_quants. */
static float search_scale(int top, const float *x, const float *w, int n, uint8_t *levels)
{
    float inverse[SCALE_LANES], sums_xl[SCALE_LANES], sums_l2[SCALE_LANES];
    const float max = extreme(x, n), low = (float)-top, high = (float)(top - 1);
    no_levels(levels, n);
    if (fabsf(max) < GROUP_EPSILON)
        return 0;
    for (int k = 0; k < SCALE_LANES; k++)
        inverse[k] = -((float)top + 0.1f * (float)(k - SCALE_CANDIDATES / 2)) / max;
    for (int from = 0; from < SCALE_LANES; from += W) {
        vf sum_xl = vf_set(0), sum_l2 = vf_set(0), lanes = vf_load(inverse + from);
        for (int i = 0; i < n; i++) {
            vf l = vf_clamped(vf_nearest(lanes * x[i]), low, high);
            sum_xl += w[i] * x[i] * l;
            sum_l2 += w[i] * l * l;
        }
        vf_store(sums_xl + from, sum_xl);
        vf_store(sums_l2 + from, sum_l2);
    }
    int best = SCALE_CANDIDATES / 2; /* the plain one comes first */
    float scale = sums_l2[best] != 0 ? sums_xl[best] / sums_l2[best] : 0, product = scale * sums_xl[best];
    for (int k = 0; k < SCALE_CANDIDATES; k++)
        if (k != SCALE_CANDIDATES / 2 && sums_l2[k] > 0 && sums_xl[k] * sums_xl[k] > product * sums_l2[k]) {
            scale = sums_xl[k] / sums_l2[k];
            product = scale * sums_xl[k];
            best = k;
        }
    for (int i = 0; i < n; i++)
        levels[i] = (uint8_t)(clamped(nearest(inverse[best] * x[i]), -top, top - 1) + top);
    return scale;
}

/* One sweep of coordinate descent: each level in turn becomes the best one given the others, where that raises
 * sum_xl^2 / sum_l2. False when nothing changed. Levels are kept within [low, high]; `strict`: as in ggml's
 * make_qp_quants, whose levels are of one byte and cannot be taken from where nothing else is left. */
INLINE bool descend(const float *x, const float *w, int n, int low, int high, bool strict, int *levels,
                    float *sum_xl, float *sum_l2)
{
    bool changed = false;
    for (int i = 0; i < n; i++) {
        const float l = (float)levels[i];
        float xl = *sum_xl - w[i] * x[i] * l, l2 = *sum_l2 - w[i] * l * l;
        if (!(xl > 0) || (strict && !(l2 > 0)))
            continue;
        int level = nearest(x[i] * l2 / xl);
        level = level > high ? high : level;
        if (!strict && level < low)
            level = low;
        if (level == levels[i])
            continue;
        xl += w[i] * x[i] * (float)level;
        l2 += w[i] * (float)level * (float)level;
        if ((strict || l2 > 0) && xl * xl * *sum_l2 > *sum_xl * *sum_xl * l2) {
            levels[i] = strict ? (uint8_t)level : level;
            *sum_xl = xl;
            *sum_l2 = l2;
            changed = true;
        }
    }
    return changed;
}

enum { SWEEPS = 5 };

/* As search_scale, by coordinate descent from the plain scale, with errors weighted by x^2. ggml: make_q3_quants. */
static float descend_scale(int top, const float *x, int n, uint8_t *levels)
{
    const float max = extreme(x, n), inverse = (float)-top / max;
    float w[MOST_GROUP], sum_xl = 0, sum_l2 = 0;
    int l[MOST_GROUP];
    no_levels(levels, n);
    if (fabsf(max) < GROUP_EPSILON)
        return 0;
    for (int i = 0; i < n; i++) {
        l[i] = clamped(nearest(inverse * x[i]), -top, top - 1);
        w[i] = x[i] * x[i];
        sum_xl += w[i] * x[i] * (float)l[i];
        sum_l2 += w[i] * (float)l[i] * (float)l[i];
    }
    for (int i = 0; i < SWEEPS && descend(x, w, n, -top, top - 1, false, l, &sum_xl, &sum_l2); i++)
        ;
    for (int i = 0; i < n; i++)
        levels[i] = (uint8_t)(l[i] + top);
    return sum_l2 > 0 ? sum_xl / sum_l2 : 0;
}

/* Levels 0..top of n scales or minima x, none negative, with weights w, for x = scale * level; returns the scale.
 * ggml: make_qp_quants. */
static float search_positive(int top, const float *x, const float *w, int n, uint8_t *levels)
{
    float max = 0, best_error = 0, sum_xl = 0, sum_l2 = 0;
    int l[MOST_GROUP];
    for (int i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    no_levels(levels, n);
    if (max < GROUP_EPSILON)
        return 0;
    float inverse = (float)top / max;
    const float plain = 1 / inverse;
    for (int i = 0; i < n; i++) {
        float d = x[i] - plain * (float)(uint8_t)nearest(inverse * x[i]);
        best_error += w[i] * d * d;
    }
    for (int k = -4; k <= 4; k++) {
        const float tried = (0.1f * (float)k + (float)top) / max, scale = 1 / tried;
        float error = 0;
        for (int i = 0; i < n; i++) {
            int level = nearest(tried * x[i]);
            float d = x[i] - scale * (float)(level > top ? top : level);
            error += w[i] * d * d;
        }
        if (k != 0 && error < best_error) {
            best_error = error;
            inverse = tried;
        }
    }
    for (int i = 0; i < n; i++) {
        int level = nearest(inverse * x[i]);
        level = level > top ? top : level;
        l[i] = (uint8_t)level;
        sum_xl += w[i] * x[i] * (float)level;
        sum_l2 += w[i] * (float)level * (float)level;
    }
    for (int i = 0; i < SWEEPS && descend(x, w, n, 0, top, true, l, &sum_xl, &sum_l2); i++)
        ;
    for (int i = 0; i < n; i++)
        levels[i] = (uint8_t)l[i];
    return sum_l2 > 0 ? sum_xl / sum_l2 : 0;
}
