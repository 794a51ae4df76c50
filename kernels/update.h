/* The optimiser's pass over memory, and the norm of what it works on. */
#ifndef LINNET_KERNELS_UPDATE_H
#define LINNET_KERNELS_UPDATE_H

#include <stddef.h>
#include <stdint.h>

struct adamw_step {
    float beta1, beta2;
    float gradient_scale; /* clipping */
    float keep;           /* 1 - learning rate * weight decay */
    float rate;           /* learning rate / (1 - beta1^t) */
    float root;           /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
};

/* One step of AdamW (Loshchilov and Hutter, 2019) on n elements, one read and one write of each array:
 *
 *   g = gradient * gradient_scale;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   w = keep * w - rate * m / (sqrt(v) * root + epsilon);   gradient = 0
 *
 * bf16 (n) receives w rounded, for the products of the next step; NULL: not wanted. No array overlaps
 * another. */
void adamw_step(float *w, uint16_t *bf16, float *gradient, float *m, float *v, size_t n,
                const struct adamw_step *step);

/* y = alpha x + beta z, all (n); y may be x or z. */
void scale_add(float *y, const float *x, float alpha, const float *z, float beta, size_t n);
/* w = keep * w - rate * update; update = 0; bf16 as above. */
void apply_update(float *w, uint16_t *bf16, float *update, float keep, float rate, size_t n);

/* Sum of x^2 in f64, blocks in order: the same for any number of threads. Not finite when any element
 * is not. */
double sum_of_squares(const float *x, size_t n);

#endif
