#include "kernels/routing.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

enum { WORTH_THREADS = 1 << 15 }; /* elements */

static void choose(const float *p, int32_t *chosen, size_t e, size_t k)
{
    for (size_t j = 0; j < k; j++) {
        int32_t best = -1;
        for (size_t i = 0; i < e; i++) {
            bool taken = false;
            for (size_t t = 0; t < j; t++)
                taken |= chosen[t] == (int32_t)i;
            if (!taken && (best < 0 || p[i] > p[best]))
                best = (int32_t)i;
        }
        chosen[j] = best;
    }
}

void route_forward(float *x, int32_t *chosen, float *weight, bool renormalise, size_t n, size_t e,
                   size_t k)
{
    const struct kernel_table *table = kernel_table();
    CHECK(k >= 1 && k <= e);
    for (size_t i = 0; i < n; i++) {
        float *row = x + i * e;
        double sum = table->exp_sum(row, row, table->max(row, e), e);
        table->scale(row, (float)(1 / sum), e);
        choose(row, chosen + i * k, e, k);
        float total = 0;
        for (size_t j = 0; j < k; j++)
            total += weight[i * k + j] = row[chosen[i * k + j]];
        for (size_t j = 0; j < k && renormalise; j++)
            weight[i * k + j] /= total;
    }
}

void route_backward(float *dlogits, const float *dweight, const float *probabilities,
                    const int32_t *chosen, const float *weight, const float *extra,
                    bool renormalise, size_t n, size_t e, size_t k)
{
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * e, *w = weight + i * k, *dw = dweight + i * k;
        float *d = dlogits + i * e;
        memcpy(d, extra, e * sizeof *d);
        float total = 0, mean = 0;
        for (size_t j = 0; j < k; j++) {
            total += p[chosen[i * k + j]];
            mean += w[j] * dw[j];
        }
        for (size_t j = 0; j < k; j++) /* w_j = p_j / sum of the chosen p */
            d[chosen[i * k + j]] += renormalise ? (dw[j] - mean) / total : dw[j];
        float dot = 0;
        for (size_t j = 0; j < e; j++)
            dot += p[j] * d[j];
        for (size_t j = 0; j < e; j++)
            d[j] = p[j] * (d[j] - dot);
    }
}

void rows_gather(void *to, const void *from, enum dtype type, const int32_t *index, size_t n,
                 size_t c)
{
    size_t bytes = c * dtype_info(type)->block_bytes;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)to + i * bytes, (const char *)from + (size_t)index[i] * bytes, bytes);
}

/* Rows are taken in pieces of this many elements, widened to f32 where they are bf16. */
enum { PIECE = 256 };

static void widen(float *to, const void *from, enum dtype type, size_t at, size_t n)
{
    if (type == DTYPE_F32)
        memcpy(to, (const float *)from + at, n * sizeof *to);
    else
        f32_from_bf16((const uint16_t *)from + at, to, n);
}

static void narrow(void *to, enum dtype type, size_t at, const float *from, size_t n)
{
    if (type == DTYPE_F32)
        memcpy((float *)to + at, from, n * sizeof *from);
    else
        bf16_from_f32(from, (uint16_t *)to + at, n);
}

void rows_collect(void *y, enum dtype type, bool add, const void *x, enum dtype x_type,
                  const int32_t *index, size_t n, size_t k, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
#pragma omp parallel for schedule(static) if (n * k * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < c; at += PIECE) {
            float sum[PIECE] = {0}, part[PIECE];
            size_t m = c - at < PIECE ? c - at : PIECE;
            if (add)
                widen(sum, y, type, i * c + at, m);
            for (size_t j = 0; j < k; j++) {
                widen(part, x, x_type, (size_t)index[i * k + j] * c + at, m);
                for (size_t l = 0; l < m; l++)
                    sum[l] += part[l];
            }
            narrow(y, type, i * c + at, sum, m);
        }
    }
    profile_leave(outer);
}

void rows_add(void *y, const void *x, enum dtype type, size_t n)
{
    enum profile_kind outer = profile_enter(PROFILE_RESIDUAL);
#pragma omp parallel for schedule(static) if (n > WORTH_THREADS)
    for (size_t at = 0; at < n; at += PIECE) {
        float sum[PIECE], part[PIECE];
        size_t m = n - at < PIECE ? n - at : PIECE;
        widen(sum, y, type, at, m);
        widen(part, x, type, at, m);
        for (size_t l = 0; l < m; l++)
            sum[l] += part[l];
        narrow(y, type, at, sum, m);
    }
    profile_leave(outer);
}

void rows_scale(void *y, enum dtype type, const float *weight, size_t n, size_t c)
{
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < c; at += PIECE) {
            float part[PIECE];
            size_t m = c - at < PIECE ? c - at : PIECE;
            widen(part, y, type, i * c + at, m);
            for (size_t l = 0; l < m; l++)
                part[l] *= weight[i];
            narrow(y, type, i * c + at, part, m);
        }
    }
    profile_leave(outer);
}

void rows_dot(float *dot, const void *x, const void *y, enum dtype type, size_t n, size_t c)
{
    const struct kernel_table *table = kernel_table();
    enum profile_kind outer = profile_enter(PROFILE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        dot[i] = 0;
        for (size_t at = 0; at < c; at += PIECE) {
            float a[PIECE], b[PIECE];
            size_t m = c - at < PIECE ? c - at : PIECE;
            widen(a, x, type, i * c + at, m);
            widen(b, y, type, i * c + at, m);
            dot[i] += table->dot(a, b, m);
        }
    }
    profile_leave(outer);
}

void sigmoid_forward(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 1 / (1 + expf(-x[i]));
}

void sigmoid_backward(float *dx, const float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}
