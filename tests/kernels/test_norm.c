/* RMSNorm against an f64 reference and its finite differences. */
#include "kernels/gemm.h"
#include "kernels/norm.h"

#include "tests/kernels/util.h"

static const size_t widths[] = {1, 3, 16, 17, 64, 127, 768};
static const float EPS = 1e-5f;

struct reference {
    double *x, *w;
    const float *dy;
    size_t n, c;
};

static double reference_loss(void *context)
{
    struct reference *r = context;
    double loss = 0;
    for (size_t i = 0; i < r->n; i++) {
        double squares = 0;
        for (size_t j = 0; j < r->c; j++)
            squares += r->x[i * r->c + j] * r->x[i * r->c + j];
        double rstd = 1 / sqrt(squares / (double)r->c + (double)EPS);
        for (size_t j = 0; j < r->c; j++)
            loss += r->dy[i * r->c + j] * r->x[i * r->c + j] * rstd * r->w[j];
    }
    return loss;
}

static void forward_matches_reference(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof widths / sizeof *widths; t++) {
            size_t n = 37, c = widths[t];
            float *x = normals(n * c, 2, 1), *w = normals(c, 1, 2);
            float *y = floats(n * c), *rstd = floats(n);
            double *want = as_f64(x, n * c);
            rmsnorm_forward(y, DTYPE_F32, rstd, x, w, EPS, n, c);
            for (size_t i = 0; i < n; i++) {
                double squares = 0;
                for (size_t j = 0; j < c; j++)
                    squares += want[i * c + j] * want[i * c + j];
                double r = 1 / sqrt(squares / (double)c + (double)EPS);
                assert_within(fabs(rstd[i] / r - 1), 2e-7, "rstd, width %zu", c);
                for (size_t j = 0; j < c; j++)
                    want[i * c + j] *= r * w[j];
            }
            assert_within(distance_f64(y, want, n * c), 4e-7, "y, width %zu", c);
            rmsnorm_forward(x, DTYPE_F32, NULL, x, w, EPS, n, c); /* in place */
            assert_memory_equal(x, y, n * c * sizeof *x);
            mem_free(want);
            done_with(x, n * c), done_with(w, c), done_with(y, n * c), done_with(rstd, n);
        }
    }
}

static void backward_matches_finite_differences(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < sizeof widths / sizeof *widths; t++) {
            size_t n = 23, c = widths[t];
            float *x = normals(n * c, 2, 1), *w = normals(c, 1, 2), *dy = normals(n * c, 1, 3);
            float *y = floats(n * c), *rstd = floats(n), *dx = zeros(n * c), *dw = zeros(c);
            rmsnorm_forward(y, DTYPE_F32, rstd, x, w, EPS, n, c);
            rmsnorm_backward(dx, dw, dy, x, rstd, w, n, c);
            struct reference r = {as_f64(x, n * c), as_f64(w, c), dy, n, c};
            /* at width 1 all but eps cancels, and with it most digits */
            assert_within(gradcheck_f64(reference_loss, &r, r.x, dx, n * c, 300, 1e-4),
                          c == 1 ? 1e-3 : 3e-6, "dx, width %zu", c);
            assert_within(gradcheck_f64(reference_loss, &r, r.w, dw, c, 300, 1e-4), 3e-6,
                          "dw, width %zu", c);
            /* both add to what is there; dw is optional */
            float *dx2 = zeros(n * c);
            for (size_t i = 0; i < n * c; i++)
                dx2[i] = 1;
            rmsnorm_backward(dx2, NULL, dy, x, rstd, w, n, c);
            for (size_t i = 0; i < n * c; i++)
                assert_within(fabsf(dx2[i] - 1 - dx[i]), 1e-5, "accumulated dx, width %zu", c);
            mem_free(r.x), mem_free(r.w);
            done_with(x, n * c), done_with(w, c), done_with(dy, n * c), done_with(y, n * c);
            done_with(rstd, n), done_with(dx, n * c), done_with(dw, c), done_with(dx2, n * c);
        }
    }
}

/* The checker is only worth something if it can fail. */
static void a_wrong_gradient_is_rejected(void **state)
{
    (void)state;
    size_t n = 5, c = 64;
    float *x = normals(n * c, 2, 1), *w = normals(c, 1, 2), *dy = normals(n * c, 1, 3);
    float *y = floats(n * c), *rstd = floats(n), *dx = zeros(n * c);
    rmsnorm_forward(y, DTYPE_F32, rstd, x, w, EPS, n, c);
    rmsnorm_backward(dx, NULL, dy, x, rstd, w, n, c);
    struct reference r = {as_f64(x, n * c), as_f64(w, c), dy, n, c};
    double right = gradcheck_f64(reference_loss, &r, r.x, dx, n * c, n * c, 1e-4);
    assert_within(right, 3e-6, "the right gradient");
    dx[100] *= 1.001f; /* one element, a tenth of a percent */
    assert_true(gradcheck_f64(reference_loss, &r, r.x, dx, n * c, n * c, 1e-4) > 1e-5);
    for (size_t i = 0; i < n * c; i++) /* the term through rstd forgotten */
        dx[i] = dy[i] * w[i % c] * rstd[i / c];
    assert_true(gradcheck_f64(reference_loss, &r, r.x, dx, n * c, n * c, 1e-4) > 1e-2);
    dx[7] = NAN;
    assert_true(isnan(gradcheck_f64(reference_loss, &r, r.x, dx, n * c, n * c, 1e-4)));
    mem_free(r.x), mem_free(r.w);
    done_with(x, n * c), done_with(w, c), done_with(dy, n * c), done_with(y, n * c);
    done_with(rstd, n), done_with(dx, n * c);
}

static void same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    size_t n = 301, c = 96;
    float *x = normals(n * c, 2, 1), *w = normals(c, 1, 2), *dy = normals(n * c, 1, 3);
    float *y = floats(n * c), *rstd = floats(n);
    int before = kernels_threads();
    rmsnorm_forward(y, DTYPE_F32, rstd, x, w, EPS, n, c);
    for_each_level(level)
    {
        float *first = NULL;
        for (int run = 0; run < 20; run++) {
            kernels_set_threads(1 + run % 5);
            float *dw = zeros(c), *dx = zeros(n * c);
            rmsnorm_backward(dx, dw, dy, x, rstd, w, n, c);
            if (first) {
                assert_memory_equal(dw, first, c * sizeof *dw);
                done_with(dw, c);
            } else {
                first = dw;
            }
            done_with(dx, n * c);
        }
        done_with(first, c);
    }
    kernels_set_threads(before);
    done_with(x, n * c), done_with(w, c), done_with(dy, n * c), done_with(y, n * c);
    done_with(rstd, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_matches_reference),
        cmocka_unit_test(backward_matches_finite_differences),
        cmocka_unit_test(a_wrong_gradient_is_rejected),
        cmocka_unit_test(same_bits_for_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
