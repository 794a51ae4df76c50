/* RMSNorm and LayerNorm against an f64 reference and its finite differences. */
#include "kernels/gemm.h"
#include "kernels/norm.h"

#include "tests/kernels/util.h"

static const size_t widths[] = {1, 3, 16, 17, 64, 127, 768};
enum { N_WIDTHS = sizeof widths / sizeof *widths };
static const float EPS = 1e-5f;

/* What a norm can be; weight rows of more than 1 are the norms of heads. */
static const struct form {
    const char *name;
    enum norm_kind kind;
    float offset;
    bool bias;
    size_t weight_rows;
} forms[] = {
    {"RMSNorm", NORM_RMS, 0, false, 1},       {"RMSNorm about 1", NORM_RMS, 1, false, 1},
    {"RMSNorm of heads", NORM_RMS, 0, false, 3}, {"RMSNorm with a bias", NORM_RMS, 0, true, 2},
    {"LayerNorm", NORM_LAYER, 0, true, 1},    {"LayerNorm without a bias", NORM_LAYER, 0, false, 1},
    {"LayerNorm of heads", NORM_LAYER, 1, true, 4},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

struct reference {
    double *x, *w, *b;
    const float *dy;
    double *y, *mean, *rstd; /* NULL: not wanted */
    const struct form *form;
    size_t n, c;
};

static double reference_loss(void *context)
{
    struct reference *r = context;
    double loss = 0;
    for (size_t i = 0; i < r->n; i++) {
        const double *x = r->x + i * r->c;
        double mean = 0, squares = 0;
        for (size_t j = 0; r->form->kind == NORM_LAYER && j < r->c; j++)
            mean += x[j] / (double)r->c;
        for (size_t j = 0; j < r->c; j++)
            squares += (x[j] - mean) * (x[j] - mean);
        double rstd = 1 / sqrt(squares / (double)r->c + (double)EPS);
        for (size_t j = 0; j < r->c; j++) {
            size_t at = i % r->form->weight_rows * r->c + j;
            double y = (x[j] - mean) * rstd * (r->w[at] + (double)r->form->offset);
            y += r->form->bias ? r->b[at] : 0;
            loss += y * (r->dy ? (double)r->dy[i * r->c + j] : 0);
            if (r->y)
                r->y[i * r->c + j] = y, r->mean[i] = mean, r->rstd[i] = rstd;
        }
    }
    return loss;
}

/* Random arrays of one form, the same numbers in f64, and room for results. */
struct problem {
    struct norm norm;
    struct reference reference;
    size_t n, c, size; /* elements of the weight */
    float *x, *w, *b, *dy, *y, *mean, *rstd, *dx, *dw, *db;
};

static struct problem make_problem(const struct form *form, size_t n, size_t c)
{
    size_t size = form->weight_rows * c;
    struct problem p = {.n = n, .c = c, .size = size};
    p.x = normals(n * c, 2, 1), p.w = normals(size, 1, 2), p.b = normals(size, 1, 5);
    for (size_t i = 0; i < n * c; i++) /* a mean of its own for each row */
        p.x[i] += (float)(i / c % 3);
    p.dy = normals(n * c, 1, 3);
    p.y = floats(n * c), p.mean = floats(n), p.rstd = floats(n);
    p.dx = zeros(n * c), p.dw = zeros(size), p.db = zeros(size);
    p.norm = (struct norm){form->kind, p.w, form->bias ? p.b : NULL, form->offset, EPS,
                           form->weight_rows};
    p.reference = (struct reference){.x = as_f64(p.x, n * c), .w = as_f64(p.w, size),
                                     .b = as_f64(p.b, size), .dy = p.dy, .form = form,
                                     .n = n, .c = c};
    return p;
}

static void free_problem(struct problem *p)
{
    mem_free(p->reference.x), mem_free(p->reference.w), mem_free(p->reference.b);
    done_with(p->x, p->n * p->c), done_with(p->y, p->n * p->c), done_with(p->dy, p->n * p->c);
    done_with(p->dx, p->n * p->c), done_with(p->mean, p->n), done_with(p->rstd, p->n);
    done_with(p->w, p->size), done_with(p->b, p->size), done_with(p->dw, p->size);
    done_with(p->db, p->size);
}

static float *mean_of(struct problem *p)
{
    return p->norm.kind == NORM_LAYER ? p->mean : NULL;
}

static void forward(struct problem *p)
{
    norm_forward(p->y, DTYPE_F32, mean_of(p), p->rstd, p->x, DTYPE_F32, &p->norm, p->n, p->c);
}

static void backward(struct problem *p)
{
    norm_backward(p->dx, DTYPE_F32, true, p->dw, p->norm.bias ? p->db : NULL, p->dy, p->x,
                  DTYPE_F32, mean_of(p), p->rstd, &p->norm, p->n, p->c);
}

static void check_forward(const struct form *form, size_t c)
{
    struct problem p = make_problem(form, 37, c);
    size_t n = p.n, count = n * c;
    double *y = mem_zero(count, sizeof *y), *mean = mem_zero(n, sizeof *mean),
           *rstd = mem_zero(n, sizeof *rstd);
    p.reference.y = y, p.reference.mean = mean, p.reference.rstd = rstd;
    reference_loss(&p.reference);
    forward(&p);
    bool layer = form->kind == NORM_LAYER; /* what is left of x without its mean has fewer digits */
    for (size_t i = 0; i < n; i++) {
        assert_within(fabs(p.rstd[i] / rstd[i] - 1), layer ? 1e-6 : 2e-7, "rstd, %s of %zu",
                      form->name, c);
        if (mean_of(&p))
            assert_within(fabs(p.mean[i] - mean[i]), 1e-6, "mean, %s of %zu", form->name, c);
    }
    assert_within(distance_f64(p.y, y, count), layer || form->bias ? 1e-6 : 4e-7,
                  "y, %s of %zu", form->name, c);
    norm_forward(p.x, DTYPE_F32, NULL, NULL, p.x, DTYPE_F32, &p.norm, n, c); /* in place */
    assert_memory_equal(p.x, p.y, count * sizeof *p.x);
    mem_free(y), mem_free(mean), mem_free(rstd);
    free_problem(&p);
}

static void forward_matches_reference(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < N_WIDTHS * N_FORMS; t++)
            check_forward(&forms[t / N_WIDTHS], widths[t % N_WIDTHS]);
    }
}

