/* Gated activations against f64 and finite differences; the residual stream and its dropout; biases. */
#include "kernels/activation.h"

#include "tests/kernels/util.h"

static const size_t sizes[] = {1, 3, 17, 64, 127, 40000};

static const enum activation activations[] = {ACTIVATION_SILU, ACTIVATION_GELU_TANH};
static const char *const names[] = {"silu", "gelu"};

struct reference {
    enum activation activation;
    double *gate, *up;
    const float *dy;
    size_t n;
};

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* The definition, below 0 with 1 + tanh(u) = 2 e^2u / (e^2u + 1), which does not cancel. */
static double gelu_tanh(double x)
{
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (u < 0 ? 2 * exp(2 * u) / (exp(2 * u) + 1) : 1 + tanh(u));
}

static double activate(enum activation a, double x)
{
    return a == ACTIVATION_SILU ? silu(x) : gelu_tanh(x);
}

static double reference_loss(void *context)
{
    struct reference *r = context;
    double loss = 0;
    for (size_t i = 0; i < r->n; i++)
        loss += r->dy[i] * activate(r->activation, r->gate[i]) * r->up[i];
    return loss;
}

/* Sweeps every 1009th float bit pattern from -200 to 200 through the gate. */
static void activations_are_accurate_everywhere(void **state)
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
        for (int a = 0; a < 2; a++) {
            glu_forward(activations[a], y, gate, up, DTYPE_F32, n);
            double worst = 0;
            for (size_t i = 0; i < n; i++) {
                double want = activate(activations[a], gate[i]);
                /* where exp(-|z|) is below the smallest normal float the result may be 0 */
                double error = fmax(0, fabs(y[i] - want) - 2e-36) / fabs(want + 1e-300);
                assert_true(!isnan(y[i]));
                /* gelu's z is rounded a few times, and e^z has |z| of its relative error */
                if (a == 1 && gate[i] < 0)
                    error /= 1 + fmin(100, fabs(pow(gate[i], 3)) / 14);
                worst = error > worst ? error : worst;
            }
            assert_within(worst, a == 0 ? 4e-7 : 8e-7, "%s", names[a]); /* exp's 2 ulp and roundings */
        }
    }
    done_with(gate, MOST), done_with(up, MOST), done_with(y, MOST);
}

static void special_values_saturate(void **state)
{
    (void)state;
    float gate[] = {-INFINITY, -1e30f, -1000, -104, -89, 0, 89, 1000, 1e30f, NAN};
    float up[10], y[10], dgate[10], dup[10];
    for (int i = 0; i < 10; i++)
        up[i] = 2;
    for_each_level(level)
    {
        for (int a = 0; a < 2; a++) {
            glu_forward(activations[a], y, gate, up, DTYPE_F32, 10);
            glu_backward(activations[a], dgate, dup, up, gate, up, DTYPE_F32, 10);
            for (int i = 1; i < 5; i++) { /* -89 e^-89 is below the smallest normal float */
                assert_within(fabsf(y[i]), 1e-35, "%s(%g)", names[a], gate[i]);
                assert_within(fabsf(dgate[i]), 1e-35, "slope of %s(%g)", names[a], gate[i]);
            }
            assert_true(y[5] == 0 && y[6] == 178 && y[7] == 2000 && y[8] == 2e30f);
            assert_true(dgate[5] == 2 && dgate[6] == 4 && dgate[7] == 4 && dgate[8] == 4);
            assert_true(isnan(y[9]) && isnan(dgate[9]));
        }
    }
}

static void check_forward(enum activation a, size_t n)
{
    float *gate = normals(n, 3, 1), *up = normals(n, 1, 2), *y = floats(n);
    double *want = as_f64(gate, n);
    for (size_t i = 0; i < n; i++)
        want[i] = activate(a, want[i]) * up[i];
    glu_forward(a, y, gate, up, DTYPE_F32, n);
    assert_within(distance_f64(y, want, n), 6e-7, "y, %s, n %zu", names[a], n);
    float *up2 = normals(n, 1, 2);
    glu_forward(a, up2, gate, up2, DTYPE_F32, n);
    assert_memory_equal(up2, y, n * sizeof *y);
    glu_forward(a, gate, gate, up, DTYPE_F32, n);
    assert_memory_equal(gate, y, n * sizeof *y);
    mem_free(want);
    done_with(gate, n), done_with(up, n), done_with(y, n), done_with(up2, n);
}

static void forward_in_place(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
            for (int a = 0; a < 2; a++)
                check_forward(activations[a], sizes[t]);
    }
}

static void check_backward(enum activation a, size_t n)
{
    float *gate = normals(n, 3, 1), *up = normals(n, 1, 2), *dy = normals(n, 1, 3);
    float *dgate = floats(n), *dup = floats(n);
    glu_backward(a, dgate, dup, dy, gate, up, DTYPE_F32, n);
    struct reference r = {a, as_f64(gate, n), as_f64(up, n), dy, n};
    assert_within(gradcheck_f64(reference_loss, &r, r.gate, dgate, n, 64, 1e-4), 1e-5,
                  "dgate, %s, n %zu", names[a], n);
    assert_within(gradcheck_f64(reference_loss, &r, r.up, dup, n, 64, 1e-4), 1e-5,
                  "dup, %s, n %zu", names[a], n);
    glu_backward(a, gate, up, dy, gate, up, DTYPE_F32, n);
    assert_memory_equal(gate, dgate, n * sizeof *gate);
    assert_memory_equal(up, dup, n * sizeof *up);
    mem_free(r.gate), mem_free(r.up);
    done_with(gate, n), done_with(up, n), done_with(dy, n), done_with(dgate, n), done_with(dup, n);
}

