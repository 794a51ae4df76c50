#include "kernels/interleave.h"

#include "base/check.h"
#include "kernels/quantized_kernels.h"

#include <string.h>

/* A block as runs of fields: `count` of `size` bytes each. */
struct run {
    unsigned char size, count;
};
enum { RUNS = 5 };
static const struct run layouts[][RUNS] = {
    [DTYPE_Q4_0] = {{2, 1}, {4, 4}},
    [DTYPE_Q4_1] = {{2, 2}, {4, 4}},
    [DTYPE_Q5_0] = {{2, 1}, {4, 5}},
    [DTYPE_Q5_1] = {{2, 2}, {4, 5}},
    [DTYPE_Q8_0] = {{2, 1}, {4, 8}},
    [DTYPE_IQ4_NL] = {{2, 1}, {4, 4}},
    [DTYPE_MXFP4] = {{1, 1}, {4, 4}},
    [DTYPE_Q2_K] = {{4, 21}},
    [DTYPE_Q3_K] = {{4, 27}, {2, 1}},
    [DTYPE_Q4_K] = {{4, 36}},
    [DTYPE_Q5_K] = {{4, 44}},
    [DTYPE_Q6_K] = {{4, 52}, {2, 1}},
    [DTYPE_IQ4_XS] = {{2, 2}, {4, 33}},
};

static const struct run *layout(enum dtype type)
{
    bool known = (size_t)type < sizeof layouts / sizeof *layouts && layouts[type][0].count;
    return known ? layouts[type] : NULL;
}

bool interleave_pays(enum dtype type, size_t k)
{
    return quantized_kernels()->few_panels && layout(type) && k % dtype_info(type)->block == 0;
}

/* One block of one row, from or to its place among the 16 of a panel. */
static void move_block(const struct run *runs, unsigned char *block, unsigned char *panel, size_t row, bool back)
{
    for (const struct run *f = runs; f < runs + RUNS && f->count; f++)
        for (size_t i = 0; i < f->count; i++, block += f->size, panel += INTERLEAVED_ROWS * f->size) {
            if (back)
                memcpy(block, panel + row * f->size, f->size);
            else
                memcpy(panel + row * f->size, block, f->size);
        }
}

void interleave(enum dtype type, size_t n, size_t k, const void *from, void *to)
{
    const struct dtype_info *info = dtype_info(type);
    const struct run *runs = layout(type);
    CHECK(runs && k % info->block == 0);
    const size_t blocks = k / info->block, row_bytes = blocks * info->block_bytes, whole = n / INTERLEAVED_ROWS;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < whole; p++) {
        const size_t at = p * INTERLEAVED_ROWS * row_bytes;
        for (size_t b = 0; b < blocks; b++)
            for (size_t r = 0; r < INTERLEAVED_ROWS; r++) {
                unsigned char block[256];
                memcpy(block, (const unsigned char *)from + at + r * row_bytes + b * info->block_bytes,
                       info->block_bytes);
                move_block(runs, block, (unsigned char *)to + at + b * INTERLEAVED_ROWS * info->block_bytes, r, false);
            }
    }
    const size_t done = whole * INTERLEAVED_ROWS * row_bytes;
    memcpy((unsigned char *)to + done, (const unsigned char *)from + done, n * row_bytes - done);
}

void interleaved_row(enum dtype type, size_t n, size_t k, const void *from, size_t row, void *to)
{
    const struct dtype_info *info = dtype_info(type);
    const struct run *runs = layout(type);
    CHECK(runs && k % info->block == 0 && row < n);
    const size_t blocks = k / info->block, row_bytes = blocks * info->block_bytes;
    const size_t panel = row / INTERLEAVED_ROWS;
    if (panel == n / INTERLEAVED_ROWS) {
        memcpy(to, (const unsigned char *)from + row * row_bytes, row_bytes);
        return;
    }
    for (size_t b = 0; b < blocks; b++) {
        unsigned char block[256], chunk[256 * INTERLEAVED_ROWS];
        const size_t at = (panel * blocks + b) * INTERLEAVED_ROWS * info->block_bytes;
        memcpy(chunk, (const unsigned char *)from + at, INTERLEAVED_ROWS * info->block_bytes);
        move_block(runs, block, chunk, row % INTERLEAVED_ROWS, true);
        memcpy((unsigned char *)to + b * info->block_bytes, block, info->block_bytes);
    }
}
