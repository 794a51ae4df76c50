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
/* And of f32, bf16 or f16. */
#define LOAD_TYPE(type, x, i)                                                                      \
    (n_lanes == W ? vf_load_type(type, x, i) : vf_load_n_type(type, x, i, n_lanes))
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

/* cap tanh(x / cap) */
INLINE vf soft_cap(vf x, float cap)
{
    return cap * vf_tanh(x / cap);
}

static void row_adjust(float *x, const float *bias, float scale, float cap, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf y = LOAD(x + i);
        if (bias)
            y += LOAD(bias + i);
        y *= scale;
        if (cap > 0)
            y = soft_cap(y, cap);
        STORE(x + i, y);
    }
}

static void row_scale_to_bf16(uint16_t *y, const float *x, float a, size_t n)
{
    FOR_VECTORS(i, n)
    STORE_AS(true, y, i, LOAD(x + i) * a);
}

static void row_log(float *y, const float *x, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(y + i, vf_log(LOAD(x + i)));
}

/* Lanes are summed in f32 over at most 1024 elements, those sums in f64. */
INLINE double exp_sum_of(float *y, const float *x, float shift, const float scale, size_t n)
{
    enum { CHUNK = 1024 };
    double total = 0;
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t size = n - at < CHUNK ? n - at : CHUNK;
        vf sum = {0};
        FOR_VECTORS(i, size)
        {
            vf e = vf_exp((LOAD(x + at + i) - shift) * scale);
            if (y)
                STORE(y + at + i, e);
            sum += n_lanes == W ? e : vf_keep(e, vf_set(0), 0, (float)n_lanes);
        }
        total += (double)vf_sum(sum);
    }
    return total;
}

static double row_exp_sum(float *y, const float *x, float shift, size_t n)
{
    return exp_sum_of(y, x, shift, 1, n);
}

static double row_exp_sum_scaled(float *y, const float *x, float shift, float scale, size_t n)
{
    return exp_sum_of(y, x, shift, scale, n);
}

/* In bf16 each row of results takes the first half of its arguments' place, behind what is still read. */
INLINE void capped_gradient_as(const bool bf16, void *x, float shift, float factor, float cap,
                               size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf y = LOAD((const float *)x + i), t = y / cap;
        STORE_AS(bf16, x, i, vf_exp(y - shift) * factor * (1 - t * t));
    }
}

static void row_capped_gradient(void *x, enum dtype type, float shift, float factor, float cap,
                                size_t n)
{
    if (type == DTYPE_BF16)
        capped_gradient_as(true, x, shift, factor, cap, n);
    else
        capped_gradient_as(false, x, shift, factor, cap, n);
}

/* From e = exp(-|x|), which cannot overflow: 1 / (1 + e) for x >= 0, e / (1 + e) below. */
INLINE vf sigmoid(vf x)
{
    vf e = vf_exp(-vf_abs(x));
    return vf_where_negative(x, e, vf_set(1)) / (1 + e);
}

/* Both activations are g sigmoid(z): silu with z = g, and gelu's approximation g (1 + tanh(u)) / 2, u =
 * sqrt(2 / pi) (g + 0.044715 g^3), with z = 2 u, since (1 + tanh(u)) / 2 = sigmoid(2 u). So written nothing
 * cancels below 0. Beyond +-16 z is as good as infinite, and g^3 may not become so. */
static const float GELU_Z = 1.59576912f, GELU_CUBE = 0.044715f; /* 2 sqrt(2 / pi) */

INLINE vf gate_z(const enum activation a, vf g)
{
    if (a == ACTIVATION_SILU)
        return g;
    g = vf_min(vf_set(16), vf_max(vf_set(-16), g));
    return GELU_Z * g * vf_fma(g * g, vf_set(GELU_CUBE), vf_set(1));
}

/* d z / d g */
INLINE vf gate_z_slope(const enum activation a, vf g)
{
    if (a == ACTIVATION_SILU)
        return vf_set(1);
    g = vf_min(vf_set(16), vf_max(vf_set(-16), g));
    return GELU_Z * vf_fma(g * g, vf_set(3 * GELU_CUBE), vf_set(1));
}

INLINE void glu_forward_as(const enum activation a, const bool bf16, void *y, const void *gate,
                           const void *up, size_t from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD_AS(bf16, gate, from + i);
        STORE_AS(bf16, y, from + i, g * sigmoid(gate_z(a, g)) * LOAD_AS(bf16, up, from + i));
    }
}

