/* Attention against an f64 reference that does materialise the scores, forward and backward, and
 * that reference's gradient against finite differences. */
#include "kernels/cached.h"
#include "tests/kernels/attention_reference.h"

/* Largest distance over the head_dim components of every head, relative to their rms but at least
 * to 1 (a query that sees only itself has gradients of exactly zero). What lies between rows is the
 * padding of the strides, and must still hold the canary. */
static double strided_distance(const float *x, const double *y, size_t n_batch, size_t n_rows,
                               size_t batch_stride, size_t row_stride, size_t width)
{
    double squares = 0, worst = 0;
    for (size_t i = 0; i < n_batch * batch_stride; i++)
        squares += y[i] * y[i];
    double rms = fmax(1, sqrt(squares / (double)(n_batch * n_rows * width)));
    for (size_t b = 0; b < n_batch; b++) {
        for (size_t i = 0; i < n_rows; i++) {
            const float *row = x + b * batch_stride + i * row_stride;
            const double *want = y + b * batch_stride + i * row_stride;
            for (size_t d = 0; d < row_stride; d++) {
                double error = fabs(row[d] - want[d]) / fmax(rms, fabs(want[d]));
                assert_true(isnan(row[d]) == (d >= width));
                worst = d < width && error > worst ? error : worst;
            }
        }
    }
    return worst;
}

/* Where a query sees nothing, -infinity must be -infinity. */
static double lse_distance(const float *x, const double *y, size_t n)
{
    float *a = mem_alloc(n, sizeof *a);
    double *b = mem_alloc(n, sizeof *b);
    for (size_t i = 0; i < n; i++) {
        bool blind = y[i] == -INFINITY;
        assert_true((x[i] == -INFINITY) == blind);
        a[i] = blind ? 0 : x[i], b[i] = blind ? 0 : y[i];
    }
    double d = distance_f64(a, b, n);
    mem_free(a);
    mem_free(b);
    return d;
}

static void check_problem(struct problem *p, const char *what)
{
    const struct attention_shape *s = &p->shape;
    struct reference r = make_reference(p);
    size_t q_batch = s->n_queries * s->q_stride;
    size_t q_width = s->n_heads * s->head_dim, kv_width = s->n_kv_heads * s->head_dim;
    for_each_level(level)
    {
        float *out = floats(p->n_q), *lse = floats(p->n_rows);
        attention_forward(out, lse, p->q, p->k, p->v, p->first_key, p->hidden_keys, s);
        assert_within(
            strided_distance(out, r.out, s->n_batch, s->n_queries, q_batch, s->q_stride, q_width),
            1e-5, "out, %s", what);
        assert_within(lse_distance(lse, r.lse, p->n_rows), 2e-6, "lse, %s", what);
        if (s->n_past == 0) {
            float *dq = floats(p->n_q), *dk = floats(p->n_kv), *dv = floats(p->n_kv);
            float *delta = floats(p->n_rows);
            attention_backward(dq, dk, dv, delta, p->dout, out, lse, p->q, p->k, p->v, p->first_key,
                               p->hidden_keys, s);
            assert_within(
                strided_distance(dq, r.dq, s->n_batch, s->n_queries, q_batch, s->q_stride, q_width),
                1e-5, "dq, %s", what);
            assert_within(strided_distance(dk, r.dk, s->n_batch, s->n_queries, s->kv_batch_stride,
                                           s->kv_stride, kv_width),
                          1e-5, "dk, %s", what);
            assert_within(strided_distance(dv, r.dv, s->n_batch, s->n_queries, s->kv_batch_stride,
                                           s->kv_stride, kv_width),
                          1e-5, "dv, %s", what);
            done_with(dq, p->n_q), done_with(dk, p->n_kv), done_with(dv, p->n_kv);
            done_with(delta, p->n_rows);
        }
        float *again = floats(p->n_q);
        attention_forward(again, NULL, p->q, p->k, p->v, p->first_key, p->hidden_keys, s);
        assert_memory_equal(again, out, p->n_q * sizeof *out);
        done_with(out, p->n_q), done_with(lse, p->n_rows), done_with(again, p->n_q);
    }
    free_reference(&r);
}

