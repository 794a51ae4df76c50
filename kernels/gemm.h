/* Dense matrix products, row-major, of f32, bf16 and stored weights of any type. Sums are always f32. */
#ifndef LINNET_KERNELS_GEMM_H
#define LINNET_KERNELS_GEMM_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

/* Threads for this library and the BLAS library together; call once at start. */
void kernels_set_threads(int threads);
int kernels_threads(void);

/* c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, op being the transpose when the flag is set.
 * ld*: elements between the starts of consecutive stored rows. a is f32 or bf16; b anything that dtype_to_f32
 * reads, blocks lying along its stored rows, so that ldb is a number of whole blocks (read to the end of the
 * last one that a row has a part in); c is f32, or bf16 if a is bf16. Numbers of plain types lie at multiples of
 * their size, blocks at even addresses. c overlaps neither a nor b, and is not read when beta is 0. */
void gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, enum dtype a_type,
          const void *a, size_t lda, enum dtype b_type, const void *b, size_t ldb, float beta,
          enum dtype c_type, void *c, size_t ldc);

/* All three in f32. */
void gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* Memory that such a product keeps for the next one: packed panels, or widened rows, which all products
 * share. */
size_t gemm_scratch_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type);

/* Whether the processor multiplies bf16 itself (AVX512-BF16 or AMX), faster than f32; measured once. On others
 * bf16 is widened to f32 on its way: as fast as f32, and half the memory. */
bool gemm_bf16_is_native(void);

#endif
