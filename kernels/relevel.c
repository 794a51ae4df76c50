#include "kernels/relevel.h"

#include "base/check.h"
#include "kernels/blocks.h"

#include <math.h>
#include <string.h>

/* Some bits of every code: `width` neighbouring bytes hold the first of their bits of `width` elements, then the next of
 * the following ones. bits 0: there is no such plane. */
struct plane {
    size_t offset; /* in the block */
    unsigned bits, width;
};

struct levels_form {
    unsigned n, group;
    int lowest, highest, bias;
    unsigned flip;              /* bits that are stored inverted: of signed bytes */
    const int8_t *table;
    struct plane low, high;     /* the high plane holds the bits above those of the low one */
    void (*scales)(const void *block, struct block_levels *l);
};

/* --- scales --- */

static void q4_0_scales(const void *block, struct block_levels *l)
{
    l->scale[0] = half_to_f32(((const struct block_q4_0 *)block)->d); /* d is the first member of all that come here */
}

static void q4_1_scales(const void *block, struct block_levels *l)
{
    const struct block_q4_1 *b = block; /* begins as q5_1 does */
    l->scale[0] = half_to_f32(b->d);
    l->offset[0] = half_to_f32(b->m);
}

static void mxfp4_scales(const void *block, struct block_levels *l)
{
    l->scale[0] = mxfp4_scale(((const struct block_mxfp4 *)block)->e);
}

static void q2_k_scales(const void *block, struct block_levels *l)
{
    const struct block_q2_k *b = block;
    for (int s = 0; s < 16; s++) {
        l->scale[s] = half_to_f32(b->d) * (float)(b->scales[s] & 15);
        l->offset[s] = -(half_to_f32(b->dmin) * (float)(b->scales[s] >> 4));
    }
}

static void q3_k_scales(const void *block, struct block_levels *l)
{
    const struct block_q3_k *b = block;
    for (int s = 0; s < 16; s++)
        l->scale[s] = half_to_f32(b->d) * (float)(q3_k_scale(b->scales, s) - 32);
}

static void q4_k_scales(const void *block, struct block_levels *l)
{
    const struct block_q4_k *b = block; /* begins as q5_k does */
    for (int s = 0; s < 8; s++) {
        uint8_t scale, min;
        k_scale_min(b->scales, s, &scale, &min);
        l->scale[s] = half_to_f32(b->d) * (float)scale;
        l->offset[s] = -(half_to_f32(b->dmin) * (float)min);
    }
}

static void q6_k_scales(const void *block, struct block_levels *l)
{
    const struct block_q6_k *b = block;
    for (int s = 0; s < 16; s++)
        l->scale[s] = half_to_f32(b->d) * (float)b->scales[s];
}

static void iq4_xs_scales(const void *block, struct block_levels *l)
{
    const struct block_iq4_xs *b = block;
    for (int s = 0; s < 8; s++) {
        const int low = b->scales_l[s / 2] >> s % 2 * 4 & 15, high = b->scales_h >> 2 * s & 3;
        l->scale[s] = half_to_f32(b->d) * (float)((low | high << 4) - 32);
    }
}

/* --- types --- */

#define AT(block, member) offsetof(struct block, member)

