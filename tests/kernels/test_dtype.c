/* kernels/dtype: conversions against an independent computation in double, the variants against
 * the reference over every half and a sweep of floats. */
#include "base/rng.h"
#include "kernels/dtype.h"
#include "kernels/dtype_variants.h"
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* The definition of binary16, by arithmetic in double. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -v : v;
}

static void every_half_converts_exactly(void **state)
{
    (void)state;
    static uint16_t all[65536], back[65536];
    static float f[65536], g[65536];
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    f32_from_f16_ref(all, f, 65536);
    f32_from_f16(all, g, 65536);
    assert_memory_equal(f, g, sizeof f);
    for (int i = 0; i < 65536; i++) {
        if ((i & 0x7c00) == 0x7c00) {
            assert_true(i & 0x3ff ? isnan(f[i]) : isinf(f[i]) && (f[i] < 0) == i >> 15);
            continue;
        }
        assert_true((double)f[i] == half_value((uint16_t)i));
        assert_int_equal(signbit(f[i]) != 0, i >> 15);
    }
    f16_from_f32_ref(f, back, 65536);
    for (int i = 0; i < 65536; i++)
        if ((i & 0x7c00) != 0x7c00 || !(i & 0x3ff))
            assert_int_equal(back[i], i);
        else
            assert_int_equal(back[i], i | 0x200);
}

/* Nearest half, ties to even, searched for among all of them. */
static uint16_t nearest_half(double x)
{
    uint16_t lo = 0, hi = 0x7c00; /* values are in the order of the bits */
    double a = fabs(x);
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (half_value(mid) <= a)
            lo = mid;
        else
            hi = mid;
    }
    double below = a - half_value(lo), above = (hi == 0x7c00 ? 65536.0 : half_value(hi)) - a;
    uint16_t h = below < above || (below == above && !(lo & 1)) ? lo : hi;
    return (uint16_t)(h | (signbit(x) ? 0x8000 : 0));
}

static void floats_round_to_the_nearest_half(void **state)
{
    (void)state;
    enum { N = 200000 };
    float *x = malloc(N * sizeof *x);
    uint16_t *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b);
    struct rng r;
    rng_init(&r, 7, 0);
    for (int i = 0; i < N; i++) {
        /* Exponents around binary16's range, and half of the mantissas near a tie. */
        uint32_t u = (uint32_t)rng_next(&r);
        u = (u & 0x807fffff) | (uint32_t)(100 + rng_below(&r, 50)) << 23;
        if (i & 1)
            u = (u & ~0x1fffu) + 0xfff + (uint32_t)rng_below(&r, 3);
        x[i] = from_bits(u);
    }
    x[0] = 65519.996f, x[1] = 65520.0f, x[2] = -0.0f, x[3] = 0x1p-25f, x[4] = 0x1.000002p-25f;
    x[5] = INFINITY, x[6] = from_bits(1), x[7] = -65536.0f;
    f16_from_f32_ref(x, a, N);
    f16_from_f32(x, b, N);
    assert_memory_equal(a, b, N * sizeof *a);
    for (int i = 0; i < N; i++)
        assert_int_equal(a[i], nearest_half(x[i]));
    float nan[9];
    for (int i = 0; i < 9; i++)
        nan[i] = from_bits(0x7f800001u + (uint32_t)i * 0x123456u % 0x7fffffu);
    f16_from_f32_ref(nan, a, 9);
    f16_from_f32(nan, b, 9);
    assert_memory_equal(a, b, 18);
    for (int i = 0; i < 9; i++)
        assert_true((a[i] & 0x7c00) == 0x7c00 && (a[i] & 0x3ff));
    free(x), free(a), free(b);
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81},
        {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x00000001, 0x0000},
        {0x00008001, 0x0001}, {0x80000000, 0x8000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float f = from_bits(cases[i].from);
        uint16_t b;
        bf16_from_f32(&f, &b, 1);
        assert_int_equal(b, cases[i].to);
    }
    float nan = from_bits(0x7f800001);
    uint16_t b;
    bf16_from_f32(&nan, &b, 1);
    f32_from_bf16(&b, &nan, 1);
    assert_true(isnan(nan));
    b = 0xc049;
    f32_from_bf16(&b, &nan, 1);
    assert_int_equal(bits(nan), 0xc0490000);
}

static void the_table_knows_sizes(void **state)
{
    (void)state;
    size_t bytes = 0;
    assert_true(dtype_bytes(DTYPE_Q6_K, 512, &bytes) && bytes == 420);
    assert_true(dtype_bytes(DTYPE_F32, 3, &bytes) && bytes == 12);
    assert_false(dtype_bytes(DTYPE_Q4_0, 33, &bytes));
    assert_false(dtype_bytes(DTYPE_F64, SIZE_MAX / 8 + 1, &bytes));
    assert_false(dtype_bytes(4, 32, &bytes));
    assert_null(dtype_info(-1));
    assert_int_equal(dtype_by_name("Q4_K")->type, DTYPE_Q4_K);
    assert_int_equal(dtype_by_name("bf16")->type, DTYPE_BF16);
    assert_null(dtype_by_name("q4"));
}

static void dispatch_converts_the_plain_types(void **state)
{
    (void)state;
    const float x[] = {1.5f, -2.25f, 0.0f, 3.0f, 100.0f, -0.125f, 7.0f, 9.0f, 11.0f};
    const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (size_t i = 0; i < 3; i++) {
        unsigned char stored[sizeof x];
        float back[9];
        assert_true(dtype_from_f32(types[i], x, stored, 9));
        assert_true(dtype_to_f32(types[i], stored, back, 9));
        assert_memory_equal(back, x, sizeof x);
    }
    const double d[] = {0.1, -1e300};
    float f[2];
    assert_true(dtype_to_f32(DTYPE_F64, d, f, 2));
    assert_true(f[0] == 0.1f && isinf(f[1]));
    assert_false(dtype_to_f32(DTYPE_I32, d, f, 1));
    assert_false(dtype_from_f32(DTYPE_I32, x, f, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_converts_exactly),
        cmocka_unit_test(floats_round_to_the_nearest_half),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(the_table_knows_sizes),
        cmocka_unit_test(dispatch_converts_the_plain_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
