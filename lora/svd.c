#include "lora/svd.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

/* --- symmetric matrices --- */

/* Rotates rows and columns p and q of a so that a_pq becomes 0, and the rows of `vectors` with them. */
static void rotate(double *a, double *vectors, size_t n, size_t p, size_t q)
{
    double apq = a[p * n + q];
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
    for (size_t i = 0; i < n; i++) {
        double x = a[i * n + p], y = a[i * n + q];
        a[i * n + p] = c * x - s * y;
        a[i * n + q] = s * x + c * y;
    }
    for (size_t i = 0; i < n; i++) {
        double x = a[p * n + i], y = a[q * n + i], u = vectors[p * n + i], v = vectors[q * n + i];
        a[p * n + i] = c * x - s * y;
        a[q * n + i] = s * x + c * y;
        vectors[p * n + i] = c * u - s * v;
        vectors[q * n + i] = s * u + c * v;
    }
}

static void sort_down(double *values, double *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t j = i + 1; j < n; j++)
            if (values[j] > values[best])
                best = j;
        double value = values[i];
        values[i] = values[best], values[best] = value;
        for (size_t j = 0; j < n && best != i; j++) {
            double x = vectors[i * n + j];
            vectors[i * n + j] = vectors[best * n + j], vectors[best * n + j] = x;
        }
    }
}

void symmetric_eigen(double *a, size_t n, double *values, double *vectors)
{
    double total = 0;
    for (size_t i = 0; i < n * n; i++) {
        vectors[i] = i % (n + 1) == 0;
        total += a[i] * a[i];
    }
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++)
                off += a[p * n + q] * a[p * n + q];
        if (off <= 1e-30 * total)
            break;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++)
                if (a[p * n + q] * a[p * n + q] > 1e-36 * total)
                    rotate(a, vectors, n, p, q);
    }
    for (size_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
    sort_down(values, vectors, n);
}

/* --- subspaces --- */

static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* Rows of x (l, n) orthonormal, by Gram-Schmidt's way done twice; those that depend on earlier ones become 0. */
static void orthonormalize(float *x, size_t l, size_t n)
{
    for (size_t i = 0; i < l; i++) {
        float *row = x + i * n;
        double before = sqrt(dot(row, row, n));
        for (int pass = 0; pass < 2; pass++) {
            for (size_t j = 0; j < i; j++) {
                double part = dot(row, x + j * n, n);
                for (size_t k = 0; k < n; k++)
                    row[k] -= (float)(part * x[j * n + k]);
            }
        }
        double norm = sqrt(dot(row, row, n));
        float factor = norm > 1e-6 * before ? (float)(1 / norm) : 0;
        for (size_t k = 0; k < n; k++)
            row[k] *= factor;
    }
}

/* y (l, m) = x (l, cols) W^T */
static void times_transpose(const struct svd_part *parts, size_t n_parts, size_t m, size_t cols, size_t l, const float *x,
                            float *y)
{
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        const struct matrix *w = &parts[i].matrix;
        CHECK(!w->interleaved);
        gemm(false, true, l, parts[i].rows, cols, DTYPE_F32, x, cols, w->type, w->data, w->ld, 0, DTYPE_F32, y + at, m);
        at += parts[i].rows;
    }
}

/* x (l, cols) = y (l, m) W */
static void times(const struct svd_part *parts, size_t n_parts, size_t m, size_t cols, size_t l, const float *y, float *x)
{
    size_t at = 0;
    for (size_t i = 0; i < n_parts; i++) {
        const struct matrix *w = &parts[i].matrix;
        gemm(false, false, l, cols, parts[i].rows, DTYPE_F32, y + at, m, w->type, w->data, w->ld, i ? 1 : 0, DTYPE_F32, x,
             cols);
        at += parts[i].rows;
    }
}

/* From an orthonormal basis q (l, m) of the rows' space and b = q W (l, cols) to singular values and vectors. */
static void finish(const float *q, const float *b, size_t l, size_t m, size_t cols, size_t k, float *sigma, float *u,
                   float *v)
{
    double *gram = mem_alloc(l * l, sizeof *gram), *values = mem_alloc(l, sizeof *values),
           *vectors = mem_alloc(l * l, sizeof *vectors);
    float *turn = mem_alloc(k * l, sizeof *turn);
    for (size_t i = 0; i < l; i++)
        for (size_t j = 0; j <= i; j++)
            gram[i * l + j] = gram[j * l + i] = dot(b + i * cols, b + j * cols, cols);
    symmetric_eigen(gram, l, values, vectors);
    for (size_t i = 0; i < k * l; i++)
        turn[i] = (float)vectors[i];
    gemm_f32(false, false, k, m, l, turn, l, q, m, 0, u, m);
    gemm_f32(false, false, k, cols, l, turn, l, b, cols, 0, v, cols);
    for (size_t i = 0; i < k; i++) {
        double s = sqrt(fmax(values[i], 0));
        bool none = s <= 1e-6 * sqrt(fmax(values[0], 0));
        sigma[i] = none ? 0 : (float)s;
        for (size_t j = 0; j < cols; j++)
            v[i * cols + j] = none ? 0 : (float)(v[i * cols + j] / s);
        for (size_t j = 0; j < m && none; j++)
            u[i * m + j] = 0;
    }
    mem_free(gram), mem_free(values), mem_free(vectors), mem_free(turn);
}

void svd_largest(const struct svd_part *parts, size_t n_parts, size_t cols, size_t k, uint64_t seed, float *sigma,
                 float *u, float *v)
{
    enum { MORE = 16, ITERATIONS = 8 };
    size_t m = 0;
    for (size_t i = 0; i < n_parts; i++)
        m += parts[i].rows;
    size_t most = m < cols ? m : cols, l = k + MORE < most ? k + MORE : most;
    CHECK(k > 0 && k <= most);
    float *x = mem_alloc(l * cols, sizeof *x), *y = mem_alloc(l * m, sizeof *y);
    struct rng r;
    rng_init(&r, seed, 0);
    rng_fill_normal(&r, x, l * cols, 1);
    for (int i = 0; i < ITERATIONS; i++) {
        times_transpose(parts, n_parts, m, cols, l, x, y);
        orthonormalize(y, l, m);
        times(parts, n_parts, m, cols, l, y, x);
        if (i + 1 < ITERATIONS)
            orthonormalize(x, l, cols);
    }
    finish(y, x, l, m, cols, k, sigma, u, v);
    mem_free(x), mem_free(y);
}
