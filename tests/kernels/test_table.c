/* The vector loops of every kernel level: accuracy of exp by sweep, and the rest against f64. */
#include "kernels/table.h"

#include "kernels/scratch.h"
#include "tests/kernels/util.h"

static const size_t sizes[] = {0,  1,  2,  3,  4,  7,  8,   15,   16,
                               17, 31, 33, 63, 64, 65, 127, 1000, 5003};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Distance in units of the last place of the f32 nearest to `want`. */
static double ulps(float x, double want)
{
    float nearest = (float)want;
    double ulp = (double)nextafterf(nearest, INFINITY) - (double)nearest;
    return fabs((double)x - want) / ulp;
}

/* Every 37th float from -104 to 89, both signs: 115 million / 37 values. */
static void exp_is_within_two_ulp(void **state)
{
    (void)state;
    enum { CHUNK = 4096 };
    float x[CHUNK], y[CHUNK];
    for_each_level(level)
    {
        double worst = 0, worst_denormal = 0;
        uint32_t bits = 0;
        while (float_of(bits) < 104) {
            size_t n = 0;
            for (; n < CHUNK && float_of(bits) < 104; bits += 37, n++)
                x[n] = n % 2 && float_of(bits) < 88.72f ? float_of(bits) : -float_of(bits);
            kernel_table()->exp(y, x, n);
            for (size_t i = 0; i < n; i++) {
                double want = exp(x[i]);
                if (want >= 1.1754943508e-38)
                    worst = fmax(worst, ulps(y[i], want));
                else
                    worst_denormal = fmax(worst_denormal, fabs(y[i] - want) / 1.4e-45);
                assert_true(!isnan(y[i]));
            }
        }
        assert_within(worst, 2, "exp, ulp");
        assert_within(worst_denormal, 2, "exp below the normal floats, their ulp");
    }
}

static void exp_saturates(void **state)
{
    (void)state;
    static const float x[] = {0,    -0.0f, -104.1f,  -1000, -3e38f, -INFINITY, 88.8f,
                              1000, 3e38f, INFINITY, NAN,   -NAN,   1e-40f,    -1e-45f};
    enum { N = sizeof x / sizeof *x };
    for_each_level(level)
    {
        float y[N];
        kernel_table()->exp(y, x, N);
        assert_true(y[0] == 1 && y[1] == 1 && y[12] == 1 && y[13] == 1);
        for (int i = 2; i < 6; i++)
            assert_true(y[i] == 0);
        for (int i = 6; i < 10; i++)
            assert_true(y[i] == INFINITY);
        assert_true(isnan(y[10]) && isnan(y[11]));
    }
}

/* Every 37th normal float, and around 1, where log crosses 0. */
static void log_is_within_three_ulp(void **state)
{
    (void)state;
    enum { CHUNK = 4096 };
    float x[CHUNK], y[CHUNK];
    for_each_level(level)
    {
        double worst = 0;
        for (uint32_t bits = 0x00800000u, step = 37; bits < 0x7f800000u;) {
            size_t n = 0;
            for (; n < CHUNK && bits < 0x7f800000u; bits += step, n++) {
                step = bits > 0x3f7ff000u && bits < 0x3f801000u ? 1 : 37;
                x[n] = float_of(bits);
            }
            kernel_table()->log(y, x, n);
            for (size_t i = 0; i < n; i++)
                worst = fmax(worst, ulps(y[i], log(x[i])));
        }
        assert_within(worst, 3, "log, ulp");
        float special[] = {0, 1e-40f, -1, 1, NAN};
        kernel_table()->log(special, special, 5);
        for (int i = 0; i < 3; i++)
            assert_true(special[i] > -87.34f && special[i] < -87.33f);
        assert_true(special[3] == 0 && isnan(special[4]));
    }
}

static void rows_match_f64(void **state)
{
    (void)state;
    for_each_level(level)
    {
        const struct kernel_table *table = kernel_table();
        for (size_t t = 0; t < N_SIZES; t++) {
            size_t n = sizes[t];
            float *x = normals(n, 1, 1), *y = normals(n, 1, 2), *z = normals(n, 1, 2);
            double dot = 0, size = 1e-30, sum = 0, max = -INFINITY;
            for (size_t i = 0; i < n; i++) {
                dot += (double)x[i] * y[i];
                size += fabs((double)x[i] * y[i]);
                sum += exp((double)x[i] - 3.25);
                max = fmax(max, x[i]);
            }
            assert_within(fabs(table->dot(x, y, n) - dot) / size, 1e-6, "dot of %zu", n);
            assert_true(table->max(x, n) == (float)max);
            assert_within(fabs(table->exp_sum(NULL, x, 3.25f, n) - sum), 4e-7 * sum,
                          "exp_sum of %zu", n);
            table->axpy(z, -0.5f, x, n);
            for (size_t i = 0; i < n; i++)
                assert_within(fabs(z[i] - (y[i] - 0.5 * x[i])), 3e-7, "axpy of %zu", n);
            double cold = 0;
            for (size_t i = 0; i < n; i++)
                cold += exp(((double)x[i] - 3.25) * 0.75);
            assert_within(fabs(table->exp_sum_scaled(z, x, 3.25f, 0.75f, n) - cold), 4e-7 * cold,
                          "exp_sum_scaled of %zu", n);
            for (size_t i = 0; i < n; i++)
                assert_within(fabs(z[i] / exp(((double)x[i] - 3.25) * 0.75) - 1), 1e-6, "terms of exp_sum_scaled");
            assert_true(table->exp_sum(z, x, 3.25f, n) == table->exp_sum(NULL, x, 3.25f, n));
            for (size_t i = 0; i < n; i++)
                assert_within(ulps(z[i], exp((double)(x[i] - 3.25f))), 2, "terms of exp_sum");
            table->exp_sum(x, x, 3.25f, n);
            assert_memory_equal(x, z, n * sizeof *x);
            done_with(x, n), done_with(y, n), done_with(z, n);
        }
    }
}

