/* The loops that depend on the instruction set, one table of them per kernel level. Bodies are
 * written once (the files named *_body.h, on kernels/simd.h) and compiled for each level.
 *
 * All run on the calling thread and allow any n; vectors need no alignment. */
#ifndef LINNET_KERNELS_TABLE_H
#define LINNET_KERNELS_TABLE_H

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/dtype.h"
#include "kernels/moments.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "kernels/soft_targets.h"
#include "kernels/update.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where attention's work is split, and everything one piece needs; see attention.c. A piece: queries [from, to) of
 * batch row b and of the heads that share key/value head g, and what they see of the keys [key, key_end). */
struct attention_piece {
    size_t b, g, from, to, key, key_end;
    /* NULL: that is all they see, and the output is written. Else the output is merged from several pieces, of which
     * each leaves (2 + head_dim) floats a query, head by head: the largest score (in base 2), and under it the sum
     * of p and of p times values. */
    float *share;
};
struct attention_backward_job {
    const struct attention_shape *shape;
    float *dq, *dk;
    void *dv;
    float *delta;
    const void *dout, *out;
    const float *lse;
    const void *q, *k, *v;
    const int32_t *first_key, *hidden_keys;
};

/* Which elements of a branch are dropped: those whose 53-bit hash is below `below` (0: none); the others are
 * multiplied by `scale`. */
struct dropout {
    uint64_t below, seed;
    float scale;
};

/* One row of a norm (kernels/norm.h): c elements from `at` on, of x, of `to` (y, or dx) and of dy; the others
 * are this row's own. */
struct norm_row {
    const void *x;
    void *to;
    enum dtype x_type, to_type;
    enum norm_kind kind;
    const float *weight, *bias; /* bias in the forward pass only, NULL: none */
    float offset, eps, mean, rstd;
    size_t at, c;
    bool accumulate;
    const float *dy;
    float *dweight, *dbias; /* += this row's part; NULL: not wanted */
};

/* One head of one position: its first element in both arrays, and the angles of its pairs. */
struct rotation {
    void *to;
    const void *from;
    enum dtype to_type, from_type; /* to_type f32 only from f32 */
    enum rope_style style;
    size_t at, half, head_dim;
    const float *cosine, *sine; /* (half) */
};

/* n elements of what the optimiser updates; w is NULL where the weights are halves. */
struct update_row {
    float *w;
    uint16_t *high, *low;
    const void *gradient;
    void *m, *v;
    enum dtype gradient_type;
    enum moment_type moment_type; /* f32 or bf16 */
    uint32_t noise; /* the first element's number */
    size_t n;
};

/* How a block of moments is rounded to 8 bits. */
struct moment_rounding {
    const struct moment_code *code;
    bool nearest;   /* else at random, by 16 bits of a hash of `noise` (the first element's) from bit `shift` on */
    uint32_t noise;
    int shift;
};

/* What a panel of a product is packed from: n rows of a (columns of b) from `first` on, k terms; zeros up to
 * the panel's width. */
struct panel_source {
    const void *data;
    enum dtype type;   /* f32, bf16 or f16 */
    bool side_by_side; /* element (i, l) at l * ld + i, else at i * ld + l */
    size_t ld, first, n, k;
};
/* Where the product of two panels goes: c = sum + beta c at `at` of an array. */
struct panel_target {
    void *data;
    enum dtype type; /* f32 or bf16 */
    size_t at, ld, rows, columns;
    float beta;
};

/* A distribution over outcomes: log-probability (x - shift) * scale - log_sum, probability e * factor. */
struct soft_side {
    const float *x, *e;
    float shift, scale, log_sum, factor;
};
/* A divergence of two (kernels/soft_targets.h). */
struct soft_outcomes {
    enum divergence_kind kind;
    float beta;
    struct soft_side student, teacher;
    float *gradient; /* (n) with respect to the student's log-probabilities, each by itself; may be an e; NULL: none */
    size_t n;
    /* what comes out: */
    double sum, slope; /* the divergence, and the sum of the gradient */
    float top;         /* the student's largest x where the teacher's is its shift */
};
/* A part of a row of gradients: y = (alpha x + beta z) of `type`, and times 1 - (capped / cap)^2 where capped is not
 * NULL. z may be NULL. x, z and capped may be y, or in bf16 begin no earlier. */
struct soft_blend {
    void *y;
    enum dtype type; /* f32 or bf16 */
    const float *x, *z, *capped;
    float alpha, beta, cap;
    size_t n;
};

