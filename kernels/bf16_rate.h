#ifndef LINNET_KERNELS_BF16_RATE_H
#define LINNET_KERNELS_BF16_RATE_H

/* Multiply-adds a second of AVX512-BF16 as a multiple of those in f32, on one core, measured in under a
 * millisecond. Only for processors that have it. */
double bf16_rate(void);

#endif
