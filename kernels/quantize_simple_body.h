/* Part of kernels/quantize_body.h: blocks of 32 weights with one scale, and the ternary types. */

/* Candidates of blocks of 32 that have a minimum, with importance. */
static const struct affine_search search_q4_1 = {15, -0.9f, 0.05f, 36, false};
static const struct affine_search search_q5_1 = {31, -0.9f, 0.05f, 36, false};

INLINE void pack_nibbles(const uint8_t levels[32], uint8_t qs[16])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((levels[j] & 15) | levels[j + 16] << 4);
}

INLINE void pack_fifth_bits(const uint8_t levels[32], uint8_t qh[4])
{
    uint32_t bits = 0;
    for (int j = 0; j < 32; j++)
        bits |= (uint32_t)(levels[j] >> 4 & 1) << j;
    memcpy(qh, &bits, sizeof bits);
}

/* Levels 0..2 top - 1 about `top`, the extreme weight being level 0; returns the scale. With importance, the best
 * scale near that one. mean_square: of the row. */
INLINE float levels_about_zero(int top, const float *x, const float *importance, float mean_square,
                               uint8_t levels[32])
{
    if (importance) {
        float w[32];
        weigh(x, importance, 32, mean_square, w);
        return search_scale(top, x, w, 32, levels);
    }
    const float d = extreme(x, 32) / (float)-top, inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; j++) {
        int level = (int8_t)truncated(x[j] * inverse + ((float)top + 0.5f));
        levels[j] = (uint8_t)(level < 2 * top - 1 ? level : 2 * top - 1);
    }
    return d;
}

/* Levels 0..top from the smallest weight to the largest; returns the scale. */
INLINE float levels_of_range(const struct affine_search *s, const float *x, const float *importance,
                             float mean_square, uint8_t levels[32], float *min)
{
    if (importance) {
        float w[32];
        weigh(x, importance, 32, mean_square, w);
        float scale = search_affine(s, x, w, 32, levels, min);
        *min = -*min;
        return scale;
    }
    float low = x[0], high = x[0];
    for (int j = 1; j < 32; j++) {
        low = x[j] < low ? x[j] : low;
        high = x[j] > high ? x[j] : high;
    }
    const float d = (high - low) / (float)s->top, inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; j++) {
        int level = (int8_t)truncated((x[j] - low) * inverse + 0.5f);
        levels[j] = (uint8_t)(level < s->top ? level : s->top);
    }
    *min = low;
    return d;
}

INLINE float mean_square_if(const float *importance, const float *x, size_t n)
{
    return importance ? sum_of_squares(x, n) / (float)n : 0;
}

static void to_q4_0(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q4_0 *b = to;
    const float mean_square = mean_square_if(importance, x, n);
    uint8_t levels[32];
    for (size_t i = 0; i < n; i += 32, b++) {
        b->d = half_from_f32(levels_about_zero(8, x + i, importance ? importance + i : NULL, mean_square, levels));
        pack_nibbles(levels, b->qs);
    }
}

static void to_q5_0(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q5_0 *b = to;
    const float mean_square = mean_square_if(importance, x, n);
    uint8_t levels[32];
    for (size_t i = 0; i < n; i += 32, b++) {
        b->d = half_from_f32(levels_about_zero(16, x + i, importance ? importance + i : NULL, mean_square, levels));
        pack_nibbles(levels, b->qs);
        pack_fifth_bits(levels, b->qh);
    }
}

static void to_q4_1(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q4_1 *b = to;
    const float mean_square = mean_square_if(importance, x, n);
    uint8_t levels[32];
    float min;
    for (size_t i = 0; i < n; i += 32, b++) {
        b->d = half_from_f32(levels_of_range(&search_q4_1, x + i, importance ? importance + i : NULL, mean_square,
                                             levels, &min));
        b->m = half_from_f32(min);
        pack_nibbles(levels, b->qs);
    }
}

static void to_q5_1(const float *x, void *to, size_t n, const float *importance)
{
    struct block_q5_1 *b = to;
    const float mean_square = mean_square_if(importance, x, n);
    uint8_t levels[32];
    float min;
    for (size_t i = 0; i < n; i += 32, b++) {
        b->d = half_from_f32(levels_of_range(&search_q5_1, x + i, importance ? importance + i : NULL, mean_square,
                                             levels, &min));
        b->m = half_from_f32(min);
        pack_nibbles(levels, b->qs);
        pack_fifth_bits(levels, b->qh);
    }
}

/* Nearest, ties away from zero: the largest f32 below 0.5 is added, for 0.5 itself would round 0.49999997 up. */
INLINE int rounded(float x)
{
    return truncated(x + copysignf(0.49999997f, x));
}

static void to_q8_0(const float *x, void *to, size_t n, const float *importance)
{
    (void)importance;
    struct block_q8_0 *b = to;
    for (size_t i = 0; i < n; i += 32, b++) {
        const float d = fabsf(extreme(x + i, 32)) / 127.0f, inverse = d != 0 ? 1.0f / d : 0.0f;
        b->d = half_from_f32(d);
        for (int j = 0; j < 32; j++)
            b->qs[j] = (int8_t)rounded(x[i + (size_t)j] * inverse);
    }
}

/* A weight of -1, 0 or 1 times the scale, as 0 to 2. */
INLINE uint8_t trit(float x, float inverse)
{
    return (uint8_t)(rounded(x * inverse) + 1);
}

/* n bytes of `digits` trits each, the first the highest, from n * digits weights; ggml divides by 3^5, rounded up. */
INLINE const float *pack_trits(const float *x, float inverse, int n, int digits, uint8_t *to)
{
    for (int j = 0; j < n; j++) {
        uint8_t q = 0;
        for (int k = 0; k < 5; k++)
            q = (uint8_t)(q * 3 + (k < digits ? trit(x[j + k * n], inverse) : 0));
        to[j] = (uint8_t)((q * 256 + 242) / 243);
    }
    return x + n * digits;
}

static void to_tq1_0(const float *x, void *to, size_t n, const float *importance)
{
    (void)importance;
    struct block_tq1_0 *b = to;
    for (const float *end = x + n; x < end; b++) {
        const float d = fabsf(extreme(x, 256)), inverse = d != 0 ? 1.0f / d : 0.0f;
        b->d = half_from_f32(d);
        x = pack_trits(x, inverse, 32, 5, b->qs);
        x = pack_trits(x, inverse, 16, 5, b->qs + 32);
        x = pack_trits(x, inverse, 4, 4, b->qh);
    }
}

static void to_tq2_0(const float *x, void *to, size_t n, const float *importance)
{
    (void)importance;
    struct block_tq2_0 *b = to;
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        const float d = fabsf(extreme(x, 256)), inverse = d != 0 ? 1.0f / d : 0.0f;
        uint8_t levels[256];
        b->d = half_from_f32(d);
        for (int j = 0; j < 256; j++)
            levels[j] = trit(x[j], inverse) & 3;
        pack_pairs(levels, b->qs);
    }
}
