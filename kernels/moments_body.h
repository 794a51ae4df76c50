/* Moments in 8 bits, a block of MOMENT_BLOCK elements at a time. Included by the variant files after
 * kernels/rows_body.h. Every operation rounds alike at every level, and so do the results. */
#include "kernels/moments.h"

typedef uint8_t vb __attribute__((vector_size(SIMD_WIDTH), may_alias));
typedef uint8_t vb_unaligned __attribute__((vector_size(SIMD_WIDTH), may_alias, aligned(1)));

INLINE vf vf_lookup(const float *table, vi index)
{
#if SIMD_WIDTH == 16
    return _mm512_i32gather_ps((__m512i)index, table, 4);
#elif SIMD_WIDTH == 8
    return _mm256_i32gather_ps(table, (__m256i)index, 4);
#else
    return (vf){table[index[0]], table[index[1]], table[index[2]], table[index[3]]};
#endif
}

static void moment_decode(float *to, const uint8_t *from, float scale, const struct moment_code *code)
{
    for (size_t i = 0; i < MOMENT_BLOCK; i += W) {
        vf x = vf_lookup(code->values, __builtin_convertvector(*(const vb_unaligned *)(from + i), vi)) * scale;
        if (code->square)
            x *= x;
        vf_store(to + i, x);
    }
}

/* Where a share lies among the codes: the least of the lines. What is left of it above the code below is the chance
 * of rounding up; for squares that of the squares, so that it is their mean that is exact. */
INLINE vf position_of(const bool square, const struct moment_code *code, vf share, bool nearest)
{
    vf position = share * code->lines[0].slope + code->lines[0].offset, offset = vf_set(code->lines[0].offset);
    for (int l = 1; l < MOMENT_LINES(square); l++) {
        vf other = share * code->lines[l].slope + code->lines[l].offset;
        vi less = (vi)(other < position);
        position = vf_where(less, other, position);
        offset = vf_where(less, vf_set(code->lines[l].offset), offset);
    }
    if (!square || nearest)
        return position;
    vf below = __builtin_convertvector(__builtin_convertvector(position, vi), vf);
    vf part = position - below, base = 2 * (below - offset);
    return below + part * (base + part) / (base + 1);
}

/* What is added before the fraction is cut off. */
INLINE vf rounding_of(const struct moment_rounding *r, size_t at)
{
    if (r->nearest)
        return vf_set(0.5f);
    vu bits = vu_noise(r->noise + (uint32_t)at) >> r->shift & 0xffff;
    return __builtin_convertvector((vi)bits, vf) * 0x1p-16f;
}

INLINE float encode_as(const bool square, uint8_t *to, const float *from, const struct moment_rounding *r)
{
    const struct moment_code *code = r->code;
    vf largest = {0}, sizes[MOMENT_BLOCK / W];
    for (size_t i = 0; i < MOMENT_BLOCK / W; i++) {
        vf x = vf_load(from + i * W);
        sizes[i] = vf_min(square ? vf_sqrt(x) : vf_abs(x), vf_set(code->most));
        largest = vf_max(sizes[i], largest);
    }
    float scale = vf_largest(largest) * code->inverse_top;
    scale = scale < 1e-37f ? 0 : scale; /* else the inverse would be out of range */
    float inverse = scale > 0 ? 1 / scale : 0;
    for (size_t i = 0; i < MOMENT_BLOCK / W; i++) {
        vf position = position_of(square, code, sizes[i] * inverse, r->nearest) + rounding_of(r, i * W);
        vf least = vf_where((vi)(sizes[i] > 0), vf_set(square ? MOMENT_LEAST : 0), vf_set(0));
        vi q = __builtin_convertvector(vf_max(vf_min(position, vf_set(code->largest)), least), vi);
        if (!square)
            q |= (vi)((vu)vf_load(from + i * W) >> 24 & 0x80);
        *(vb_unaligned *)(to + i * W) = __builtin_convertvector(q, vb);
    }
    return scale;
}

static float moment_encode(uint8_t *to, const float *from, const struct moment_rounding *r)
{
    return r->code->square ? encode_as(true, to, from, r) : encode_as(false, to, from, r);
}
