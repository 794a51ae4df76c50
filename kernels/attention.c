#include "kernels/attention.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static size_t first_of(const int32_t *first_key, const struct attention_shape *s, size_t b,
                       size_t i)
{
    return first_key ? (size_t)first_key[b * s->n_queries + i] : 0;
}

/* One query of one head: keys one by one with a running maximum. */
static void forward_one(float *out, float *lse, const float *q, const float *k, const float *v,
                        size_t first, size_t last, const struct attention_shape *s)
{
    float max = -INFINITY, sum = 0;
    memset(out, 0, s->head_dim * sizeof *out);
    for (size_t j = first; j <= last; j++) {
        float score = dot(q, k + j * s->kv_stride, s->head_dim) * s->scale;
        if (score > max) {
            float shrink = expf(max - score);
            for (size_t d = 0; d < s->head_dim; d++)
                out[d] *= shrink;
            sum *= shrink;
            max = score;
        }
        float p = expf(score - max);
        sum += p;
        add_scaled(out, p, v + j * s->kv_stride, s->head_dim);
    }
    for (size_t d = 0; d < s->head_dim; d++)
        out[d] /= sum;
    if (lse)
        *lse = max + logf(sum);
}

void attention_forward(float *out, float *lse, const float *q, const float *k, const float *v,
                       const int32_t *first_key, const struct attention_shape *s)
{
    CHECK(s->n_kv_heads > 0 && s->n_heads % s->n_kv_heads == 0);
    size_t group = s->n_heads / s->n_kv_heads;
#pragma omp parallel for collapse(3) schedule(static)
    for (size_t b = 0; b < s->n_batch; b++) {
        for (size_t h = 0; h < s->n_heads; h++) {
            for (size_t i = 0; i < s->n_queries; i++) {
                size_t at = (b * s->n_queries + i) * s->q_stride + h * s->head_dim;
                size_t kv = b * s->kv_batch_stride + h / group * s->head_dim;
                forward_one(out + at, lse ? lse + (b * s->n_heads + h) * s->n_queries + i : NULL,
                            q + at, k + kv, v + kv, first_of(first_key, s, b, i), i + s->n_past, s);
            }
        }
    }
}

/* p_ij = exp(s_ij - lse_i); dv_j += p_ij dout_i; ds_ij = p_ij (dout_i . v_j - dout_i . out_i);
 * dq_i += scale ds_ij k_j; dk_j += scale ds_ij q_i. */
static void backward_one(float *dq, float *dk, float *dv, float delta, const float *dout, float lse,
                         const float *q, const float *k, const float *v, size_t first, size_t last,
                         const struct attention_shape *s)
{
    size_t d = s->head_dim;
    memset(dq, 0, d * sizeof *dq);
    for (size_t j = first; j <= last; j++) {
        size_t kv = j * s->kv_stride;
        float p = expf(dot(q, k + kv, d) * s->scale - lse);
        float ds = p * (dot(dout, v + kv, d) - delta) * s->scale;
        add_scaled(dv + kv, p, dout, d);
        add_scaled(dq, ds, k + kv, d);
        add_scaled(dk + kv, ds, q, d);
    }
}

void attention_backward(float *dq, float *dk, float *dv, float *delta, const float *dout,
                        const float *out, const float *lse, const float *q, const float *k,
                        const float *v, const int32_t *first_key, const struct attention_shape *s)
{
    CHECK(s->n_past == 0 && s->n_kv_heads > 0 && s->n_heads % s->n_kv_heads == 0);
    size_t group = s->n_heads / s->n_kv_heads;
#pragma omp parallel for collapse(2) schedule(static)
    for (size_t b = 0; b < s->n_batch; b++) {
        for (size_t g = 0; g < s->n_kv_heads; g++) {
            size_t kv = b * s->kv_batch_stride + g * s->head_dim;
            for (size_t j = 0; j < s->n_queries; j++) {
                memset(dk + kv + j * s->kv_stride, 0, s->head_dim * sizeof *dk);
                memset(dv + kv + j * s->kv_stride, 0, s->head_dim * sizeof *dv);
            }
            for (size_t h = g * group; h < (g + 1) * group; h++) {
                for (size_t i = 0; i < s->n_queries; i++) {
                    size_t at = (b * s->n_queries + i) * s->q_stride + h * s->head_dim;
                    size_t row = (b * s->n_heads + h) * s->n_queries + i;
                    delta[row] = dot(dout + at, out + at, s->head_dim);
                    backward_one(dq + at, dk + kv, dv + kv, delta[row], dout + at, lse[row], q + at,
                                 k + kv, v + kv, first_of(first_key, s, b, i), i, s);
                }
            }
        }
    }
}
