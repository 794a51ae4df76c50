/* Products with weights in blocks: the reference against products in f64 with dequantised weights, and every variant
 * against the reference. */
#include "kernels/quantized.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "base/rng.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/interleave.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static const enum dtype types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1,  DTYPE_Q8_0,   DTYPE_Q2_K,  DTYPE_Q3_K,  DTYPE_Q4_K,
    DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4, DTYPE_NVFP4, DTYPE_Q1_0, DTYPE_Q2_0,
    DTYPE_TQ1_0, DTYPE_TQ2_0,
};
enum { N_TYPES = sizeof types / sizeof *types };

/* Where a block's halves lie, and whether there are two. */
static void put_scales(enum dtype type, unsigned char *block, uint16_t d, uint16_t m)
{
    switch (type) {
    case DTYPE_Q4_1:
    case DTYPE_Q5_1:
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        memcpy(block, &d, 2);
        memcpy(block + 2, &m, 2);
        break;
    case DTYPE_Q2_K:
        memcpy(block + offsetof(struct block_q2_k, d), &d, 2);
        memcpy(block + offsetof(struct block_q2_k, dmin), &m, 2);
        break;
    case DTYPE_Q3_K: memcpy(block + offsetof(struct block_q3_k, d), &d, 2); break;
    case DTYPE_Q6_K: memcpy(block + offsetof(struct block_q6_k, d), &d, 2); break;
    case DTYPE_TQ1_0: memcpy(block + offsetof(struct block_tq1_0, d), &d, 2); break;
    case DTYPE_TQ2_0: memcpy(block + offsetof(struct block_tq2_0, d), &d, 2); break;
    case DTYPE_MXFP4: block[0] = (uint8_t)(d >> 8 & 0x7f); break;
    case DTYPE_NVFP4:
        for (int i = 0; i < 4; i++)
            block[i] = (uint8_t)(d >> 8 & 0x7f) == 0x7f ? 0 : (uint8_t)(d >> 8 & 0x7f);
        break;
    default: memcpy(block, &d, 2);
    }
}

/* Kinds of scales: ordinary ones of either sign, zeros, subnormal halves, the largest, and a mix. */
enum { ORDINARY, ZERO, SUBNORMAL, LARGEST, MIXED, KINDS };

static uint16_t random_half(struct rng *r, int kind)
{
    if (kind == MIXED)
        kind = (int)rng_below(r, MIXED);
    const uint16_t sign = (uint16_t)(rng_below(r, 2) << 15);
    switch (kind) {
    case ORDINARY: return sign | half_from_f32((float)(0.001 + 0.02 * rng_uniform(r)));
    case ZERO: return 0;
    case SUBNORMAL: return (uint16_t)(sign | (1 + rng_below(r, 1023)));
    default: return sign | 0x7bff;
    }
}

static unsigned char *random_blocks(enum dtype type, size_t n, int kind, uint64_t seed)
{
    struct rng r;
    size_t bytes;
    rng_init(&r, seed, 5);
    assert_true(dtype_bytes(type, n, &bytes));
    unsigned char *b = mem_alloc(bytes, 1);
    for (size_t i = 0; i < bytes; i++)
        b[i] = (unsigned char)rng_below(&r, 256);
    for (size_t i = 0; i < bytes; i += dtype_info(type)->block_bytes)
        put_scales(type, b + i, random_half(&r, kind), random_half(&r, kind));
    return b;
}

/* Kinds of activations: ordinary; one far larger than its neighbours; all equal; tiny; zeros among them. */
enum { SPREAD, OUTLIER, CONSTANT, TINY, SPARSE, ACTIVATIONS };

static float *random_rows(size_t m, size_t k, int kind, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 6);
    float *a = mem_alloc(m * k, sizeof *a);
    rng_fill_normal(&r, a, m * k, 1);
    for (size_t i = 0; i < m * k; i++) {
        if (kind == OUTLIER && i % 97 == 0)
            a[i] *= 1e6f;
        if (kind == CONSTANT)
            a[i] = 3;
        if (kind == TINY)
            a[i] *= 1e-20f;
        if (kind == SPARSE && i / 32 % 2)
            a[i] = 0;
    }
    return a;
}

enum { M = 13, N = 37, MOST_K = 1280 };

static double largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

/* Products in f64 of a as it is; what rounding a to 8 bits may add; and the size of the terms, each with the largest
 * of its neighbours in place of the numbers themselves, since a level and its bias may cancel. */
static void exact(enum dtype type, const unsigned char *b, const float *a, size_t m, size_t k, size_t ldb,
                  double *c, double *rounding, double *size)
{
    float row[MOST_K + 256];
    const struct dtype_info *info = dtype_info(type);
    for (size_t j = 0; j < N; j++) {
        const unsigned char *from = b + j * ldb / info->block * info->block_bytes;
        assert_true(dtype_to_f32(type, from, row, ldb));
        for (size_t i = 0; i < m; i++) {
            double sum = 0, error = 0, all = 0;
            for (size_t at = 0; at < k; at += 16) {
                const size_t n = k - at < 16 ? k - at : 16, first = at / 32 * 32;
                const double most = largest(a + i * k + first, k - first < 32 ? k - first : 32);
                double weights = 0;
                for (size_t l = at; l < at + n; l++) {
                    sum += (double)a[i * k + l] * row[l];
                    weights += fabsf(row[l]);
                }
                error += most / 127 / 2 * weights;
                all += (double)n * most * largest(row + at, 16);
            }
            c[i * N + j] = sum;
            rounding[i * N + j] = error;
            size[i * N + j] = all;
        }
    }
}

