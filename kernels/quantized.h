/* Products with weights in blocks of few bits, in integers: activations are rounded to 8 bits, blocks are
 * unpacked to bytes, and their products summed exactly within a group of 16 or 32; scales meet them in f32.
 *
 * llama.cpp multiplies the same way (ggml's vec_dot of q8_0 and q8_K). Here activations have a scale for every 32
 * of them whatever the weights are, so that the rounding is the same or finer. The error of an element is at most
 * half of 1/127 of the largest activation among its 32. */
#ifndef LINNET_KERNELS_QUANTIZED_H
#define LINNET_KERNELS_QUANTIZED_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether the type lies in blocks. */
bool quantized_supports(enum dtype type);

/* c (m, n) = a (m, k) b^T; a and c in f32 or bf16, b (n, k) in blocks along k, its rows ldb elements apart (a number of
 * whole blocks; read to the end of the last block that a row has a part in). A row of a that has an infinity or
 * a NaN gives NaN. Results do not depend on the number of threads or of rows: a row of c is the same whatever
 * rows are computed with it, except that few rows (see quantized.c) sum in another order than many. */
void quantized_product(size_t m, size_t n, size_t k, enum dtype a_type, const void *a, size_t lda, enum dtype b_type,
                       const void *b, size_t ldb, enum dtype c_type, void *c, size_t ldc);

/* Bytes of scratch memory that it keeps, but for what each thread takes. */
size_t quantized_product_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type);

/* The same with b interleaved (kernels/interleave.h), where that pays, a and c in f32; k whole blocks, rows side by side. */
void quantized_product_interleaved(size_t m, size_t n, size_t k, const float *a, size_t lda, enum dtype b_type,
                                   const void *b, float *c, size_t ldc);

#endif
