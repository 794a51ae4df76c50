/* The largest singular values of a matrix that is stored in any type. Private to lora/. */
#ifndef LINNET_LORA_SVD_H
#define LINNET_LORA_SVD_H

#include "model/param.h"

#include <stdint.h>

/* Rows of the matrix; several stand one above another. */
struct svd_part {
    struct matrix matrix; /* not interleaved (CHECK) */
    size_t rows;
};

/* sigma (k), the largest first, u (k, m) and v (k, cols), whose rows are the singular vectors: matrix ~ sum of
 * sigma_i u_i v_i^T; m is the rows of all parts, k <= min(m, cols). By subspace iteration from random vectors with
 * more of them than asked for (Halko, Martinsson and Tropp, 2011, arXiv:0909.4061, algorithm 4.4): exact to rounding where
 * the spectrum falls, and where k is near min(m, cols); elsewhere what is kept of the matrix is within some 1e-3 of the
 * most. Vectors of singular values that are 0 are 0. */
void svd_largest(const struct svd_part *parts, size_t n_parts, size_t cols, size_t k, uint64_t seed, float *sigma,
                 float *u, float *v);

/* Eigenvalues (n), the largest first, of the symmetric matrix a (n, n), which is overwritten, and as rows of
 * `vectors` (n, n) what belongs to them. Jacobi's rotations. */
void symmetric_eigen(double *a, size_t n, double *values, double *vectors);

#endif
