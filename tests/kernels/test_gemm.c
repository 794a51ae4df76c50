/* Matrix products of every orientation against f64, and the same bits every time. */
#include "kernels/gemm_paths.h"

#include "tests/kernels/stored.h"

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

static const enum dtype a_types[] = {DTYPE_F32, DTYPE_BF16};

/* A product with b of a stored type: b's rows are longer than what is read of them. */
struct stored_problem {
    struct shape s;
    bool ta, tb;
    size_t na, nc, lda, ldb;
    float *a, *b, *first;
    uint16_t *a16;
    void *stored;
    double *want, *size;
};

static struct stored_problem make_stored_problem(const struct shape *s, bool ta, bool tb, float beta,
                                                 enum dtype type)
{
    struct stored_problem p = {.s = *s, .ta = ta, .tb = tb};
    size_t row = tb ? s->k : s->n, rows = tb ? s->n : s->k, nb;
    p.ldb = type == DTYPE_F32 || type == DTYPE_BF16 || type == DTYPE_F16 ? row + 1
                                                                         : (row + 255) / 256 * 256 + 256;
    p.lda = (ta ? s->m : s->k) + 3;
    p.na = (ta ? s->k : s->m) * p.lda, nb = rows * p.ldb, p.nc = s->m * s->n;
    p.a = normals(p.na, 1, 1), p.first = normals(p.nc, 1, 3);
    p.a16 = mem_alloc(p.na, sizeof *p.a16);
    bf16_from_f32(p.a, p.a16, p.na);
    f32_from_bf16(p.a16, p.a, p.na);
    p.b = mem_alloc(nb, sizeof *p.b);
    p.stored = stored_numbers(type, nb, 2, p.b);
    p.want = mem_zero(p.nc, sizeof *p.want), p.size = mem_zero(p.nc, sizeof *p.size);
    for (size_t i = 0; i < p.nc; i++) {
        p.want[i] = (double)beta * p.first[i], p.size[i] = fabs(p.want[i]) + 1e-30;
        for (size_t l = 0; l < s->k; l++) {
            size_t row_a = i / s->n, column = i % s->n;
            double term = (double)p.a[ta ? l * p.lda + row_a : row_a * p.lda + l] *
                          p.b[tb ? column * p.ldb + l : l * p.ldb + column];
            p.want[i] += term, p.size[i] += fabs(term);
        }
    }
    return p;
}

static void check_stored(const struct stored_problem *p, float beta, enum dtype type)
{
    const struct shape *s = &p->s;
    for (int t = 0; t < 2; t++) {
        float *c = floats(p->nc);
        if (beta != 0)
            memcpy(c, p->first, p->nc * sizeof *c);
        gemm(p->ta, p->tb, s->m, s->n, s->k, a_types[t], t ? (void *)p->a16 : p->a, p->lda, type,
             p->stored, p->ldb, beta, DTYPE_F32, c, s->n);
        for (size_t i = 0; i < p->nc; i++)
            assert_within(fabs(c[i] - p->want[i]) / p->size[i], 1e-6,
                          "%zu x %zu x %zu%s%s, %s times %s, element %zu", s->m, s->n, s->k,
                          p->ta ? " A'" : "", p->tb ? " B'" : "", dtype_info(a_types[t])->name,
                          dtype_info(type)->name, i);
        done_with(c, p->nc);
    }
}

static void free_stored_problem(struct stored_problem *p)
{
    done_with(p->a, p->na), done_with(p->first, p->nc);
    mem_free(p->b), mem_free(p->a16), mem_free(p->stored), mem_free(p->want), mem_free(p->size);
}

/* Few rows that are read where they lie, small products, several parts of a sum, lengths that are no multiple of
 * a block. */
static void weights_of_every_stored_type(void **state)
{
    (void)state;
    static const struct shape some[] = {{1, 301, 512}, {6, 259, 300},  {3, 33, 40},
                                        {29, 35, 1100}, {60, 300, 70}};
    for (size_t t = 0; t < N_STORED_TYPES; t++) {
        for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
            for (int flags = 0; flags < 4; flags++) {
                float beta = flags == 0 || flags == 3 ? -0.5f : 0;
                struct stored_problem p =
                    make_stored_problem(&some[i], flags & 1, flags & 2, beta, stored_types[t]);
                for_each_level(level)
                    check_stored(&p, beta, stored_types[t]);
                free_stored_problem(&p);
            }
        }
    }
}