static void check_shape(size_t n_batch, size_t n_queries, size_t n_past, size_t n_heads,
                        size_t n_kv_heads, size_t head_dim)
{
    for (enum mask mask = 0; mask < MASK_COUNT; mask++) {
        struct problem p =
            make_problem(n_batch, n_queries, n_past, n_heads, n_kv_heads, head_dim, mask);
        char what[160];
        snprintf(what, sizeof what - 8, "B %zu T %zu past %zu H %zu/%zu D %zu %s", n_batch, n_queries,
                 n_past, n_heads, n_kv_heads, head_dim, mask_names[mask]);
        check_problem(&p, what);
        p.shape.softcap = 1.5f; /* which many scores are beyond */
        strcat(what, " capped");
        check_problem(&p, what);
        free_problem(&p);
    }
}

static void matches_reference_over_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 63, 64, 65, 130, 200};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_shape(2, lengths[i], 0, 4, 2, 32);
}

static void matches_reference_over_head_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 8, 16, 17, 32, 48, 64, 80, 96, 127, 128, 256};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_shape(1, 75, 0, 3, 1, sizes[i]);
}

static void matches_reference_with_a_cache(void **state)
{
    (void)state;
    check_shape(1, 1, 0, 4, 2, 64);
    check_shape(1, 1, 1, 4, 2, 64);
    check_shape(2, 1, 517, 6, 2, 64);
    check_shape(1, 1, 300, 3, 3, 80);
    check_shape(2, 3, 127, 4, 1, 48);
    check_shape(1, 70, 33, 8, 2, 16);
    check_shape(1, 64, 64, 2, 1, 128);
}

/* Holes about the borders of tiles, all queries' the same: those before see all, those in it what is before it. */
static void holes_about_tiles(void **state)
{
    (void)state;
    enum { T = 300 };
    static const int32_t holes[][2] = {{64, 128}, {63, 128}, {65, 128}, {64, 127}, {64, 129}, {63, 129}, {70, 75},
                                       {127, 128}, {128, 129}, {10, 250}, {64, 256}, {0, 64}, {0, 65}, {0, 300},
                                       {299, 300}, {20, 300}, {100, 1000}};
    static const struct {
        size_t n_heads, n_kv_heads, head_dim;
    } shapes[] = {{2, 2, 16}, {6, 2, 17}, {3, 1, 64}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
            struct problem p =
                make_problem(1, T, 0, shapes[k].n_heads, shapes[k].n_kv_heads, shapes[k].head_dim, MASK_NONE);
            p.hidden_keys = mem_zero(2 * T, sizeof *p.hidden_keys);
            for (size_t j = 0; j < 2 * T; j++)
                p.hidden_keys[j] = holes[i][j % 2];
            p.shape.softcap = i % 2 ? 1.5f : 0;
            char what[80];
            snprintf(what, sizeof what, "H %zu/%zu D %zu hidden [%d, %d)", shapes[k].n_heads, shapes[k].n_kv_heads,
                     shapes[k].head_dim, holes[i][0], holes[i][1]);
            check_problem(&p, what);
            free_problem(&p);
        }
    }
}

