/* Products of small tiles held in cache, and packing into them. Included by the variant files after
 * SIMD_WIDTH is defined. Packed rows are whole vectors, zero behind their end. */
#include "kernels/simd.h"

#include <stdbool.h>

/* Accumulators fill the registers: 32 of them with AVX-512, else 16. With `v` vectors across,
 * block_rows[v] rows keep the adders busy and need few enough loads for each product. */
#if SIMD_WIDTH == 16
enum { BLOCK_VECTORS = 4 };
#define BLOCK_ROWS(v) ((v) == 4 ? 6 : 8)
#elif SIMD_WIDTH == 8
enum { BLOCK_VECTORS = 2 };
#define BLOCK_ROWS(v) 6
#else
enum { BLOCK_VECTORS = 2 };
#define BLOCK_ROWS(v) 4
#endif

enum { MOST_BLOCK_ROWS = 14 };

/* A matrix whose element (i, j) is at data[i * row + j * column]. */
struct strided {
    const float *data;
    size_t row, column;
};

/* c (rows, v * W) = a (rows, k) b (k, v * W), added to what is there if `add`; `rows` and v are
 * constants after inlining and the accumulators registers. */
INLINE void block_product(const size_t rows, const size_t v, size_t k, struct strided a,
                          const float *b, size_t ldb, bool add, float *c, size_t ldc)
{
    vf sum[MOST_BLOCK_ROWS][4];
#pragma GCC unroll 14
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < v; j++)
            sum[i][j] = add ? vf_load(c + i * ldc + j * W) : (vf){0};
    for (size_t l = 0; l < k; l++) {
        vf x[4];
#pragma GCC unroll 4
        for (size_t j = 0; j < v; j++)
            x[j] = vf_load(b + l * ldb + j * W);
#pragma GCC unroll 14
        for (size_t i = 0; i < rows; i++) {
            vf y = vf_set(a.data[i * a.row + l * a.column]);
#pragma GCC unroll 4
            for (size_t j = 0; j < v; j++)
                sum[i][j] = vf_fma(y, x[j], sum[i][j]);
        }
    }
#pragma GCC unroll 14
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < v; j++)
            vf_store(c + i * ldc + j * W, sum[i][j]);
}

INLINE void column_product(const size_t v, size_t m, size_t k, struct strided a, const float *b,
                           size_t ldb, bool add, float *c, size_t ldc)
{
    const size_t rows = BLOCK_ROWS(v);
    for (; m >= rows; m -= rows, a.data += rows * a.row, c += rows * ldc)
        block_product(rows, v, k, a, b, ldb, add, c, ldc);
    if (m >= 4) {
        block_product(4, v, k, a, b, ldb, add, c, ldc);
        m -= 4, a.data += 4 * a.row, c += 4 * ldc;
    }
    if (m >= 2) {
        block_product(2, v, k, a, b, ldb, add, c, ldc);
        m -= 2, a.data += 2 * a.row, c += 2 * ldc;
    }
    if (m >= 1)
        block_product(1, v, k, a, b, ldb, add, c, ldc);
}

/* c (m, vectors * W) = a (m, k) b (k, vectors * W), or += if `add`. */
static void tile_product(size_t m, size_t vectors, size_t k, struct strided a, const float *b,
                         size_t ldb, bool add, float *c, size_t ldc)
{
    while (vectors > 0) {
        size_t groups = (vectors + BLOCK_VECTORS - 1) / BLOCK_VECTORS;
        size_t v = (vectors + groups - 1) / groups; /* 5 as 3 and 2, not 4 and 1 */
        switch (v) {
        case 1:
            column_product(1, m, k, a, b, ldb, add, c, ldc);
            break;
        case 2:
            column_product(2, m, k, a, b, ldb, add, c, ldc);
            break;
#if SIMD_WIDTH == 16
        case 3:
            column_product(3, m, k, a, b, ldb, add, c, ldc);
            break;
        default:
            column_product(4, m, k, a, b, ldb, add, c, ldc);
            break;
#endif
        }
        vectors -= v, b += v * W, c += v * W;
    }
}

/* One of the log2(W) steps of a transpose: swaps lane bit and row bit `h`. */
INLINE void transpose_step(vf x[W], const int h)
{
    static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vi lanes, upper_a, upper_b;
    memcpy(&lanes, numbers, sizeof lanes);
    vi bit = (vi)((lanes & h) != 0);
    upper_a = (bit & (W + (lanes ^ h))) | (~bit & lanes);
    upper_b = (bit & (W + lanes)) | (~bit & (lanes | h));
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) {
        if (i & h)
            continue;
        vf a = x[i], b = x[i | h];
        x[i] = vf_shuffle(a, b, upper_a);
        x[i | h] = vf_shuffle(a, b, upper_b);
    }
}