static void scale_multiplies(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < N_SIZES; t++) {
            size_t n = sizes[t];
            float *x = normals(n, 1, 1), *y = normals(n, 1, 1);
            kernel_table()->scale(x, 3, n);
            for (size_t i = 0; i < n; i++)
                assert_true(x[i] == 3 * y[i]);
            done_with(x, n), done_with(y, n);
        }
    }
}

/* A sum over a vocabulary loses nothing: lanes go to f64 every 1024 elements. */
static void long_sums_stay_exact(void **state)
{
    (void)state;
    size_t n = 1 << 20;
    float *x = normals(n, 2, 1);
    double want = 0;
    for (size_t i = 0; i < n; i++)
        want += exp(x[i]);
    for_each_level(level)
        assert_within(fabs(kernel_table()->exp_sum(NULL, x, 0, n) / want - 1), 1e-7, "sum");
    done_with(x, n);
}

static void scratch_grows_and_is_aligned(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100000; n *= 7) {
        float *x = scratch_floats(n);
        assert_int_equal((uintptr_t)x % 64, 0);
        for (size_t i = 0; i < n; i++)
            x[i] = (float)i;
        assert_ptr_equal(scratch_floats(n / 2), x);
    }
}

/* Every 997th float from the smallest to 12, both signs, through the cap's function with a cap of 1. */
static void tanh_is_within_four_ulp(void **state)
{
    (void)state;
    enum { N = 1024 };
    float x[N], y[N];
    for_each_level(level)
    {
        double worst = 0;
        for (uint32_t bits = 0x00800000u; bits < 0x41400000u;) {
            for (size_t i = 0; i < N; i++, bits += 997 + i % 2) {
                uint32_t pattern = bits | (uint32_t)(i & 1) << 31;
                memcpy(&x[i], &pattern, sizeof pattern);
            }
            memcpy(y, x, sizeof y);
            kernel_table()->adjust(y, NULL, 1, 1, N);
            for (size_t i = 0; i < N; i++)
                worst = fmax(worst, ulps(y[i], tanh(x[i])));
        }
        assert_within(worst, 4, "tanh, ulp");
        float special[] = {0, -0.0f, INFINITY, -INFINITY, 1e30f, NAN, 9.1f, -9.1f};
        kernel_table()->adjust(special, NULL, 1, 1, 8);
        assert_true(special[0] == 0 && special[1] == 0 && signbit(special[1]));
        assert_true(special[2] == 1 && special[3] == -1 && special[4] == 1 && isnan(special[5]));
        assert_true(special[6] == 1 && special[7] == -1);
    }
}

static void adjustment_has_three_parts(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t n = 1; n < 70; n += 3) {
            for (int parts = 0; parts < 8; parts++) {
                float *x = normals(n, 20, 1), *b = normals(n, 5, 2);
                float scale = parts & 1 ? 0.3f : 1, cap = parts & 2 ? 7 : 0;
                double *want = as_f64(x, n);
                for (size_t i = 0; i < n; i++) {
                    want[i] = (want[i] + (parts & 4 ? (double)b[i] : 0)) * (double)scale;
                    want[i] = cap > 0 ? (double)cap * tanh(want[i] / (double)cap) : want[i];
                }
                kernel_table()->adjust(x, parts & 4 ? b : NULL, scale, cap, n);
                assert_within(distance_f64(x, want, n), 1e-6, "parts %d of %zu", parts, n);
                mem_free(want), done_with(x, n), done_with(b, n);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_ulp), cmocka_unit_test(exp_saturates),
        cmocka_unit_test(log_is_within_three_ulp),
        cmocka_unit_test(tanh_is_within_four_ulp), cmocka_unit_test(adjustment_has_three_parts),
        cmocka_unit_test(rows_match_f64),        cmocka_unit_test(scale_multiplies),
        cmocka_unit_test(long_sums_stay_exact),  cmocka_unit_test(scratch_grows_and_is_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
