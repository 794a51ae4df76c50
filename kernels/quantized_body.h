/* Products of bytes, for levels with vectors of LANES 32-bit numbers (8 or 16). Included by the variant files.
 *
 * Few rows go along the weights as they lie: a vector holds consecutive elements of one row. Many rows take panels:
 * strips of 2 * LANES rows of weights transposed so that a vector holds four elements of each of LANES rows, which
 * meet four elements of a row of activations, in all lanes alike. */
#include "kernels/round_body.h"

#if LANES == 16
#include "kernels/interleaved_avx512vnni.h"
#endif

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* vb: bytes or int32 lanes, vf: floats. vb_dot: a += sums of four neighbours' products, w being levels. */
#if LANES == 16
typedef __m512i vb;
typedef __m512 vf;
#define VF(name) _mm512_##name##_ps
#define vb_load(p)        _mm512_loadu_si512(p)
#define vb_store(p, x)    _mm512_storeu_si512(p, x)
#define vb_set1(x)        _mm512_set1_epi32(x)
#define vb_zero()         _mm512_setzero_si512()
#define vf_from_ints(x)   _mm512_cvtepi32_ps(x)
#define vf_pick(x, index) _mm512_permutexvar_ps(index, x)
#define vf_total(x)       _mm512_reduce_add_ps(x)
INLINE vb vb_dot(vb sum, vb w, vb a, bool is_signed)
{
    (void)is_signed; /* SIGNED_SHIFT has made all levels unsigned */
    return _mm512_dpbusd_epi32(sum, w, a);
}
#else
typedef __m256i vb;
typedef __m256 vf;
#define VF(name) _mm256_##name##_ps
#define vb_load(p)        _mm256_loadu_si256((const void *)(p))
#define vb_store(p, x)    _mm256_storeu_si256((void *)(p), x)
#define vb_set1(x)        _mm256_set1_epi32(x)
#define vb_zero()         _mm256_setzero_si256()
#define vf_from_ints(x)   _mm256_cvtepi32_ps(x)
#define vf_pick(x, index) _mm256_permutevar8x32_ps(x, index)
/* Two products of at most 128 * 127 fit 16 bits. */
INLINE vb vb_dot(vb sum, vb w, vb a, bool is_signed)
{
    vb pairs = is_signed ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w))
                         : _mm256_maddubs_epi16(w, a);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
INLINE float vf_total(vf x)
{
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
#endif

/* --- few rows --- */

enum {
    DOT_ROWS = 8,
    CHAINS = 2,   /* sums of a row that do not wait for each other */
    AHEAD = 4096, /* bytes to fetch before they are needed */
};

/* Lane l of the vector `i` of a strip is of the group that the i-th index names: within LANES scales. */
INLINE vb group_index(int group, size_t i)
{
    const int groups = 4 * LANES / group; /* in a vector */
    int32_t lanes[LANES];
    for (int l = 0; l < LANES; l++)
        lanes[l] = (int)i * groups % LANES + l * 4 / group;
    return vb_load(lanes);
}

/* The activations' scales of LANES groups from g on. */
INLINE vf activation_scales(const float *scale, size_t g, int group)
{
    if (group == 32)
        return VF(loadu)(scale + g);
    int32_t twice[LANES];
    for (int l = 0; l < LANES; l++)
        twice[l] = l / 2;
#if LANES == 16
    return vf_pick(_mm512_castps256_ps512(_mm256_loadu_ps(scale + g / 2)), vb_load(twice));
#else
    return vf_pick(_mm256_castps128_ps256(_mm_loadu_ps(scale + g / 2)), vb_load(twice));
#endif
}

INLINE void dot_strip(const size_t m, const int group, const bool is_signed, const struct level_form *f,
                      const struct weight_strip *w, const struct activation_rows *a, size_t r, size_t s,
                      vf sum[DOT_ROWS][CHAINS])
{
    const size_t n = STRIP / (size_t)group, per_index = (size_t)group / 4; /* vectors that LANES groups fill */
    const size_t row = a->n_strips;
    for (size_t g = 0; g < n; g += LANES) {
        vf scale = VF(loadu)(w->scale + g), offset = VF(mul)(scale, VF(set1)((float)-f->bias)), both[DOT_ROWS];
        if (f->has_offset)
            offset = VF(add)(offset, VF(loadu)(w->offset + g));
#pragma GCC unroll 8
        for (size_t i = 0; i < m; i++) {
            const size_t at = (r + i) * row + s;
            both[i] = VF(mul)(scale, activation_scales(a->scale + at * STRIP_SCALES, g, group));
            sum[i][CHAINS - 1] = VF(fmadd)(offset, VF(loadu)(a->sum + at * n + g), sum[i][CHAINS - 1]);
        }
#pragma GCC unroll 8
        for (size_t v = 0; v < per_index; v++) {
            const size_t at = g * (size_t)group + v * 4 * LANES;
            const vb levels = vb_load(w->q + at), index = group_index(group, v);
#pragma GCC unroll 8
            for (size_t i = 0; i < m; i++) {
                const vb x = vb_load(a->q + ((r + i) * row + s) * STRIP + at);
                const vb products = vb_dot(vb_zero(), levels, x, is_signed);
                sum[i][v % CHAINS] =
                    VF(fmadd)(vf_from_ints(products), vf_pick(both[i], index), sum[i][v % CHAINS]);
            }
        }
    }
}

/* The lines that begin within a strip, of the one that far ahead. Memory answers late, and what the processor fetches
 * by itself ends with each page. */
INLINE void prefetch(const unsigned char *strip, size_t size)
{
    const uintptr_t from = (uintptr_t)strip + AHEAD;
    for (uintptr_t line = (from + 63) / 64 * 64; line < from + size; line += 64)
        _mm_prefetch((const void *)line, _MM_HINT_T0);
}

/* m, group, is_signed and, where it is to be inlined, unpack are constants. */
INLINE void dot_rows(void (*unpack)(const void *, struct weight_strip *), const size_t m, const int group,
                     const bool is_signed, const struct weight_rows *w, size_t j, const struct activation_rows *a,
                     size_t r, float *out, size_t stride)
{
    struct weight_strip strip;
    vf sum[DOT_ROWS][CHAINS];
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < CHAINS; c++)
            sum[i][c] = VF(setzero)();
    for (size_t s = 0; s < w->n_strips; s++) {
        prefetch(w->data + j * w->row_bytes + s * w->strip_bytes, w->strip_bytes);
        load_strip(unpack, w, j, s, &strip);
        dot_strip(m, group, is_signed, w->form, &strip, a, r, s, sum);
    }
    for (size_t i = 0; i < m; i++)
        out[i * stride] = vf_total(VF(add)(sum[i][0], sum[i][1]));
}

