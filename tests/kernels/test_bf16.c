/* Kernels on bf16 arrays against themselves on the same numbers in f32: results must be those, rounded
 * once. At every kernel level. */
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm_paths.h"
#include "kernels/quantize.h"
#include "kernels/halves.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "kernels/update.h"

#include "tests/kernels/util.h"

/* An array of bf16 and the same numbers in f32. */
struct pair {
    size_t n;
    float *f32;
    uint16_t *bf16;
};

enum { CANARY = 0x7fc1 };

static struct pair pair_of(float *x, size_t n)
{
    struct pair p = {n, x, mem_alloc(n + GUARD, sizeof(uint16_t))};
    bf16_from_f32(p.f32, p.bf16, n);
    f32_from_bf16(p.bf16, p.f32, n);
    for (size_t i = n; i < n + GUARD; i++)
        p.bf16[i] = CANARY;
    return p;
}

static struct pair make_pair(size_t n, float std, uint64_t seed)
{
    return pair_of(normals(n, std, seed), n);
}

static void free_pair(struct pair *p)
{
    for (size_t i = p->n; i < p->n + GUARD; i++)
        assert_int_equal(p->bf16[i], CANARY);
    done_with(p->f32, p->n);
    mem_free(p->bf16);
}

/* bf16 is f32 rounded: within half a step of 2^-8, and a little for another order of sums. */
static void assert_rounded(const struct pair *p, double slack, const char *what)
{
    for (size_t i = 0; i < p->n; i++) {
        float got;
        f32_from_bf16(p->bf16 + i, &got, 1);
        double bound = fabs((double)p->f32[i]) / 256 + slack;
        assert_within(fabs((double)got - p->f32[i]), bound, "%s, element %zu: %g, f32 says %g", what,
                      i, (double)got, (double)p->f32[i]);
    }
}

static const size_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 300};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001,
                                    0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                    0xffbfffff, 0x00000001, 0x80008000, 0x00018000, 0xbf818000};
    enum { N = sizeof bits / sizeof *bits };
    float x[N];
    uint16_t want[N];
    memcpy(x, bits, sizeof x);
    bf16_from_f32(x, want, N);
    assert_int_equal(want[1], 0x3f80);
    assert_int_equal(want[2], 0x3f82);
    assert_int_equal(want[9] & 0x7fc0, 0x7fc0);
    for_each_level(level)
    {
        uint16_t got[N]; /* through a kernel that stores bf16 and changes nothing */
        residual_add_backward(got, DTYPE_BF16, x, 1, 0, 1, N);
        assert_memory_equal(got, want, sizeof want);
    }
}

/* The elements of y as rows of 1 and as one row. */
static void bias_case(const struct pair *x)
{
    size_t n = x->n;
    float *b = normals(n, 1, 6), *sums = floats(n), *sums16 = floats(n);
    struct pair y = pair_of(normals(n, 1, 7), n);
    bias_add(y.f32, DTYPE_F32, b, 1, n);
    bias_add(y.bf16, DTYPE_BF16, b, 1, n);
    assert_rounded(&y, 1e-9, "bias");
    bias_backward(sums, 0, x->f32, DTYPE_F32, n, 1);
    bias_backward(sums16, 0, x->bf16, DTYPE_BF16, n, 1);
    assert_memory_equal(sums, sums16, sizeof *sums);
    bias_backward(sums, 0, x->f32, DTYPE_F32, 1, n);
    bias_backward(sums16, 0, x->bf16, DTYPE_BF16, 1, n);
    assert_memory_equal(sums, sums16, n * sizeof *sums);
    done_with(b, n), done_with(sums, n), done_with(sums16, n), free_pair(&y);
}