static const struct levels_form forms[DTYPE_MOST] = {
    [DTYPE_Q4_0] = {32, 32, 0, 15, 8, 0, NULL, {AT(block_q4_0, qs), 4, 16}, {0}, q4_0_scales},
    [DTYPE_Q4_1] = {32, 32, 0, 15, 0, 0, NULL, {AT(block_q4_1, qs), 4, 16}, {0}, q4_1_scales},
    [DTYPE_Q5_0] = {32, 32, 0, 31, 16, 0, NULL, {AT(block_q5_0, qs), 4, 16}, {AT(block_q5_0, qh), 1, 1}, q4_0_scales},
    [DTYPE_Q5_1] = {32, 32, 0, 31, 0, 0, NULL, {AT(block_q5_1, qs), 4, 16}, {AT(block_q5_1, qh), 1, 1}, q4_1_scales},
    /* -128 is no level that a quantiser gives, and products in integers may count on that */
    [DTYPE_Q8_0] = {32, 32, 1, 255, 128, 128, NULL, {AT(block_q8_0, qs), 8, 1}, {0}, q4_0_scales},
    [DTYPE_IQ4_NL] = {32, 32, 0, 15, 0, 0, iq4_values, {AT(block_iq4_nl, qs), 4, 16}, {0}, q4_0_scales},
    [DTYPE_MXFP4] = {32, 32, 0, 15, 0, 0, mxfp4_values, {AT(block_mxfp4, qs), 4, 16}, {0}, mxfp4_scales},
    [DTYPE_Q2_K] = {256, 16, 0, 3, 0, 0, NULL, {AT(block_q2_k, qs), 2, 32}, {0}, q2_k_scales},
    [DTYPE_Q3_K] = {256, 16, 0, 7, 4, 0, NULL, {AT(block_q3_k, qs), 2, 32}, {AT(block_q3_k, hmask), 1, 32}, q3_k_scales},
    [DTYPE_Q4_K] = {256, 32, 0, 15, 0, 0, NULL, {AT(block_q4_k, qs), 4, 32}, {0}, q4_k_scales},
    [DTYPE_Q5_K] = {256, 32, 0, 31, 0, 0, NULL, {AT(block_q5_k, qs), 4, 32}, {AT(block_q5_k, qh), 1, 32}, q4_k_scales},
    [DTYPE_Q6_K] = {256, 16, 0, 63, 32, 0, NULL, {AT(block_q6_k, ql), 4, 64}, {AT(block_q6_k, qh), 2, 32}, q6_k_scales},
    [DTYPE_IQ4_XS] = {256, 32, 0, 15, 0, 0, iq4_values, {AT(block_iq4_xs, qs), 4, 16}, {0}, iq4_xs_scales},
};

_Static_assert(offsetof(struct block_q5_0, d) == 0 && offsetof(struct block_q8_0, d) == 0 &&
               offsetof(struct block_iq4_nl, d) == 0, "one function reads the scales of these");
_Static_assert(offsetof(struct block_q5_1, m) == offsetof(struct block_q4_1, m), "likewise");
_Static_assert(offsetof(struct block_q5_k, scales) == offsetof(struct block_q4_k, scales), "likewise");

static const struct levels_form *form_of(enum dtype type)
{
    CHECK(relevel_supports(type));
    return &forms[type];
}

bool relevel_supports(enum dtype type)
{
    return (size_t)type < sizeof forms / sizeof *forms && forms[type].n > 0;
}

void relevel_read(enum dtype type, const void *block, struct block_levels *l)
{
    const struct levels_form *f = form_of(type);
    l->n = f->n;
    l->group = f->group;
    l->lowest = f->lowest;
    l->highest = f->highest;
    l->bias = f->bias;
    l->table = f->table;
    memset(l->offset, 0, sizeof l->offset);
    f->scales(block, l);
}

/* --- codes --- */

static void read_plane(const struct plane *p, const uint8_t *block, unsigned shift, size_t n, uint8_t *q)
{
    const uint8_t *bytes = block + p->offset;
    const unsigned mask = (1u << p->bits) - 1;
    for (size_t j = 0; p->bits && j < n; bytes += p->width)
        for (unsigned s = 0; s < 8; s += p->bits, j += p->width)
            for (size_t i = 0; i < p->width; i++)
                q[j + i] |= (uint8_t)((bytes[i] >> s & mask) << shift);
}

static void write_plane(const struct plane *p, uint8_t *block, unsigned shift, size_t n, unsigned flip, const uint8_t *q)
{
    uint8_t *bytes = block + p->offset;
    const unsigned mask = (1u << p->bits) - 1;
    for (size_t j = 0; p->bits && j < n; bytes += p->width) {
        memset(bytes, 0, p->width);
        for (unsigned s = 0; s < 8; s += p->bits, j += p->width)
            for (size_t i = 0; i < p->width; i++)
                bytes[i] |= (uint8_t)(((q[j + i] ^ flip) >> shift & mask) << s);
    }
}

void relevel_codes(enum dtype type, const void *block, uint8_t *q)
{
    const struct levels_form *f = form_of(type);
    memset(q, 0, f->n);
    read_plane(&f->low, block, 0, f->n, q);
    read_plane(&f->high, block, f->low.bits, f->n, q);
    for (size_t j = 0; f->flip && j < f->n; j++)
        q[j] ^= (uint8_t)f->flip;
}

void relevel_write(enum dtype type, void *block, const uint8_t *q)
{
    const struct levels_form *f = form_of(type);
    write_plane(&f->low, block, 0, f->n, f->flip, q);
    write_plane(&f->high, block, f->low.bits, f->n, f->flip, q);
}

/* --- rounding --- */

