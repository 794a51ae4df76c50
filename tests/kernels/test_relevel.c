/* kernels/relevel: what a block's levels stand for is what dequantising gives, and codes go back where they came from. */
#include "kernels/relevel.h"

#include "base/memory.h"
#include "base/rng.h"
#include "kernels/quantize.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static const enum dtype types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q2_K, DTYPE_Q3_K,
    DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4,
};
enum { TYPES = sizeof types / sizeof *types, N_BLOCKS = 64 };

/* Rows of several sizes, one of zeros, as blocks of the type. */
static unsigned char *make_blocks(enum dtype type, float **values, uint64_t seed)
{
    const size_t n = dtype_info(type)->block;
    struct rng r;
    rng_init(&r, seed, type);
    float *x = mem_zero(N_BLOCKS * n, sizeof *x);
    for (size_t i = n; i < N_BLOCKS * n; i++)
        x[i] = (float)((rng_uniform(&r) - 0.4) * exp((double)(i / n % 7) - 4));
    unsigned char *blocks = mem_alloc(N_BLOCKS, dtype_info(type)->block_bytes);
    quantize_rows(type, x, blocks, N_BLOCKS, n, NULL);
    *values = x;
    return blocks;
}

static void codes_go_back_where_they_came_from(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct dtype_info *info = dtype_info(types[t]);
        float *x;
        unsigned char *blocks = make_blocks(types[t], &x, 1), copy[256];
        assert_true(relevel_supports(types[t]));
        for (size_t i = 0; i < N_BLOCKS; i++) {
            uint8_t q[RELEVEL_MOST], zeros[RELEVEL_MOST] = {0}, again[RELEVEL_MOST];
            const unsigned char *block = blocks + i * info->block_bytes;
            memcpy(copy, block, info->block_bytes);
            relevel_codes(types[t], block, q);
            relevel_write(types[t], copy, zeros);
            relevel_codes(types[t], copy, again);
            assert_memory_equal(again, zeros, info->block);
            relevel_write(types[t], copy, q);
            if (memcmp(copy, block, info->block_bytes) != 0)
                fail_msg("%s: block %zu is another", info->name, i);
        }
        mem_free(x);
        mem_free(blocks);
    }
}

/* Random codes: every level of every type is among them. */
static void levels_are_what_dequantising_gives(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct dtype_info *info = dtype_info(types[t]);
        struct rng r;
        float *x;
        unsigned char *blocks = make_blocks(types[t], &x, 2);
        rng_init(&r, 3, t);
        for (size_t i = 0; i < N_BLOCKS; i++) {
            struct block_levels l;
            uint8_t q[RELEVEL_MOST];
            float y[RELEVEL_MOST];
            unsigned char *block = blocks + i * info->block_bytes;
            relevel_read(types[t], block, &l);
            assert_int_equal(l.n, info->block);
            const int highest = l.table ? 15 : l.highest;
            for (size_t j = 0; j < l.n; j++)
                q[j] = (uint8_t)(l.lowest + (int)rng_below(&r, (uint64_t)(highest - l.lowest + 1)));
            relevel_write(types[t], block, q);
            assert_true(dtype_to_f32(types[t], block, y, l.n));
            for (size_t j = 0; j < l.n; j++) {
                const float scale = l.scale[j / l.group];
                const int value = l.table ? l.table[q[j]] : q[j] - l.bias;
                float nearest;
                assert_true(scale * (float)value + l.offset[j / l.group] == y[j]);
                const uint8_t code = relevel_nearest(&l, j, y[j], &nearest);
                assert_true(nearest == y[j]);
                /* two codes may stand for one number */
                assert_true(code == q[j] || scale == 0 || (l.table && value == 0));
            }
        }
        mem_free(x);
        mem_free(blocks);
    }
}

