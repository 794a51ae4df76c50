/* Loops over one row. Included by the variant files after SIMD_WIDTH is defined. */
#include "base/rng.h"
#include "kernels/simd.h"

#include <stdbool.h>

/* Runs `body` for whole vectors (n_lanes == W) and once for what is left; LOAD and STORE inside it
 * take the short way only then. */
#define FOR_VECTORS(i, n)                                                                          \
    for (size_t i = 0, n_lanes = (n) < W ? (n) : W; i < (n);                                       \
         i += W, n_lanes = (n)-i < W ? (n)-i : W)
#define LOAD(p)     (n_lanes == W ? vf_load(p) : vf_load_n(p, n_lanes))
#define STORE(p, x) (n_lanes == W ? vf_store(p, x) : vf_store_n(p, x, n_lanes))

static float row_dot(const float *x, const float *y, size_t n)
{
    vf sums[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W)
        for (size_t u = 0; u < 4; u++)
            sums[u] = vf_fma(vf_load(x + i + u * W), vf_load(y + i + u * W), sums[u]);
    for (; i + W <= n; i += W)
        sums[0] = vf_fma(vf_load(x + i), vf_load(y + i), sums[0]);
    if (i < n)
        sums[1] = vf_fma(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i), sums[1]);
    return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

static void row_axpy(float *y, float a, const float *x, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(y + i, vf_fma(vf_set(a), LOAD(x + i), LOAD(y + i)));
}

static void row_scale(float *x, float a, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(x + i, LOAD(x + i) * a);
}

static float row_max(const float *x, size_t n)
{
    vf most[2] = {vf_set(-INFINITY), vf_set(-INFINITY)};
    size_t i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
        most[0] = vf_max(most[0], vf_load(x + i));
        most[1] = vf_max(most[1], vf_load(x + i + W));
    }
    float max = vf_largest(vf_max(most[0], most[1]));
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static void row_exp(float *y, const float *x, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(y + i, vf_exp(LOAD(x + i)));
}

/* Lanes are summed in f32 over at most 1024 elements, those sums in f64. */
static double row_exp_sum(float *y, const float *x, float shift, size_t n)
{
    enum { CHUNK = 1024 };
    double total = 0;
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t size = n - at < CHUNK ? n - at : CHUNK;
        vf sum = {0};
        FOR_VECTORS(i, size)
        {
            vf e = vf_exp(LOAD(x + at + i) - shift);
            if (y)
                STORE(y + at + i, e);
            sum += n_lanes == W ? e : vf_keep(e, vf_set(0), 0, (float)n_lanes);
        }
        total += (double)vf_sum(sum);
    }
    return total;
}

/* From e = exp(-|x|), which cannot overflow: 1 / (1 + e) for x >= 0, e / (1 + e) below. */
INLINE vf sigmoid(vf x)
{
    vf e = vf_exp(-vf_abs(x));
    return vf_where_negative(x, e, vf_set(1)) / (1 + e);
}

static void row_swiglu_forward(float *y, const float *gate, const float *up, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD(gate + i);
        STORE(y + i, g * sigmoid(g) * LOAD(up + i));
    }
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). */
static void row_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                                const float *up, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD(gate + i), u = LOAD(up + i), d = LOAD(dy + i), s = sigmoid(g);
        STORE(dgate + i, d * u * s * vf_fma(g, 1 - s, vf_set(1)));
        STORE(dup + i, d * g * s);
    }
}

static void row_dropout_add(float *x, const float *y, uint64_t below, float scale, uint64_t seed,
                            size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        x[i] += rng_at(seed, i) >> 11 < below ? 0 : y[i] * scale;
}

static void row_dropout_backward(float *dy, const float *dx, uint64_t below, float scale,
                                 uint64_t seed, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        dy[i] = rng_at(seed, i) >> 11 < below ? 0 : dx[i] * scale;
}

static float row_rmsnorm_forward(float *y, const float *x, const float *w, float eps, size_t c)
{
    float r = 1 / sqrtf(row_dot(x, x, c) / (float)c + eps);
    FOR_VECTORS(i, c)
    STORE(y + i, LOAD(x + i) * r * LOAD(w + i));
    return r;
}

/* With r = rstd: y = x r w, d r / d x_j = -r^3 x_j / c, hence
 * dx_j = r (w_j dy_j - x_j r^2 / c * sum_k w_k dy_k x_k) and dw_j = dy_j x_j r. */