static void row_glu_forward(enum activation a, void *y, const void *gate, const void *up,
                            enum dtype type, size_t from, size_t n)
{
    bool bf16 = type == DTYPE_BF16;
    if (a == ACTIVATION_SILU && bf16)
        glu_forward_as(ACTIVATION_SILU, true, y, gate, up, from, n);
    else if (a == ACTIVATION_SILU)
        glu_forward_as(ACTIVATION_SILU, false, y, gate, up, from, n);
    else if (bf16)
        glu_forward_as(ACTIVATION_GELU_TANH, true, y, gate, up, from, n);
    else
        glu_forward_as(ACTIVATION_GELU_TANH, false, y, gate, up, from, n);
}

/* With s = sigmoid(z(g)): d (g s) / d g = s (1 + g z' (1 - s)). */
INLINE void glu_backward_as(const enum activation a, const bool bf16, void *dgate, void *dup,
                            const void *dy, const void *gate, const void *up, size_t from, size_t n)
{
    FOR_VECTORS(i, n)
    {
        vf g = LOAD_AS(bf16, gate, from + i), u = LOAD_AS(bf16, up, from + i);
        vf d = LOAD_AS(bf16, dy, from + i), s = sigmoid(gate_z(a, g));
        vf rest = vf_fma(g * gate_z_slope(a, g), 1 - s, vf_set(1));
        STORE_AS(bf16, dgate, from + i, d * u * s * rest);
        STORE_AS(bf16, dup, from + i, d * g * s);
    }
}

static void row_glu_backward(enum activation a, void *dgate, void *dup, const void *dy,
                             const void *gate, const void *up, enum dtype type, size_t from,
                             size_t n)
{
    bool bf16 = type == DTYPE_BF16;
    if (a == ACTIVATION_SILU && bf16)
        glu_backward_as(ACTIVATION_SILU, true, dgate, dup, dy, gate, up, from, n);
    else if (a == ACTIVATION_SILU)
        glu_backward_as(ACTIVATION_SILU, false, dgate, dup, dy, gate, up, from, n);
    else if (bf16)
        glu_backward_as(ACTIVATION_GELU_TANH, true, dgate, dup, dy, gate, up, from, n);
    else
        glu_backward_as(ACTIVATION_GELU_TANH, false, dgate, dup, dy, gate, up, from, n);
}

INLINE void add_as(const bool bf16, void *y, size_t at, const float *x, size_t n)
{
    FOR_VECTORS(i, n)
    STORE_AS(bf16, y, at + i, LOAD_AS(bf16, y, at + i) + LOAD(x + i));
}

static void row_add(void *y, enum dtype type, size_t at, const float *x, size_t n)
{
    if (type == DTYPE_BF16)
        add_as(true, y, at, x, n);
    else
        add_as(false, y, at, x, n);
}

INLINE void accumulate_as(const bool bf16, float *sum, const void *x, size_t at, size_t n)
{
    FOR_VECTORS(i, n)
    STORE(sum + i, LOAD(sum + i) + LOAD_AS(bf16, x, at + i));
}

static void row_accumulate(float *sum, const void *x, enum dtype type, size_t at, size_t n)
{
    if (type == DTYPE_BF16)
        accumulate_as(true, sum, x, at, n);
    else
        accumulate_as(false, sum, x, at, n);
}