static size_t row_length(enum dtype type, size_t k)
{
    const size_t block = dtype_info(type)->block;
    return (k + block - 1) / block * block;
}

/* The reference is within the rounding of activations of the exact product; other levels and other numbers of
 * rows within the rounding of f32 sums of it: both bounds follow from the sizes of the terms. */
static void check(enum dtype type, size_t m, size_t k, int scales, int activations)
{
    static const enum cpu_level levels[] = {CPU_REF, CPU_AVX2, CPU_AVX512};
    const size_t ldb = row_length(type, k);
    unsigned char *b = random_blocks(type, N * ldb, scales, 17 + k);
    float *a = random_rows(m, k, activations, 23 + k), *c = mem_alloc(M * N, sizeof *c),
          *ref = mem_alloc(M * N, sizeof *ref);
    double *want = mem_alloc(M * N, sizeof *want), *rounding = mem_alloc(M * N, sizeof *rounding),
           *size = mem_alloc(M * N, sizeof *size);
    exact(type, b, a, m, k, ldb, want, rounding, size);
    for (size_t l = 0; l < 3; l++) {
        cpu_set_level(levels[l]);
        quantized_product(m, N, k, DTYPE_F32, a, k, type, b, ldb, DTYPE_F32, c, N);
        if (l == 0)
            memcpy(ref, c, m * N * sizeof *c);
        for (size_t i = 0; i < m * N; i++) {
            if (!(fabs(c[i] - want[i]) <= 1.0001 * rounding[i] + 2e-5 * size[i] + 1e-28))
                fail_msg("%s k %zu m %zu level %zu, element %zu: %g, exactly %g (rounding %g)",
                         dtype_info(type)->name, k, m, l, i, c[i], want[i], rounding[i]);
            if (!(fabs(c[i] - ref[i]) <= 4e-6 * size[i] + 1e-28))
                fail_msg("%s k %zu m %zu level %zu, element %zu: %g, reference %g (size %g)",
                         dtype_info(type)->name, k, m, l, i, c[i], ref[i], size[i]);
        }
    }
    cpu_set_level(CPU_AVX512);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(ref);
    mem_free(want);
    mem_free(rounding);
    mem_free(size);
}

static void test_products(void **state)
{
    (void)state;
    static const size_t lengths[] = {512, 1280}, rows[] = {1, 2, 3, 4, 5, M};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < 6; j++)
                check(types[t], rows[j], lengths[i], ORDINARY, SPREAD);
}

/* Lengths that fill neither a strip nor, in a padded row, a block. */
static void test_odd_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 31, 32, 33, 96, 160, 544, 700};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t i = 0; i < 8; i++)
            for (size_t m = 2; m <= 6; m += 4)
                check(types[t], m, lengths[i], ORDINARY, SPREAD);
}

static void test_adversarial(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++)
        for (int scales = 0; scales < KINDS; scales++)
            for (int activations = 0; activations < ACTIVATIONS; activations++)
                for (size_t m = 1; m <= 7; m += 6)
                    check(types[t], m, 576, scales, activations);
}

/* bf16 on either side is that of f32, rounded. */
static void test_bf16(void **state)
{
    (void)state;
    enum { K = 1280, MOST_M = 19 };
    static const size_t rows[] = {MOST_M, 1};
    unsigned char *b = random_blocks(DTYPE_Q4_0, N * K, ORDINARY, 3);
    float *a = random_rows(MOST_M, K, SPREAD, 4), c[MOST_M * N], back[MOST_M * N];
    uint16_t a16[MOST_M * K], c16[MOST_M * N], want[MOST_M * N];
    bf16_from_f32(a, a16, MOST_M * K);
    f32_from_bf16(a16, a, MOST_M * K);
    for (size_t level = 0; level < 3; level++)
        for (size_t i = 0; i < 2; i++) {
            const size_t n = rows[i] * N;
            cpu_set_level((enum cpu_level)level);
            quantized_product(rows[i], N, K, DTYPE_F32, a, K, DTYPE_Q4_0, b, K, DTYPE_F32, c, N);
            quantized_product(rows[i], N, K, DTYPE_BF16, a16, K, DTYPE_Q4_0, b, K, DTYPE_F32, back, N);
            quantized_product(rows[i], N, K, DTYPE_BF16, a16, K, DTYPE_Q4_0, b, K, DTYPE_BF16, c16, N);
            assert_memory_equal(back, c, n * sizeof *c);
            bf16_from_f32(c, want, n);
            assert_memory_equal(c16, want, n * sizeof *want);
        }
    cpu_set_level(CPU_AVX512);
    mem_free(a);
    mem_free(b);
}