/* A square of W rows. */
INLINE void transpose(vf x[W])
{
#if SIMD_WIDTH == 16
    transpose_step(x, 8);
#endif
#if SIMD_WIDTH >= 8
    transpose_step(x, 4);
#endif
    transpose_step(x, 2);
    transpose_step(x, 1);
}

/* Rows of one head lie far apart, which the hardware's own prefetching does not follow. `at`: the
 * element of an array of f32 or bf16. */
INLINE void prefetch_row(const bool bf16, const void *x, size_t at, size_t n)
{
    const char *bytes = (const char *)x + at * (bf16 ? 2 : 4);
    for (size_t i = 0; i < n * (bf16 ? 2 : 4); i += 64)
        __builtin_prefetch(bytes + i);
}

/* largest[i] = the largest lane of x[i], by halving the number of vectors log2(W) times. */
INLINE void largest_lanes(float *largest, vf x[W])
{
    static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vi lanes;
    memcpy(&lanes, numbers, sizeof lanes);
#pragma GCC unroll 4
    for (int h = W / 2; h > 0; h /= 2) {
        vi bit = (vi)((lanes & h) != 0);
        vi stay = (bit & (W + lanes)) | (~bit & lanes);
        vi swap = (bit & (W + (lanes ^ h))) | (~bit & (lanes | h));
#pragma GCC unroll 8
        for (int i = 0; i < h; i++)
            x[i] = vf_max(vf_shuffle(x[i], x[i + h], stay), vf_shuffle(x[i], x[i + h], swap));
    }
    vf_store(largest, x[0]);
}

/* n rows of d elements in an array of f32 or bf16 that is shared with others: the first at element
 * `at`, the next `stride` elements further. */
struct rows {
    const void *data;
    size_t at, stride, n, d;
};

/* to (d, ld) = from (n, d) transposed; columns from n up to the next whole vector become 0. */
INLINE void pack_transposed(const bool bf16, float *to, size_t ld, struct rows from)
{
    for (size_t j = 0; j < from.n; j += W) {
        for (size_t i = 0; i < from.d; i += W) {
            vf x[W];
            size_t width = from.d - i < W ? from.d - i : W, height = from.n - j < W ? from.n - j : W;
            size_t at = from.at + j * from.stride + i;
            if (width == W && height == W) {
#pragma GCC unroll 16
                for (size_t r = 0; r < W; r++)
                    x[r] = vf_load_as(bf16, from.data, at + r * from.stride);
            } else {
                for (size_t r = 0; r < W; r++)
                    x[r] = r < height ? vf_load_n_as(bf16, from.data, at + r * from.stride,
                                                     width & (W - 1))
                                      : (vf){0};
                for (size_t r = 0; width == W && r < height; r++)
                    x[r] = vf_load_as(bf16, from.data, at + r * from.stride);
            }
            transpose(x);
            for (size_t r = 0; r < width; r++)
                vf_store(to + (i + r) * ld + j, x[r]);
        }
    }
}

enum { AHEAD = 8 }; /* rows to fetch early */

/* to (n, d rounded up to whole vectors) = from (n, d) * factor. */
INLINE void pack_rows(const bool bf16, float *to, struct rows from, float factor)
{
    size_t d = from.d, ld = (d + W - 1) / W * W;
    for (size_t r = 0; r < from.n; r++) {
        size_t i = 0, at = from.at + r * from.stride;
        if (r + AHEAD < from.n)
            prefetch_row(bf16, from.data, at + AHEAD * from.stride, d);
        for (; i + W <= d; i += W)
            vf_store(to + r * ld + i, vf_load_as(bf16, from.data, at + i) * factor);
        if (i < d)
            vf_store(to + r * ld + i, vf_load_n_as(bf16, from.data, at + i, d - i) * factor);
    }
}

/* Row (d) at element `at` of an array = from (d) * factor. */
INLINE void unpack_row(const bool bf16, void *to, size_t at, const float *from, size_t d,
                       float factor)
{
    size_t i = 0;
    for (; i + W <= d; i += W)
        vf_store_as(bf16, to, at + i, vf_load(from + i) * factor);
    if (i < d)
        vf_store_n_as(bf16, to, at + i, vf_load(from + i) * factor, d - i);
}

/* to (n, d) += from (n, d rounded up). */
static void add_rows(float *to, size_t stride, const float *from, size_t n, size_t d)
{
    size_t ld = (d + W - 1) / W * W;
    for (size_t r = 0; r < n; r++) {
        float *row = to + r * stride;
        const float *x = from + r * ld;
        size_t i = 0;
        for (; i + W <= d; i += W)
            vf_store(row + i, vf_load(row + i) + vf_load(x + i));
        if (i < d)
            vf_store_n(row + i, vf_load_n(row + i, d - i) + vf_load(x + i), d - i);
    }
}