struct kernel_table {
    float (*dot)(const float *x, const float *y, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y += a x */
    void (*scale)(float *x, float a, size_t n);                /* x *= a */
    void (*scale_to_bf16)(uint16_t *y, const float *x, float a, size_t n); /* y = x a, rounded */
    float (*max)(const float *x, size_t n);                    /* -infinity when n is 0 */
    /* y = e^x within 2 ulp, y may be x: 0 below -104, infinity above 88.73, NaN stays. */
    void (*exp)(float *y, const float *x, size_t n);
    /* x = c tanh((x + b) scale / c), c being the cap; 0: (x + b) scale. bias: (n) or NULL for 0. */
    void (*adjust)(float *x, const float *bias, float scale, float cap, size_t n);
    /* sum of e^(x - shift); the terms go to y (may be x) unless y is NULL. */
    double (*exp_sum)(float *y, const float *x, float shift, size_t n);
    double (*exp_sum_scaled)(float *y, const float *x, float shift, float scale, size_t n); /* of (x - shift) scale */
    /* y = log x within 3 ulp for normal x; y may be x. */
    void (*log)(float *y, const float *x, size_t n);
    /* x, n floats, becomes e^(x - shift) * factor * (1 - (x / cap)^2) of `type`, f32 or bf16, from the same
     * address on. */
    void (*capped_gradient)(void *x, enum dtype type, float shift, float factor, float cap, size_t n);

    void (*soft_outcomes)(struct soft_outcomes *o);
    void (*soft_blend)(const struct soft_blend *b);

    /* As in kernels/activation.h, for n elements from `from` on. */
    void (*glu_forward)(enum activation activation, void *y, const void *gate, const void *up,
                        enum dtype type, size_t from, size_t n);
    void (*glu_backward)(enum activation activation, void *dgate, void *dup, const void *dy,
                         const void *gate, const void *up, enum dtype type, size_t from, size_t n);
    void (*add)(void *y, enum dtype type, size_t from, const float *x, size_t n); /* y += x */
    /* sum += x, for n elements of x from `from` on */
    void (*accumulate)(float *sum, const void *x, enum dtype type, size_t from, size_t n);
    void (*residual_add)(float *out, const float *x, const void *y, enum dtype type,
                         const struct dropout *drop, size_t from, size_t n);
    void (*residual_add_backward)(void *dy, enum dtype type, const float *dx,
                                  const struct dropout *drop, size_t from, size_t n);

    /* See kernels/update.h and kernels/halves.h. */
    void (*adamw)(const struct update_row *r, const struct adamw_step *step);
    /* MOMENT_BLOCK elements, see kernels/moments.h; the second returns their scale. */
    void (*moment_decode)(float *to, const uint8_t *from, float scale, const struct moment_code *code);
    float (*moment_encode)(uint8_t *to, const float *from, const struct moment_rounding *r);
    void (*apply_update)(const struct update_row *r, float keep, float rate);
    void (*scale_add)(float *y, const float *x, float alpha, const float *z, float beta, size_t n);
    /* of n elements from `from` on */
    double (*sum_of_squares)(const void *x, enum dtype type, size_t from, size_t n);
    void (*split_row)(uint16_t *to, const float *from, size_t n);
    void (*join_row)(float *to, const uint16_t *from, size_t n);

    void (*norm_forward)(struct norm_row *r); /* sets mean and rstd */
    void (*norm_backward)(const struct norm_row *r);

    void (*rotate)(const struct rotation *r, float sign);

    /* Columns from <= j < to of c (m, n) = a (m, k) b^T + beta c, b (n, k) of f32, bf16 or f16, for few
     * rows of a: b is read once, at the speed of memory. */
    size_t few_rows; /* up to this many rows of a it beats OpenBLAS, which packs b first */
    void (*product_few_rows)(size_t m, size_t from, size_t to, size_t k, const float *a, size_t lda,
                             enum dtype b_type, const void *b, size_t ldb, float beta, float *c,
                             size_t ldc);

    /* Products of packed panels, see kernels/product_body.h. */
    size_t panel_rows, panel_columns;
    void (*pack_panel_of_rows)(float *to, const struct panel_source *s);
    void (*pack_panel_of_columns)(float *to, const struct panel_source *s);
    void (*panel_product)(const float *a, const float *b, size_t k, const struct panel_target *t);
    void (*finish_row)(const float *sums, const struct panel_target *t); /* rows left out */

    /* Scratch: attention_forward_scratch floats. */
    void (*attention_forward)(const struct attention_job *job, const struct attention_piece *piece, float *scratch);
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