/* What is no number, or infinite, comes out as NaN, in its own row alone. */
static void test_not_numbers(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    enum { K = 256 };
    unsigned char *b = random_blocks(DTYPE_Q4_0, N * K, ORDINARY, 3);
    float *a = random_rows(6, K, SPREAD, 4), c[6 * N];
    for (size_t level = 0; level < 3; level++)
        for (size_t i = 0; i < 3; i++)
            for (size_t m = 3; m <= 6; m += 3) {
                cpu_set_level((enum cpu_level)level);
                const float kept = a[K + 77];
                a[K + 77] = bad[i];
                quantized_product(m, N, K, DTYPE_F32, a, K, DTYPE_Q4_0, b, K, DTYPE_F32, c, N);
                a[K + 77] = kept;
                for (size_t j = 0; j < m * N; j++)
                    assert_true(isnan(c[j]) == (j / N == 1));
            }
    cpu_set_level(CPU_AVX512);
    mem_free(a);
    mem_free(b);
}

/* Interleaved weights give back their rows; products with them are those of the reference, and of any number of rows the
 * same bits, but for the rows of weights that fill no panel. */
static void test_interleaved(void **state)
{
    (void)state;
    enum { K = 768, MOST_M = 19, WHOLE = N / INTERLEAVED_ROWS * INTERLEAVED_ROWS };
    size_t n_types = 0;
    for (size_t t = 0; t < N_TYPES; t++) {
        if (!interleave_pays(types[t], K))
            continue;
        n_types++;
        for (int scales = 0; scales < KINDS; scales++) {
            size_t bytes, row_bytes;
            assert_true(dtype_bytes(types[t], N * K, &bytes) && dtype_bytes(types[t], K, &row_bytes));
            unsigned char *b = random_blocks(types[t], N * K, scales, 31), *inter = mem_alloc(bytes, 1),
                          *row = mem_alloc(row_bytes, 1);
            float *a = random_rows(MOST_M, K, scales == MIXED ? OUTLIER : SPREAD, 37),
                  *ref = mem_alloc(MOST_M * N, sizeof *ref), *c = mem_alloc(MOST_M * N, sizeof *c),
                  *one = mem_alloc(N, sizeof *one);
            double *want = mem_alloc(MOST_M * N, sizeof *want), *rounding = mem_alloc(MOST_M * N, sizeof *rounding),
                   *size = mem_alloc(MOST_M * N, sizeof *size);
            interleave(types[t], N, K, b, inter);
            for (size_t j = 0; j < N; j++) {
                interleaved_row(types[t], N, K, inter, j, row);
                assert_memory_equal(row, b + j * row_bytes, row_bytes);
            }
            exact(types[t], b, a, MOST_M, K, K, want, rounding, size);
            cpu_set_level(CPU_REF);
            quantized_product(MOST_M, N, K, DTYPE_F32, a, K, types[t], b, K, DTYPE_F32, ref, N);
            cpu_set_level(CPU_AVX512);
            static const size_t rows[] = {MOST_M, 13, 7, 1}; /* whole panels, and few rows */
            for (size_t v = 0; v < sizeof rows / sizeof *rows; v++) {
                const size_t m = rows[v];
                quantized_product_interleaved(m, N, K, a, K, types[t], inter, c, N);
                for (size_t i = 0; i < m * N; i++)
                    if (!(fabs(c[i] - ref[i]) <= 4e-6 * size[i] + 1e-28))
                        fail_msg("%s m %zu, element %zu: %g, reference %g (size %g)", dtype_info(types[t])->name, m, i,
                                 c[i], ref[i], size[i]);
                for (size_t r = 0; r < m; r++) {
                    quantized_product_interleaved(1, N, K, a + r * K, K, types[t], inter, one, N);
                    assert_memory_equal(one, c + r * N, WHOLE * sizeof *one);
                }
            }
            mem_free(a), mem_free(b), mem_free(inter), mem_free(row), mem_free(ref), mem_free(c), mem_free(one);
            mem_free(want), mem_free(rounding), mem_free(size);
        }
    }
    assert_false(interleave_pays(DTYPE_Q4_0, 40)); /* no whole blocks */
    assert_false(interleave_pays(DTYPE_F16, 64));
    cpu_set_level(CPU_REF);
    assert_false(interleave_pays(DTYPE_Q4_0, 64));
    cpu_set_level(CPU_AVX512);
    if (n_types == 0) {
        print_message("skipped: products with interleaved weights need AVX512-VNNI\n");
        skip();
    }
    assert_int_equal(n_types, 13);
}

static void test_supported(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++)
        assert_true(quantized_supports(types[t]));
    static const enum dtype others[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8, DTYPE_F64};
    for (size_t t = 0; t < 5; t++)
        assert_false(quantized_supports(others[t]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),    cmocka_unit_test(test_odd_lengths),
        cmocka_unit_test(test_adversarial), cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_supported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
