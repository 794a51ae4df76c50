/* How the optimiser's moments are stored: f32, bf16, or 8 bits with a scale for each block.
 *
 * 8 bits (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021): blocks of 256 elements in the order of
 * memory, the last one short; each has an f32 scale, and a code is a share of it. Codes are dynamic: leading zeros
 * count decades, a one ends them, and the f bits behind it divide their decade evenly,
 *
 *   0 .. 0 1 k   with e zeros:  10^-e (0.1 + 0.9 k / 2^f),   and all zeros: 0
 *
 * so that magnitudes down to a ten-millionth are told apart, large ones to a hundredth. The largest code times the
 * scale is the block's largest magnitude. The first moment has a sign and 7 such bits. The second has 8, which hold its
 * square root: their range is then that of gradients, not of squares. A second moment that is not 0 never becomes 0,
 * which would let the update go without bounds: its root is at least as large a share as the first moment's smallest.
 *
 * Decades meet where one ends and the next begins (the paper places codes in the middles of the steps instead),
 * so that the code is a concave function of the magnitude, the least of as many straight lines as there are decades. */
#ifndef LINNET_KERNELS_MOMENTS_H
#define LINNET_KERNELS_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum moment_type { MOMENT_F32, MOMENT_BF16, MOMENT_8BIT };
enum moment_order { MOMENT_FIRST, MOMENT_SECOND };

enum { MOMENT_BLOCK = 256 };

/* One moment of a parameter. */
struct moment {
    enum moment_type type;
    void *data;   /* f32, the uint16_t of bf16's bits, or the uint8_t of codes */
    float *scale; /* moment_blocks of them where type is MOMENT_8BIT: 0 for a block of zeros, else positive, finite */
};

size_t moment_blocks(size_t n);                 /* of n elements */
size_t moment_element_bytes(enum moment_type type); /* of data */

/* All n elements of m to f32, or from f32, rounded to nearest. Magnitudes beyond what 8 bits can hold (3e38, and second
 * moments of 3.2e38) become that. */
void moment_to_f32(const struct moment *m, enum moment_order order, float *to, size_t n);
void moment_from_f32(const struct moment *m, enum moment_order order, const float *from, size_t n);

/* Of type 8BIT, the block that begins with element `at`, which has n elements; `to` and `from` have MOMENT_BLOCK of
 * them, zeros behind the nth. noise: number of the block's first element in what rounding up or down at random goes
 * by, in proportion, so that means are exact (of the second moment too, not of its root); NULL: to nearest. */
void moment_read_block(const struct moment *m, enum moment_order order, size_t at, size_t n, float *to);
void moment_write_block(const struct moment *m, enum moment_order order, size_t at, size_t n, const float *from,
                        const uint32_t *noise);

/* What the loops of kernels/moments_body.h go by. */
enum { MOMENT_LEAST = 2 }; /* code of a second moment that is not 0 */
#define MOMENT_LINES(square) ((square) ? 9 : 8)
struct moment_code {
    bool square;         /* codes are of square roots, and values of their squares */
    float values[256];   /* of each code, as a share of the scale */
    float largest;       /* code without a sign */
    float inverse_top;   /* 1 / its value */
    float most;          /* larger magnitudes (roots) are cut to it */
    struct moment_line {
        float slope, offset; /* code = slope * share + offset */
    } lines[MOMENT_LINES(true)];
};
const struct moment_code *moment_code(enum moment_order order);

#endif
