/* Chooses how to multiply. The only includer of cblas.h. */
#include "kernels/gemm_paths.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/profile.h"
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

static void product_few_rows(size_t m, size_t n, size_t k, const float *a, size_t lda,
                             const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    enum { PIECE = 16 }; /* one cache line of a row of c */
    const struct kernel_table *table = kernel_table();
#pragma omp parallel for schedule(static) if (m * n * k > 2 * FEW_ROWS_WORTH)
    for (size_t from = 0; from < n; from += PIECE)
        table->product_few_rows(m, from, from + PIECE < n ? from + PIECE : n, k, a, lda, b, ldb,
                                beta, c, ldc);
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

void gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, enum dtype type,
          const void *a, size_t lda, const void *b, size_t ldb, float beta, enum dtype c_type,
          void *c, size_t ldc)
{
    CHECK(type == DTYPE_F32 || type == DTYPE_BF16);
    CHECK(c_type == DTYPE_F32 || (c_type == DTYPE_BF16 && type == DTYPE_BF16));
    if (m == 0 || n == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_PRODUCTS);
    if (type == DTYPE_BF16 && k > 0 && gemm_bf16_is_native())
        gemm_onednn(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c_type, c, ldc);
    else if (type == DTYPE_F32 && transpose_b && !transpose_a && n * k >= FEW_ROWS_WORTH &&
             m <= kernel_table()->few_rows)
        product_few_rows(m, n, k, a, lda, b, ldb, beta, c, ldc);
    else if (type == DTYPE_F32 && !has_vectors())
        product_blas(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    else
        gemm_packed(transpose_a, transpose_b, m, n, k, type, a, lda, b, ldb, beta, c_type, c, ldc);
    profile_leave(outer);
}

void gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    gemm(transpose_a, transpose_b, m, n, k, DTYPE_F32, a, lda, b, ldb, beta, DTYPE_F32, c, ldc);
}
