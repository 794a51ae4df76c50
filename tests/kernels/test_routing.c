/* Routing to experts: choices and weights by hand and against finite differences; rows moved there and back. */
#include "kernels/routing.h"

#include "base/rng.h"
#include "tests/gradcheck.h"
#include "tests/test.h"

#include <string.h>

enum { N = 7, E = 5, K = 2 };

struct problem {
    enum router kind;
    float logits[N * E], weight[N * K], factor[N * K], extra[E];
    int32_t chosen[N * K];
};

/* sum of factor * weight + extra * probabilities. */
static double loss(void *context)
{
    struct problem *p = context;
    double sum = 0;
    route_forward(p->kind, p->logits, p->chosen, p->weight, N, E, K);
    for (size_t i = 0; i < N * K; i++)
        sum += (double)p->factor[i] * p->weight[i];
    for (size_t i = 0; i < N; i++) {
        float probabilities[E] = {0};
        route_probabilities(probabilities, 1, p->logits + i * E, E);
        for (size_t j = 0; j < E; j++)
            sum += (double)p->extra[j] * probabilities[j];
    }
    return sum;
}

static void gradients(void **state)
{
    (void)state;
    static const enum router kinds[] = {ROUTER_SOFTMAX, ROUTER_RENORMALISED, ROUTER_SPARSEMIXER};
    for (size_t k = 0; k < 3; k++) {
        struct problem p = {.kind = kinds[k]};
        struct rng r;
        float dlogits[N * E];
        rng_init(&r, 3, k);
        rng_fill_normal(&r, p.factor, N * K, 1);
        rng_fill_normal(&r, p.extra, E, 0.5f);
        for (size_t i = 0; i < N; i++) { /* all apart, and where sparsemixer looks some near each other */
            static const float near_ones[E] = {2, 2.02f, 1, -0.5f, 1.005f};
            for (size_t j = 0; j < E; j++)
                p.logits[i * E + j] = near_ones[(j + i) % E] + 0.001f * (float)(i * j % 3);
        }
        loss(&p);
        route_backward(p.kind, dlogits, p.factor, p.logits, p.chosen, p.weight, p.extra, N, E, K);
        double error = gradcheck_f32(loss, &p, p.logits, dlogits, N * E, N * E, 0.002f);
        if (!(error < 5e-3))
            fail_msg("kind %zu: off by %g", k, error);
        dlogits[3] += 0.05f; /* and it can fail */
        assert_true(gradcheck_f32(loss, &p, p.logits, dlogits, N * E, N * E, 0.002f) > 5e-3);
    }
}

static void choices_and_weights(void **state)
{
    (void)state;
    const float logits[4] = {1, 3, 3, 2};
    int32_t chosen[3];
    float weight[3];
    const double e1 = exp(1), e2 = exp(2), e3 = exp(3), all = e1 + 2 * e3 + e2;
    route_forward(ROUTER_SOFTMAX, logits, chosen, weight, 1, 4, 3);
    assert_int_equal(chosen[0], 1); /* of equals the first */
    assert_int_equal(chosen[1], 2);
    assert_int_equal(chosen[2], 3);
    assert_true(fabs(weight[0] - e3 / all) < 1e-6 && fabs(weight[2] - e2 / all) < 1e-6);
    route_forward(ROUTER_RENORMALISED, logits, chosen, weight, 1, 4, 3);
    assert_true(fabs(weight[0] - e3 / (2 * e3 + e2)) < 1e-6);
    /* sparsemixer: 3 is among 3 and 3, then 3 alone, then 2 alone; 1 is far */
    route_forward(ROUTER_SPARSEMIXER, logits, chosen, weight, 1, 4, 3);
    assert_true(fabs(weight[0] - 0.5) < 1e-6 && weight[1] == 1 && weight[2] == 1);
    /* the distance is measured by the larger of the largest logit and the other's size */
    const float below[3] = {-10, -10.1f, -11};
    route_forward(ROUTER_SPARSEMIXER, below, chosen, weight, 1, 3, 1);
    assert_true(fabs(weight[0] - 1 / (1 + exp(-0.1))) < 1e-5);
    route_forward(ROUTER_SOFTMAX, logits, chosen, weight, 1, 1, 1);
    assert_true(weight[0] == 1 && chosen[0] == 0);
}

static void rows_there_and_back(void **state)
{
    (void)state;
    enum { ROWS = 3, C = 300 }; /* more than one piece */
    float x[ROWS * C], routed[2 * ROWS * C], back[ROWS * C], dot[ROWS];
    uint16_t half[ROWS * C], half_routed[2 * ROWS * C], half_back[ROWS * C];
    const int32_t row_token[2 * ROWS] = {2, 0, 1, 1, 2, 0}, token_row[2 * ROWS] = {1, 5, 2, 3, 0, 4};
    struct rng r;
    rng_init(&r, 4, 4);
    rng_fill_normal(&r, x, ROWS * C, 1);
    bf16_from_f32(x, half, ROWS * C);
    f32_from_bf16(half, x, ROWS * C);
    rows_gather(routed, x, DTYPE_F32, row_token, 2 * ROWS, C);
    rows_collect(back, DTYPE_F32, false, routed, DTYPE_F32, token_row, ROWS, 2, C);
    rows_gather(half_routed, half, DTYPE_BF16, row_token, 2 * ROWS, C);
    rows_collect(half_back, DTYPE_BF16, false, half_routed, DTYPE_BF16, token_row, ROWS, 2, C);
    for (size_t i = 0; i < ROWS * C; i++) {
        float one;
        f32_from_bf16(half_back + i, &one, 1);
        assert_true(back[i] == 2 * x[i] && one == 2 * x[i]);
    }
    rows_collect(back, DTYPE_F32, true, routed, DTYPE_F32, token_row, ROWS, 2, C);
    rows_add(back, x, DTYPE_F32, ROWS * C);
    for (size_t i = 0; i < ROWS * C; i++)
        assert_true(fabsf(back[i] - 5 * x[i]) < 1e-5f);
    const float weight[ROWS] = {0.5f, -2, 0};
    rows_scale(half, DTYPE_BF16, weight, ROWS, C);
    rows_dot(dot, x, x, DTYPE_F32, ROWS, C);
    for (size_t i = 0; i < ROWS; i++) {
        double want = 0;
        for (size_t j = 0; j < C; j++) {
            float scaled;
            f32_from_bf16(half + i * C + j, &scaled, 1);
            want += (double)x[i * C + j] * x[i * C + j];
            assert_true(scaled == weight[i] * x[i * C + j]);
        }
        assert_true(fabs(dot[i] - want) < 1e-4 * want);
    }
    float y[2] = {0, 2}, dy[2] = {1, 3};
    sigmoid_forward(y, y, 2);
    sigmoid_backward(dy, dy, y, 2);
    assert_true(y[0] == 0.5f && dy[0] == 0.25f && fabs(dy[1] - 3 * y[1] * (1 - y[1])) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(choices_and_weights),
        cmocka_unit_test(rows_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
