/* Products with interleaved weights (kernels/interleave.h), for the table of kernels/quantized_avx512vnni.c. */
#ifndef LINNET_KERNELS_INTERLEAVED_AVX512VNNI_H
#define LINNET_KERNELS_INTERLEAVED_AVX512VNNI_H

#include "kernels/quantized_kernels.h"

enum { FEW_PANEL_ROWS = 16 };

/* As struct quantized_kernels' few_panels. */
void few_panels_avx512vnni(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *c,
                           size_t ldc);

/* Strip s of the 16 rows from j on as levels: levels[i * line], 64 bytes each, of elements 4 i to 4 i + 3; scales and
 * offsets [g * line], 16 floats each, of group g. `line` in vectors. What lies beyond the rows' end is zero. */
struct level_panel {
    unsigned char *levels;
    float *scale, *offset;
    size_t line;
};
void fill_panel_avx512vnni(const struct level_panel *p, const struct weight_rows *w, size_t j, size_t s);

#endif