static void elementwise_kernels(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t i = 0; i < N_SIZES; i++) {
            size_t n = sizes[i];
            struct pair gate = make_pair(n, 2, 1), up = make_pair(n, 1, 2), dy = make_pair(n, 1, 3);
            struct pair y = pair_of(floats(n), n), dgate = pair_of(floats(n), n);
            enum activation activation = i % 2 ? ACTIVATION_GELU_TANH : ACTIVATION_SILU;
            glu_forward(activation, y.f32, gate.f32, up.f32, DTYPE_F32, n);
            glu_forward(activation, y.bf16, gate.bf16, up.bf16, DTYPE_BF16, n);
            assert_rounded(&y, 1e-9, "glu");
            glu_backward(activation, dgate.f32, dy.f32, dy.f32, gate.f32, up.f32, DTYPE_F32, n);
            glu_backward(activation, dgate.bf16, dy.bf16, dy.bf16, gate.bf16, up.bf16, DTYPE_BF16, n);
            assert_rounded(&dgate, 1e-9, "glu's dgate");
            assert_rounded(&dy, 1e-9, "glu's dup");
            bias_case(&gate);
            for (int drop = 0; drop < 2; drop++) {
                float p = drop ? 0.3f : 0, *a = floats(n), *b = floats(n);
                residual_add(a, up.f32, gate.f32, DTYPE_F32, 0.7f, p, 5, n);
                residual_add(b, up.f32, gate.bf16, DTYPE_BF16, 0.7f, p, 5, n);
                assert_memory_equal(a, b, n * sizeof *a);
                residual_add_backward(y.f32, DTYPE_F32, up.f32, 0.7f, p, 5, n);
                residual_add_backward(y.bf16, DTYPE_BF16, up.f32, 0.7f, p, 5, n);
                assert_rounded(&y, 0, "residual backward");
                done_with(a, n), done_with(b, n);
            }
            free_pair(&gate), free_pair(&up), free_pair(&dy), free_pair(&y), free_pair(&dgate);
        }
    }
}

/* x and y in every pairing of types, dx in both. */
static void norm_case(enum norm_kind kind, size_t n, size_t c)
{
    float *w = normals(c, 1, 5), *b = normals(c, 1, 6), *dy = normals(n * c, 1, 7);
    float *mean = floats(n), *rstd = floats(n), *dw = zeros(c), *dw2 = zeros(c);
    struct pair x = make_pair(n * c, 1, 4), y = pair_of(floats(n * c), n * c);
    struct pair dx = pair_of(floats(n * c), n * c), other = pair_of(floats(n * c), n * c);
    struct norm norm = {kind, w, kind == NORM_LAYER ? b : NULL, 1, 1e-5f, 1};
    norm_forward(y.f32, DTYPE_F32, mean, rstd, x.f32, DTYPE_F32, &norm, n, c);
    norm_forward(y.bf16, DTYPE_BF16, NULL, NULL, x.f32, DTYPE_F32, &norm, n, c);
    assert_rounded(&y, 0, "norm to bf16");
    norm_forward(other.f32, DTYPE_F32, NULL, NULL, x.bf16, DTYPE_BF16, &norm, n, c);
    assert_memory_equal(other.f32, y.f32, n * c * sizeof *y.f32);
    norm_backward(dx.f32, DTYPE_F32, false, dw, NULL, dy, x.f32, DTYPE_F32, mean, rstd, &norm, n,
                  c);
    norm_backward(dx.bf16, DTYPE_BF16, false, dw2, NULL, dy, x.bf16, DTYPE_BF16, mean, rstd, &norm,
                  n, c);
    assert_rounded(&dx, 0, "norm's dx");
    assert_memory_equal(dw, dw2, c * sizeof *dw);
    norm_backward(other.f32, DTYPE_F32, false, NULL, NULL, dy, x.bf16, DTYPE_BF16, mean, rstd,
                  &norm, n, c);
    assert_memory_equal(other.f32, dx.f32, n * c * sizeof *dx.f32);
    norm_backward(other.bf16, DTYPE_BF16, false, NULL, NULL, dy, x.f32, DTYPE_F32, mean, rstd,
                  &norm, n, c);
    assert_memory_equal(other.bf16, dx.bf16, n * c * sizeof *dx.bf16);
    norm_forward(x.bf16, DTYPE_BF16, NULL, NULL, x.bf16, DTYPE_BF16, &norm, n, c); /* in place */
    assert_memory_equal(x.bf16, y.bf16, n * c * sizeof *y.bf16);
    done_with(w, c), done_with(b, c), done_with(dy, n * c), done_with(mean, n), done_with(rstd, n);
    done_with(dw, c), done_with(dw2, c);
    free_pair(&x), free_pair(&y), free_pair(&dx), free_pair(&other);
}

