/* kernels/compensate against its definition: the factors give back the matrix, and blocks cost less than plain ones. */
#include "kernels/compensate.h"

#include "base/memory.h"
#include "base/rng.h"
#include "kernels/gemm.h"
#include "kernels/quantize.h"
#include "kernels/relevel.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static const enum dtype types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q2_K, DTYPE_Q3_K,
    DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4,
};
enum { TYPES = sizeof types / sizeof *types };

/* (rows, n) from a normal distribution. */
static float *normal(size_t rows, size_t n, uint64_t seed)
{
    struct rng r;
    float *x = mem_alloc(rows * n, sizeof *x);
    rng_init(&r, seed, 77);
    rng_fill_normal(&r, x, rows * n, 1);
    return x;
}

/* Inputs of a few directions and some noise: columns that say much about each other, as a model's are. */
static float *correlated(size_t rows, size_t n, uint64_t seed)
{
    const size_t directions = n / 8;
    float *x = normal(rows, n, seed), *z = normal(rows, directions, seed + 1), *mix = normal(directions, n, seed + 2);
    for (size_t i = 0; i < rows * n; i++)
        x[i] *= 0.3f;
    gemm_f32(false, false, rows, n, directions, z, directions, mix, n, 1, x, n);
    mem_free(z);
    mem_free(mix);
    return x;
}

static void make_gram(struct input_gram *g, const float *x, size_t rows, size_t n)
{
    gram_init(g, n);
    for (size_t at = 0; at < rows; at += 100)
        gram_add(g, x + at * n, rows - at < 100 ? rows - at : 100);
    assert_int_equal(g->rows, rows);
    assert_true(gram_is_finite(g));
}

/* The sum of the squares of x (w - q)^T. */
static double loss(enum dtype type, const float *w, const void *blocks, size_t rows, size_t n, const float *x,
                   size_t inputs)
{
    float *q = mem_alloc(rows * n, sizeof *q), *y = mem_alloc(inputs * rows, sizeof *y);
    double sum = 0;
    assert_true(dtype_to_f32(type, blocks, q, rows * n));
    for (size_t i = 0; i < rows * n; i++) {
        assert_true(isfinite(q[i]));
        q[i] -= w[i];
    }
    gemm_f32(false, true, inputs, rows, n, x, n, q, n, 0, y, rows);
    for (size_t i = 0; i < inputs * rows; i++)
        sum += (double)y[i] * (double)y[i];
    mem_free(q);
    mem_free(y);
    return sum;
}

static void *plain_blocks(enum dtype type, const float *w, size_t rows, size_t n)
{
    size_t bytes;
    assert_true(dtype_bytes(type, rows * n, &bytes));
    void *blocks = mem_zero(bytes, 1);
    quantize_rows(type, w, blocks, rows, n, NULL);
    return blocks;
}

static void *compensated_blocks(enum dtype type, const float *w, size_t rows, const struct input_gram *g)
{
    size_t bytes;
    assert_true(dtype_bytes(type, rows * g->n, &bytes));
    void *blocks = mem_zero(bytes, 1);
    compensate_rows(type, w, rows, g, blocks);
    return blocks;
}

/* Element (i, j) of (I + U) D (I + U)^T. */
static double product(const struct input_gram *g, size_t i, size_t j)
{
    double sum = 0;
    for (size_t k = i > j ? i : j; k < g->n; k++)
        sum += (i == k ? 1 : (double)g->h[i * g->n + k]) * (double)g->d[k] * (j == k ? 1 : (double)g->h[j * g->n + k]);
    return sum;
}

static void factors_give_back_the_matrix(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5, 64, 65, 300, 600};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n = sizes[s], rows = 2 * n + 3;
        float *x = normal(rows, n, s);
        struct input_gram g;
        make_gram(&g, x, rows, n);
        double mean = 0;
        for (size_t i = 0; i < n; i++)
            mean += (double)g.h[i * n + i] / (double)n;
        assert_true(gram_factor(&g, 0.02) == 0.02);
        for (size_t i = 0; i < n; i += n / 50 + 1)
            for (size_t j = 0; j <= i; j++) {
                double wanted = i == j ? 0.02 * mean : 0, got = product(&g, i, j);
                for (size_t k = 0; k < rows; k++)
                    wanted += (double)x[k * n + i] * (double)x[k * n + j];
                if (fabs(got - wanted) > 1e-5 * mean)
                    fail_msg("n %zu: (%zu, %zu) is %g instead of %g", n, i, j, got, wanted);
            }
        gram_free(&g);
        mem_free(x);
    }
}

static void less_is_lost_than_by_plain_rounding(void **state)
{
    (void)state;
    enum { N = 768, ROWS = 40, INPUTS = 2000 };
    float *w = normal(ROWS, N, 1);
    for (int kind = 0; kind < 2; kind++) {
        float *x = kind ? correlated(INPUTS, N, 2) : normal(INPUTS, N, 2);
        struct input_gram g;
        make_gram(&g, x, INPUTS, N);
        gram_factor(&g, 0.01);
        for (size_t t = 0; t < TYPES; t++) {
            void *plain = plain_blocks(types[t], w, ROWS, N), *blocks = compensated_blocks(types[t], w, ROWS, &g);
            const double before = loss(types[t], w, plain, ROWS, N, x, INPUTS);
            const double after = loss(types[t], w, blocks, ROWS, N, x, INPUTS);
            if (!(after < (kind ? 0.4 : 0.9) * before))
                fail_msg("%s: %s inputs: %g after, %g before", dtype_info(types[t])->name,
                         kind ? "correlated" : "independent", after, before);
            mem_free(plain);
            mem_free(blocks);
        }
        gram_free(&g);
        mem_free(x);
    }
    mem_free(w);
}

