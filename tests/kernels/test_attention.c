/* Attention against an f64 reference that does materialise the scores, forward and backward, and
 * that reference's gradient against finite differences. */
#include "kernels/attention.h"

#include "tests/kernels/util.h"

enum mask {
    MASK_NONE,
    MASK_DOCUMENTS,
    MASK_WINDOW,
    MASK_SELF,
    MASK_COUNT,
};

static const char *const mask_names[] = {"causal", "documents", "window", "self"};

struct problem {
    struct attention_shape shape;
    size_t n_q, n_kv, n_rows; /* elements of q, of k, and of lse */
    float *q, *k, *v, *dout;
    int32_t *first_key; /* NULL without a mask */
};

static void make_mask(struct problem *p, enum mask mask)
{
    const struct attention_shape *s = &p->shape;
    p->first_key = mask == MASK_NONE ? NULL : mem_zero(s->n_batch * s->n_queries, sizeof(int32_t));
    for (size_t r = 0; p->first_key && r < s->n_batch * s->n_queries; r++) {
        size_t at = r % s->n_queries + s->n_past, b = r / s->n_queries;
        size_t first = at;
        if (mask == MASK_DOCUMENTS) /* lengths of no round number, differing by batch row */
            first = at / (29 + 10 * b) * (29 + 10 * b);
        if (mask == MASK_WINDOW)
            first = at > 20 ? at - 20 : 0;
        p->first_key[r] = (int32_t)first;
    }
}

static struct problem make_problem(size_t n_batch, size_t n_queries, size_t n_past, size_t n_heads,
                                   size_t n_kv_heads, size_t head_dim, enum mask mask)
{
    struct problem p = {.shape = {n_batch, n_queries, n_past, n_heads, n_kv_heads, head_dim,
                                  n_heads * head_dim + 5, n_kv_heads * head_dim + 3, 0,
                                  1.3f / sqrtf((float)head_dim)}};
    struct attention_shape *s = &p.shape;
    s->kv_batch_stride = (n_past + n_queries + 2) * s->kv_stride;
    p.n_q = n_batch * n_queries * s->q_stride;
    p.n_kv = n_batch * s->kv_batch_stride;
    p.n_rows = n_batch * n_heads * n_queries;
    p.q = normals(p.n_q, 1, 1), p.k = normals(p.n_kv, 1, 2), p.v = normals(p.n_kv, 1, 3);
    p.dout = normals(p.n_q, 1, 4);
    make_mask(&p, mask);
    return p;
}

static void free_problem(struct problem *p)
{
    done_with(p->q, p->n_q), done_with(p->dout, p->n_q);
    done_with(p->k, p->n_kv), done_with(p->v, p->n_kv);
    mem_free(p->first_key);
}

struct reference {
    struct problem *p;
    double *q, *k, *v, *out, *lse, *scores, *slopes;
    double *dq, *dk, *dv; /* NULL: forward only */
};

/* The capped score, and its derivative. */
static double cap_score(const struct attention_shape *s, double score, double *slope)
{
    double cap = (double)s->softcap, t = cap > 0 ? tanh(score / cap) : 0;
    *slope = 1 - t * t;
    return cap > 0 ? cap * t : score;
}

/* One query: scores, softmax, output, and the gradients by the chain rule written out. */
static double reference_query(struct reference *r, size_t b, size_t h, size_t i)
{
    const struct attention_shape *s = &r->p->shape;
    size_t at = (b * s->n_queries + i) * s->q_stride + h * s->head_dim;
    size_t kv = b * s->kv_batch_stride + h / (s->n_heads / s->n_kv_heads) * s->head_dim;
    size_t first = r->p->first_key ? (size_t)r->p->first_key[b * s->n_queries + i] : 0;
    size_t last = i + s->n_past;
    double max = -INFINITY, sum = 0, loss = 0, mean = 0;
    for (size_t j = first; j <= last; j++) {
        r->scores[j] = 0;
        for (size_t d = 0; d < s->head_dim; d++)
            r->scores[j] += r->q[at + d] * r->k[kv + j * s->kv_stride + d] * (double)s->scale;
        r->scores[j] = cap_score(s, r->scores[j], &r->slopes[j]);
        max = fmax(max, r->scores[j]);
    }
    for (size_t j = first; j <= last; j++)
        sum += exp(r->scores[j] - max);
    r->lse[(b * s->n_heads + h) * s->n_queries + i] = max + log(sum);
    memset(r->out + at, 0, s->head_dim * sizeof *r->out);
    for (size_t j = first; j <= last; j++) {
        r->scores[j] = exp(r->scores[j] - max) / sum;
        for (size_t d = 0; d < s->head_dim; d++)
            r->out[at + d] += r->scores[j] * r->v[kv + j * s->kv_stride + d];
    }
    for (size_t d = 0; d < s->head_dim; d++)
        loss += r->out[at + d] * r->p->dout[at + d];
    mean = loss;
    for (size_t j = first; r->dq && j <= last; j++) {
        double *key = r->k + kv + j * s->kv_stride, dp = 0;
        for (size_t d = 0; d < s->head_dim; d++)
            dp += r->p->dout[at + d] * r->v[kv + j * s->kv_stride + d];
        double ds = r->scores[j] * (dp - mean) * r->slopes[j] * (double)s->scale;
        for (size_t d = 0; d < s->head_dim; d++) {
            r->dq[at + d] += ds * key[d];
            r->dk[kv + j * s->kv_stride + d] += ds * r->q[at + d];
            r->dv[kv + j * s->kv_stride + d] += r->scores[j] * r->p->dout[at + d];
        }
    }
    return loss;
}

