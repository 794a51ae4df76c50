/* One pair of an adapter at work. Private to lora/. */
#ifndef LINNET_LORA_PAIR_H
#define LINNET_LORA_PAIR_H

#include "lora/adapter.h"

/* The hook of a pair. */
void lora_pair_forward(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type,
                       size_t n);
void lora_pair_backward(void *context, const struct linear *l, void *dx, enum dtype dx_type, const void *dy,
                        const void *x, enum dtype type, size_t n);

/* p->norm becomes |(W + scale B A)_i|, of W as it is in `w`, unless it is known. */
void lora_pair_norm(struct lora_pair *p, struct matrix w);
/* rows (n, in) += factor (B A - B0 A0), the rows `which` of it; NULL: rows [first, first + n). */
void lora_pair_product(const struct lora_pair *p, const size_t *which, size_t first, size_t n, float factor, float *rows);

#endif
