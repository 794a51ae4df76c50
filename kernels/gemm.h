/* Dense matrix products, row-major: f32 through OpenBLAS, bf16 through oneDNN. */
#ifndef LINNET_KERNELS_GEMM_H
#define LINNET_KERNELS_GEMM_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

/* Threads for this library and the BLAS library together; call once at start. */
void kernels_set_threads(int threads);
int kernels_threads(void);

/* c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, op being the transpose when the flag is set.
 * ld*: elements between the starts of consecutive stored rows. c overlaps neither a nor b. */
void gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* Whether gemm_bf16 may be called: built with oneDNN, which has code for this processor. */
bool gemm_bf16_works(void);
/* Whether it is faster than f32 too: the processor multiplies bf16 itself (AVX512-BF16 or AMX). On others
 * it is slower by far. */
bool gemm_bf16_is_native(void);

/* The same for a and b in bf16, products and sums in f32; c of c_type, f32 or bf16. */
void gemm_bf16(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a,
               size_t lda, const uint16_t *b, size_t ldb, float beta, enum dtype c_type, void *c,
               size_t ldc);

/* Either, by the type of a and b; c is f32 when they are. */
void gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, enum dtype type,
          const void *a, size_t lda, const void *b, size_t ldb, float beta, enum dtype c_type,
          void *c, size_t ldc);

#endif