static void row_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, float r,
                                 const float *w, size_t c)
{
    vf sum = {0}, sum2 = {0};
    size_t at = 0;
    for (; at + 2 * W <= c; at += 2 * W) {
        sum = vf_fma(vf_load(w + at) * vf_load(dy + at), vf_load(x + at), sum);
        sum2 = vf_fma(vf_load(w + at + W) * vf_load(dy + at + W), vf_load(x + at + W), sum2);
    }
    FOR_VECTORS(i, c - at)
    sum = vf_fma(LOAD(w + at + i) * LOAD(dy + at + i), LOAD(x + at + i), sum);
    float along = vf_sum(sum + sum2) * r * r / (float)c;
    FOR_VECTORS(i, c)
    {
        vf d = LOAD(dy + i), xi = LOAD(x + i);
        STORE(dx + i, LOAD(dx + i) + r * (LOAD(w + i) * d - xi * along));
        if (dw)
            STORE(dw + i, vf_fma(d * xi, vf_set(r), LOAD(dw + i)));
    }
}

static void row_rotate_half(float *x, const float *cosine, const float *sine, float sign,
                            size_t half)
{
    FOR_VECTORS(i, half)
    {
        vf a = LOAD(x + i), b = LOAD(x + half + i), c = LOAD(cosine + i), s = LOAD(sine + i) * sign;
        STORE(x + i, a * c - b * s);
        STORE(x + half + i, a * s + b * c);
    }
}

static void row_rotate_interleaved(float *x, const float *cosine, const float *sine, float sign,
                                   size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1], s = sign * sine[i];
        x[2 * i] = a * cosine[i] - b * s;
        x[2 * i + 1] = a * s + b * cosine[i];
    }
}

/* Rows of b at once: with four of a, as many sums as registers hold. */
enum { DOT_ROWS = SIMD_WIDTH == 16 ? 4 : 2 };

/* Dot products of rows_a rows of a with rows_b rows of b, constants after inlining, at most 4. */
INLINE void dot_block(const size_t rows_a, const size_t rows_b, size_t k, const float *a,
                      size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    vf sums[4][4];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows_a; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < rows_b; j++)
            sums[i][j] = (vf){0};
    FOR_VECTORS(l, k)
    {
        vf x[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < rows_a; i++)
            x[i] = LOAD(a + i * lda + l);
#pragma GCC unroll 4
        for (size_t j = 0; j < rows_b; j++) {
            vf y = LOAD(b + j * ldb + l);
#pragma GCC unroll 4
            for (size_t i = 0; i < rows_a; i++)
                sums[i][j] = vf_fma(x[i], y, sums[i][j]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows_a; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < rows_b; j++) {
            float *to = c + i * ldc + j;
            *to = vf_sum(sums[i][j]) + (beta == 0 ? 0 : beta * *to);
        }
}

INLINE void dot_rows(const size_t rows_a, size_t n_b, size_t k, const float *a, size_t lda,
                     const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    size_t j = 0;
    for (; j + DOT_ROWS <= n_b; j += DOT_ROWS)
        dot_block(rows_a, DOT_ROWS, k, a, lda, b + j * ldb, ldb, beta, c + j, ldc);
    for (; j < n_b; j++)
        dot_block(rows_a, 1, k, a, lda, b + j * ldb, ldb, beta, c + j, ldc);
}

/* Four rows of b at a time, so that they are still in the nearest cache for the next rows of a. */
static void product_few_rows(size_t m, size_t from, size_t to, size_t k, const float *a, size_t lda,
                             const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    for (size_t j = from; j < to; j += 4) {
        size_t n = to - j < 4 ? to - j : 4;
        for (size_t i = 0; i < m; i += 4) {
            const float *ai = a + i * lda, *bj = b + j * ldb;
            float *ci = c + i * ldc + j;
            switch (m - i) {
            case 1:
                dot_rows(1, n, k, ai, lda, bj, ldb, beta, ci, ldc);
                break;
            case 2:
                dot_rows(2, n, k, ai, lda, bj, ldb, beta, ci, ldc);
                break;
            case 3:
                dot_rows(3, n, k, ai, lda, bj, ldb, beta, ci, ldc);
                break;
            default:
                dot_rows(4, n, k, ai, lda, bj, ldb, beta, ci, ldc);
                break;
            }
        }
    }
}