static double reference_loss(void *context)
{
    struct reference *r = context;
    const struct attention_shape *s = &r->p->shape;
    double loss = 0;
    for (size_t b = 0; b < s->n_batch; b++)
        for (size_t h = 0; h < s->n_heads; h++)
            for (size_t i = 0; i < s->n_queries; i++)
                loss += reference_query(r, b, h, i);
    return loss;
}

static struct reference make_reference(struct problem *p)
{
    struct reference r = {.p = p, .q = as_f64(p->q, p->n_q), .k = as_f64(p->k, p->n_kv)};
    r.v = as_f64(p->v, p->n_kv);
    r.out = mem_zero(p->n_q, sizeof(double)), r.lse = mem_zero(p->n_rows, sizeof(double));
    r.scores = mem_zero(p->shape.n_queries + p->shape.n_past, sizeof(double));
    r.slopes = mem_zero(p->shape.n_queries + p->shape.n_past, sizeof(double));
    r.dq = mem_zero(p->n_q, sizeof(double));
    r.dk = mem_zero(p->n_kv, sizeof(double)), r.dv = mem_zero(p->n_kv, sizeof(double));
    reference_loss(&r);
    return r;
}

static void free_reference(struct reference *r)
{
    double *all[] = {r->q, r->k, r->v, r->out, r->lse, r->scores, r->slopes, r->dq,
                     r->dk, r->dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

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

static void check_problem(struct problem *p, const char *what)
{
    const struct attention_shape *s = &p->shape;
    struct reference r = make_reference(p);
    size_t q_batch = s->n_queries * s->q_stride;
    size_t q_width = s->n_heads * s->head_dim, kv_width = s->n_kv_heads * s->head_dim;
    for_each_level(level)
    {
        float *out = floats(p->n_q), *lse = floats(p->n_rows);
        attention_forward(out, lse, p->q, p->k, p->v, p->first_key, s);
        assert_within(
            strided_distance(out, r.out, s->n_batch, s->n_queries, q_batch, s->q_stride, q_width),
            1e-5, "out, %s", what);
        assert_within(distance_f64(lse, r.lse, p->n_rows), 2e-6, "lse, %s", what);
        if (s->n_past == 0) {
            float *dq = floats(p->n_q), *dk = floats(p->n_kv), *dv = floats(p->n_kv);
            float *delta = floats(p->n_rows);
            attention_backward(dq, dk, dv, delta, p->dout, out, lse, p->q, p->k, p->v, p->first_key,
                               s);
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
        attention_forward(again, NULL, p->q, p->k, p->v, p->first_key, s);
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

static void check_reference(enum mask mask, float softcap)
{
    struct problem p = make_problem(1, 70, 0, 4, 2, 16, mask);
    p.shape.softcap = softcap;
    const struct attention_shape *s = &p.shape;
    float *out = floats(p.n_q), *lse = floats(p.n_rows), *delta = floats(p.n_rows);
    float *dq = zeros(p.n_q), *dk = zeros(p.n_kv), *dv = zeros(p.n_kv);
    attention_forward(out, lse, p.q, p.k, p.v, p.first_key, s);
    attention_backward(dq, dk, dv, delta, p.dout, out, lse, p.q, p.k, p.v, p.first_key, s);
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
        attention_forward(sighted, NULL, p.q, p.k, p.v, p.first_key, s);
        for (size_t r = 0; r < 2 * s->n_queries; r += 2)
            p.first_key[r] += 1000;
        attention_forward(out, lse, p.q, p.k, p.v, p.first_key, s);
        attention_backward(dq, dk, dv, delta, p.dout, out, lse, p.q, p.k, p.v, p.first_key, s);
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
        attention_forward(out, lse, p.q, p.k, p.v, NULL, &p.shape);
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
        attention_forward(x[0], x[1], p.q, p.k, p.v, p.first_key, &p.shape);
        attention_backward(x[2], x[3], x[4], delta, p.dout, x[0], x[1], p.q, p.k, p.v, p.first_key,
                           &p.shape);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference_over_lengths),
        cmocka_unit_test(matches_reference_over_head_sizes),
        cmocka_unit_test(matches_reference_with_a_cache),
        cmocka_unit_test(reference_matches_finite_differences),
        cmocka_unit_test(blind_queries_are_zero),
        cmocka_unit_test(large_scores_stay_finite),
        cmocka_unit_test(same_bits_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
