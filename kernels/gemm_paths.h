/* The ways to a matrix product, between which kernels/gemm.c chooses. Arguments as in kernels/gemm.h. */
#ifndef LINNET_KERNELS_GEMM_PATHS_H
#define LINNET_KERNELS_GEMM_PATHS_H

#include "kernels/gemm.h"

/* Whether loops read the type where it lies. Others are widened to f32, some whole blocks at a time, before. */
static inline bool gemm_reads(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_BF16 || type == DTYPE_F16;
}

/* From packed panels, in f32. The same bits for every number of threads. */
void gemm_packed(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k,
                 enum dtype a_type, const void *a, size_t lda, enum dtype b_type, const void *b,
                 size_t ldb, float beta, enum dtype c_type, void *c, size_t ldc);
/* Bytes of its panels. */
size_t gemm_packed_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type);

/* bf16 through oneDNN. */
void gemm_onednn(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a,
                 size_t lda, const uint16_t *b, size_t ldb, float beta, enum dtype c_type, void *c,
                 size_t ldc);
/* a is bf16 and not transposed, b of another type. Rounds b to bf16 a strip at a time. */
void gemm_rounded(bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a, size_t lda, enum dtype b_type,
                  const void *b, size_t ldb, float beta, enum dtype c_type, void *c, size_t ldc);
/* Whether it may be called, and pays where bf16 is fast. */
bool gemm_can_round(bool transpose_a, size_t m, size_t n, size_t k, enum dtype b_type);
/* Bytes of such a strip. */
size_t gemm_rounded_bytes(size_t n, size_t k);
/* Whether it may be called: built with oneDNN, which has code for this processor, be it slow. */
bool gemm_onednn_works(void);

#endif