/* Holes of nothing, and such as hide only what is not seen anyway, change no bit. */
static void holes_of_nothing_change_no_bit(void **state)
{
    (void)state;
    struct problem p = make_problem(2, 200, 0, 4, 2, 32, MASK_DOCUMENTS);
    int32_t *hidden = mem_zero(2 * 2 * p.shape.n_queries, sizeof *hidden);
    for (size_t i = 0; i < 2 * p.shape.n_queries; i++) {
        int32_t at = (int32_t)(i % p.shape.n_queries), first = p.first_key[i];
        const int32_t holes[][2] = {{0, 0}, {at, at}, {at, at / 2}, {0, first}, {at + 1, at + 50}};
        memcpy(hidden + 2 * i, holes[i % 5], 2 * sizeof *hidden);
    }
    for_each_level(level)
    {
        size_t sizes[5] = {p.n_q, p.n_rows, p.n_q, p.n_kv, p.n_kv};
        float *x[2][5];
        for (int side = 0; side < 2; side++) {
            float *delta = floats(p.n_rows);
            const int32_t *hide = side ? hidden : NULL;
            for (int i = 0; i < 5; i++)
                x[side][i] = zeros(sizes[i]);
            attention_forward(x[side][0], x[side][1], p.q, p.k, p.v, p.first_key, hide, &p.shape);
            attention_backward(x[side][2], x[side][3], x[side][4], delta, p.dout, x[side][0], x[side][1], p.q, p.k,
                               p.v, p.first_key, hide, &p.shape);
            done_with(delta, p.n_rows);
        }
        for (int i = 0; i < 5; i++) {
            assert_memory_equal(x[0][i], x[1][i], sizes[i] * sizeof(float));
            done_with(x[0][i], sizes[i]), done_with(x[1][i], sizes[i]);
        }
    }
    mem_free(hidden);
    free_problem(&p);
}

static void check_reference(enum mask mask, float softcap)
{
    struct problem p = make_problem(1, 70, 0, 4, 2, 16, mask);
    p.shape.softcap = softcap;
    const struct attention_shape *s = &p.shape;
    float *out = floats(p.n_q), *lse = floats(p.n_rows), *delta = floats(p.n_rows);
    float *dq = zeros(p.n_q), *dk = zeros(p.n_kv), *dv = zeros(p.n_kv);
    attention_forward(out, lse, p.q, p.k, p.v, p.first_key, p.hidden_keys, s);
    attention_backward(dq, dk, dv, delta, p.dout, out, lse, p.q, p.k, p.v, p.first_key, p.hidden_keys, s);
    struct reference r = make_reference(&p);
    mem_free(r.dq);
    r.dq = NULL;
    if (mask == MASK_SELF) { /* the weight of the only key is 1 whatever q and k are */
        assert_within(gradcheck_rms(dq, p.n_q), 1e-6, "dq, self");
        assert_within(gradcheck_rms(dk, p.n_kv), 1e-6, "dk, self");
    } else {
        assert_within(gradcheck_f64(reference_loss, &r, r.q, dq, p.n_q, 100, 1e-4), 1e-5,
                      "dq, %s, cap %g", mask_names[mask], softcap);
        assert_within(gradcheck_f64(reference_loss, &r, r.k, dk, p.n_kv, 100, 1e-4), 1e-5,
                      "dk, %s, cap %g", mask_names[mask], softcap);
    }
    assert_within(gradcheck_f64(reference_loss, &r, r.v, dv, p.n_kv, 100, 1e-4), 1e-5,
                  "dv, %s, cap %g", mask_names[mask], softcap);
    free_reference(&r);
    done_with(out, p.n_q), done_with(lse, p.n_rows), done_with(delta, p.n_rows);
    done_with(dq, p.n_q), done_with(dk, p.n_kv), done_with(dv, p.n_kv);
    free_problem(&p);
}

/* The chain rule in reference_query, which everything above rests on. */
static void reference_matches_finite_differences(void **state)
{
    (void)state;
    for (enum mask mask = 0; mask < MASK_COUNT; mask++) {
        check_reference(mask, 0);
        check_reference(mask, 2);
    }
}

