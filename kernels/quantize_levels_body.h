/* Part of kernels/quantize_body.h: types whose levels stand in a table. */

/* Halfway between the levels of IQ4, and the steps from each level to the next. */
static const float iq4_borders[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                      7,       19,     31.5f, 45.5f, 61,  79,     101};
static const float iq4_steps[15] = {23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24};

/* `first` and each step whose border x has reached: for the level nearest to x (the upper of two), or with steps of
 * 1 its number. */
INLINE vf climb(vf x, float first, const float steps[15])
{
    vf sum = vf_set(first);
    for (int k = 0; k < 15; k++)
        sum += vf_if(x < vf_set(iq4_borders[k]), vf_set(0), vf_set(steps[k]));
    return sum;
}

INLINE void iq4_numbers(const float *x, float inverse, uint8_t levels[32])
{
    static const float ones[15] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float number[32];
    for (int i = 0; i < 32; i += W)
        vf_store(number + i, climb(vf_load(x + i) * inverse, 0, ones));
    for (int i = 0; i < 32; i++)
        levels[i] = (uint8_t)number[i];
}

enum { IQ4_CANDIDATES = 16, IQ4_FIRST = 15 }; /* the extreme weight as level -127 - 7 to -127 + 7, and exactly */

/* The best scale of 32 weights; ggml: quantize_row_iq4_nl_impl. */
static float search_iq4(const float *x, const float *importance, float sigma2)
{
    float w[32], inverse[IQ4_CANDIDATES], sums_xq[IQ4_CANDIDATES], sums_q2[IQ4_CANDIDATES];
    const float max = extreme(x, 32);
    if (fabsf(max) < GROUP_EPSILON)
        return 0;
    if (importance)
        weigh(x, importance, 32, sigma2, w);
    else
        for (int i = 0; i < 32; i++)
            w[i] = x[i] * x[i];
    for (int k = 0; k < IQ4_CANDIDATES; k++)
        inverse[k] = (float)(k - 7 + iq4_values[0]) / max;
    inverse[IQ4_FIRST] = 1 / (-max / (float)iq4_values[0]);
    for (int from = 0; from < IQ4_CANDIDATES; from += W) {
        vf sum_xq = vf_set(0), sum_q2 = vf_set(0), lanes = vf_load(inverse + from);
        for (int i = 0; i < 32; i++) {
            vf q = climb(lanes * x[i], (float)iq4_values[0], iq4_steps), wq = w[i] * q;
            sum_xq += wq * x[i];
            sum_q2 += wq * q;
        }
        vf_store(sums_xq + from, sum_xq);
        vf_store(sums_q2 + from, sum_q2);
    }
    float d = sums_q2[IQ4_FIRST] > 0 ? sums_xq[IQ4_FIRST] / sums_q2[IQ4_FIRST] : 0, best = d * sums_xq[IQ4_FIRST];
    for (int k = 0; k < IQ4_FIRST; k++)
        if (sums_q2[k] > 0 && sums_xq[k] * sums_xq[k] > best * sums_q2[k]) {
            d = sums_xq[k] / sums_q2[k];
            best = d * sums_xq[k];
        }
    return d;
}

/* Twice the mean square of n weights. */
INLINE float iq4_sigma2(const float *x, int n)
{
    return sum_of_squares(x, (size_t)n) * (2.0f / (float)n);
}

static void to_iq4_nl(const float *x, void *to, size_t n, const float *importance)
{
    struct block_iq4_nl *b = to;
    uint8_t levels[32];
    for (size_t i = 0; i < n; i += 32, x += 32, b++) {
        const float d = search_iq4(x, importance ? importance + i : NULL, iq4_sigma2(x, 32));
        b->d = half_from_f32(d);
        iq4_numbers(x, d != 0 ? 1 / d : 0, levels);
        pack_nibbles(levels, b->qs);
    }
}

static void to_iq4_xs(const float *x, void *to, size_t n, const float *importance)
{
    struct block_iq4_xs *b = to;
    uint8_t levels[32];
    float scale[8];
    for (size_t i = 0; i < n; i += 256, x += 256, b++) {
        const float sigma2 = iq4_sigma2(x, 256);
        for (int s = 0; s < 8; s++)
            scale[s] = search_iq4(x + 32 * s, importance ? importance + i + 32 * s : NULL, sigma2);
        const float d = -extreme(scale, 8) / 32, inverse = d != 0 ? 1 / d : 0;
        memset(b, 0, sizeof *b);
        b->d = half_from_f32(d);
        for (int s = 0; s < 8; s++) {
            const int level = clamped(nearest(inverse * scale[s]), -32, 31), bits = level + 32;
            const float group = d * (float)level;
            iq4_numbers(x + 32 * s, group != 0 ? 1 / group : 0, levels);
            pack_nibbles(levels, b->qs + 16 * s);
            b->scales_l[s / 2] |= (uint8_t)((bits & 15) << s % 2 * 4);
            b->scales_h |= (uint16_t)(bits >> 4 << 2 * s);
        }
    }
}

/* The level of MXFP4 nearest to x, the first of two; d is half of the block's scale. */
INLINE uint8_t mxfp4_level(float x, float d)
{
    int best = 0;
    float least = fabsf((float)mxfp4_values[0] * d - x);
    for (int i = 1; i < 16; i++) {
        const float error = fabsf((float)mxfp4_values[i] * d - x);
        if (error < least) {
            least = error;
            best = i;
        }
    }
    return (uint8_t)best;
}

/* The scale is the power of two that leaves the largest weight between 4 and 8, as the OCP specification has it.
 * Below 2^-125 the exponent wraps around, as in ggml; all levels are 0 then. */
static void to_mxfp4(const float *x, void *to, size_t n, const float *importance)
{
    (void)importance;
    struct block_mxfp4 *b = to;
    for (size_t i = 0; i < n; i += 32, x += 32, b++) {
        const float largest = fabsf(extreme(x, 32));
        uint8_t levels[32];
        b->e = largest > 0 ? (uint8_t)((int)floorf(log2f(largest)) - 2 + 127) : 0;
        const float d = float_from_bits(b->e < 2 ? 0x00200000u << b->e : (uint32_t)(b->e - 1) << 23);
        for (int j = 0; j < 32; j++)
            levels[j] = mxfp4_level(x[j], d);
        pack_nibbles(levels, b->qs);
    }
}