/* No level is nearer than the one that is given, whatever x is. */
static void nearest_is_nearest(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct dtype_info *info = dtype_info(types[t]);
        struct rng r;
        float *x;
        unsigned char *blocks = make_blocks(types[t], &x, 4);
        rng_init(&r, 5, t);
        for (size_t i = 0; i < N_BLOCKS; i++) {
            struct block_levels l;
            relevel_read(types[t], blocks + i * info->block_bytes, &l);
            for (size_t j = 0; j < l.n; j++) {
                const float scale = l.scale[j / l.group], offset = l.offset[j / l.group];
                const float at = x[i * l.n + j] * (float)(3 * rng_uniform(&r));
                float given, least = INFINITY;
                relevel_nearest(&l, j, at, &given);
                for (int q = l.lowest; q <= (l.table ? 15 : l.highest); q++)
                    least = fminf(least, fabsf(at - (scale * (float)(l.table ? l.table[q] : q - l.bias) + offset)));
                assert_true(fabsf(at - given) <= least + 1e-5f * fabsf(scale));
            }
        }
        mem_free(x);
        mem_free(blocks);
    }
}

static void what_cannot_be_rounded_anew(void **state)
{
    (void)state;
    static const enum dtype others[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_TQ1_0, DTYPE_TQ2_0, DTYPE_NVFP4};
    struct block_levels l;
    unsigned char zeros[256] = {0};
    float value;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(relevel_supports(others[i]));
    relevel_read(DTYPE_Q4_K, zeros, &l);
    const float extremes[] = {1e38f, -1e38f, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++) { /* scales of 0 */
        relevel_nearest(&l, 0, extremes[i], &value);
        assert_true(value == 0);
    }
    zeros[1] = 0x3c; /* d = 1 */
    relevel_read(DTYPE_Q8_0, zeros, &l);
    assert_int_equal(relevel_nearest(&l, 0, INFINITY, &value), 255);
    assert_true(value == 127);
    assert_int_equal(relevel_nearest(&l, 0, -INFINITY, &value), 1);
    assert_true(value == -127);
}

/* The scales stay, and no other level of a block is nearer. */
static void rows_get_the_nearest_levels(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct dtype_info *info = dtype_info(types[t]);
        const size_t n = info->block;
        float *x, *moved = mem_alloc(N_BLOCKS * n, sizeof *moved), *back = mem_alloc(N_BLOCKS * n, sizeof *back);
        unsigned char *blocks = make_blocks(types[t], &x, 5), *now = mem_alloc(N_BLOCKS, info->block_bytes);
        struct rng r;
        rng_init(&r, 6, t);
        for (size_t i = 0; i < N_BLOCKS * n; i++)
            moved[i] = x[i] * (float)(0.5 + rng_uniform(&r));
        memcpy(now, blocks, N_BLOCKS * info->block_bytes);
        relevel_rows(types[t], moved, now, N_BLOCKS, n);
        assert_true(dtype_to_f32(types[t], now, back, N_BLOCKS * n));
        for (size_t i = 0; i < N_BLOCKS; i++) {
            struct block_levels was, is;
            relevel_read(types[t], blocks + i * info->block_bytes, &was);
            relevel_read(types[t], now + i * info->block_bytes, &is);
            assert_memory_equal(was.scale, is.scale, n / was.group * sizeof *was.scale);
            for (size_t j = 0; j < n; j++) {
                const float scale = is.scale[j / is.group], offset = is.offset[j / is.group];
                double least = INFINITY;
                for (int q = is.lowest; q <= is.highest; q++) {
                    const double level = scale * (double)(is.table ? is.table[q] : q - is.bias) + offset;
                    least = fmin(least, fabs(moved[i * n + j] - level));
                }
                const double error = fabs((double)moved[i * n + j] - back[i * n + j]);
                if (!(error <= least * (1 + 1e-5) + 1e-6 * fabs(scale)))
                    fail_msg("%s: %g became %g, %g away and not %g", info->name, moved[i * n + j], back[i * n + j], error, least);
            }
        }
        mem_free(x), mem_free(moved), mem_free(back), mem_free(blocks), mem_free(now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_go_back_where_they_came_from),
        cmocka_unit_test(levels_are_what_dequantising_gives), cmocka_unit_test(rows_get_the_nearest_levels),
        cmocka_unit_test(nearest_is_nearest),
        cmocka_unit_test(what_cannot_be_rounded_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