/* Padding: rows that see nothing give and take nothing; the others do not notice them. */
static void blind_queries_are_zero(void **state)
{
    (void)state;
    struct problem p = make_problem(2, 150, 0, 4, 2, 24, MASK_DOCUMENTS);
    const struct attention_shape *s = &p.shape;
    for_each_level(level)
    {
        float *out = floats(p.n_q), *lse = floats(p.n_rows), *delta = floats(p.n_rows);
        float *dq = floats(p.n_q), *dk = floats(p.n_kv), *dv = floats(p.n_kv);
        float *sighted = floats(p.n_q);
        attention_forward(sighted, NULL, p.q, p.k, p.v, p.first_key, p.hidden_keys, s);
        for (size_t r = 0; r < 2 * s->n_queries; r += 2)
            p.first_key[r] += 1000;
        attention_forward(out, lse, p.q, p.k, p.v, p.first_key, p.hidden_keys, s);
        attention_backward(dq, dk, dv, delta, p.dout, out, lse, p.q, p.k, p.v, p.first_key, p.hidden_keys, s);
        for (size_t r = 0; r < 2 * s->n_queries; r++) {
            for (size_t d = 0; d < s->n_heads * s->head_dim; d++) {
                size_t at = r * s->q_stride + d;
                assert_true(r % 2 ? fabsf(out[at] - sighted[at]) < 1e-5 : out[at] == 0);
                assert_true(r % 2 ? isfinite(dq[at]) : dq[at] == 0);
            }
        }
        for (size_t d = 0; d < s->n_kv_heads * s->head_dim; d++)
            assert_true(isfinite(dk[d]) && isfinite(dv[d]));
        for (size_t r = 0; r < 2 * s->n_queries; r += 2)
            p.first_key[r] -= 1000;
        done_with(out, p.n_q), done_with(lse, p.n_rows), done_with(delta, p.n_rows);
        done_with(dq, p.n_q), done_with(dk, p.n_kv), done_with(dv, p.n_kv);
        done_with(sighted, p.n_q);
    }
    free_problem(&p);
}

/* Scores of +-1000 overflow exp unless the maximum is taken out first. */
static void large_scores_stay_finite(void **state)
{
    (void)state;
    struct problem p = make_problem(1, 150, 0, 2, 1, 32, MASK_NONE);
    for (size_t i = 0; i < p.n_q; i++)
        p.q[i] *= 200;
    struct reference r = make_reference(&p);
    for_each_level(level)
    {
        float *out = floats(p.n_q), *lse = floats(p.n_rows);
        attention_forward(out, lse, p.q, p.k, p.v, NULL, NULL, &p.shape);
        /* an absolute error of 1e-4 in a score of 1000 is f32's resolution there */
        assert_within(strided_distance(out, r.out, 1, 150, p.n_q, p.shape.q_stride, 64), 2e-3,
                      "out");
        assert_within(distance_f64(lse, r.lse, p.n_rows), 1e-6, "lse");
        done_with(out, p.n_q), done_with(lse, p.n_rows);
    }
    free_reference(&r);
    free_problem(&p);
}

/* Pieces share no sums, so that not even the number of threads matters. */
static void same_bits_for_any_threads(void **state)
{
    (void)state;
    int threads = kernels_threads();
    struct problem p = make_problem(3, 130, 0, 6, 2, 32, MASK_DOCUMENTS);
    float *first[5] = {NULL};
    size_t sizes[5] = {p.n_q, p.n_rows, p.n_q, p.n_kv, p.n_kv};
    for (int run = 0; run < 10; run++) {
        kernels_set_threads(1 + run % 4);
        float *x[5], *delta = floats(p.n_rows);
        for (int i = 0; i < 5; i++)
            x[i] = zeros(sizes[i]);
        attention_forward(x[0], x[1], p.q, p.k, p.v, p.first_key, p.hidden_keys, &p.shape);
        attention_backward(x[2], x[3], x[4], delta, p.dout, x[0], x[1], p.q, p.k, p.v, p.first_key,
                           p.hidden_keys, &p.shape);
        for (int i = 0; i < 5; i++) {
            if (run == 0) {
                first[i] = x[i];
                continue;
            }
            assert_memory_equal(x[i], first[i], sizes[i] * sizeof(float));
            done_with(x[i], sizes[i]);
        }
        done_with(delta, p.n_rows);
    }
    for (int i = 0; i < 5; i++)
        done_with(first[i], sizes[i]);
    free_problem(&p);
    kernels_set_threads(threads);
}

