#include "kernels/routing.h"

#include "base/check.h"
#include "kernels/profile.h"
#include "kernels/table.h"

#include <math.h>
#include <string.h>

enum { WORTH_THREADS = 1 << 15 }; /* elements */

static bool is_among(const int32_t *chosen, size_t n, size_t i)
{
    for (size_t j = 0; j < n; j++)
        if (chosen[j] == (int32_t)i)
            return true;
    return false;
}

static void choose(const float *x, int32_t *chosen, size_t e, size_t k)
{
    bool taken[ROUTER_MOST] = {false};
    for (size_t j = 0; j < k; j++) {
        int32_t best = -1;
        for (size_t i = 0; i < e; i++)
            if (!taken[i] && (best < 0 || x[i] > x[best]))
                best = (int32_t)i;
        chosen[j] = best;
        taken[best] = true;
    }
}

static void softmax(float *p, const float *x, size_t e)
{
    const struct kernel_table *table = kernel_table();
    double sum = table->exp_sum(p, x, table->max(x, e), e);
    table->scale(p, (float)(1 / sum), e);
}

/* The probabilities among those that the j-th choice was made from and that are near it; the others' are 0. */
static void near_softmax(float *p, const float *x, const int32_t *chosen, size_t j, size_t e)
{
    float best = x[chosen[j]], sum = 0;
    for (size_t i = 0; i < e; i++) {
        float scale = fabsf(x[i]) > best ? fabsf(x[i]) : best;
        bool is_near = !is_among(chosen, j, i) && !((best - x[i]) / scale > 0.02f);
        p[i] = is_near || (int32_t)i == chosen[j] ? expf(x[i] - best) : 0;
        sum += p[i];
    }
    for (size_t i = 0; i < e; i++)
        p[i] /= sum;
}

void route_forward(enum router kind, const float *logits, int32_t *chosen, float *weight, size_t n,
                   size_t e, size_t k)
{
    float p[ROUTER_MOST];
    CHECK(k >= 1 && k <= e && e <= ROUTER_MOST);
    for (size_t i = 0; i < n; i++) {
        const float *x = logits + i * e;
        int32_t *c = chosen + i * k;
        float *w = weight + i * k, total = 0;
        choose(x, c, e, k);
        if (kind != ROUTER_SPARSEMIXER)
            softmax(p, x, e);
        for (size_t j = 0; j < k; j++) {
            if (kind == ROUTER_SPARSEMIXER)
                near_softmax(p, x, c, j, e);
            total += w[j] = p[c[j]];
        }
        for (size_t j = 0; j < k && kind == ROUTER_RENORMALISED; j++)
            w[j] /= total;
    }
}

/* dx += through x's softmax p, from dp. */
static void softmax_backward(float *dx, const float *dp, const float *p, size_t e)
{
    float dot = 0;
    for (size_t i = 0; i < e; i++)
        dot += p[i] * dp[i];
    for (size_t i = 0; i < e; i++)
        dx[i] += p[i] * (dp[i] - dot);
}

void route_backward(enum router kind, float *dlogits, const float *dweight, const float *logits,
                    const int32_t *chosen, const float *weight, const float *extra, size_t n,
                    size_t e, size_t k)
{
    float p[ROUTER_MOST], dp[ROUTER_MOST];
    for (size_t i = 0; i < n; i++) {
        const float *x = logits + i * e, *w = weight + i * k, *dw = dweight + i * k;
        const int32_t *c = chosen + i * k;
        float *dx = dlogits + i * e, mean = 0, total = 0;
        memset(dx, 0, e * sizeof *dx);
        for (size_t j = 0; j < k && kind == ROUTER_SPARSEMIXER; j++) {
            near_softmax(p, x, c, j, e);
            memset(dp, 0, e * sizeof *dp);
            dp[c[j]] = dw[j];
            softmax_backward(dx, dp, p, e);
        }
        softmax(p, x, e);
        memcpy(dp, extra, e * sizeof *dp);
        for (size_t j = 0; j < k; j++) {
            mean += w[j] * dw[j];
            total += p[c[j]];
        }
        for (size_t j = 0; j < k && kind != ROUTER_SPARSEMIXER; j++) /* renormalised, w_j = p_j / total */
            dp[c[j]] += kind == ROUTER_RENORMALISED ? (dw[j] - mean) / total : dw[j];
        softmax_backward(dx, dp, p, e);
    }
}

void route_probabilities(float *sum, float weight, const float *logits, size_t e)
{
    float p[ROUTER_MOST];
    softmax(p, logits, e);
    for (size_t i = 0; i < e; i++)
        sum[i] += weight * p[i];
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
