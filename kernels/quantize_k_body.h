/* Part of kernels/quantize_body.h: the types of 256 weights in groups of 16 or 32, whose scales (and minima) are
 * themselves levels of one scale. Without importance they follow ggml's quantize_row_*_ref, with it *_impl. */

static const struct affine_search search_q2_k = {3, -0.5f, 0.1f, 15, true};
static const struct affine_search search_q4_k = {15, -1.0f, 0.1f, 20, false};
static const struct affine_search search_q5_k = {31, -0.5f, 0.1f, 15, false};
/* With importance: more candidates, of squared errors. */
static const struct affine_search weighted_q2_k = {3, -0.9f, 0.05f, 36, false};
static const struct affine_search weighted_q4_k = {15, -0.9f, 0.05f, 36, false};
static const struct affine_search weighted_q5_k = {31, -0.9f, 0.05f, 36, false};

/* 256 levels of two bits into 64 bytes. */
INLINE void pack_pairs(const uint8_t levels[256], uint8_t qs[64])
{
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 32; j++) {
            const uint8_t *l = levels + half * 128 + j;
            qs[half * 32 + j] = (uint8_t)((l[0] & 3) | (l[32] & 3) << 2 | (l[64] & 3) << 4 | l[96] << 6);
        }
}

/* Scales and minima of the n groups of a block: what was found, as levels and their two scales. */
struct group_scales {
    float scale[16], min[16], weight[16]; /* weight: that of all weights of the group */
    uint8_t scale_level[16], min_level[16];
    float d, dmin;
};

/* Plain rounding, the largest being `top`. */
static void levels_of_scales(const float *scale, int n, float top, uint8_t *levels, float *d)
{
    float max = 0;
    for (int j = 0; j < n; j++)
        max = scale[j] > max ? scale[j] : max;
    const float inverse = max > 0 ? top / max : 0;
    for (int j = 0; j < n; j++)
        levels[j] = (uint8_t)nearest(inverse * scale[j]);
    *d = max / top;
}

/* Finds scales and minima of the groups and rounds them. mean_square: of the block. */
static void fit_groups(const struct affine_search *s, const float *x, int group, int top,
                       const float *importance, float sigma2, struct group_scales *g, uint8_t levels[256])
{
    const int n = 256 / group;
    for (int j = 0; j < n; j++, x += group) {
        float w[32];
        if (importance) {
            weigh(x, importance + j * group, group, sigma2, w);
        } else if (group == 16) {
            for (int i = 0; i < group; i++)
                w[i] = fabsf(x[i]);
        } else {
            const float size = sqrtf(sum_of_squares(x, (size_t)group) / (float)group);
            for (int i = 0; i < group; i++)
                w[i] = size + fabsf(x[i]);
        }
        g->weight[j] = 0;
        for (int i = 0; i < group; i++)
            g->weight[j] += w[i];
        g->scale[j] = search_affine(s, x, w, group, levels + j * group, &g->min[j]);
    }
    if (importance) {
        g->d = search_positive(top, g->scale, g->weight, n, g->scale_level);
        g->dmin = search_positive(top, g->min, g->weight, n, g->min_level);
    } else {
        levels_of_scales(g->scale, n, (float)top, g->scale_level, &g->d);
        levels_of_scales(g->min, n, (float)top, g->min_level, &g->dmin);
    }
}

static void to_q2_k(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q2_k *b = to;
    struct group_scales g;
    uint8_t levels[256];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        const float sigma2 = importance ? sum_of_squares(x, 256) / 256 : 0;
        fit_groups(importance ? &weighted_q2_k : &search_q2_k, x, 16, 15, importance ? importance + i : NULL, sigma2,
                   &g, levels);
        b->d = half_from_f32(g.d);
        b->dmin = half_from_f32(g.dmin);
        const float d = half_to_f32(b->d), dmin = half_to_f32(b->dmin);
        for (int j = 0; j < 16; j++) {
            b->scales[j] = (uint8_t)(g.scale_level[j] | g.min_level[j] << 4);
            const float scale = d * (float)(b->scales[j] & 15);
            if (scale != 0)
                round_levels(x + 16 * j, 16, dmin * (float)(b->scales[j] >> 4), scale, 0, 3, levels + 16 * j);
        }
        pack_pairs(levels, b->qs);
    }
}

/* The reverse of k_scale_min, for all eight. */
static void pack_scales_mins(const uint8_t scale[8], const uint8_t min[8], uint8_t s[12])
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* What Q4_K and Q5_K have in common: scales, minima and the levels of 256 weights. */
static void fit_32(const struct affine_search *s, const float *x, const float *importance, uint16_t *d,
                   uint16_t *dmin, uint8_t scales[12], uint8_t levels[256])
{
    struct group_scales g;
    const float sigma2 = importance ? 2 * sum_of_squares(x, 256) / 256 : 0;
    fit_groups(s, x, 32, 63, importance, sigma2, &g, levels);
    for (int j = 0; j < 8; j++) {
        g.scale_level[j] = g.scale_level[j] < 63 ? g.scale_level[j] : 63;
        g.min_level[j] = g.min_level[j] < 63 ? g.min_level[j] : 63;
    }
    pack_scales_mins(g.scale_level, g.min_level, scales);
    *d = half_from_f32(g.d);
    *dmin = half_from_f32(g.dmin);
    for (int j = 0; j < 8; j++) {
        const float scale = half_to_f32(*d) * (float)g.scale_level[j];
        if (scale != 0)
            round_levels(x + 32 * j, 32, half_to_f32(*dmin) * (float)g.min_level[j], scale, 0, (float)s->top,
                         levels + 32 * j);
    }
}