/* Elements i.. of a branch times the scale, 0 where they are dropped. */
INLINE vf kept_elements(const bool bf16, const void *y, const struct dropout *drop, size_t i,
                        size_t n_lanes)
{
    if (drop->below == 0)
        return LOAD_AS(bf16, y, i) * drop->scale;
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

/* x - mean for a LayerNorm, x for an RMSNorm. */
INLINE vf centred(const bool layer, vf x, float mean)
{
    if (layer)
        x -= mean;
    return x;
}

/* Sum of their squares over a row. */
INLINE float squares_as(const bool bf16, const bool layer, const struct norm_row *r)
{
    vf sums[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * W <= r->c; i += 4 * W) {
        for (size_t u = 0; u < 4; u++) {
            vf x = centred(layer, vf_load_as(bf16, r->x, r->at + i + u * W), r->mean);
            sums[u] = vf_fma(x, x, sums[u]);
        }
    }
    for (; i + W <= r->c; i += W) {
        vf x = centred(layer, vf_load_as(bf16, r->x, r->at + i), r->mean);
        sums[0] = vf_fma(x, x, sums[0]);
    }
    if (i < r->c) {
        vf x = centred(layer, vf_load_n_as(bf16, r->x, r->at + i, r->c - i), r->mean);
        if (layer)
            x = vf_keep(x, vf_set(0), 0, (float)(r->c - i));
        sums[1] = vf_fma(x, x, sums[1]);
    }
    return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

INLINE float row_sum_as(const bool bf16, const struct norm_row *r)
{
    vf sums[4] = {{0}, {0}, {0}, {0}};
    size_t at = 0;
    for (; at + 4 * W <= r->c; at += 4 * W)
        for (size_t u = 0; u < 4; u++)
            sums[u] += vf_load_as(bf16, r->x, r->at + at + u * W);
    FOR_VECTORS(i, r->c - at)
    sums[0] += LOAD_AS(bf16, r->x, r->at + at + i);
    return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

INLINE void norm_forward_as(const bool x16, const bool y16, const bool layer, struct norm_row *r)
{
    r->mean = layer ? row_sum_as(x16, r) / (float)r->c : 0;
    r->rstd = 1 / sqrtf(squares_as(x16, layer, r) / (float)r->c + r->eps);
    FOR_VECTORS(i, r->c)
    {
        vf x = centred(layer, LOAD_AS(x16, r->x, r->at + i), r->mean);
        vf y = x * r->rstd * (LOAD(r->weight + i) + r->offset);
        if (r->bias)
            y += LOAD(r->bias + i);
        STORE_AS(y16, r->to, r->at + i, y);
    }
}

static void row_norm_forward(struct norm_row *r)
{
    bool x16 = r->x_type == DTYPE_BF16, y16 = r->to_type == DTYPE_BF16;
    if (r->kind == NORM_LAYER)
        norm_forward_as(x16, y16, true, r);
    else if (x16)
        norm_forward_as(true, y16, false, r);
    else if (y16)
        norm_forward_as(false, true, false, r);
    else
        norm_forward_as(false, false, false, r);
}

/* Sums over a row of g = dy (w + offset) times x - mean, and of g alone (0 if not `layer`). */
struct norm_sums {
    float gx, g;
};

INLINE struct norm_sums norm_sums_as(const bool x16, const bool layer, const struct norm_row *r)
{
    vf gx[2] = {{0}, {0}}, sum = {0};
    const float *w = r->weight, *dy = r->dy + r->at;
    size_t at = 0;
    for (; at + 2 * W <= r->c; at += 2 * W) {
        for (size_t u = 0; u < 2; u++) {
            size_t i = at + u * W;
            vf g = (vf_load(w + i) + r->offset) * vf_load(dy + i);
            vf x = vf_load_as(x16, r->x, r->at + i);
            gx[u] = vf_fma(g, centred(layer, x, r->mean), gx[u]);
            if (layer)
                sum += g;
        }
    }
    FOR_VECTORS(j, r->c - at)
    {
        size_t i = at + j; /* where a lane has no element, dy and so g is 0 */
        vf g = (LOAD(w + i) + r->offset) * LOAD(dy + i), x = LOAD_AS(x16, r->x, r->at + i);
        gx[0] = vf_fma(g, centred(layer, x, r->mean), gx[0]);
        if (layer)
            sum += g;
    }
    return (struct norm_sums){vf_sum(gx[0] + gx[1]), layer ? vf_sum(sum) : 0};
}

/* With r = rstd, u = x - mean (x itself for RMSNorm) and g = dy w: y = u r w + b, d r / d u_j = -r^3 u_j / c,
 * hence d loss / d u_j = r (g_j - u_j r^2 / c * sum_k g_k u_k) and dw_j = dy_j u_j r. Through the mean, whose
 * share of the second term is 0 because the u_j sum to 0, each dx_j of LayerNorm loses r / c * sum_k g_k. */
INLINE void norm_backward_as(const bool x16, const bool dx16, const bool layer,
                             const struct norm_row *r)
{
    struct norm_sums sums = norm_sums_as(x16, layer, r);
    float along = sums.gx * r->rstd * r->rstd / (float)r->c, common = sums.g / (float)r->c;
    FOR_VECTORS(i, r->c)
    {
        vf d = LOAD(r->dy + r->at + i), x = LOAD_AS(x16, r->x, r->at + i);
        x = centred(layer, x, r->mean);
        vf g = (LOAD(r->weight + i) + r->offset) * d - x * along;
        vf dx = r->rstd * centred(layer, g, common);
        if (r->accumulate)
            dx = LOAD_AS(dx16, r->to, r->at + i) + dx;
        STORE_AS(dx16, r->to, r->at + i, dx);
        if (r->dweight)
            STORE(r->dweight + i, vf_fma(d * x, vf_set(r->rstd), LOAD(r->dweight + i)));
        if (r->dbias)
            STORE(r->dbias + i, LOAD(r->dbias + i) + d);
    }
}

static void row_norm_backward(const struct norm_row *r)
{
    bool x16 = r->x_type == DTYPE_BF16, dx16 = r->to_type == DTYPE_BF16;
    if (r->kind == NORM_LAYER)
        norm_backward_as(x16, dx16, true, r);
    else if (x16 && dx16)
        norm_backward_as(true, true, false, r);
    else if (x16 || dx16)
        norm_backward_as(x16, dx16, false, r);
    else
        norm_backward_as(false, false, false, r);
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

/* Rows of b at once: with four of a, as many sums as registers hold; with one, enough to hide the time that an
 * addition takes. */
#define DOT_ROWS(rows_a) (SIMD_WIDTH == 16 || (rows_a) == 1 ? 4 : 2)

/* Dot products of rows_a rows of a with rows_b rows of b, constants after inlining, at most 4. */
INLINE void dot_block(const enum dtype type, const size_t rows_a, const size_t rows_b, size_t k,
                      const float *a, size_t lda, const void *b, size_t at_b, size_t ldb, float beta,
                      float *c, size_t ldc)
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
            vf y = LOAD_TYPE(type, b, at_b + j * ldb + l);
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

INLINE void dot_rows(const enum dtype type, const size_t rows_a, size_t n_b, size_t k,
                     const float *a, size_t lda, const void *b, size_t at_b, size_t ldb, float beta,
                     float *c, size_t ldc)
{
    const size_t rows_b = DOT_ROWS(rows_a);
    size_t j = 0;
    for (; j + rows_b <= n_b; j += rows_b)
        dot_block(type, rows_a, rows_b, k, a, lda, b, at_b + j * ldb, ldb, beta, c + j, ldc);
    for (; j < n_b; j++)
        dot_block(type, rows_a, 1, k, a, lda, b, at_b + j * ldb, ldb, beta, c + j, ldc);
}

/* Four rows of b at a time, so that they are still in the nearest cache for the next rows of a. */
INLINE void product_few_rows_as(const enum dtype type, size_t m, size_t from, size_t to, size_t k,
                                const float *a, size_t lda, const void *b, size_t ldb, float beta,
                                float *c, size_t ldc)
{
    for (size_t j = from; j < to; j += 4) {
        size_t n = to - j < 4 ? to - j : 4;
        for (size_t i = 0; i < m; i += 4) {
            const float *ai = a + i * lda;
            float *ci = c + i * ldc + j;
            switch (m - i) {
            case 1:
                dot_rows(type, 1, n, k, ai, lda, b, j * ldb, ldb, beta, ci, ldc);
                break;
            case 2:
                dot_rows(type, 2, n, k, ai, lda, b, j * ldb, ldb, beta, ci, ldc);
                break;
            case 3:
                dot_rows(type, 3, n, k, ai, lda, b, j * ldb, ldb, beta, ci, ldc);
                break;
            default:
                dot_rows(type, 4, n, k, ai, lda, b, j * ldb, ldb, beta, ci, ldc);
                break;
            }
        }
    }
}

static void product_few_rows(size_t m, size_t from, size_t to, size_t k, const float *a, size_t lda,
                             enum dtype b_type, const void *b, size_t ldb, float beta, float *c,
                             size_t ldc)
{
    if (b_type == DTYPE_BF16)
        product_few_rows_as(DTYPE_BF16, m, from, to, k, a, lda, b, ldb, beta, c, ldc);
    else if (b_type == DTYPE_F16)
        product_few_rows_as(DTYPE_F16, m, from, to, k, a, lda, b, ldb, beta, c, ldc);
    else
        product_few_rows_as(DTYPE_F32, m, from, to, k, a, lda, b, ldb, beta, c, ldc);
}
