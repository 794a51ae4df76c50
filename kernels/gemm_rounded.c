/* bf16 rows times stored weights that are not bf16, on processors that multiply bf16 fast: so many columns of the result
 * at a time, the weights for them are rounded to bf16, so that no matrix is ever there as a whole, and oneDNN
 * multiplies. */
#include "kernels/gemm_paths.h"

#include "base/check.h"
#include "kernels/scratch.h"

/* A strip: large enough for oneDNN's own blocks, small beside the model. Columns begin at whole blocks of every type. */
enum { STRIP_ELEMENTS = 8 << 20, STRIP_UNIT = 256, PIECE = 2048 };

static size_t strip_columns(size_t n, size_t k)
{
    size_t most = STRIP_ELEMENTS / (k ? k : 1) / STRIP_UNIT * STRIP_UNIT;
    if (most < STRIP_UNIT)
        most = STRIP_UNIT;
    return most < n ? most : n;
}

/* Elements [from, from + n) of a stored row, of which `from` begins a block; the last block may go on beyond them. */
static void round_row(enum dtype type, const char *row, size_t from, size_t n, uint16_t *to)
{
    const struct dtype_info *info = dtype_info(type);
    float wide[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t count = n - at < PIECE ? n - at : PIECE;
        size_t whole = (count + info->block - 1) / info->block * info->block;
        CHECK(whole <= PIECE);
        CHECK(dtype_to_f32(type, row + (from + at) / info->block * info->block_bytes, wide, whole));
        bf16_from_f32(wide, to + at, count);
    }
}

void gemm_rounded(bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a, size_t lda, enum dtype b_type,
                  const void *b, size_t ldb, float beta, enum dtype c_type, void *c, size_t ldc)
{
    const struct dtype_info *info = dtype_info(b_type);
    size_t strip = strip_columns(n, k), c_bytes = dtype_info(c_type)->block_bytes;
    size_t row_bytes = ldb / info->block * info->block_bytes;
    CHECK(STRIP_UNIT % info->block == 0 && PIECE % info->block == 0);
    uint16_t *rounded = scratch_shared(strip * k * sizeof *rounded);
    for (size_t from = 0; from < n; from += strip) {
        size_t columns = n - from < strip ? n - from : strip;
        size_t rows = transpose_b ? columns : k, length = transpose_b ? k : columns;
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < rows; r++)
            round_row(b_type, (const char *)b + (transpose_b ? from + r : r) * row_bytes, transpose_b ? 0 : from,
                      length, rounded + r * length);
        gemm_onednn(false, transpose_b, m, columns, k, a, lda, rounded, length, beta, c_type,
                    (char *)c + from * c_bytes, ldc);
    }
}

bool gemm_can_round(bool transpose_a, size_t m, size_t n, size_t k, enum dtype b_type)
{
    enum { WORTH_ROWS = 16, WORTH = 65536 }; /* fewer rows cost less than rounding the weights */
    return !transpose_a && m >= WORTH_ROWS && n * k >= WORTH && b_type != DTYPE_F32;
}

size_t gemm_rounded_bytes(size_t n, size_t k)
{
    return strip_columns(n, k) * k * sizeof(uint16_t);
}
