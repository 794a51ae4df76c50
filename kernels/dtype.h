/* Element types of stored tensors. Numbers, names and block layouts are ggml's
 * (GGUF specification, `enum ggml_type`), so that files need no translation. */
#ifndef LINNET_KERNELS_DTYPE_H
#define LINNET_KERNELS_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_Q4_0 = 2,
    DTYPE_Q4_1 = 3,
    DTYPE_Q5_0 = 6,
    DTYPE_Q5_1 = 7,
    DTYPE_Q8_0 = 8,
    DTYPE_Q2_K = 10,
    DTYPE_Q3_K = 11,
    DTYPE_Q4_K = 12,
    DTYPE_Q5_K = 13,
    DTYPE_Q6_K = 14,
    DTYPE_IQ4_NL = 20,
    DTYPE_IQ4_XS = 23,
    DTYPE_I8 = 24,
    DTYPE_I16 = 25,
    DTYPE_I32 = 26,
    DTYPE_I64 = 27,
    DTYPE_F64 = 28,
    DTYPE_BF16 = 30,
    DTYPE_TQ1_0 = 34,
    DTYPE_TQ2_0 = 35,
    DTYPE_MXFP4 = 39,
    DTYPE_NVFP4 = 40,
    DTYPE_Q1_0 = 41,
    DTYPE_Q2_0 = 42,
};

enum { DTYPE_MOST = 64 }; /* numbers are below it */

struct dtype_info {
    enum dtype type;
    const char *name;    /* "f32", "q4_0": lower case, as on the command line */
    size_t block;        /* elements in one block, 1 for plain types */
    size_t block_bytes;
};

/* The row for a type number as found in a file, or NULL when linnet does not know it. */
const struct dtype_info *dtype_info(int type);
/* The row for a name in any case, or NULL. */
const struct dtype_info *dtype_by_name(const char *name);

/* Whether dtype_to_f32 reads it: all but the integers. */
bool dtype_is_floating(enum dtype type);

/* *bytes = size of n elements; false on overflow or when n is no multiple of the block. */
bool dtype_bytes(int type, size_t n, size_t *bytes);

/* Conversions of n elements; round to nearest even, NaN stays NaN. to/from may not overlap. */
void f32_from_f16(const uint16_t *from, float *to, size_t n);
void f32_from_bf16(const uint16_t *from, float *to, size_t n);
void f16_from_f32(const float *from, uint16_t *to, size_t n);
void bf16_from_f32(const float *from, uint16_t *to, size_t n);

/* Conversion of n elements (whole blocks) of any floating or quantised type to f32, bit for bit as
 * ggml does it, and from f32 to F32, F16 or BF16. False when the type has no such conversion
 * (integers; from f32 also F64 and the quantised types). `from` in dtype_to_f32 may lie at any
 * address for plain types, at an even one for blocks: right for both mapped file formats. */
bool dtype_to_f32(enum dtype type, const void *from, float *to, size_t n);
bool dtype_from_f32(enum dtype type, const float *from, void *to, size_t n);

#endif