/* Products with 1, by both ways of reading: whole vectors into panels, and single numbers. */
static void every_f16_is_widened(void **state)
{
    (void)state;
    enum { N = 65536 };
    const float one = 1;
    uint16_t *b = mem_alloc(N, sizeof *b);
    float *want = floats(N), *panels = floats(N), *dots = floats(N);
    for (uint32_t i = 0; i < N; i++)
        b[i] = (uint16_t)i;
    f32_from_f16(b, want, N);
    for_each_level(level)
    {
        gemm_packed(false, false, 1, N, 1, DTYPE_F32, &one, 1, DTYPE_F16, b, N, 0, DTYPE_F32, panels,
                    N);
        gemm(false, true, 1, N, 1, DTYPE_F32, &one, 1, DTYPE_F16, b, 1, 0, DTYPE_F32, dots, N);
        for (size_t i = 0; i < N; i++) {
            assert_true(isnan(want[i]) ? isnan(panels[i]) : panels[i] == want[i]);
            assert_true(isnan(want[i]) ? isnan(dots[i]) : dots[i] == want[i]);
        }
    }
    mem_free(b);
    done_with(want, N), done_with(panels, N), done_with(dots, N);
}

/* More columns than are packed at a time, which are tiles of one type and panels of the other. */
static void many_stored_weights(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F16, DTYPE_Q5_K};
    for (int flags = 0; flags < 4; flags++) {
        struct stored_problem p = make_stored_problem(&(struct shape){2, 2300, 1024}, true, flags & 1,
                                                      0, types[flags / 2]);
        for_each_level(level)
            check_stored(&p, 0, types[flags / 2]);
        free_stored_problem(&p);
    }
}

/* Into bf16, which gives what goes to f32, rounded. */
static void stored_weights_into_bf16(void **state)
{
    (void)state;
    enum { M = 20, N = 90, K = 1100 };
    for (size_t t = 0; t < N_STORED_TYPES; t++) {
        struct stored_problem p =
            make_stored_problem(&(struct shape){M, N, K}, false, true, 0, stored_types[t]);
        if (stored_types[t] == DTYPE_BF16) { /* a library's own way */
            free_stored_problem(&p);
            continue;
        }
        for_each_level(level)
        {
            uint16_t c[M * N], want[M * N];
            float *sums = floats(M * N);
            gemm(false, true, M, N, K, DTYPE_BF16, p.a16, p.lda, stored_types[t], p.stored, p.ldb, 0,
                 DTYPE_BF16, c, N);
            gemm(false, true, M, N, K, DTYPE_BF16, p.a16, p.lda, stored_types[t], p.stored, p.ldb, 0,
                 DTYPE_F32, sums, N);
            bf16_from_f32(sums, want, M * N);
            assert_memory_equal(c, want, sizeof c);
            done_with(sums, M * N);
        }
        free_stored_problem(&p);
    }
}

static void stored_types_give_the_same_bits_for_any_threads(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F16, DTYPE_Q4_K, DTYPE_Q8_0};
    int before = kernels_threads();
    for (size_t t = 0; t < 3; t++) {
        for (size_t m = 5; m < 200; m += 100) {
            for (int tb = 0; tb < 2; tb++) {
                struct stored_problem p =
                    make_stored_problem(&(struct shape){m, 600, 300}, false, tb, 0, types[t]);
                float *first = floats(p.nc), *c = floats(p.nc);
                for (int threads = 1; threads <= 5; threads++) {
                    kernels_set_threads(threads);
                    gemm(false, tb, m, 600, 300, DTYPE_F32, p.a, p.lda, types[t], p.stored, p.ldb, 0,
                         DTYPE_F32, threads == 1 ? first : c, 600);
                    assert_memory_equal(threads == 1 ? first : c, first, p.nc * sizeof *c);
                }
                done_with(first, p.nc), done_with(c, p.nc);
                free_stored_problem(&p);
            }
        }
    }
    kernels_set_threads(before);
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
        gemm_packed(false, true, M, N, K, DTYPE_F32, a, K, DTYPE_F32, b, K, 0, DTYPE_F32, c, N);
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
        cmocka_unit_test(weights_of_every_stored_type),
        cmocka_unit_test(every_f16_is_widened),
        cmocka_unit_test(many_stored_weights),
        cmocka_unit_test(stored_weights_into_bf16),
        cmocka_unit_test(stored_types_give_the_same_bits_for_any_threads),
        cmocka_unit_test(threads_are_set_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
