/* Chooses how to multiply. The only includer of cblas.h. */
#include "kernels/gemm_paths.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/profile.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>

void kernels_set_threads(int threads)
{
    CHECK(threads >= 1);
    omp_set_num_threads(threads);
    openblas_set_num_threads(threads);
}

int kernels_threads(void)
{
    return omp_get_max_threads();
}

/* Decoding: few rows times a weight matrix, which is read once and in order. Measured on two Zen 5
 * cores, 8192 x 3072: one row at 60 GB/s (the memory's speed) where OpenBLAS reads 24 GB/s; 1024 x
 * 1024, 16 rows: 370 GFLOP/s against 130. Small products OpenBLAS does well on one thread. */
enum { FEW_ROWS_WORTH = 65536 }; /* elements of b */

enum { WIDE_ROWS = 4 }; /* rows of b that are widened at a time, where they are not read as they lie */

static size_t widened_length(size_t k, enum dtype type)
{
    size_t block = dtype_info(type)->block;
    return (k + block - 1) / block * block;
}

/* Columns [from, to) of c through rows of b in f32. */
static void few_rows_widened(size_t m, size_t from, size_t to, size_t k, const float *a, size_t lda,
                             enum dtype b_type, const void *b, size_t ldb, float beta, float *c,
                             size_t ldc)
{
    const struct dtype_info *info = dtype_info(b_type);
    size_t length = widened_length(k, b_type);
    float *wide = scratch_floats(WIDE_ROWS * length);
    for (size_t j = from; j < to; j += WIDE_ROWS) {
        size_t n = to - j < WIDE_ROWS ? to - j : WIDE_ROWS;
        for (size_t r = 0; r < n; r++) {
            const char *row = (const char *)b + (j + r) * ldb / info->block * info->block_bytes;
            CHECK(dtype_to_f32(b_type, row, wide + r * length, length));
        }
        kernel_table()->product_few_rows(m, 0, n, k, a, lda, DTYPE_F32, wide, length, beta, c + j,
                                         ldc);
    }
}

static void product_few_rows(size_t m, size_t n, size_t k, const float *a, size_t lda,
                             enum dtype b_type, const void *b, size_t ldb, float beta, float *c,
                             size_t ldc)
{
    enum { PIECE = 16 }; /* one cache line of a row of c */
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (m * n * k > 2 * FEW_ROWS_WORTH)
    for (size_t from = 0; from < n; from += PIECE) {
        size_t to = from + PIECE < n ? from + PIECE : n;
        if (gemm_reads(b_type))
            table->product_few_rows(m, from, to, k, a, lda, b_type, b, ldb, beta, c, ldc);
        else
            few_rows_widened(m, from, to, k, a, lda, b_type, b, ldb, beta, c, ldc);
    }
}

static bool are_few_rows(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k)
{
    return transpose_b && !transpose_a && n * k >= FEW_ROWS_WORTH && m <= kernel_table()->few_rows;
}

static void product_blas(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k,
                         const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                         size_t ldc)
{
    CHECK(m <= INT_MAX && n <= INT_MAX && k <= INT_MAX);
    CHECK(lda <= INT_MAX && ldb <= INT_MAX && ldc <= INT_MAX);
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1.0f, a, (int)lda, b,
                (int)ldb, beta, c, (int)ldc);
}

/* Our own panels where there are vectors to speak of: they are as fast as OpenBLAS where that knows the
 * processor, and up to five times as fast where it does not (OpenBLAS 0.3.21 takes an Emerald Rapids for a
 * Prescott). Elsewhere OpenBLAS, which has code for other families of processors. */
static bool has_vectors(void)
{
    return cpu_level() >= CPU_AVX2;
}

/* What a, b and c may be together: see the header. */
static void check_types(enum dtype a, enum dtype b, size_t ldb, enum dtype c)
{
    const struct dtype_info *info = dtype_info(b);
    CHECK(a == DTYPE_F32 || a == DTYPE_BF16);
    CHECK(c == DTYPE_F32 || (c == DTYPE_BF16 && a == DTYPE_BF16));
    CHECK(info && ldb % info->block == 0);
}

void gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, enum dtype a_type,
          const void *a, size_t lda, enum dtype b_type, const void *b, size_t ldb, float beta,
          enum dtype c_type, void *c, size_t ldc)
{
    bool both_bf16 = a_type == DTYPE_BF16 && b_type == DTYPE_BF16;
    bool both_f32 = a_type == DTYPE_F32 && b_type == DTYPE_F32;
    check_types(a_type, b_type, ldb, c_type);
    if (m == 0 || n == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_PRODUCTS);
    if (both_bf16 && k > 0 && gemm_bf16_is_native())
        gemm_onednn(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c_type, c, ldc);
    else if (a_type == DTYPE_BF16 && gemm_bf16_is_native() &&
             gemm_can_round(transpose_a, m, n, k, b_type))
        gemm_rounded(transpose_b, m, n, k, a, lda, b_type, b, ldb, beta, c_type, c, ldc);
    else if (a_type == DTYPE_F32 && are_few_rows(transpose_a, transpose_b, m, n, k))
        product_few_rows(m, n, k, a, lda, b_type, b, ldb, beta, c, ldc);
    else if (both_f32 && !has_vectors())
        product_blas(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    else
        gemm_packed(transpose_a, transpose_b, m, n, k, a_type, a, lda, b_type, b, ldb, beta, c_type,
                    c, ldc);
    profile_leave(outer);
}

void gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    gemm(transpose_a, transpose_b, m, n, k, DTYPE_F32, a, lda, DTYPE_F32, b, ldb, beta, DTYPE_F32, c,
         ldc);
}

size_t gemm_scratch_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type)
{
    size_t packed = gemm_packed_bytes(m, n, k, b_type, c_type);
    if (gemm_reads(b_type))
        return packed;
    if (gemm_bf16_is_native() && gemm_can_round(false, m, n, k, b_type))
        packed = gemm_rounded_bytes(n, k);
    size_t few = WIDE_ROWS * widened_length(k, b_type) * sizeof(float) * (size_t)kernels_threads();
    return packed > few ? packed : few;
}