static void norm_and_rotation(void **state)
{
    (void)state;
    enum { N = 5, HEADS = 3 };
    static const int32_t positions[N] = {0, 3, 1, 7, 2};
    for_each_level(level)
    {
        for (size_t i = 0; i < N_SIZES; i++) {
            norm_case(NORM_RMS, N, sizes[i]);
            norm_case(NORM_LAYER, N, sizes[i]);
        }
        for (size_t d = 4; d <= 72; d += 34) {
            for (int partial = 0; partial < 2; partial++) {
                size_t rotary = partial ? d / 4 * 2 : d, n = N * HEADS * d;
                float *cosine = normals(8 * rotary / 2, 1, 6), *sine = normals(8 * rotary / 2, 1, 7);
                float *dy = normals(n, 1, 8);
                for (int style = ROPE_HALF; style <= ROPE_INTERLEAVED; style++) {
                    struct rope rope = {cosine, sine, (enum rope_style)style, d, rotary};
                    struct pair x = make_pair(n, 1, 9), dx = pair_of(floats(n), n);
                    rope_forward(x.f32, DTYPE_F32, positions, &rope, N, HEADS, HEADS * d);
                    rope_forward(x.bf16, DTYPE_BF16, positions, &rope, N, HEADS, HEADS * d);
                    assert_rounded(&x, 1e-6, "rope");
                    rope_backward(dx.f32, DTYPE_F32, dy, positions, &rope, N, HEADS, HEADS * d);
                    rope_backward(dx.bf16, DTYPE_BF16, dy, positions, &rope, N, HEADS, HEADS * d);
                    assert_rounded(&dx, 1e-6, "rope's backward");
                    free_pair(&x), free_pair(&dx);
                }
                done_with(cosine, 8 * rotary / 2), done_with(sine, 8 * rotary / 2), done_with(dy, n);
            }
        }
    }
}

/* Queries from few (which f32 reads where they lie) to several tiles; documents hide earlier keys, and the later of
 * `branches` those between. */
static void attention_case(size_t n_queries, size_t group, size_t head_dim, bool documents, bool branches)
{
    enum { B = 2, KV = 2 };
    struct attention_shape s = {
        .n_batch = B, .n_queries = n_queries, .n_heads = KV * group, .n_kv_heads = KV,
        .head_dim = head_dim, .q_stride = KV * group * head_dim, .kv_stride = KV * head_dim,
        .kv_batch_stride = n_queries * KV * head_dim, .scale = 0.2f,
        .softcap = documents ? 1.5f : 0,
    };
    size_t nq = B * n_queries * s.q_stride, nk = B * n_queries * s.kv_stride,
           rows = B * s.n_heads * n_queries;
    struct pair q = make_pair(nq, 1, 1), k = make_pair(nk, 1, 2), v = make_pair(nk, 1, 3);
    struct pair out = pair_of(floats(nq), nq), dout = make_pair(nq, 1, 4),
                dv = pair_of(floats(nk), nk);
    float *lse = floats(rows), *lse2 = floats(rows), *delta = floats(rows);
    float *dq = floats(nq), *dk = floats(nk), *dq2 = floats(nq), *dk2 = floats(nk);
    int32_t *first = mem_zero(B * n_queries, sizeof *first);
    for (size_t i = 0; documents && i < B * n_queries; i++)
        first[i] = (int32_t)(i % n_queries / 40 * 40);
    int32_t *hidden = branches ? mem_zero(2 * B * n_queries, sizeof *hidden) : NULL;
    for (size_t i = 0; branches && i < B * n_queries; i++) {
        int32_t begin = documents ? first[i] + 10 : 1, end = documents ? first[i] + 20 : (int32_t)n_queries * 2 / 3;
        if ((int32_t)(i % n_queries) >= end)
            hidden[2 * i] = begin, hidden[2 * i + 1] = end;
    }
    attention_forward(out.f32, lse, q.f32, k.f32, v.f32, first, hidden, &s);
    s.type = s.kv_type = DTYPE_BF16;
    attention_forward(out.bf16, lse2, q.bf16, k.bf16, v.bf16, first, hidden, &s);
    assert_rounded(&out, 1e-5, "attention");
    assert_within(distance(lse2, lse, rows), 1e-5, "log-sum-exp");
    /* the backward passes read the same rounded output */
    f32_from_bf16(out.bf16, out.f32, nq);
    attention_backward(dq2, dk2, dv.bf16, delta, dout.bf16, out.bf16, lse, q.bf16, k.bf16, v.bf16,
                       first, hidden, &s);
    s.type = s.kv_type = DTYPE_F32;
    attention_backward(dq, dk, dv.f32, delta, dout.f32, out.f32, lse, q.f32, k.f32, v.f32, first, hidden,
                       &s);
    assert_rounded(&dv, 1e-5, "attention's dv");
    assert_within(distance(dq2, dq, nq), 1e-5, "dq");
    assert_within(distance(dk2, dk, nk), 1e-5, "dk");
    free_pair(&q), free_pair(&k), free_pair(&v), free_pair(&out), free_pair(&dout), free_pair(&dv);
    done_with(lse, rows), done_with(lse2, rows), done_with(delta, rows);
    done_with(dq, nq), done_with(dk, nk), done_with(dq2, nq), done_with(dk2, nk);
    mem_free(first);
    mem_free(hidden);
}