INLINE void dot_rows_of(const size_t m, const struct weight_rows *w, size_t j, const struct activation_rows *a,
                        float *out, size_t stride)
{
    const bool is_signed = LANES == 8 && w->form->is_signed;
    if (w->form->group == 32 && !is_signed)
        dot_rows(w->form->unpack, m, 32, false, w, j, a, 0, out, stride);
    else if (w->form->group == 32)
        dot_rows(w->form->unpack, m, 32, true, w, j, a, 0, out, stride);
    else if (!is_signed)
        dot_rows(w->form->unpack, m, 16, false, w, j, a, 0, out, stride);
    else
        dot_rows(w->form->unpack, m, 16, true, w, j, a, 0, out, stride);
}

static void dot(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *out,
                size_t stride)
{
    switch (m) {
    case 1: dot_rows_of(1, w, j, a, out, stride); break;
    case 2: dot_rows_of(2, w, j, a, out, stride); break;
    case 3: dot_rows_of(3, w, j, a, out, stride); break;
    case 4: dot_rows_of(4, w, j, a, out, stride); break;
    case 5: dot_rows_of(5, w, j, a, out, stride); break;
    case 6: dot_rows_of(6, w, j, a, out, stride); break;
    case 7: dot_rows_of(7, w, j, a, out, stride); break;
    case 8: dot_rows_of(8, w, j, a, out, stride); break;
    }
}