/* Weights' gradients add to what is there and are optional; dx adds, or is written, to where dy is too. */
static void check_accumulation(struct problem *p)
{
    size_t count = p->n * p->c;
    float *dx = floats(count), *dw = zeros(p->size);
    for (size_t i = 0; i < count; i++)
        dx[i] = 1;
    for (size_t i = 0; i < p->size; i++)
        dw[i] = 2;
    norm_backward(dx, DTYPE_F32, true, dw, NULL, p->dy, p->x, DTYPE_F32, mean_of(p), p->rstd,
                  &p->norm, p->n, p->c);
    for (size_t i = 0; i < count; i++)
        assert_within(fabsf(dx[i] - 1 - p->dx[i]), 1e-5, "accumulated dx, width %zu", p->c);
    for (size_t i = 0; i < p->size; i++)
        assert_within(fabsf(dw[i] - 2 - p->dw[i]), 1e-5, "accumulated dw, width %zu", p->c);
    memcpy(dx, p->dy, count * sizeof *dx);
    norm_backward(dx, DTYPE_F32, false, NULL, NULL, dx, p->x, DTYPE_F32, mean_of(p), p->rstd,
                  &p->norm, p->n, p->c);
    for (size_t i = 0; i < count; i++) /* 0 + -0 is 0 */
        assert_true(dx[i] == p->dx[i]);
    done_with(dx, count), done_with(dw, p->size);
}

static void check_backward(const struct form *form, size_t c)
{
    struct problem p = make_problem(form, 23, c);
    forward(&p);
    backward(&p);
    struct reference *r = &p.reference;
    /* at width 1 (3 with a mean) almost all cancels, and with it most digits */
    bool cancels = c == 1 || (c == 3 && form->kind == NORM_LAYER);
    if (c > 1 || form->kind == NORM_RMS)
        assert_within(gradcheck_f64(reference_loss, r, r->x, p.dx, p.n * c, 300, 1e-4),
                      cancels ? 1e-3 : 3e-6, "dx, %s of %zu", form->name, c);
    assert_within(gradcheck_f64(reference_loss, r, r->w, p.dw, p.size, 300, 1e-4),
                  cancels && form->kind == NORM_LAYER ? 1e-4 : 3e-6, "dw, %s of %zu", form->name, c);
    if (form->bias)
        assert_within(gradcheck_f64(reference_loss, r, r->b, p.db, p.size, 300, 1e-4), 3e-6,
                      "db, %s of %zu", form->name, c);
    check_accumulation(&p);
    free_problem(&p);
}

static void backward_matches_finite_differences(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (size_t t = 0; t < N_WIDTHS * N_FORMS; t++)
            check_backward(&forms[t / N_WIDTHS], widths[t % N_WIDTHS]);
    }
}

/* The checker is only worth something if it can fail. */
static void a_wrong_gradient_is_rejected(void **state)
{
    (void)state;
    struct problem p = make_problem(&forms[0], 5, 64);
    size_t n = p.n, c = p.c;
    forward(&p);
    backward(&p);
    struct reference *r = &p.reference;
    double right = gradcheck_f64(reference_loss, r, r->x, p.dx, n * c, n * c, 1e-4);
    assert_within(right, 3e-6, "the right gradient");
    p.dx[100] *= 1.001f; /* one element, a tenth of a percent */
    assert_true(gradcheck_f64(reference_loss, r, r->x, p.dx, n * c, n * c, 1e-4) > 1e-5);
    for (size_t i = 0; i < n * c; i++) /* the term through rstd forgotten */
        p.dx[i] = p.dy[i] * p.w[i % c] * p.rstd[i / c];
    assert_true(gradcheck_f64(reference_loss, r, r->x, p.dx, n * c, n * c, 1e-4) > 1e-2);
    p.dx[7] = NAN;
    assert_true(isnan(gradcheck_f64(reference_loss, r, r->x, p.dx, n * c, n * c, 1e-4)));
    free_problem(&p);
}

static void check_threads(const struct form *form)
{
    struct problem p = make_problem(form, 301, 96);
    forward(&p);
    float *first = NULL, *first_db = NULL;
    for (int run = 0; run < 20; run++) {
        kernels_set_threads(1 + run % 5);
        float *dw = zeros(p.size), *db = zeros(p.size);
        norm_backward(p.dx, DTYPE_F32, true, dw, db, p.dy, p.x, DTYPE_F32, mean_of(&p), p.rstd,
                      &p.norm, p.n, p.c);
        if (first) {
            assert_memory_equal(dw, first, p.size * sizeof *dw);
            assert_memory_equal(db, first_db, p.size * sizeof *db);
            done_with(dw, p.size), done_with(db, p.size);
        } else {
            first = dw, first_db = db;
        }
    }
    done_with(first, p.size), done_with(first_db, p.size);
    free_problem(&p);
}

static void same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    int before = kernels_threads();
    for_each_level(level)
    {
        for (size_t f = 0; f < N_FORMS; f++)
            check_threads(&forms[f]);
    }
    kernels_set_threads(before);
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