static void attention(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (int branches = 0; branches < 2; branches++) {
            attention_case(3, 1, 16, false, branches);
            attention_case(70, 2, 24, true, branches);
            attention_case(130, 1, 33, false, branches);
            attention_case(200, 3, 64, true, branches);
            attention_case(300, 1, 16, false, branches);
        }
    }
}

static void halves_keep_every_bit(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x3f808000, 0x3f807fff, 0x3f818000, 0x3f808001, 0xbf808000, 0x3f80ffff,
                                    0,          0x80000000, 0x80008000, 0x7f7fffff, 0x7f800000, 0x7fffffff};
    enum { SPECIAL = sizeof bits / sizeof *bits };
    for_each_level(level)
    {
        for (size_t i = 0; i < N_SIZES; i++) {
            size_t rows = 3, c = sizes[i], n = rows * c;
            float *x = normals(n, 1, 1), *y = floats(n), *again = floats(n);
            uint16_t *high = mem_alloc(n, sizeof *high);
            memcpy(x, bits, (n < SPECIAL ? n : SPECIAL) * sizeof *x);
            bf16_from_f32(x, high, n);
            memcpy(y, x, n * sizeof *x);
            halves_split(y, rows, c);
            for (size_t r = 0; r < rows; r++)
                assert_memory_equal(y + r * c, high + r * c, c * sizeof *high);
            halves_join(y, rows, c);
            memcpy(again, y, n * sizeof *y);
            halves_split(again, rows, c);
            halves_join(again, rows, c);
            for (size_t j = 0; j < n; j++) {
                uint32_t before, after;
                memcpy(&before, x + j, sizeof before), memcpy(&after, y + j, sizeof after);
                if (isnan(x[j])) {
                    assert_true(isnan(y[j]) && isnan(again[j]));
                    continue;
                }
                assert_int_equal(after, before - ((before & 0x1ffff) == 0x8000));
                assert_memory_equal(again + j, y + j, sizeof *y);
            }
            done_with(x, n), done_with(y, n), done_with(again, n);
            mem_free(high);
        }
    }
}

