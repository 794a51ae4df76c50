/* The parts of kernels/quantized.h that depend on the instruction set. */
#ifndef LINNET_KERNELS_QUANTIZED_KERNELS_H
#define LINNET_KERNELS_QUANTIZED_KERNELS_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows are cut into strips of so many elements: two blocks of 256, sixteen of 32. */
enum { STRIP = 512, STRIP_SCALES = STRIP / 32, STRIP_GROUPS = STRIP / 16 };

/* A strip of one row of weights: element i of group g is scale[g] * (q[i] - bias) + offset[g]. */
struct weight_strip {
    _Alignas(64) uint8_t q[STRIP];
    float scale[STRIP_GROUPS], offset[STRIP_GROUPS];
};

struct weight_rows;
struct activation_rows;

/* How a type unpacks. */
struct level_form {
    void (*unpack)(const void *blocks, struct weight_strip *s);
    /* Row r of the activations times row j of the weights: the commonest product, of decoding one sequence. */
    float (*row_dot)(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t r);
    int group;        /* 16 or 32 elements share a scale */
    int bias;
    bool has_offset;  /* else offset is not written */
    bool is_signed;   /* q was an int8_t before the bias was added */
};

/* Rows of weights, in blocks. */
struct weight_rows {
    enum dtype type;
    bool interleaved; /* kernels/interleave.h: the whole panels among them */
    const struct level_form *form;
    const unsigned char *data;
    size_t row_bytes, strip_bytes;
    size_t n_strips;
    size_t tail_bytes; /* of the last strip: what lies beyond counts as zero */
};

/* Rows of activations in 8 bits, zeros up to whole strips; G = n_strips * STRIP / group. */
struct activation_rows {
    size_t n_strips;
    int group, bias;
    int8_t *q;      /* (m, n_strips * STRIP) */
    float *scale;   /* (m, n_strips * STRIP_SCALES) */
    float *sum;     /* (m, G) of the group's numbers */
    int32_t *shift; /* (m, G) -bias times the sum of the group's bytes */
};

struct quantized_kernels {
    const struct level_form *(*form)(enum dtype type); /* NULL: it has no blocks */
    /* x (k) becomes row r. */
    void (*round_row)(const struct activation_rows *a, size_t r, const float *x, size_t k);
    /* m rows, at most few_rows, times row j of the weights: out[0], out[stride], ... */
    size_t few_rows;
    void (*dot)(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *out,
                size_t stride);
    /* m rows, at most few_panel_rows, times the interleaved rows [j, j + 16): c (m, 16). NULL: there is no such way. */
    size_t few_panel_rows;
    void (*few_panels)(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *c,
                       size_t ldc);
    /* m rows times rows [j, j + columns) of the weights: c (m, columns). sums: m * panel_columns floats of
     * scratch. panel_columns, the most columns, is 0 where there is no such way. */
    size_t panel_columns;
    void (*panel)(const struct weight_rows *w, size_t j, size_t columns, const struct activation_rows *a,
                  size_t m, float *c, size_t ldc, float *sums);
};

extern const struct quantized_kernels quantized_kernels_ref;
#if defined(__x86_64__)
extern const struct quantized_kernels quantized_kernels_avx2, quantized_kernels_avx512vnni;
#endif

/* Those of the kernel level in use (base/cpu.h). */
const struct quantized_kernels *quantized_kernels(void);

#endif
