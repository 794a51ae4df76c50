/* Rows of weights as a type stores them, looked at before and after: where a weight that is not a number, or one that is
 * too large for the type, becomes an error that names its tensor. Files, training and measurements all round by these. */
#ifndef LINNET_KERNELS_ROUNDING_H
#define LINNET_KERNELS_ROUNDING_H

#include "base/error.h"
#include "kernels/dtype.h"

struct rounding {
    enum dtype type;         /* f32, f16, bf16, or of blocks that quantize_rows makes (kernels/quantize.h) */
    size_t cols;             /* of a row: whole blocks */
    const float *importance; /* (cols), as quantize_rows takes it, or NULL */
    const char *tensor;      /* its name in errors */
    const char *advice;      /* what to try when its weights are too large for the type */
};

/* n rows of f32 (n, cols) into `to`. */
void rounding_store(const struct rounding *r, const float *rows, size_t n, void *to);

/* ERR_FORMAT when a weight of (n, cols) is not finite. */
int rounding_check_weights(const struct rounding *r, const float *rows, size_t n, struct error *e);

/* Unpacks n stored rows into `back` (n, cols). ERR_FORMAT when that is not finite: the weights were too large. */
int rounding_check_stored(const struct rounding *r, const void *stored, size_t n, float *back, struct error *e);

/* All three. `back` may be `rows`. */
int rounding_store_checked(const struct rounding *r, const float *rows, size_t n, void *to, float *back, struct error *e);

#endif
