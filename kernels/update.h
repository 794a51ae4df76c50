/* The optimiser's pass over memory, and the norm of what it works on. */
#ifndef LINNET_KERNELS_UPDATE_H
#define LINNET_KERNELS_UPDATE_H

#include "kernels/dtype.h"
#include "kernels/moments.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is updated, (rows, c) of each; no array overlaps another. */
struct update_arrays {
    float *w;
    bool halves;             /* w is kept as kernels/halves.h says */
    const void *gradient;    /* or the update itself */
    enum dtype gradient_type; /* f32 or bf16 */
    struct moment m, v;      /* AdamW's moments, both of one type */
    uint32_t noise;          /* seed of the rounding of moments in fewer bits than f32 */
    size_t rows, c;
};

struct adamw_step {
    float beta1, beta2;
    float gradient_scale; /* clipping */
    float keep;           /* 1 - learning rate * weight decay */
    float rate;           /* learning rate / (1 - beta1^t) */
    float root;           /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
};

/* One step of AdamW (Loshchilov and Hutter, 2019), one read and one write of each array:
 *
 *   g = gradient * gradient_scale;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   w = keep * w - rate * m / (sqrt(v) * root + epsilon)
 *
 * Moments in bf16 or 8 bits are rounded up or down at random, in proportion: a decay of 0.999 changes v by less than
 * half of bf16's step, which rounding to nearest would never do. The randomness is a function of `noise` and
 * the element's index. They are rounded after their use; those of 8 bits are widened, used and rounded by blocks that
 * stay in the nearest cache. */
void adamw_step(const struct update_arrays *a, const struct adamw_step *step);

/* w = keep * w - rate * update, the update being the arrays' gradient. */
void apply_update(const struct update_arrays *a, float keep, float rate);

/* y = alpha x + beta z, all (n); y may be x or z. */
void scale_add(float *y, const float *x, float alpha, const float *z, float beta, size_t n);

/* Sum of x^2 in f64, blocks in order: the same for any number of threads. Not finite when any element
 * is not. */
double sum_of_squares(const void *x, enum dtype type, size_t n);

#endif