/* As LDLQ is written down: column by column over all of the row, with the scales that the blocks have. */
static void each_column_is_rounded_with_the_errors_before_it(void **state)
{
    (void)state;
    enum { N = 544, ROWS = 3, INPUTS = 1500 }; /* two whole panels and a piece */
    float *w = normal(ROWS, N, 3), *x = correlated(INPUTS, N, 4), q[N];
    struct input_gram g;
    make_gram(&g, x, INPUTS, N);
    gram_factor(&g, 0.01);
    char *blocks = compensated_blocks(DTYPE_Q4_1, w, ROWS, &g);
    const struct dtype_info *info = dtype_info(DTYPE_Q4_1);
    size_t n_others = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const char *row = blocks + i * N / info->block * info->block_bytes;
        assert_true(dtype_to_f32(DTYPE_Q4_1, row, q, N));
        for (size_t k = 0; k < N; k++) {
            struct block_levels l;
            double target = (double)w[i * N + k];
            float nearest;
            for (size_t j = 0; j < k; j++)
                target += ((double)w[i * N + j] - (double)q[j]) * (double)g.h[j * N + k];
            relevel_read(DTYPE_Q4_1, row + k / info->block * info->block_bytes, &l);
            relevel_nearest(&l, k % info->block, (float)target, &nearest);
            n_others += nearest != q[k]; /* between two levels, sums in another order may decide otherwise */
        }
    }
    assert_true(n_others <= 2);
    mem_free(w);
    mem_free(x);
    mem_free(blocks);
    gram_free(&g);
}

static void threads_and_other_rows_change_nothing(void **state)
{
    (void)state;
    enum { N = 512, ROWS = 530, INPUTS = 900 };
    float *w = normal(ROWS, N, 5), *x = correlated(INPUTS, N, 6);
    const int threads = kernels_threads();
    void *first = NULL;
    size_t bytes;
    assert_true(dtype_bytes(DTYPE_Q3_K, ROWS * N, &bytes));
    for (int n = 1; n <= 3; n++) {
        struct input_gram g;
        kernels_set_threads(n);
        make_gram(&g, x, INPUTS, N);
        gram_factor(&g, 0.01);
        void *blocks = compensated_blocks(DTYPE_Q3_K, w, ROWS, &g);
        if (first)
            assert_memory_equal(blocks, first, bytes);
        void *some = compensated_blocks(DTYPE_Q3_K, w + 517 * N, 2, &g);
        assert_memory_equal(some, (char *)blocks + 517 * (bytes / ROWS), 2 * (bytes / ROWS));
        mem_free(some);
        if (first)
            mem_free(blocks);
        first = first ? first : blocks;
        gram_free(&g);
    }
    kernels_set_threads(threads);
    mem_free(first);
    mem_free(w);
    mem_free(x);
}

/* Fewer inputs than columns, columns that are always 0, columns that are twice there. */
static void inputs_that_leave_questions_open(void **state)
{
    (void)state;
    enum { N = 256, ROWS = 20, INPUTS = 60 };
    float *w = normal(ROWS, N, 7), *x = normal(INPUTS, N, 8);
    for (size_t i = 0; i < INPUTS; i++)
        for (size_t j = 0; j < N; j++)
            x[i * N + j] = j % 5 == 0 ? 0 : j % 5 == 1 ? 1000 * x[i * N + 2] : x[i * N + j];
    for (size_t t = 0; t < TYPES; t++) {
        struct input_gram g;
        make_gram(&g, x, INPUTS, N);
        assert_true(gram_factor(&g, t % 2 ? 0.01 : 1e-6) >= (t % 2 ? 0.01 : 1e-6));
        for (size_t i = 0; i < N; i++)
            assert_true(g.d[i] > 0);
        void *plain = plain_blocks(types[t], w, ROWS, N), *blocks = compensated_blocks(types[t], w, ROWS, &g);
        const double before = loss(types[t], w, plain, ROWS, N, x, INPUTS);
        const double after = loss(types[t], w, blocks, ROWS, N, x, INPUTS);
        if (!(after <= 1.001 * before)) /* these inputs' own, which damping is no part of */
            fail_msg("%s: %g after, %g before", dtype_info(types[t])->name, after, before);
        mem_free(plain);
        mem_free(blocks);
        gram_free(&g);
    }
    struct input_gram g;
    gram_init(&g, N);
    x[3] = NAN;
    gram_add(&g, x, 1);
    assert_false(gram_is_finite(&g));
    gram_free(&g);
    mem_free(w);
    mem_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_give_back_the_matrix),
        cmocka_unit_test(less_is_lost_than_by_plain_rounding),
        cmocka_unit_test(each_column_is_rounded_with_the_errors_before_it),
        cmocka_unit_test(threads_and_other_rows_change_nothing),
        cmocka_unit_test(inputs_that_leave_questions_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