/* AdamW on halves, gradients in bf16 and moments in bf16, against the same numbers in f32. */
static void the_update_in_every_type(void **state)
{
    (void)state;
    struct adamw_step step = {.beta1 = 0.9f, .beta2 = 0.99f, .gradient_scale = 0.5f, .keep = 0.99f,
                              .rate = 1e-2f, .root = 1, .epsilon = 1e-8f};
    for_each_level(level)
    {
        for (int types = 0; types < 8; types++) {
            bool halves = types & 1, moments = types & 2, gradient = types & 4;
            size_t rows = 3, c = sizes[types + 4], n = rows * c;
            float *w = normals(n, 1, 1), *w2 = normals(n, 1, 1);
            struct pair g = make_pair(n, 1, 2), m = make_pair(n, 1, 3), v = make_pair(n, 1, 4);
            for (size_t i = 0; i < n; i++)
                v.f32[i] = fabsf(v.f32[i]), v.bf16[i] &= 0x7fff;
            if (halves)
                halves_split(w2, rows, c);
            struct update_arrays plain = {.w = w, .gradient = g.f32,
                                          .m = {.data = m.f32}, .v = {.data = v.f32},
                                          .rows = rows, .c = c};
            struct update_arrays other = plain;
            float *m2 = floats(n), *v2 = floats(n);
            memcpy(m2, m.f32, n * sizeof *m2), memcpy(v2, v.f32, n * sizeof *v2);
            other.w = w2, other.halves = halves, other.noise = 7;
            other.m.data = moments ? (void *)m.bf16 : m2, other.v.data = moments ? (void *)v.bf16 : v2;
            other.m.type = other.v.type = moments ? MOMENT_BF16 : MOMENT_F32;
            other.gradient = gradient ? (void *)g.bf16 : g.f32;
            other.gradient_type = gradient ? DTYPE_BF16 : DTYPE_F32;
            adamw_step(&plain, &step);
            adamw_step(&other, &step);
            if (halves)
                halves_join(w2, rows, c);
            assert_memory_equal(w, w2, n * sizeof *w); /* the moments were rounded after their use */
            for (size_t i = 0; i < n && moments; i++) {
                float got;
                f32_from_bf16(m.bf16 + i, &got, 1);
                assert_true(fabsf(got - m.f32[i]) <= fabsf(m.f32[i]) / 127);
                f32_from_bf16(v.bf16 + i, &got, 1);
                assert_true(fabsf(got - v.f32[i]) <= fabsf(v.f32[i]) / 127);
            }
            done_with(w, n), done_with(w2, n), done_with(m2, n), done_with(v2, n);
            free_pair(&g), free_pair(&m), free_pair(&v);
        }
    }
}

/* A decay of 0.999 takes less from v than half of bf16's step; at random it still arrives, on average. */
static void rounded_moments_have_no_bias(void **state)
{
    (void)state;
    enum { N = 4096, STEPS = 200 };
    struct adamw_step step = {.beta1 = 0.999f, .beta2 = 0.999f, .gradient_scale = 1, .keep = 1,
                              .rate = 0, .root = 1, .epsilon = 1};
    for_each_level(level)
    {
        float *w = zeros(N), *g = zeros(N);
        uint16_t *m = mem_alloc(N, sizeof *m), *v = mem_alloc(N, sizeof *v);
        for (size_t i = 0; i < N; i++)
            m[i] = v[i] = 0x3f80;
        struct update_arrays a = {.w = w, .gradient = g, .m = {MOMENT_BF16, m, NULL},
                                  .v = {MOMENT_BF16, v, NULL},
                                  .rows = 1, .c = N};
        for (uint32_t t = 0; t < STEPS; t++) {
            a.noise = t * 1234567891u;
            adamw_step(&a, &step);
        }
        double mean[2] = {0}, want = pow(0.999, STEPS);
        for (size_t i = 0; i < N; i++) {
            float x;
            f32_from_bf16(m + i, &x, 1);
            mean[0] += (double)x / N;
            f32_from_bf16(v + i, &x, 1);
            mean[1] += (double)x / N;
        }
        assert_within(fabs(mean[0] - want), 0.003, "first moment");
        assert_within(fabs(mean[1] - want), 0.003, "second moment");
        done_with(w, N), done_with(g, N), mem_free(m), mem_free(v);
    }
}

enum path { PACKED, ONEDNN };

