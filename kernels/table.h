/* The loops that depend on the instruction set, one table of them per kernel level. Bodies are
 * written once (the files named *_body.h, on kernels/simd.h) and compiled for each level.
 *
 * All run on the calling thread and allow any n; vectors need no alignment. */
#ifndef LINNET_KERNELS_TABLE_H
#define LINNET_KERNELS_TABLE_H

#include "kernels/attention.h"
#include "kernels/update.h"

#include <stddef.h>
#include <stdint.h>

/* Where attention's work is split, and everything one piece needs; see attention.c. */
struct attention_forward_job {
    const struct attention_shape *shape;
    float *out, *lse;
    const float *q, *k, *v;
    const int32_t *first_key;
};
struct attention_backward_job {
    const struct attention_shape *shape;
    float *dq, *dk, *dv, *delta;
    const float *dout, *out, *lse, *q, *k, *v;
    const int32_t *first_key;
};

struct kernel_table {
    float (*dot)(const float *x, const float *y, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y += a x */
    void (*scale)(float *x, float a, size_t n);                /* x *= a */
    float (*max)(const float *x, size_t n);                    /* -infinity when n is 0 */
    /* y = e^x within 2 ulp, y may be x: 0 below -104, infinity above 88.73, NaN stays. */
    void (*exp)(float *y, const float *x, size_t n);
    /* sum of e^(x - shift); the terms go to y (may be x) unless y is NULL. */
    double (*exp_sum)(float *y, const float *x, float shift, size_t n);

    void (*swiglu_forward)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                            const float *up, size_t n);
    /* As residual_add and its backward for the elements from <= i < to; dropped where the 53-bit
     * hash is below `below`. */
    void (*dropout_add)(float *x, const float *y, uint64_t below, float scale, uint64_t seed,
                        size_t from, size_t to);
    void (*dropout_backward)(float *dy, const float *dx, uint64_t below, float scale, uint64_t seed,
                             size_t from, size_t to);

    /* See kernels/update.h. */
    void (*adamw)(float *w, float *gradient, float *m, float *v, size_t n,
                  const struct adamw_step *step);
    double (*sum_of_squares)(const float *x, size_t n);

    /* One row of c; returns rstd. */
    float (*rmsnorm_forward)(float *y, const float *x, const float *w, float eps, size_t c);
    /* One row of c; dw += this row's part, skipped when NULL. */
    void (*rmsnorm_backward)(float *dx, float *dw, const float *dy, const float *x, float rstd,
                             const float *w, size_t c);

    /* Rotates `half` pairs of one head, (i, i + half) or (2i, 2i + 1), by `sign` times the angle.
     */
    void (*rotate_half)(float *x, const float *cosine, const float *sine, float sign, size_t half);
    void (*rotate_interleaved)(float *x, const float *cosine, const float *sine, float sign,
                               size_t half);

    /* Columns from <= j < to of c (m, n) = a (m, k) b^T + beta c, b (n, k), for few rows of a: b is
     * read once, at the speed of memory. */
    size_t few_rows; /* up to this many rows of a it beats OpenBLAS, which packs b first */
    void (*product_few_rows)(size_t m, size_t from, size_t to, size_t k, const float *a, size_t lda,
                             const float *b, size_t ldb, float beta, float *c, size_t ldc);

    /* Queries [from, to) of batch row b, of the heads that share key/value head g. Scratch:
     * attention_forward_scratch floats. */
    void (*attention_forward)(const struct attention_forward_job *job, size_t b, size_t g,
                              size_t from, size_t to, float *scratch);
    size_t (*attention_forward_scratch)(const struct attention_shape *shape, size_t n_queries);
    /* Everything of batch row b and key/value head g. */
    void (*attention_backward)(const struct attention_backward_job *job, size_t b, size_t g,
                               float *scratch);
    size_t (*attention_backward_scratch)(const struct attention_shape *shape);
};

/* The table of cpu_level(). */
const struct kernel_table *kernel_table(void);

extern const struct kernel_table kernel_table_ref, kernel_table_avx2, kernel_table_avx512;

#endif
