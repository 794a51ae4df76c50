/* Layouts of ggml's quantised blocks, as they lie in files: ggml's `block_*` structs and the
 * tables of the GGUF and OCP Microscaling (MXFP4) specifications. d, dmin and m are binary16.
 * Fields are bytes or halves, so that every struct is packed and aligned to at most 2. */
#ifndef LINNET_KERNELS_BLOCKS_H
#define LINNET_KERNELS_BLOCKS_H

#include "kernels/half.h"

#include <stdint.h>

/* 32 elements. Element j is the low nibble of qs[j], element j + 16 the high one. */
struct block_q4_0 { /* d * (q - 8) */
    uint16_t d;
    uint8_t qs[16];
};

struct block_q4_1 { /* d * q + m */
    uint16_t d, m;
    uint8_t qs[16];
};

/* Bit j of qh (little-endian) is the fifth bit of element j. */
struct block_q5_0 { /* d * (q - 16) */
    uint16_t d;
    uint8_t qh[4], qs[16];
};

struct block_q5_1 { /* d * q + m */
    uint16_t d, m;
    uint8_t qh[4], qs[16];
};

struct block_q8_0 { /* d * q */
    uint16_t d;
    int8_t qs[32];
};

struct block_iq4_nl { /* d * iq4_values[q] */
    uint16_t d;
    uint8_t qs[16];
};

struct block_mxfp4 { /* 2^(e - 128) * mxfp4_values[q] */
    uint8_t e, qs[16];
};

/* 64 elements in 4 sub-blocks of 16: element j of one is the low nibble of its byte j, j + 8 the
 * high one. A scale is E4M3 without a sign: 4 bits of exponent, 3 of mantissa. */
struct block_nvfp4 { /* scale / 2 * mxfp4_values[q] */
    uint8_t scales[4], qs[32];
};

/* One scale for elements of one or two bits, the lowest of each byte first. */
struct block_q1_0 { /* 128 elements: d where the bit is set, else -d */
    uint16_t d;
    uint8_t qs[16];
};

struct block_q2_0 { /* 64 elements: d * (q - 1) */
    uint16_t d;
    uint8_t qs[16];
};

/* 256 elements of three values each: d * (q - 1). */
struct block_tq1_0 { /* digits of base 3, the highest of a byte first, as a fraction of 256 */
    uint8_t qs[48];  /* 5 digits: the first 32 bytes hold 5 x 32 elements, the other 16 5 x 16 */
    uint8_t qh[4];   /* 4 digits: 4 x 4 elements */
    uint16_t d;
};

struct block_tq2_0 { /* 2 bits, as in q2_k */
    uint8_t qs[64];
    uint16_t d;
};

/* 256 elements in sub-blocks with scales (and minima) of few bits. */
struct block_q2_k {     /* d * scale * q - dmin * min; 16 sub-blocks of 16 */
    uint8_t scales[16]; /* low nibble the scale, high nibble the minimum */
    uint8_t qs[64];     /* 2 bits: per 128 elements 32 bytes, the lowest bits being the first 32 */
    uint16_t d, dmin;
};

struct block_q3_k {     /* d * (scale - 32) * (q - 4); 16 sub-blocks of 16 */
    uint8_t hmask[32];  /* bit j of byte i: third bit of element 32 j + i */
    uint8_t qs[64];     /* the lower two bits, as in q2_k */
    uint8_t scales[12]; /* 16 x 6 bits: low nibbles in bytes 0-7, upper bits in bytes 8-11 */
    uint16_t d;
};

/* In q4_k and q5_k, `scales` packs 8 scales and 8 minima of 6 bits: the first four of each are the
 * low 6 bits of bytes 0-3 and 4-7; the others have their low nibbles in bytes 8-11 (scale low,
 * minimum high) and their upper two bits above those of the first four. */
struct block_q4_k { /* d * scale * q - dmin * min; 8 sub-blocks of 32 */
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qs[128]; /* per 64 elements 32 bytes, the low nibbles being the first 32 */
};

struct block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32]; /* bit j of byte i: fifth bit of element 32 j + i */
    uint8_t qs[128];
};

struct block_q6_k {  /* d * scale * (q - 32); 16 sub-blocks of 16 */
    uint8_t ql[128]; /* low nibbles: per 128 elements 64 bytes, low then high halves */
    uint8_t qh[64];  /* upper two bits: per 128 elements 32 bytes, as in q2_k */
    int8_t scales[16];
    uint16_t d;
};

struct block_iq4_xs {     /* d * (scale - 32) * iq4_values[q]; 8 sub-blocks of 32 */
    uint16_t d, scales_h; /* 2 upper bits of each scale */
    uint8_t scales_l[4];  /* 4 lower bits of each */
    uint8_t qs[128];      /* per 32 elements 16 bytes, as in q4_0 */
};

_Static_assert(sizeof(struct block_q4_0) == 18, "q4_0");
_Static_assert(sizeof(struct block_q4_1) == 20, "q4_1");
_Static_assert(sizeof(struct block_q5_0) == 22, "q5_0");
_Static_assert(sizeof(struct block_q5_1) == 24, "q5_1");
_Static_assert(sizeof(struct block_q8_0) == 34, "q8_0");
_Static_assert(sizeof(struct block_iq4_nl) == 18, "iq4_nl");
_Static_assert(sizeof(struct block_mxfp4) == 17, "mxfp4");
_Static_assert(sizeof(struct block_nvfp4) == 36, "nvfp4");
_Static_assert(sizeof(struct block_q1_0) == 18, "q1_0");
_Static_assert(sizeof(struct block_q2_0) == 18, "q2_0");
_Static_assert(sizeof(struct block_tq1_0) == 54, "tq1_0");
_Static_assert(sizeof(struct block_tq2_0) == 66, "tq2_0");
_Static_assert(sizeof(struct block_q2_k) == 84, "q2_k");
_Static_assert(sizeof(struct block_q3_k) == 110, "q3_k");
_Static_assert(sizeof(struct block_q4_k) == 144, "q4_k");
_Static_assert(sizeof(struct block_q5_k) == 176, "q5_k");
_Static_assert(sizeof(struct block_q6_k) == 210, "q6_k");
_Static_assert(sizeof(struct block_iq4_xs) == 136, "iq4_xs");

/* Non-uniform levels of IQ4_NL and IQ4_XS. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* E2M1, doubled to be whole. */
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128): half of the block's scale, the levels being doubled. */
static inline float mxfp4_scale(uint8_t e)
{
    return float_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* Half of an E4M3 number whose sign is ignored, the levels being doubled; 0x7f, which is no number,
 * counts as 0. A normal one differs from an f32 in the place of its bits and its exponent's bias. */
static inline float nvfp4_scale(uint8_t bits)
{
    const int e = bits >> 3 & 15, m = bits & 7;
    if (bits == 0x7f)
        return 0;
    if (e == 0)
        return (float)m * 0x1p-10f;
    return float_from_bits((uint32_t)(e - 7 - 1 + 127) << 23 | (uint32_t)m << 20);
}

/* Scale and minimum j (0-7) of q4_k and q5_k. */
static inline void k_scale_min(const uint8_t s[12], int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (uint8_t)((s[j + 4] & 15) | s[j - 4] >> 6 << 4);
        *min = (uint8_t)(s[j + 4] >> 4 | s[j] >> 6 << 4);
    }
}

/* Scale j (0-15) of q3_k, before 32 is taken from it. */
static inline int q3_k_scale(const uint8_t s[12], int j)
{
    int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    return low | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4;
}

#endif