/* --- keys and values of a cache --- */

static const enum dtype cached_types[] = {DTYPE_F32, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0};

static void *to_cached(enum dtype type, const float *x, size_t n)
{
    size_t bytes;
    assert_true(dtype_bytes(type, n, &bytes));
    void *to = mem_alloc(bytes, 1); /* to the byte: a sanitizer sees what reads behind it */
    cached_from_f32(type, x, to, n);
    return to;
}

/* Attention on stored keys and values is attention on what they widen to: within rounding of the reference on those,
 * since what reads them differs (packed or where they lie) but not what is read. */
static void check_cached(enum dtype type, size_t n_batch, size_t n_queries, size_t n_past, size_t n_heads,
                         size_t n_kv_heads, size_t head_dim, enum mask mask, float large)
{
    struct problem p = make_problem(n_batch, n_queries, n_past, n_heads, n_kv_heads, head_dim, mask);
    struct attention_shape *s = &p.shape;
    s->kv_stride = n_kv_heads * head_dim + 32; /* whole blocks */
    s->kv_batch_stride = (n_past + n_queries + 1) * s->kv_stride;
    done_with(p.k, p.n_kv), done_with(p.v, p.n_kv);
    p.n_kv = n_batch * s->kv_batch_stride;
    p.k = normals(p.n_kv, 1, 2), p.v = normals(p.n_kv, 1, 3);
    for (size_t i = 0; large > 0 && i < p.n_kv; i += 97) { /* outliers: scales of blocks differ by much */
        p.k[i] *= large;
        p.v[i] *= large;
    }
    void *k = to_cached(type, p.k, p.n_kv), *v = to_cached(type, p.v, p.n_kv);
    dtype_to_f32(type, k, p.k, p.n_kv);
    dtype_to_f32(type, v, p.v, p.n_kv);
    struct reference r = make_reference(&p);
    char what[160];
    snprintf(what, sizeof what, "%s B %zu T %zu past %zu H %zu/%zu D %zu %s, outliers %g", dtype_info(type)->name,
             n_batch, n_queries, n_past, n_heads, n_kv_heads, head_dim, mask_names[mask], (double)large);
    for_each_level(level)
    {
        float *out = floats(p.n_q), *lse = floats(p.n_rows);
        s->kv_type = type;
        attention_forward(out, lse, p.q, k, v, p.first_key, p.hidden_keys, s);
        assert_within(strided_distance(out, r.out, n_batch, n_queries, n_queries * s->q_stride, s->q_stride,
                                       n_heads * head_dim),
                      large > 0 ? 1e-4 : 1e-5, "out, %s", what);
        assert_within(lse_distance(lse, r.lse, p.n_rows), 2e-6, "lse, %s", what);
        done_with(out, p.n_q), done_with(lse, p.n_rows);
    }
    s->kv_type = DTYPE_F32;
    mem_free(k);
    mem_free(v);
    free_reference(&r);
    free_problem(&p);
}

