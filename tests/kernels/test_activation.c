/* SwiGLU against f64 and finite differences; the residual stream and its dropout. */
#include "kernels/activation.h"

#include "tests/kernels/util.h"

static const size_t sizes[] = {1, 3, 17, 64, 127, 40000};

struct reference {
    double *gate, *up;
    const float *dy;
    size_t n;
};

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double reference_loss(void *context)
{
    struct reference *r = context;
    double loss = 0;
    for (size_t i = 0; i < r->n; i++)
        loss += r->dy[i] * silu(r->gate[i]) * r->up[i];
    return loss;
}

/* Sweeps every 1009th float bit pattern from -200 to 200 through the gate. */
static void silu_is_accurate_everywhere(void **state)
{
    (void)state;
    enum { MOST = 1 << 22 };
    float *gate = floats(MOST), *up = floats(MOST), *y = floats(MOST);
    size_t n = 0;
    for (uint32_t bits = 0; bits < 0x43480000u; bits += 1009) { /* 200.0f */
        for (uint32_t sign = 0; sign < 2; sign++, n++) {
            uint32_t pattern = bits | sign << 31;
            memcpy(&gate[n], &pattern, sizeof pattern);
            up[n] = 1;
        }
    }
    assert_true(n <= MOST);
    for_each_level(level)
    {
        swiglu_forward(y, gate, up, DTYPE_F32, n);
        double worst = 0;
        for (size_t i = 0; i < n; i++) {
            double want = silu(gate[i]);
            /* where exp(-|x|) is below the smallest normal float the result may be 0 */
            double error = fmax(0, fabs(y[i] - want) - 2e-36) / fabs(want + 1e-300);
            assert_true(!isnan(y[i]));
            worst = error > worst ? error : worst;
        }
        assert_within(worst, 4e-7, "silu"); /* exp's 2 ulp and three roundings */
    }
    done_with(gate, MOST), done_with(up, MOST), done_with(y, MOST);
}

static void special_values_saturate(void **state)
{
    (void)state;
    float gate[] = {-INFINITY, -1e30f, -1000, -104, -89, 0, 89, 1000, 1e30f, NAN};
    float up[10], y[10];
    for (int i = 0; i < 10; i++)
        up[i] = 2;
    for_each_level(level)
    {
        swiglu_forward(y, gate, up, DTYPE_F32, 10);
        for (int i = 1; i < 5; i++) /* -89 e^-89 is below the smallest normal float */
            assert_within(fabsf(y[i]), 1e-35, "silu(%g)", gate[i]);
        assert_true(y[5] == 0 && y[6] == 178 && y[7] == 2000 && y[8] == 2e30f);
        assert_true(isnan(y[9]));
    }
}

static void forward_in_place(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
            size_t n = sizes[t];
            float *gate = normals(n, 3, 1), *up = normals(n, 1, 2), *y = floats(n);
            double *want = as_f64(gate, n);
            for (size_t i = 0; i < n; i++)
                want[i] = silu(want[i]) * up[i];
            swiglu_forward(y, gate, up, DTYPE_F32, n);
            assert_within(distance_f64(y, want, n), 6e-7, "y, n %zu", n);
            float *up2 = normals(n, 1, 2);
            swiglu_forward(up2, gate, up2, DTYPE_F32, n);
            assert_memory_equal(up2, y, n * sizeof *y);
            swiglu_forward(gate, gate, up, DTYPE_F32, n);
            assert_memory_equal(gate, y, n * sizeof *y);
            mem_free(want);
            done_with(gate, n), done_with(up, n), done_with(y, n), done_with(up2, n);
        }
    }
}

static void backward_matches_finite_differences(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
            size_t n = sizes[t];
            float *gate = normals(n, 3, 1), *up = normals(n, 1, 2), *dy = normals(n, 1, 3);
            float *dgate = floats(n), *dup = floats(n);
            swiglu_backward(dgate, dup, dy, gate, up, DTYPE_F32, n);
            struct reference r = {as_f64(gate, n), as_f64(up, n), dy, n};
            assert_within(gradcheck_f64(reference_loss, &r, r.gate, dgate, n, 64, 1e-4), 1e-5,
                          "dgate, n %zu", n);
            assert_within(gradcheck_f64(reference_loss, &r, r.up, dup, n, 64, 1e-4), 1e-5,
                          "dup, n %zu", n);
            swiglu_backward(gate, up, dy, gate, up, DTYPE_F32, n);
            assert_memory_equal(gate, dgate, n * sizeof *gate);
            assert_memory_equal(up, dup, n * sizeof *up);
            mem_free(r.gate), mem_free(r.up);
            done_with(gate, n), done_with(up, n), done_with(dy, n);
            done_with(dgate, n), done_with(dup, n);
        }
    }
}

static void dropout_keeps_the_mean_and_the_mask(void **state)
{
    (void)state;
    enum { N = 100003 };
    float *ones = floats(N), *x = zeros(N), *dy = floats(N), *first = floats(N);
    for (size_t i = 0; i < N; i++)
        ones[i] = 1;
    for_each_level(level)
    {
        memset(x, 0, N * sizeof *x);
        residual_add(x, x, ones, DTYPE_F32, 0.25f, 42, N);
        size_t kept = 0;
        for (size_t i = 0; i < N; i++) {
            assert_true(x[i] == 0 || x[i] == 1 / 0.75f);
            kept += x[i] != 0;
        }
        assert_in_range(kept, N * 0.745, N * 0.755);
        residual_add_backward(dy, DTYPE_F32, ones, 0.25f, 42, N);
        assert_memory_equal(dy, x, N * sizeof *x);
        if (level == CPU_REF)
            memcpy(first, x, N * sizeof *x);
        assert_memory_equal(first, x, N * sizeof *x);
        /* the mask depends on the index alone, not on how much is asked for */
        residual_add_backward(dy, DTYPE_F32, ones, 0.25f, 42, 1001);
        assert_memory_equal(dy, x, 1001 * sizeof *x);
        residual_add_backward(dy, DTYPE_F32, ones, 0.25f, 43, N);
        assert_memory_not_equal(dy, x, N * sizeof *x);
        residual_add(x, x, ones, DTYPE_F32, 0, 42, N);
        assert_true(x[5] == first[5] + 1 && x[N - 1] == first[N - 1] + 1);
        residual_add_backward(dy, DTYPE_F32, first, 0, 42, N);
        assert_memory_equal(dy, first, N * sizeof *x);
    }
    done_with(ones, N), done_with(x, N), done_with(dy, N), done_with(first, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silu_is_accurate_everywhere),
        cmocka_unit_test(special_values_saturate),
        cmocka_unit_test(forward_in_place),
        cmocka_unit_test(backward_matches_finite_differences),
        cmocka_unit_test(dropout_keeps_the_mean_and_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
