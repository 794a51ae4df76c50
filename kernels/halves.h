/* Matrices of f32 as two halves, in the same memory: products in bf16 read one, the optimiser both.
 *
 * A row of c numbers becomes c of bf16, each the f32 rounded to nearest even, and then the c signed 16-bit
 * differences between the bits of the f32 and of that. A number exactly halfway between two of bf16 that was
 * rounded down comes back one unit in the last place of f32 lower; every other comes back as it was (a NaN
 * as some NaN). Splitting again changes nothing more. Kalamkar et al. (2019) split their weights so, without
 * rounding. */
#ifndef LINNET_KERNELS_HALVES_H
#define LINNET_KERNELS_HALVES_H

#include <stddef.h>

/* x (rows, c) in place. */
void halves_split(float *x, size_t rows, size_t c);
void halves_join(float *x, size_t rows, size_t c);

#endif