static uint8_t nearest_of_table(const struct block_levels *l, float scale, float x, float *value)
{
    int best = 0;
    float least = INFINITY;
    for (int q = 0; q < 16; q++) {
        const float distance = fabsf(x - scale * (float)l->table[q]);
        if (distance < least) {
            least = distance;
            best = q;
        }
    }
    *value = scale * (float)l->table[best];
    return (uint8_t)best;
}

uint8_t relevel_nearest(const struct block_levels *l, size_t j, float x, float *value)
{
    const float scale = l->scale[j / l->group], offset = l->offset[j / l->group];
    if (l->table)
        return nearest_of_table(l, scale, x, value);
    /* clamped before it is made whole, as it may be beyond what an int holds; where the scale is 0 any code does */
    float q = scale != 0 ? (x - offset) / scale + (float)l->bias : (float)l->bias;
    q = q > (float)l->lowest ? q : (float)l->lowest;
    q = q < (float)l->highest ? q : (float)l->highest;
    const int code = (int)(q + 0.5f);
    *value = scale * (float)(code - l->bias) + offset;
    return (uint8_t)code;
}

static void nearest_codes(const struct block_levels *l, const float *x, uint8_t *q)
{
    for (size_t g = 0; g < l->n; g += l->group) {
        const float scale = l->scale[g / l->group], offset = l->offset[g / l->group];
        const float inverse = scale != 0 ? 1 / scale : 0, bias = (float)l->bias;
        for (size_t j = g; j < g + l->group; j++) {
            float code = (x[j] - offset) * inverse + bias;
            code = code > (float)l->lowest ? code : (float)l->lowest;
            code = code < (float)l->highest ? code : (float)l->highest;
            q[j] = (uint8_t)(int)(code + 0.5f);
        }
    }
}

static void relevel_row(enum dtype type, const float *x, unsigned char *blocks, size_t n)
{
    const struct dtype_info *info = dtype_info(type);
    for (size_t i = 0; i < n; i += info->block, blocks += info->block_bytes) {
        struct block_levels l;
        uint8_t q[RELEVEL_MOST];
        float value;
        relevel_read(type, blocks, &l);
        if (!l.table)
            nearest_codes(&l, x + i, q);
        for (size_t j = 0; l.table && j < l.n; j++)
            q[j] = relevel_nearest(&l, j, x[i + j], &value);
        relevel_write(type, blocks, q);
    }
}

void relevel_rows(enum dtype type, const float *from, void *blocks, size_t n_rows, size_t n_cols)
{
    size_t row_bytes;
    CHECK(relevel_supports(type) && dtype_bytes(type, n_cols, &row_bytes));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n_rows; i++)
        relevel_row(type, from + i * n_cols, (unsigned char *)blocks + i * row_bytes, n_cols);
}

/* --- spans --- */

/* Half a step below the lowest value and above the highest; a table is searched for them and for those next to them. */
static void outermost(const struct block_levels *l, float *low, float *high)
{
    float least[2] = {INFINITY, INFINITY}, most[2] = {-INFINITY, -INFINITY};
    if (!l->table) {
        *low = (float)(l->lowest - l->bias) - 0.5f;
        *high = (float)(l->highest - l->bias) + 0.5f;
        return;
    }
    for (int q = l->lowest; q <= l->highest; q++) {
        const float value = (float)l->table[q];
        least[1] = value < least[0] ? least[0] : fminf(least[1], value);
        least[0] = fminf(least[0], value);
        most[1] = value > most[0] ? most[0] : fmaxf(most[1], value);
        most[0] = fmaxf(most[0], value);
    }
    *low = least[0] - (least[1] - least[0]) / 2;
    *high = most[0] + (most[0] - most[1]) / 2;
}

void relevel_spans(enum dtype type, const void *blocks, size_t n, float *low, float *high)
{
    enum { SPAN = 16 };
    const struct dtype_info *info = dtype_info(type);
    const unsigned char *block = blocks;
    CHECK(n % info->block == 0);
    for (size_t at = 0; at < n; at += info->block, block += info->block_bytes) {
        struct block_levels l;
        float first, last;
        relevel_read(type, block, &l);
        outermost(&l, &first, &last);
        for (size_t j = 0; j < l.n; j += SPAN) {
            const float scale = l.scale[j / l.group], offset = l.offset[j / l.group];
            const float a = scale * first + offset, b = scale * last + offset;
            low[(at + j) / SPAN] = scale == 0 ? -INFINITY : fminf(a, b);
            high[(at + j) / SPAN] = scale == 0 ? INFINITY : fmaxf(a, b);
        }
    }
}