#define DEFINE_ROW_DOT(type, name, group, bias, has_offset, is_signed)                             \
    static float row_dot_##name(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t r) \
    {                                                                                              \
        float out;                                                                                 \
        dot_rows(unpack_##name, 1, group, LANES == 8 && is_signed, w, j, a, r, &out, 1);           \
        return out;                                                                                \
    }
LEVEL_FORMS(DEFINE_ROW_DOT)
#define ROW_DOT(name) row_dot_##name
DEFINE_LEVEL_FORM

/* --- many rows --- */

enum { PANELS = 2, COLUMNS = PANELS * LANES, TILE_ROWS = LANES == 16 ? 6 : 2 };

struct panel {
    _Alignas(64) uint8_t q[STRIP / 4 * COLUMNS * 4]; /* (STRIP / 4, PANELS, LANES, 4) */
    float scale[STRIP_GROUPS * COLUMNS], offset[STRIP_GROUPS * COLUMNS]; /* (groups, PANELS, LANES) */
};

/* LANES x LANES numbers of 32 bits: to row t of `to` go the t-th numbers of all rows of `from`. Strides in bytes. */
INLINE void transpose(const void *from, size_t from_stride, void *to, size_t to_stride)
{
    const char *rows = from;
    char *columns = to;
#if LANES == 16
    vb x[16], y[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        x[i] = vb_load(rows + i * from_stride);
#pragma GCC unroll 8
    for (size_t i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += 4)
        for (size_t h = 0; h < 2; h++) {
            x[i + 2 * h] = _mm512_unpacklo_epi64(y[i + h], y[i + h + 2]);
            x[i + 2 * h + 1] = _mm512_unpackhi_epi64(y[i + h], y[i + h + 2]);
        }
    /* x[4 q + t]: of rows 4 q .. 4 q + 3, numbers t, 4 + t, 8 + t, 12 + t in the four quarters */
#pragma GCC unroll 4
    for (size_t t = 0; t < 4; t++) {
        vb low = _mm512_shuffle_i32x4(x[t], x[4 + t], 0x44), high = _mm512_shuffle_i32x4(x[t], x[4 + t], 0xee);
        vb low2 = _mm512_shuffle_i32x4(x[8 + t], x[12 + t], 0x44),
           high2 = _mm512_shuffle_i32x4(x[8 + t], x[12 + t], 0xee);
        vb_store(columns + t * to_stride, _mm512_shuffle_i32x4(low, low2, 0x88));
        vb_store(columns + (4 + t) * to_stride, _mm512_shuffle_i32x4(low, low2, 0xdd));
        vb_store(columns + (8 + t) * to_stride, _mm512_shuffle_i32x4(high, high2, 0x88));
        vb_store(columns + (12 + t) * to_stride, _mm512_shuffle_i32x4(high, high2, 0xdd));
    }
#else
    vb x[8], y[8];
    for (size_t i = 0; i < 8; i++)
        x[i] = vb_load(rows + i * from_stride);
    for (size_t i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4)
        for (size_t h = 0; h < 2; h++) {
            x[i + 2 * h] = _mm256_unpacklo_epi64(y[i + h], y[i + h + 2]);
            x[i + 2 * h + 1] = _mm256_unpackhi_epi64(y[i + h], y[i + h + 2]);
        }
    for (size_t t = 0; t < 4; t++) {
        vb_store(columns + t * to_stride, _mm256_permute2x128_si256(x[t], x[4 + t], 0x20));
        vb_store(columns + (4 + t) * to_stride, _mm256_permute2x128_si256(x[t], x[4 + t], 0x31));
    }
#endif
}

/* Strip s of rows [j, j + columns); lanes beyond are zero. */
static void fill_panel(struct panel *p, const struct weight_rows *w, size_t j, size_t columns, size_t s)
{
#if LANES == 16
    for (size_t half = 0; w->interleaved && half < PANELS; half++)
        if (half * LANES < columns)
            fill_panel_avx512vnni(&(struct level_panel){p->q + half * LANES * 4, p->scale + half * LANES,
                                                        p->offset + half * LANES, PANELS}, w, j + half * LANES, s);
    if (w->interleaved)
        return; /* lanes that are no columns hold anything: nobody reads them */
#endif
    struct weight_strip strips[LANES];
    const size_t n = STRIP / (size_t)w->form->group, line = COLUMNS * 4;
    for (size_t half = 0; half < PANELS; half++) {
        for (size_t c = 0; c < LANES; c++)
            if (half * LANES + c < columns)
                load_strip(w->form->unpack, w, j + half * LANES + c, s, &strips[c]);
            else
                memset(&strips[c], 0, sizeof strips[c]);
        for (size_t i = 0; i < STRIP / 4; i += LANES)
            transpose(strips[0].q + 4 * i, sizeof *strips, p->q + i * line + half * LANES * 4, line);
        for (size_t g = 0; g < n; g += LANES) {
            transpose(strips[0].scale + g, sizeof *strips, p->scale + (g * PANELS + half) * LANES, line);
            if (w->form->has_offset)
                transpose(strips[0].offset + g, sizeof *strips, p->offset + (g * PANELS + half) * LANES, line);
        }
    }
}

/* sums (m, COLUMNS) += rows r .. r + m of strip s times the panel; m is a constant after inlining. */
INLINE void tile(const size_t m, const bool is_signed, const struct level_form *f, const struct panel *p,
                 const struct activation_rows *a, size_t r, size_t s, float *sums)
{
    const size_t n = STRIP / (size_t)f->group, steps = (size_t)f->group / 4;
    const int8_t *q[TILE_ROWS];
    vf total[TILE_ROWS][PANELS];
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++) {
        q[i] = a->q + ((r + i) * a->n_strips + s) * STRIP;
        for (size_t h = 0; h < PANELS; h++)
            total[i][h] = VF(loadu)(sums + i * COLUMNS + h * LANES);
    }
    const uint8_t *levels = p->q;
    const int32_t *shift = a->shift + (r * a->n_strips + s) * n;
    const float *sum = a->sum + (r * a->n_strips + s) * n;
    const float *scale = a->scale + (r * a->n_strips + s) * STRIP_SCALES;
    size_t at = 0;
    for (size_t g = 0; g < n; g++) {
        vb part[TILE_ROWS][PANELS];
#pragma GCC unroll 6
        for (size_t i = 0; i < m; i++)
            for (size_t h = 0; h < PANELS; h++)
                part[i][h] = vb_set1(shift[i * a->n_strips * n + g]);
        for (size_t t = 0; t < steps; t += 4)
#pragma GCC unroll 4
            for (size_t u = 0; u < 4; u++, levels += COLUMNS * 4, at += 4) {
                const vb first = vb_load(levels), second = vb_load(levels + LANES * 4);
#pragma GCC unroll 6
                for (size_t i = 0; i < m; i++) {
                    int32_t four;
                    memcpy(&four, q[i] + at, sizeof four);
                    const vb x = vb_set1(four);
                    part[i][0] = vb_dot(part[i][0], first, x, is_signed);
                    part[i][1] = vb_dot(part[i][1], second, x, is_signed);
                }
            }
#pragma GCC unroll 2
        for (size_t h = 0; h < PANELS; h++) {
            const vf w = VF(loadu)(p->scale + (g * PANELS + h) * LANES);
#pragma GCC unroll 6
            for (size_t i = 0; i < m; i++) {
                const vf both = VF(mul)(w, VF(set1)(scale[i * a->n_strips * STRIP_SCALES + g * steps / 8]));
                total[i][h] = VF(fmadd)(vf_from_ints(part[i][h]), both, total[i][h]);
            }
            if (f->has_offset) {
                const vf o = VF(loadu)(p->offset + (g * PANELS + h) * LANES);
#pragma GCC unroll 6
                for (size_t i = 0; i < m; i++)
                    total[i][h] = VF(fmadd)(o, VF(set1)(sum[i * a->n_strips * n + g]), total[i][h]);
            }
        }
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < m; i++)
        for (size_t h = 0; h < PANELS; h++)
            VF(storeu)(sums + i * COLUMNS + h * LANES, total[i][h]);
}

INLINE void tiles(const bool is_signed, const struct level_form *f, const struct panel *p,
                  const struct activation_rows *a, size_t s, size_t m, float *sums)
{
    size_t r = 0;
    for (; r + TILE_ROWS <= m; r += TILE_ROWS)
        tile(TILE_ROWS, is_signed, f, p, a, r, s, sums + r * COLUMNS);
    switch (m - r) {
    case 1: tile(1, is_signed, f, p, a, r, s, sums + r * COLUMNS); break;
#if LANES == 16
    case 2: tile(2, is_signed, f, p, a, r, s, sums + r * COLUMNS); break;
    case 3: tile(3, is_signed, f, p, a, r, s, sums + r * COLUMNS); break;
    case 4: tile(4, is_signed, f, p, a, r, s, sums + r * COLUMNS); break;
    case 5: tile(5, is_signed, f, p, a, r, s, sums + r * COLUMNS); break;
#endif
    }
}

static void panel(const struct weight_rows *w, size_t j, size_t columns, const struct activation_rows *a,
                  size_t m, float *c, size_t ldc, float *sums)
{
    struct panel p;
    memset(sums, 0, m * COLUMNS * sizeof *sums);
    for (size_t s = 0; s < w->n_strips; s++) {
        fill_panel(&p, w, j, columns, s);
        if (LANES == 8 && w->form->is_signed)
            tiles(true, w->form, &p, a, s, m, sums);
        else
            tiles(false, w->form, &p, a, s, m, sums);
    }
    for (size_t r = 0; r < m; r++)
        memcpy(c + r * ldc, sums + r * COLUMNS, columns * sizeof *c);
}

const struct quantized_kernels TABLE = {
    .form = level_form,   .round_row = round_row,   .few_rows = DOT_ROWS, .dot = dot,
    .panel_columns = COLUMNS, .panel = panel,
#if LANES == 16
    .few_panel_rows = FEW_PANEL_ROWS, .few_panels = few_panels_avx512vnni,
#endif
};