/* Strides are wider than the rows. */
static void product_case(enum path path, size_t m, size_t n, size_t k, int flags, float beta,
                         enum dtype c_type)
{
    bool ta = flags & 1, tb = flags & 2;
    size_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    struct pair a = make_pair((ta ? k : m) * lda, 1, 1), b = make_pair((tb ? n : k) * ldb, 1, 2),
                c = make_pair(m * ldc, 1, 3);
    float *first = normals(m * ldc, 1, 3);
    f32_from_bf16(c.bf16, first, m * ldc);
    void *to = c_type == DTYPE_BF16 ? (void *)c.bf16 : c.f32;
    if (path == PACKED)
        gemm_packed(ta, tb, m, n, k, DTYPE_BF16, a.bf16, lda, DTYPE_BF16, b.bf16, ldb, beta, c_type,
                    to, ldc);
    else
        gemm_onednn(ta, tb, m, n, k, a.bf16, lda, b.bf16, ldb, beta, c_type, to, ldc);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < ldc; j++) {
            double want = j < n ? beta * first[i * ldc + j] : first[i * ldc + j], size = 1;
            for (size_t l = 0; j < n && l < k; l++) {
                double term = (double)a.f32[ta ? l * lda + i : i * lda + l] *
                              b.f32[tb ? j * ldb + l : l * ldb + j];
                want += term;
                size += fabs(term);
            }
            float got = c.f32[i * ldc + j];
            if (c_type == DTYPE_BF16)
                f32_from_bf16(c.bf16 + i * ldc + j, &got, 1);
            double bound = 1e-6 * size + (c_type == DTYPE_BF16 ? fabs(want) / 200 : 0);
            assert_within(fabs(got - want), bound, "%zu x %zu x %zu%s%s beta %g into %s", m, n, k,
                          ta ? " A'" : "", tb ? " B'" : "", (double)beta, dtype_info(c_type)->name);
        }
    }
    free_pair(&a), free_pair(&b), free_pair(&c);
    done_with(first, m * ldc);
}

/* Every orientation, c of both types, added or not. */
static void product_cases(enum path path)
{
    static const size_t shapes[][3] = {
        {1, 1, 1},    {3, 5, 17},    {1, 64, 127},  {64, 33, 65},  {70, 80, 1},
        {33, 130, 96}, {128, 64, 64}, {15, 31, 33}, {29, 97, 1030}, {14, 32, 2100},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int flags = 0; flags < 4; flags++) {
            const size_t *s = shapes[i];
            product_case(path, s[0], s[1], s[2], flags, 0, DTYPE_F32);
            product_case(path, s[0], s[1], s[2], flags, 1, DTYPE_F32);
            product_case(path, s[0], s[1], s[2], flags, 0, DTYPE_BF16);
            product_case(path, s[0], s[1], s[2], flags, 1, DTYPE_BF16);
        }
    }
}

static void products_from_panels(void **state)
{
    (void)state;
    for_each_level(level)
        product_cases(PACKED);
}

static void products_through_onednn(void **state)
{
    (void)state;
    if (!gemm_onednn_works())
        skip();
    product_cases(ONEDNN);
    /* more shapes than the table of compiled products holds: it is emptied, and goes on */
    for (size_t m = 1; m <= 300; m++)
        product_case(ONEDNN, m, 3, 2, 2, 0, DTYPE_F32);
}