static void backward_matches_finite_differences(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
            for (int a = 0; a < 2; a++)
                check_backward(activations[a], sizes[t]);
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
        residual_add(x, x, ones, DTYPE_F32, 1, 0.25f, 42, N);
        size_t kept = 0;
        for (size_t i = 0; i < N; i++) {
            assert_true(x[i] == 0 || x[i] == 1 / 0.75f);
            kept += x[i] != 0;
        }
        assert_in_range(kept, N * 0.745, N * 0.755);
        residual_add_backward(dy, DTYPE_F32, ones, 1, 0.25f, 42, N);
        assert_memory_equal(dy, x, N * sizeof *x);
        if (level == CPU_REF)
            memcpy(first, x, N * sizeof *x);
        assert_memory_equal(first, x, N * sizeof *x);
        /* the mask depends on the index alone, not on how much is asked for */
        residual_add_backward(dy, DTYPE_F32, ones, 1, 0.25f, 42, 1001);
        assert_memory_equal(dy, x, 1001 * sizeof *x);
        residual_add_backward(dy, DTYPE_F32, ones, 1, 0.25f, 43, N);
        assert_memory_not_equal(dy, x, N * sizeof *x);
        residual_add(x, x, ones, DTYPE_F32, 1, 0, 42, N);
        assert_true(x[5] == first[5] + 1 && x[N - 1] == first[N - 1] + 1);
        residual_add_backward(dy, DTYPE_F32, first, 1, 0, 42, N);
        assert_memory_equal(dy, first, N * sizeof *x);
    }
    done_with(ones, N), done_with(x, N), done_with(dy, N), done_with(first, N);
}

static void the_residual_scale_multiplies_the_branch(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
            size_t n = sizes[t];
            float *x = normals(n, 1, 1), *y = normals(n, 1, 2), *out = floats(n), *dy = floats(n);
            residual_add(out, x, y, DTYPE_F32, 0.22f, 0, 3, n);
            for (size_t i = 0; i < n; i++)
                assert_true(out[i] == x[i] + y[i] * 0.22f);
            residual_add_backward(dy, DTYPE_F32, x, 0.22f, 0, 3, n);
            for (size_t i = 0; i < n; i++)
                assert_true(dy[i] == x[i] * 0.22f);
            /* with dropout: where 1 / (1 - p) is a power of two all is exact */
            residual_add(out, x, y, DTYPE_F32, 0.22f, 0.5f, 3, n);
            residual_add_backward(dy, DTYPE_F32, y, 1, 0.5f, 3, n);
            for (size_t i = 0; i < n; i++)
                assert_true(out[i] == x[i] + dy[i] * 0.22f);
            done_with(x, n), done_with(y, n), done_with(out, n), done_with(dy, n);
        }
    }
}

static void check_bias(size_t n, size_t c)
{
    float *x = normals(n * c, 1, 1), *y = normals(n * c, 1, 1), *b = normals(c, 1, 2);
    float *db = normals(c, 1, 3), *first = NULL;
    bias_add(y, DTYPE_F32, b, n, c);
    for (size_t i = 0; i < n * c; i++)
        assert_true(y[i] == x[i] + b[i % c]);
    for (int beta = 0; beta < 3; beta++) {
        double *want = as_f64(db, c);
        for (size_t j = 0; j < c; j++) {
            want[j] *= beta;
            for (size_t i = 0; i < n; i++)
                want[j] += x[i * c + j];
        }
        if (beta == 0) /* not read then */
            for (size_t j = 0; j < c; j++)
                db[j] = NAN;
        bias_backward(db, (float)beta, x, DTYPE_F32, n, c);
        assert_within(distance_f64(db, want, c), 1e-6, "dbias, %zu rows of %zu", n, c);
        mem_free(want);
    }
    for (int threads = 1; threads <= 5; threads++) {
        float *again = floats(c);
        kernels_set_threads(threads);
        bias_backward_strided(again, 0, x, DTYPE_F32, c, n, c);
        if (first)
            assert_memory_equal(again, first, c * sizeof *first), done_with(again, c);
        else
            first = again;
    }
    done_with(x, n * c), done_with(y, n * c), done_with(b, c), done_with(db, c), done_with(first, c);
}

static void biases_and_their_gradients(void **state)
{
    (void)state;
    int threads = kernels_threads();
    for_each_level(level)
    {
        for (size_t t = 0; t + 1 < sizeof sizes / sizeof *sizes; t++) {
            check_bias(1, sizes[t]);
            check_bias(401, sizes[t]);
        }
        float rows[] = {1, 2, 3, 4, 5, 6, 7, 8}, sums[2];
        bias_backward_strided(sums, 0, rows, DTYPE_F32, 4, 2, 2);
        assert_true(sums[0] == 6 && sums[1] == 8);
    }
    kernels_set_threads(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_accurate_everywhere),
        cmocka_unit_test(special_values_saturate),
        cmocka_unit_test(forward_in_place),
        cmocka_unit_test(backward_matches_finite_differences),
        cmocka_unit_test(dropout_keeps_the_mean_and_the_mask),
        cmocka_unit_test(the_residual_scale_multiplies_the_branch),
        cmocka_unit_test(biases_and_their_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
