/* Dense matrix products. The only includer of cblas.h. All matrices row-major. */
#ifndef LINNET_KERNELS_GEMM_H
#define LINNET_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* Threads for this library and the BLAS library together; call once at start. */
void kernels_set_threads(int threads);
int kernels_threads(void);

/* c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, op being the transpose when the flag is set.
 * ld*: elements between the starts of consecutive stored rows. c overlaps neither a nor b. */
void gemm_f32(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
