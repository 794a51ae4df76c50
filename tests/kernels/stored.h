/* Random arrays of every stored type, for the tests of kernels that read them. */
#ifndef LINNET_TESTS_KERNELS_STORED_H
#define LINNET_TESTS_KERNELS_STORED_H

#include "tests/kernels/util.h"

static const enum dtype stored_types[] = {
    DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q4_0, DTYPE_Q4_1,   DTYPE_Q5_0,   DTYPE_Q5_1,
    DTYPE_Q8_0, DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K,   DTYPE_Q6_K,   DTYPE_IQ4_NL,
    DTYPE_IQ4_XS, DTYPE_MXFP4,
};
enum { N_STORED_TYPES = sizeof stored_types / sizeof *stored_types };

/* One block of random bits whose numbers are of ordinary size: scales among the bits may be anything at first. */
static inline void random_block(const struct dtype_info *info, struct rng *r, uint8_t *block, float *x)
{
    float most = 0;
    do {
        for (size_t i = 0; i < info->block_bytes; i++)
            block[i] = (uint8_t)rng_below(r, 256);
        assert_true(dtype_to_f32(info->type, block, x, info->block));
        most = 0;
        for (size_t i = 0; i < info->block; i++)
            most = fabsf(x[i]) <= most ? most : isfinite(x[i]) ? fabsf(x[i]) : INFINITY;
    } while (!(most > 1e-3f && most < 1e3f));
}

/* n numbers of the type, whole blocks, and the same in x. The caller frees them. */
static inline void *stored_numbers(enum dtype type, size_t n, uint64_t seed, float *x)
{
    const struct dtype_info *info = dtype_info(type);
    size_t bytes;
    assert_true(dtype_bytes((int)type, n, &bytes));
    uint8_t *to = mem_alloc(bytes, 1);
    struct rng r;
    rng_init(&r, seed, 8);
    if (info->block == 1) {
        rng_fill_normal(&r, x, n, 1);
        assert_true(dtype_from_f32(type, x, to, n));
        assert_true(dtype_to_f32(type, to, x, n));
        return to;
    }
    enum { KINDS = 61 }; /* of different blocks */
    for (size_t i = 0; i < n / info->block; i++) {
        uint8_t *block = to + i * info->block_bytes;
        if (i < KINDS) {
            random_block(info, &r, block, x + i * info->block);
            continue;
        }
        memcpy(block, block - KINDS * info->block_bytes, info->block_bytes);
        memcpy(x + i * info->block, x + (i - KINDS) * info->block, info->block * sizeof *x);
    }
    return to;
}

#endif