/* Stored weights rounded on their way give what weights rounded before give. */
static void products_of_rounded_weights(void **state)
{
    (void)state;
    if (!gemm_onednn_works())
        skip();
    static const enum dtype types[] = {DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K};
    static const size_t shapes[][3] = {{17, 256, 512}, {16, 512, 256}, {20, 1024, 16384}, {16, 16384, 768}};
    for (size_t i = 0; i < 16 * 2; i++) {
        enum dtype type = types[i % 4];
        const size_t m = shapes[i / 4 % 4][0], n = shapes[i / 4 % 4][1], k = shapes[i / 4 % 4][2];
        bool tb = i / 16;
        size_t bytes, cols = tb ? k : n;
        assert_true(dtype_bytes(type, n * k, &bytes));
        struct pair a = make_pair(m * k, 1, 1), b = make_pair(n * k, 1, 2);
        void *stored = mem_alloc(bytes, 1);
        float *wide = floats(n * k);
        uint16_t *rounded = mem_alloc(n * k, sizeof *rounded);
        if (type == DTYPE_F16)
            f16_from_f32(b.f32, stored, n * k);
        else
            quantize_rows(type, b.f32, stored, n * k / cols, cols, NULL);
        assert_true(dtype_to_f32(type, stored, wide, n * k));
        bf16_from_f32(wide, rounded, n * k);
        for (int beta = 0; beta < 2; beta++)
            for (int half = 0; half < 2; half++) {
                enum dtype c_type = half ? DTYPE_BF16 : DTYPE_F32;
                struct pair c = make_pair(m * n, 1, 3), d = make_pair(m * n, 1, 3);
                void *c_to = half ? (void *)c.bf16 : c.f32, *d_to = half ? (void *)d.bf16 : d.f32;
                gemm_rounded(tb, m, n, k, a.bf16, k, type, stored, cols, (float)beta, c_type, c_to, n);
                gemm_onednn(false, tb, m, n, k, a.bf16, k, rounded, cols, (float)beta, c_type, d_to, n);
                if (half)
                    f32_from_bf16(c.bf16, c.f32, m * n), f32_from_bf16(d.bf16, d.f32, m * n);
                assert_within(distance(c.f32, d.f32, m * n), half ? 8e-3 : 5e-6, "%s, case %zu", dtype_info(type)->name, i);
                free_pair(&c), free_pair(&d);
            }
        mem_free(stored), mem_free(rounded), done_with(wide, n * k);
        free_pair(&a), free_pair(&b);
    }
}

/* The loss's rounding of hidden states and weights is the caller's; its own is that of the gradient of
 * the logits. */
static void cross_entropy(void **state)
{
    (void)state;
    enum { N = 130, C = 32, V = 70 };
    struct pair hidden = make_pair(N * C, 1, 1), w = make_pair(V * C, 1, 2);
    int32_t targets[N];
    for (int masked = 0; masked < 2; masked++) {
        for (size_t i = 0; i < N; i++)
            targets[i] = masked && i % 3 ? -1 : (int32_t)(i * 11 % V);
        size_t n_scratch = linear_loss_scratch(N, C, V);
        float *scratch = floats(n_scratch), *dh = floats(N * C), *dh16 = floats(N * C);
        float *dw = zeros(V * C), *dw16 = zeros(V * C);
        float *b = normals(V, 1, 3), *db = zeros(V), *db16 = zeros(V);
        struct output_layer layer = {.v = V, .c = C, .w = w.f32, .ld = C, .dw = dw, .dw_beta = 1};
        if (masked) /* and capped */
            layer.bias = b, layer.dbias = db, layer.softcap = 6, layer.logit_scale = 0.9f;
        struct output_layer layer16 = layer;
        layer16.w_type = DTYPE_BF16, layer16.w = w.bf16, layer16.dw = dw16, layer16.dbias = masked ? db16 : NULL;
        double loss = linear_cross_entropy(&layer, DTYPE_F32, hidden.f32, targets, 0.1f, NULL, dh,
                                           N, scratch);
        double loss16 = linear_cross_entropy(&layer16, DTYPE_BF16, hidden.bf16, targets, 0.1f, NULL,
                                             dh16, N, scratch);
        assert_within(fabs(loss16 / loss - 1), 1e-5, "loss");
        assert_within(distance(dh16, dh, N * C), 0.02, "dhidden");
        assert_within(distance(dw16, dw, V * C), 0.02, "dw");
        assert_within(distance(db16, db, V), 0.02, "dbias");
        done_with(b, V), done_with(db, V), done_with(db16, V);
        done_with(scratch, n_scratch), done_with(dh, N * C), done_with(dh16, N * C);
        done_with(dw, V * C), done_with(dw16, V * C);
    }
    free_pair(&hidden), free_pair(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(elementwise_kernels),
        cmocka_unit_test(norm_and_rotation),
        cmocka_unit_test(attention),
        cmocka_unit_test(halves_keep_every_bit),
        cmocka_unit_test(the_update_in_every_type),
        cmocka_unit_test(rounded_moments_have_no_bias),
        cmocka_unit_test(products_from_panels),
        cmocka_unit_test(products_through_onednn),
        cmocka_unit_test(products_of_rounded_weights),
        cmocka_unit_test(cross_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
