/* Loops over one row. Included by the variant files after SIMD_WIDTH is defined. */
#include "base/rng.h"
#include "kernels/simd.h"

/* Runs `body` for whole vectors (n_lanes == W) and once for what is left; LOAD and STORE inside it
 * take the short way only then. */
#define FOR_VECTORS(i, n)                                                                          \
    for (size_t i = 0, n_lanes = (n) < W ? (n) : W; i < (n);                                       \
         i += W, n_lanes = (n)-i < W ? (n)-i : W)
#define LOAD(p)     (n_lanes == W ? vf_load(p) : vf_load_n(p, n_lanes))
#define STORE(p, x) (n_lanes == W ? vf_store(p, x) : vf_store_n(p, x, n_lanes))
/* The same for element i of an array of f32 or bf16. */
#define LOAD_AS(bf16, x, i)                                                                        \
    (n_lanes == W ? vf_load_as(bf16, x, i) : vf_load_n_as(bf16, x, i, n_lanes))
#define STORE_AS(bf16, x, i, value)                                                                \
    (n_lanes == W ? vf_store_as(bf16, x, i, value) : vf_store_n_as(bf16, x, i, value, n_lanes))

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

static float row_dot_bf16(const uint16_t *x, const uint16_t *y, size_t n)
{
    vf sums[2] = {{0}, {0}};
    size_t i = 0;
    for (; i + 2 * W <= n; i += 2 * W)
        for (size_t u = 0; u < 2; u++)
            sums[u] = vf_fma(vf_load_as(true, x, i + u * W), vf_load_as(true, y, i + u * W), sums[u]);
    FOR_VECTORS(j, n - i)
    sums[0] = vf_fma(LOAD_AS(true, x, i + j), LOAD_AS(true, y, i + j), sums[0]);
    return vf_sum(sums[0] + sums[1]);
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

static void row_scale_to_bf16(uint16_t *y, const float *x, float a, size_t n)
{
    FOR_VECTORS(i, n)
    STORE_AS(true, y, i, LOAD(x + i) * a);
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

INLINE void swiglu_forward_as(const bool bf16, void *y, const void *gate, const void *up, size_t from,
                              size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD_AS(bf16, gate, from + i);
        STORE_AS(bf16, y, from + i, g * sigmoid(g) * LOAD_AS(bf16, up, from + i));
    }
}

static void row_swiglu_forward(void *y, const void *gate, const void *up, enum dtype type,
                               size_t from, size_t n)
{
    if (type == DTYPE_BF16)
        swiglu_forward_as(true, y, gate, up, from, n);
    else
        swiglu_forward_as(false, y, gate, up, from, n);
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). */
INLINE void swiglu_backward_as(const bool bf16, void *dgate, void *dup, const void *dy,
                               const void *gate, const void *up, size_t from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD_AS(bf16, gate, from + i), u = LOAD_AS(bf16, up, from + i);
        vf d = LOAD_AS(bf16, dy, from + i), s = sigmoid(g);
        STORE_AS(bf16, dgate, from + i, d * u * s * vf_fma(g, 1 - s, vf_set(1)));
        STORE_AS(bf16, dup, from + i, d * g * s);
    }
}

static void row_swiglu_backward(void *dgate, void *dup, const void *dy, const void *gate,
                                const void *up, enum dtype type, size_t from, size_t n)
{
    if (type == DTYPE_BF16)
        swiglu_backward_as(true, dgate, dup, dy, gate, up, from, n);
    else
        swiglu_backward_as(false, dgate, dup, dy, gate, up, from, n);
}

/* Elements i.. of a branch, 0 where they are dropped. */
INLINE vf kept_elements(const bool bf16, const void *y, const struct dropout *drop, size_t i,
                        size_t n_lanes)
{
    if (drop->below == 0)
        return LOAD_AS(bf16, y, i);
    float lanes[W] = {0};
    for (size_t j = 0; j < n_lanes; j++)
        if (rng_at(drop->seed, i + j) >> 11 >= drop->below)
            lanes[j] = load_as(bf16, y, i + j) * drop->scale;
    return vf_load(lanes);
}

static void row_residual_add(float *out, const float *x, const void *y, enum dtype type,
                             const struct dropout *drop, size_t from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf branch = type == DTYPE_BF16 ? kept_elements(true, y, drop, from + i, n_lanes)
                                       : kept_elements(false, y, drop, from + i, n_lanes);
        STORE(out + from + i, LOAD(x + from + i) + branch);
    }
}

static void row_residual_add_backward(void *dy, enum dtype type, const float *dx,
                                      const struct dropout *drop, size_t from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf branch = kept_elements(false, dx, drop, from + i, n_lanes);
        if (type == DTYPE_BF16)
            STORE_AS(true, dy, from + i, branch);
        else
            STORE_AS(false, dy, from + i, branch);
    }
}

INLINE void rmsnorm_scale_as(const bool bf16, void *y, size_t from, const float *x, const float *w,
                             float r, size_t c)
{
    FOR_VECTORS(i, c)
    STORE_AS(bf16, y, from + i, LOAD(x + i) * r * LOAD(w + i));
}

static float row_rmsnorm_forward(void *y, enum dtype type, size_t from, const float *x,
                                 const float *w, float eps, size_t c)
{
    float r = 1 / sqrtf(row_dot(x, x, c) / (float)c + eps);
    if (type == DTYPE_BF16)
        rmsnorm_scale_as(true, y, from, x, w, r, c);
    else
        rmsnorm_scale_as(false, y, from, x, w, r, c);
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

/* One head: pairs (i, i + half), or (2i, 2i + 1), turned by `sign` times the angle, from one array
 * to another. */
INLINE void rotate_half_as(const bool to16, const bool from16, const struct rotation *r, float sign)
{
    size_t half = r->half, at = r->at;
    FOR_VECTORS(i, half)
    {
        vf a = LOAD_AS(from16, r->from, at + i), b = LOAD_AS(from16, r->from, at + half + i);
        vf c = LOAD(r->cosine + i), s = LOAD(r->sine + i) * sign;
        STORE_AS(to16, r->to, at + i, a * c - b * s);
        STORE_AS(to16, r->to, at + half + i, a * s + b * c);
    }
}

INLINE void rotate_interleaved_as(const bool to16, const bool from16, const struct rotation *r,
                                  float sign)
{
    for (size_t i = 0, at = r->at; i < r->half; i++, at += 2) {
        float a = load_as(from16, r->from, at), b = load_as(from16, r->from, at + 1);
        float c = r->cosine[i], s = sign * r->sine[i];
        store_as(to16, r->to, at, a * c - b * s);
        store_as(to16, r->to, at + 1, a * s + b * c);
    }
}

INLINE void rotate_as(const bool to16, const bool from16, const struct rotation *r, float sign)
{
    if (r->style == ROPE_HALF)
        rotate_half_as(to16, from16, r, sign);
    else
        rotate_interleaved_as(to16, from16, r, sign);
    for (size_t i = 2 * r->half; i < r->head_dim && r->to != r->from; i++)
        store_as(to16, r->to, r->at + i, load_as(from16, r->from, r->at + i));
}

static void row_rotate(const struct rotation *r, float sign)
{
    if (r->to_type != DTYPE_BF16)
        rotate_as(false, false, r, sign);
    else if (r->from_type == DTYPE_BF16)
        rotate_as(true, true, r, sign);
    else
        rotate_as(true, false, r, sign);
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