static void stored_keys_and_values(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof cached_types / sizeof *cached_types; t++) {
        for (enum mask mask = 0; mask < MASK_COUNT; mask++) {
            enum dtype type = cached_types[t];
            check_cached(type, 1, 1, 0, 4, 2, 64, mask, 0);
            check_cached(type, 1, 1, 700, 4, 1, 64, mask, 0);
            check_cached(type, 2, 1, 1100, 6, 2, 32, mask, 0);
            check_cached(type, 1, 5, 130, 2, 2, 96, mask, 0);
            check_cached(type, 1, 40, 530, 8, 8, 32, mask, 0);
            check_cached(type, 1, 70, 33, 8, 2, 128, mask, 0);
            check_cached(type, 1, 1, 600, 4, 2, 64, mask, 30);
            check_cached(type, 1, 70, 33, 8, 2, 64, mask, 30);
        }
    }
    /* heads that no block and no vector divides */
    check_cached(DTYPE_F16, 1, 1, 200, 4, 2, 80, MASK_NONE, 0);
    check_cached(DTYPE_F16, 1, 1, 200, 4, 2, 17, MASK_NONE, 0);
    check_cached(DTYPE_F16, 1, 30, 200, 4, 2, 17, MASK_WINDOW, 0);
    check_cached(DTYPE_F16, 1, 1, 600, 2, 2, 3, MASK_NONE, 0);
}

/* How far what is read may lie from what was stored, for a block whose largest size is `most`: half a step of the
 * scale, and what f16 makes of the scale times the number of steps. Q4_0 has 7 steps on one side and 8 on the other,
 * so that there a whole one may be missing. */
static double storing_error(enum dtype type, double x, double most)
{
    double half = 0x1p-11, least = 0x1p-25;
    switch (type) {
    case DTYPE_F16:
        return fabs(x) * half + least;
    case DTYPE_Q8_0:
        return most / 127 * (0.5 + 127 * half) + 127 * least + 1e-6 * most;
    case DTYPE_Q4_0:
        return most / 8 * (1 + 8 * half) + 8 * least + 1e-6 * most;
    default:
        return 0;
    }
}

static void storing_is_within_its_bound(void **state)
{
    (void)state;
    enum { N = 32 * 5000 }; /* several pieces for threads */
    static const float stds[] = {1, 1e-3f, 100, 1e-7f, 1e-30f, 5000, 1e-42f};
    for (size_t t = 0; t < sizeof cached_types / sizeof *cached_types; t++) {
        for (size_t i = 0; i < sizeof stds / sizeof *stds; i++) {
            float *x = normals(N, stds[i], 9 + i), *y = floats(N);
            void *stored = to_cached(cached_types[t], x, N);
            dtype_to_f32(cached_types[t], stored, y, N);
            for (size_t at = 0; at < N; at++) {
                double most = 0;
                for (size_t j = at / 32 * 32; j < at / 32 * 32 + 32; j++)
                    most = fmax(most, fabs((double)x[j]));
                double bound = storing_error(cached_types[t], (double)x[at], most);
                if (!(fabs((double)x[at] - (double)y[at]) <= bound))
                    fail_msg("%s: %g became %g beside %g", dtype_info(cached_types[t])->name, (double)x[at],
                             (double)y[at], most);
            }
            mem_free(stored);
            done_with(x, N), done_with(y, N);
        }
    }
}

/* What f16 cannot hold stays finite; what is no number stays none, and makes none of its block. */
static void storing_what_does_not_fit(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof cached_types / sizeof *cached_types; t++) {
        enum dtype type = cached_types[t];
        for (int bad = 0; bad < 4; bad++) {
            float x[64], y[64];
            for (size_t i = 0; i < 64; i++)
                x[i] = i < 32 ? (i % 2 ? 1 : -1) * (type == DTYPE_F16 ? 70000.0f : 1e7f) : 1;
            if (bad)
                x[40] = bad == 1 ? NAN : bad == 2 ? INFINITY : -INFINITY;
            void *stored = to_cached(type, x, 64);
            dtype_to_f32(type, stored, y, 64);
            for (size_t i = 0; i < 32; i++)
                assert_true(isfinite(y[i]) && y[i] * x[i] > 0 && fabsf(y[i]) >= 65504);
            assert_true(isfinite(y[40]) == !bad);
            assert_true(type == DTYPE_F16 || type == DTYPE_F32 || isnan(y[50]) == (bad > 0));
            mem_free(stored);
        }
    }
}

