#include "kernels/moments.h"

#include "base/check.h"
#include "kernels/dtype.h"
#include "kernels/table.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct moment_code codes[2];

/* Codes of `bits` bits: with e leading zeros, f = bits - 1 - e, they are 2^f + k and stand for
 * 10^-e (0.1 + 0.9 k / 2^f). */
static void make_code(struct moment_code *code, int bits)
{
    double slope = 0;
    for (int e = 0; e < bits; e++) {
        double decade = pow(10, -e), steps = ldexp(1, bits - 1 - e);
        slope = steps / (0.9 * decade);
        for (int k = 0; k < (int)steps; k++)
            code->values[(int)steps + k] = (float)(decade * 0.1 + k / slope);
        code->lines[e] = (struct moment_line){(float)slope, (float)(steps * 8 / 9)};
    }
    code->lines[bits] = (struct moment_line){(float)(10 * pow(10, bits - 1)), 0}; /* between 0 and code 1 */
    code->largest = ldexpf(1, bits) - 1;
    code->inverse_top = 1 / code->values[(int)code->largest];
}

static void make_codes(void)
{
    struct moment_code *first = &codes[MOMENT_FIRST], *second = &codes[MOMENT_SECOND];
    make_code(first, 7);
    for (int q = 0; q < 128; q++)
        first->values[128 + q] = -first->values[q];
    first->most = 3e38f;
    make_code(second, 8);
    second->square = true;
    second->most = 1.8e19f;
}

const struct moment_code *moment_code(enum moment_order order)
{
    CHECK(pthread_once(&once, make_codes) == 0);
    return &codes[order];
}

size_t moment_blocks(size_t n)
{
    return n / MOMENT_BLOCK + (n % MOMENT_BLOCK != 0);
}

size_t moment_element_bytes(enum moment_type type)
{
    static const size_t bytes[] = {[MOMENT_F32] = 4, [MOMENT_BF16] = 2, [MOMENT_8BIT] = 1};
    return bytes[type];
}

void moment_read_block(const struct moment *m, enum moment_order order, size_t at, size_t n, float *to)
{
    const uint8_t *from = (const uint8_t *)m->data + at;
    uint8_t padded[MOMENT_BLOCK] = {0};
    if (n < MOMENT_BLOCK)
        from = memcpy(padded, from, n);
    kernel_table()->moment_decode(to, from, m->scale[at / MOMENT_BLOCK], moment_code(order));
}

void moment_write_block(const struct moment *m, enum moment_order order, size_t at, size_t n, const float *from,
                        const uint32_t *noise)
{
    uint8_t *to = (uint8_t *)m->data + at, padded[MOMENT_BLOCK];
    struct moment_rounding r = {.code = moment_code(order), .nearest = !noise, .noise = noise ? *noise : 0,
                                .shift = order == MOMENT_FIRST ? 0 : 16};
    m->scale[at / MOMENT_BLOCK] = kernel_table()->moment_encode(n < MOMENT_BLOCK ? padded : to, from, &r);
    if (n < MOMENT_BLOCK)
        memcpy(to, padded, n);
}

static size_t block_size(size_t n, size_t at)
{
    return n - at < MOMENT_BLOCK ? n - at : MOMENT_BLOCK;
}

void moment_to_f32(const struct moment *m, enum moment_order order, float *to, size_t n)
{
    if (m->type == MOMENT_F32)
        memcpy(to, m->data, n * sizeof *to);
    if (m->type == MOMENT_BF16)
        f32_from_bf16(m->data, to, n);
    for (size_t at = 0; m->type == MOMENT_8BIT && at < n; at += MOMENT_BLOCK) {
        float block[MOMENT_BLOCK];
        size_t size = block_size(n, at);
        moment_read_block(m, order, at, size, block);
        memcpy(to + at, block, size * sizeof *to);
    }
}

void moment_from_f32(const struct moment *m, enum moment_order order, const float *from, size_t n)
{
    if (m->type == MOMENT_F32)
        memcpy(m->data, from, n * sizeof *from);
    if (m->type == MOMENT_BF16)
        bf16_from_f32(from, m->data, n);
    for (size_t at = 0; m->type == MOMENT_8BIT && at < n; at += MOMENT_BLOCK) {
        float block[MOMENT_BLOCK] = {0};
        size_t size = block_size(n, at);
        memcpy(block, from + at, size * sizeof *from);
        moment_write_block(m, order, at, size, block, NULL);
    }
}
