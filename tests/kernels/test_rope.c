/* Rotary embeddings: angles, both pair orders, partial rotation, the inverse. */
#include "kernels/rope.h"

#include "tests/kernels/util.h"

struct problem {
    size_t n, n_heads, head_dim, rotary_dim, stride;
    enum rope_style style;
    float *x, *cosine, *sine;
    double *inverse_frequency;
    int32_t *positions;
};

enum { N_POSITIONS = 131 };

static struct problem make_problem(size_t head_dim, size_t rotary_dim, enum rope_style style)
{
    struct problem p = {29,   3,    head_dim, rotary_dim, 3 * head_dim + 7, style, NULL,
                        NULL, NULL, NULL,     NULL};
    p.x = normals(p.n * p.stride, 1, 1);
    p.inverse_frequency = mem_alloc(rotary_dim / 2, sizeof(double));
    for (size_t i = 0; i < rotary_dim / 2; i++)
        p.inverse_frequency[i] = pow(10000, -2.0 * (double)i / (double)rotary_dim);
    p.cosine = floats(N_POSITIONS * rotary_dim / 2);
    p.sine = floats(N_POSITIONS * rotary_dim / 2);
    rope_table(p.cosine, p.sine, p.inverse_frequency, 1, N_POSITIONS, rotary_dim);
    p.positions = mem_alloc(p.n, sizeof *p.positions);
    for (size_t i = 0; i < p.n; i++) /* any order, repeats allowed, first and last included */
        p.positions[i] = (int32_t)(i * 130 % N_POSITIONS);
    return p;
}

static void free_problem(struct problem *p)
{
    done_with(p->x, p->n * p->stride);
    done_with(p->cosine, N_POSITIONS * p->rotary_dim / 2);
    done_with(p->sine, N_POSITIONS * p->rotary_dim / 2);
    mem_free(p->inverse_frequency), mem_free(p->positions);
}

/* y = R x by complex multiplication in f64. */
static void reference(const struct problem *p, double *y)
{
    size_t half = p->rotary_dim / 2;
    for (size_t r = 0; r < p->n; r++) {
        for (size_t h = 0; h < p->n_heads; h++) {
            const float *x = p->x + r * p->stride + h * p->head_dim;
            double *z = y + r * p->stride + h * p->head_dim;
            for (size_t i = 0; i < half; i++) {
                size_t a = p->style == ROPE_HALF ? i : 2 * i;
                size_t b = p->style == ROPE_HALF ? i + half : 2 * i + 1;
                double angle = p->positions[r] * p->inverse_frequency[i];
                z[a] = x[a] * cos(angle) - x[b] * sin(angle);
                z[b] = x[a] * sin(angle) + x[b] * cos(angle);
            }
        }
    }
}

static void check(size_t head_dim, size_t rotary_dim, enum rope_style style)
{
    struct problem p = make_problem(head_dim, rotary_dim, style);
    size_t n = p.n * p.stride;
    for_each_level(level)
    {
        float *y = normals(n, 1, 1);
        double *want = as_f64(p.x, n); /* what is not rotated stays */
        reference(&p, want);
        struct rope rope = {p.cosine, p.sine, style, head_dim, rotary_dim};
        rope_forward(y, DTYPE_F32, p.positions, &rope, p.n, p.n_heads, p.stride);
        assert_within(distance_f64(y, want, n), 3e-7, "forward, %zu of %zu", rotary_dim, head_dim);
        rope_backward(y, DTYPE_F32, y, p.positions, &rope, p.n, p.n_heads, p.stride);
        assert_within(distance(y, p.x, n), 5e-7, "inverse, %zu of %zu", rotary_dim, head_dim);
        mem_free(want);
        done_with(y, n);
    }
    free_problem(&p);
}

static void rotates_and_rotates_back(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{2, 2},     {6, 6},    {16, 16}, {32, 32}, {48, 48},
                                      {64, 64},   {80, 80},  {80, 20}, {96, 96}, {128, 96},
                                      {128, 128}, {256, 64}, {34, 34}, {66, 62}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check(sizes[i][0], sizes[i][1], ROPE_HALF);
        check(sizes[i][0], sizes[i][1], ROPE_INTERLEAVED);
    }
}

/* The inverse is the transpose: <R x, y> = <x, R^T y>. */
static void backward_is_the_transpose(void **state)
{
    (void)state;
    for_each_level(level)
    {
        struct problem p = make_problem(64, 64, ROPE_HALF);
        size_t n = p.n * p.stride;
        float *x = normals(n, 1, 5), *rx = normals(n, 1, 5);
        float *y = normals(n, 1, 6), *rty = normals(n, 1, 6);
        struct rope rope = {p.cosine, p.sine, p.style, 64, 64};
        rope_forward(rx, DTYPE_F32, p.positions, &rope, p.n, p.n_heads, p.stride);
        rope_backward(rty, DTYPE_F32, rty, p.positions, &rope, p.n, p.n_heads, p.stride);
        double left = 0, right = 0;
        for (size_t i = 0; i < n; i++) {
            left += (double)rx[i] * y[i];
            right += (double)x[i] * rty[i];
        }
        assert_within(fabs(left - right), 1e-4, "<Rx, y> - <x, R'y>");
        done_with(x, n), done_with(rx, n), done_with(y, n), done_with(rty, n);
        free_problem(&p);
    }
}

static void far_positions_are_exact(void **state)
{
    (void)state;
    enum { FAR = 100001 };
    float *cosine = floats(FAR), *sine = floats(FAR);
    double frequency = 0.7316;
    rope_table(cosine, sine, &frequency, 1, FAR, 2);
    assert_true(cosine[100000] == (float)cos(100000 * frequency));
    assert_true(sine[100000] == (float)sin(100000 * frequency));
    done_with(cosine, FAR), done_with(sine, FAR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotates_and_rotates_back),
        cmocka_unit_test(backward_is_the_transpose),
        cmocka_unit_test(far_positions_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
