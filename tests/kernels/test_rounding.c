/* Rows as a type stores them: the bits of the type's own function, and which weights are refused in which words. */
#include "kernels/rounding.h"

#include "base/rng.h"
#include "kernels/gemm.h"
#include "kernels/quantize.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

enum { ROWS = 40, COLS = 2048, COUNT = ROWS * COLS }; /* enough for several threads */

static float rows[COUNT], back[COUNT], unpacked[COUNT], importance[COLS];
static unsigned char stored[COUNT * sizeof(float)], wanted[COUNT * sizeof(float)];

static void rows_are_those_of_the_type(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q4_0, DTYPE_Q8_0, DTYPE_Q2_K, DTYPE_MXFP4};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int threads = 1; threads <= 3; threads++) {
            const struct rounding r = {.type = types[i], .cols = COLS, .importance = importance, .tensor = "t", .advice = "a"};
            struct error e;
            size_t bytes;
            kernels_set_threads(threads);
            assert_true(dtype_bytes(types[i], COUNT, &bytes));
            if (quantize_supports(types[i]))
                quantize_rows(types[i], rows, wanted, ROWS, COLS, importance);
            else
                assert_true(dtype_from_f32(types[i], rows, wanted, COUNT));
            assert_ok(rounding_store_checked(&r, rows, ROWS, stored, back, &e), e);
            assert_memory_equal(stored, wanted, bytes);
            assert_true(dtype_to_f32(types[i], wanted, unpacked, COUNT));
            assert_memory_equal(back, unpacked, sizeof back);
        }
}

static void some_weights_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum dtype type;
        float weight;
        const char *words; /* NULL: it fits */
    } cases[] = {
        {DTYPE_F32, NAN, "w holds a weight that is not a number; the model's file is damaged, or its training diverged"},
        {DTYPE_F32, 3e38f, NULL},
        {DTYPE_Q8_0, -INFINITY, "w holds a weight that is not a number; the model's file is damaged, or its training diverged"},
        {DTYPE_F16, 65504, NULL},
        {DTYPE_F16, -65536, "w holds weights beyond the range of f16 (65504); try less"},
        {DTYPE_BF16, 3.38e38f, NULL},
        {DTYPE_BF16, 3.4e38f, "w holds weights beyond the range of bf16; try less"},
        {DTYPE_Q4_0, 500000, NULL},
        {DTYPE_Q4_0, 1e6f, "w holds weights so large that no block of q4_0 can stand for them (their scale is of f16); try less"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t at = 5; at < COUNT; at += COUNT - 10) { /* near both ends */
            const struct rounding r = {.type = cases[i].type, .cols = COLS, .tensor = "w", .advice = "try less"};
            const float before = rows[at];
            struct error e;
            rows[at] = cases[i].weight;
            const int code = rounding_store_checked(&r, rows, ROWS, stored, back, &e);
            rows[at] = before;
            assert_int_equal(code, cases[i].words ? ERR_FORMAT : OK);
            if (code)
                assert_string_equal(e.message, cases[i].words);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_type),
        cmocka_unit_test(some_weights_are_refused),
    };
    struct rng r;
    rng_init(&r, 7, 0);
    for (size_t i = 0; i < COUNT; i++)
        rows[i] = (float)(rng_uniform(&r) - 0.5);
    for (size_t i = 0; i < COLS; i++)
        importance[i] = (float)(1 + i % 7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