/* 256 levels, per 64 the lower four bits of the first 32 and of the others in 32 bytes. */
INLINE void pack_halves(const uint8_t levels[256], uint8_t qs[128])
{
    for (int s = 0; s < 4; s++)
        for (int j = 0; j < 32; j++)
            qs[s * 32 + j] = (uint8_t)((levels[s * 64 + j] & 15) | levels[s * 64 + 32 + j] << 4);
}

static void to_q4_k(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q4_k *b = to;
    uint8_t levels[256];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        fit_32(importance ? &weighted_q4_k : &search_q4_k, x, importance ? importance + i : NULL, &b->d, &b->dmin,
               b->scales, levels);
        pack_halves(levels, b->qs);
    }
}

/* Bit s of byte j: bit `bit` of level 32 s + j. */
INLINE void pack_bit(const uint8_t levels[256], int bit, uint8_t to[32])
{
    for (int j = 0; j < 32; j++) {
        uint8_t bits = 0;
        for (int s = 0; s < 8; s++)
            bits |= (uint8_t)((levels[s * 32 + j] >> bit & 1) << s);
        to[j] = bits;
    }
}

static void to_q5_k(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q5_k *b = to;
    uint8_t levels[256];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        fit_32(importance ? &weighted_q5_k : &search_q5_k, x, importance ? importance + i : NULL, &b->d, &b->dmin,
               b->scales, levels);
        pack_halves(levels, b->qs);
        pack_bit(levels, 4, b->qh);
    }
}

/* The scale of the largest magnitude, the first of them. */
INLINE float largest_scale(const float scale[16])
{
    return extreme(scale, 16);
}

/* Scales of Q3_K's 16 groups as levels 0..63 about 32; returns d. */
static float fit_q3_k(const float *x, const float *importance, uint8_t scale_level[16], uint8_t levels[256])
{
    float scale[16], weight[16] = {0}, w[16];
    if (importance) {
        const float sigma2 = 2 * sum_of_squares(x, 256) / 256;
        for (int j = 0; j < 16; j++) {
            weigh(x + 16 * j, importance + 16 * j, 16, sigma2, w);
            for (int i = 0; i < 16; i++)
                weight[j] += w[i];
            scale[j] = search_scale(4, x + 16 * j, w, 16, levels + 16 * j);
        }
        return search_scale(32, scale, weight, 16, scale_level);
    }
    for (int j = 0; j < 16; j++)
        scale[j] = descend_scale(4, x + 16 * j, 16, levels + 16 * j);
    const float max = largest_scale(scale), inverse = max != 0 ? -32.0f / max : 0;
    for (int j = 0; j < 16; j++) /* without any scale the levels are 0, as ggml leaves them */
        scale_level[j] = max != 0 ? (uint8_t)(clamped((int8_t)nearest(inverse * scale[j]), -32, 31) + 32) : 0;
    return max != 0 ? 1 / inverse : 0;
}

static void to_q3_k(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q3_k *b = to;
    uint8_t levels[256], scale_level[16];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        b->d = half_from_f32(fit_q3_k(x, importance ? importance + i : NULL, scale_level, levels));
        memset(b->scales, 0, sizeof b->scales);
        for (int j = 0; j < 16; j++) {
            b->scales[j % 8] |= (uint8_t)((scale_level[j] & 15) << j / 8 * 4);
            b->scales[8 + j % 4] |= (uint8_t)(scale_level[j] >> 4 << j / 4 * 2);
            const float scale = half_to_f32(b->d) * (float)(scale_level[j] - 32);
            if (scale != 0)
                round_levels(x + 16 * j, 16, 0, scale, -4, 3, levels + 16 * j);
        }
        pack_bit(levels, 2, b->hmask);
        pack_pairs(levels, b->qs);
    }
}

static void pack_q6_k(const uint8_t levels[256], struct block_q6_k *b)
{
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 32; j++) {
            const uint8_t *l = levels + half * 128 + j;
            b->ql[half * 64 + j] = (uint8_t)((l[0] & 15) | l[64] << 4);
            b->ql[half * 64 + 32 + j] = (uint8_t)((l[32] & 15) | l[96] << 4);
            b->qh[half * 32 + j] = (uint8_t)(l[0] >> 4 | l[32] >> 4 << 2 | l[64] >> 4 << 4 | l[96] >> 4 << 6);
        }
}

static void to_q6_k(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q6_k *b = to;
    uint8_t levels[256];
    float scale[16], w[16];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        for (int j = 0; j < 16; j++) {
            for (int k = 0; k < 16; k++)
                w[k] = x[16 * j + k] * x[16 * j + k];
            scale[j] = search_scale(32, x + 16 * j, importance ? importance + i + 16 * j : w, 16, levels + 16 * j);
        }
        const float max = largest_scale(scale), inverse = -128.0f / max;
        memset(b, 0, sizeof *b);
        if (fabsf(max) < GROUP_EPSILON)
            continue;
        b->d = half_from_f32(1 / inverse);
        for (int j = 0; j < 16; j++) {
            const int level = nearest(inverse * scale[j]);
            b->scales[j] = (int8_t)(level < 127 ? level : 127);
            const float d = half_to_f32(b->d) * (float)b->scales[j];
            if (d != 0)
                round_levels(x + 16 * j, 16, 0, d, -32, 31, levels + 16 * j);
        }
        pack_q6_k(levels, b);
    }
}
