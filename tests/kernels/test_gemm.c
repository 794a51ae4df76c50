/* Matrix products of every orientation against f64, and the same bits every time. */
#include "kernels/gemm_paths.h"

#include "tests/kernels/util.h"

#include <omp.h>

struct shape {
    size_t m, n, k;
};

static const struct shape shapes[] = {
    {1, 1, 1},      {1, 7, 3},      {3, 5, 17},      {2, 64, 127},   {4, 33, 256},  {8, 100, 64},
    {9, 100, 64},   {17, 16, 300},  {63, 65, 64},    {1, 1000, 768}, {5, 517, 511}, {7, 48, 1},
    {1, 96, 31},    {64, 64, 64},   {130, 70, 40},   {1, 70000, 1},  {3, 301, 230}, {16, 259, 255},
    {23, 200, 333}, {49, 261, 256}, {130, 140, 150},
    {29, 97, 1030}, {50, 70, 2100},
};

static void check(const struct shape *s, bool ta, bool tb, float beta)
{
    size_t lda = (ta ? s->m : s->k) + 3, ldb = (tb ? s->k : s->n) + 1, ldc = s->n + 2;
    size_t na = (ta ? s->k : s->m) * lda, nb = (tb ? s->n : s->k) * ldb, nc = s->m * ldc;
    float *a = normals(na, 1, 1), *b = normals(nb, 1, 2), *c = normals(nc, 1, 3);
    float *first = normals(nc, 1, 3);
    for (size_t i = 0; i < s->m; i++) /* beta 0 must not read c */
        for (size_t j = 0; beta == 0 && j < s->n; j++)
            c[i * ldc + j] = NAN;
    gemm_f32(ta, tb, s->m, s->n, s->k, a, lda, b, ldb, beta, c, ldc);
    for (size_t i = 0; i < s->m; i++) {
        for (size_t j = 0; j < s->n; j++) {
            double want = 0, size = 1;
            for (size_t l = 0; l < s->k; l++) {
                double term =
                    (double)a[ta ? l * lda + i : i * lda + l] * b[tb ? j * ldb + l : l * ldb + j];
                want += term;
                size += fabs(term);
            }
            want += (double)beta * first[i * ldc + j];
            assert_within(fabs(c[i * ldc + j] - want) / size, 1e-6, "%zu x %zu x %zu%s%s beta %g",
                          s->m, s->n, s->k, ta ? " A'" : "", tb ? " B'" : "", (double)beta);
        }
        for (size_t j = s->n; j < ldc; j++)
            assert_true(c[i * ldc + j] == first[i * ldc + j]);
    }
    done_with(a, na), done_with(b, nb), done_with(c, nc), done_with(first, nc);
}

static void every_orientation_matches_f64(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int flags = 0; flags < 4; flags++) {
                check(&shapes[i], flags & 1, flags & 2, 0);
                check(&shapes[i], flags & 1, flags & 2, 1);
                check(&shapes[i], flags & 1, flags & 2, -0.5f);
            }
        }
    }
}

static void empty_products_only_scale(void **state)
{
    (void)state;
    float a = NAN, b = NAN, c[4] = {1, 2, 3, 4};
    gemm_f32(false, true, 0, 4, 4, &a, 4, &b, 4, 0, c, 4);
    gemm_f32(false, true, 4, 0, 4, &a, 4, &b, 4, 0, c, 4);
    assert_true(c[0] == 1 && c[3] == 4);
    gemm_f32(false, true, 2, 2, 0, &a, 1, &b, 1, 1, c, 2);
    assert_true(c[0] == 1 && c[3] == 4);
    gemm_f32(false, true, 2, 2, 0, &a, 1, &b, 1, 0, c, 2);
    assert_true(c[0] == 0 && c[1] == 0 && c[2] == 0 && c[3] == 0);
}

static void same_bits_every_time(void **state)
{
    (void)state;
    static const struct shape some[] = {
        {1, 1000, 768}, {8, 500, 511}, {33, 40, 20}, {130, 256, 300}};
    for (size_t t = 0; t < sizeof some / sizeof *some; t++) {
        size_t m = some[t].m, n = some[t].n, k = some[t].k;
        float *a = normals(m * k, 1, 1), *b = normals(n * k, 1, 2);
        float *first = floats(m * n), *c = floats(m * n);
        gemm_f32(false, true, m, n, k, a, k, b, k, 0, first, n);
        for (int run = 0; run < 20; run++) {
            gemm_f32(false, true, m, n, k, a, k, b, k, 0, c, n);
            assert_memory_equal(c, first, m * n * sizeof *c);
        }
        done_with(a, m * k), done_with(b, n * k), done_with(first, m * n), done_with(c, m * n);
    }
}

/* More rows, or columns, than are packed at a time. */
static void parts_of_a_side(void **state)
{
    (void)state;
    for_each_level(level)
    {
        check(&(struct shape){2200, 65, 1024}, false, true, 0);
        check(&(struct shape){65, 2200, 1024}, true, false, 1);
        check(&(struct shape){2200, 260, 1025}, level == CPU_AVX2, true, 1);
    }
}

static void same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    enum { M = 150, N = 200, K = 1100 };
    int before = kernels_threads();
    float *a = normals(M * K, 1, 1), *b = normals(N * K, 1, 2), *first = floats(M * N), *c = floats(M * N);
    for (int threads = 1; threads <= 5; threads++) {
        kernels_set_threads(threads);
        gemm_packed(false, true, M, N, K, DTYPE_F32, a, K, b, K, 0, DTYPE_F32, c, N);
        if (threads == 1)
            memcpy(first, c, M * N * sizeof *c);
        assert_memory_equal(c, first, M * N * sizeof *c);
    }
    kernels_set_threads(before);
    done_with(a, M * K), done_with(b, N * K), done_with(first, M * N), done_with(c, M * N);
}

static void threads_are_set_together(void **state)
{
    (void)state;
    int before = kernels_threads();
    kernels_set_threads(3);
    assert_int_equal(kernels_threads(), 3);
    assert_int_equal(omp_get_max_threads(), 3);
    kernels_set_threads(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_orientation_matches_f64),
        cmocka_unit_test(empty_products_only_scale),
        cmocka_unit_test(same_bits_every_time),
        cmocka_unit_test(parts_of_a_side),
        cmocka_unit_test(same_bits_for_any_number_of_threads),
        cmocka_unit_test(threads_are_set_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