/* From (n, n_heads, d) to (n_heads, n, d). */
static float *heads_apart(const float *x, size_t n, size_t n_heads, size_t d)
{
    float *y = floats(n * n_heads * d);
    cached_heads_from_f32(DTYPE_F32, x, n, n_heads, d, y, n * d * sizeof *y);
    for (size_t i = 0; i < n * n_heads * d; i++)
        assert_true(y[(i / d % n_heads * n + i / d / n_heads) * d + i % d] == x[i]);
    return y;
}

/* Many jobs in one region give what each gives alone, with any number of threads; and heads that lie apart what those
 * side by side give. */
static void jobs_do_not_notice_each_other(void **state)
{
    (void)state;
    enum { N = 64, HEADS = 4, KV = 2, D = 32, MOST = 1300 };
    int threads = kernels_threads();
    struct rng rng;
    rng_init(&rng, 3, 3);
    size_t n_kv = MOST * KV * D, n_q = 30 * HEADS * D;
    float *k = normals(n_kv, 1, 1), *v = normals(n_kv, 1, 2), *q = normals(n_q, 1, 3);
    float *k2 = heads_apart(k, MOST, KV, D), *v2 = heads_apart(v, MOST, KV, D);
    for (size_t t = 0; t < sizeof cached_types / sizeof *cached_types; t++) {
        void *ck = to_cached(cached_types[t], k, n_kv), *cv = to_cached(cached_types[t], v, n_kv);
        void *ck2 = to_cached(cached_types[t], k2, n_kv), *cv2 = to_cached(cached_types[t], v2, n_kv);
        struct attention_job jobs[N];
        float *alone[N], *together[N];
        for (size_t i = 0; i < N; i++) {
            size_t n_queries = i % 9 == 4 ? 0 : i % 5 == 3 ? 1 + rng_below(&rng, 30) : 1;
            size_t n_past = rng_below(&rng, i % 3 ? 100 : MOST - 30);
            alone[i] = floats(n_q), together[i] = floats(n_q);
            jobs[i] = (struct attention_job){
                {1, n_queries, n_past, HEADS, KV, D, HEADS * D, KV * D, 0, 0.2f, 0, DTYPE_F32, cached_types[t], 0},
                alone[i], NULL, q, ck, cv, NULL, NULL};
            kernels_set_threads(1);
            attention_forward_jobs(&jobs[i], 1);
            jobs[i].out = together[i];
            if (i % 2) {
                jobs[i].k = ck2, jobs[i].v = cv2;
                jobs[i].shape.kv_stride = D, jobs[i].shape.kv_head_stride = MOST * D;
            }
        }
        kernels_set_threads(3);
        attention_forward_jobs(jobs, N);
        for (size_t i = 0; i < N; i++) {
            assert_memory_equal(alone[i], together[i], jobs[i].shape.n_queries * HEADS * D * sizeof(float));
            done_with(alone[i], n_q), done_with(together[i], n_q);
        }
        mem_free(ck), mem_free(ck2);
        mem_free(cv), mem_free(cv2);
    }
    kernels_set_threads(threads);
    done_with(k, n_kv), done_with(v, n_kv), done_with(k2, n_kv), done_with(v2, n_kv), done_with(q, n_q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference_over_lengths),
        cmocka_unit_test(matches_reference_over_head_sizes),
        cmocka_unit_test(matches_reference_with_a_cache),
        cmocka_unit_test(holes_about_tiles),
        cmocka_unit_test(holes_of_nothing_change_no_bit),
        cmocka_unit_test(reference_matches_finite_differences),
        cmocka_unit_test(blind_queries_are_zero),
        cmocka_unit_test(large_scores_stay_finite),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(stored_keys_and_values),
        cmocka_unit_test(storing_is_within_its_bound),
        cmocka_unit_test(storing_what_does_not_fit),
        cmocka_unit_test(jobs_do_not_notice_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
