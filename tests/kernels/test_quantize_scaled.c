/* kernels/quantize_scaled: levels are the nearest, derivatives those of the formula in f64, and all instruction sets agree;
 * and what kernels/quantized says that levels span. */
#include "kernels/quantize_scaled.h"

#include "kernels/blocks.h"
#include "kernels/quantize.h"
#include "kernels/relevel.h"
#include "tests/kernels/util.h"

static const enum dtype types[] = {DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_IQ4_NL};
enum { TYPES = sizeof types / sizeof *types, ROWS = 20, COLS = 256, N = ROWS * COLS, BLOCKS = N / SCALED_BLOCK };

struct scaled {
    enum dtype type;
    const struct scaled_type *facts;
    size_t n_scales, row_bytes;
    float *x, *scales, *held;
    unsigned char *blocks;
};

/* Weights, the scales that their type's own quantiser finds, and room for blocks. */
static struct scaled scaled_of(enum dtype type)
{
    struct scaled s = {.type = type, .facts = scaled_type(type), .x = normals(N, 0.1f, 3), .held = floats(N)};
    assert_non_null(s.facts);
    assert_true(dtype_bytes(type, COLS, &s.row_bytes));
    s.n_scales = BLOCKS * s.facts->n_scales;
    s.scales = floats(s.n_scales);
    s.blocks = mem_alloc(ROWS + 1, s.row_bytes);
    memset(s.x + 64, 0, 32 * sizeof *s.x); /* a block of zeros */
    quantize_rows(type, s.x, s.blocks, ROWS, COLS, NULL);
    quantized_scales(type, s.blocks, BLOCKS, s.scales);
    return s;
}

static void round_scaled(struct scaled *s)
{
    memset(s->blocks, 0xA5, (ROWS + 1) * s->row_bytes);
    quantize_rows_scaled(s->type, s->x, s->scales, s->blocks, ROWS, COLS);
    for (size_t i = ROWS * s->row_bytes; i < (ROWS + 1) * s->row_bytes; i++)
        assert_int_equal(s->blocks[i], 0xA5);
    assert_true(dtype_to_f32(s->type, s->blocks, s->held, N));
}

static void scaled_free(struct scaled *s)
{
    done_with(s->x, N);
    done_with(s->held, N);
    done_with(s->scales, s->n_scales);
    mem_free(s->blocks);
}

static int level_count(const struct scaled_type *t)
{
    return (int)(t->high - t->low) + 1;
}

/* Level number n of a type, from the lowest. */
static double level(enum dtype type, int n)
{
    return type == DTYPE_IQ4_NL ? iq4_values[n] : scaled_type(type)->low + n;
}

static int levels_of(enum dtype type)
{
    return type == DTYPE_IQ4_NL ? 16 : level_count(scaled_type(type));
}

/* The level nearest to t in f64, and how much further the next one is. */
static double nearest_level(enum dtype type, double t, double *margin)
{
    double best = level(type, 0), least = INFINITY, second = INFINITY;
    for (int n = 0; n < levels_of(type); n++) {
        const double distance = fabs(level(type, n) - t);
        if (distance < least)
            second = least, least = distance, best = level(type, n);
        else if (distance < second)
            second = distance;
    }
    *margin = second - least;
    return best;
}

static double scale_at(const struct scaled *s, size_t i, size_t which)
{
    const float unit = which ? s->facts->high : 1;
    if (which >= s->facts->n_scales)
        return 0;
    return half_to_f32(half_from_f32(unit * s->scales[i / 32 * s->facts->n_scales + which]));
}

static void assert_nearest(struct scaled *s)
{
    round_scaled(s);
    for (size_t i = 0; i < N; i++) {
        const double d = scale_at(s, i, 0), m = scale_at(s, i, 1);
        double margin, t = d != 0 ? ((double)s->x[i] - m) / d : 0, q = nearest_level(s->type, t, &margin);
        if (margin > 1e-4 && fabs((double)s->held[i] - (d * q + m)) > 1e-5)
            fail_msg("%s, weight %zu: %g held as %g, not as %g", dtype_info(s->type)->name, i, (double)s->x[i],
                     (double)s->held[i], d * q + m);
    }
}

/* With scales that the type's own function found, with others, and with those of the other sign. */
static void levels_are_the_nearest(void **state)
{
    (void)state;
    for_each_level(cpu)
        for (size_t i = 0; i < TYPES; i++)
            for (int turn = 0; turn < 3; turn++) {
                static const float factors[] = {1, 0.5f, -1};
                struct scaled s = scaled_of(types[i]);
                for (size_t j = 0; j < s.n_scales; j++) {
                    const bool is_d = j % s.facts->n_scales == 0;
                    s.scales[j] *= is_d ? factors[turn] : 1;
                }
                assert_nearest(&s);
                scaled_free(&s);
            }
}

/* Where the d that a type's quantiser finds is a number of f16 before it is rounded to one, its blocks are these, bit for
 * bit. */
static void own_scales_give_own_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        if (types[i] == DTYPE_IQ4_NL) /* fits its scale to the weights, and it is never exact */
            continue;
        struct scaled s = scaled_of(types[i]);
        unsigned char *own = mem_alloc(ROWS, s.row_bytes);
        const float extreme = types[i] == DTYPE_Q8_0 ? 127.0f / 128 : 1;
        for (size_t j = 0; j < N; j++) { /* in [-1, 1] with both ends, or [0, 15 / 16] and [0, 31 / 32] */
            if (s.facts->n_scales == 2)
                s.x[j] = fminf(fabsf(s.x[j]), s.facts->high / (s.facts->high + 1));
            if (j % 32 == 5)
                s.x[j] = s.facts->n_scales == 2 ? s.facts->high / (s.facts->high + 1) : -extreme;
            if (j % 32 == 7 && s.facts->n_scales == 2)
                s.x[j] = 0;
        }
        quantize_rows(types[i], s.x, own, ROWS, COLS, NULL);
        quantized_scales(types[i], own, BLOCKS, s.scales);
        round_scaled(&s);
        assert_memory_equal(own, s.blocks, ROWS * s.row_bytes);
        mem_free(own);
        scaled_free(&s);
    }
}

static void all_instruction_sets_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        struct scaled s = scaled_of(types[i]);
        unsigned char *first = NULL;
        float *g = normals(N, 1, 5), *gradients = floats(s.n_scales), *first_gradients = NULL;
        for (size_t j = 0; j < s.n_scales; j++)
            s.scales[j] *= 0.7f;
        for_each_level(cpu) {
            round_scaled(&s);
            quantize_rows_scaled_backward(types[i], s.x, s.scales, g, gradients, ROWS, COLS);
            if (!first) {
                first = mem_alloc(ROWS, s.row_bytes);
                first_gradients = floats(s.n_scales);
                memcpy(first, s.blocks, ROWS * s.row_bytes);
                memcpy(first_gradients, gradients, s.n_scales * sizeof *gradients);
            }
            assert_memory_equal(first, s.blocks, ROWS * s.row_bytes);
            assert_memory_equal(first_gradients, gradients, s.n_scales * sizeof *gradients);
        }
        mem_free(first);
        done_with(first_gradients, s.n_scales);
        done_with(gradients, s.n_scales);
        done_with(g, N);
        scaled_free(&s);
    }
}

/* What the block of weights contributes to a loss that is linear in them, dx^ = g, with rounding replaced by the constant
 * that it adds at the present scales: smooth in d and m, and what the straight-through estimator differentiates. */
static double surrogate(const struct scaled *s, size_t block, const float *g, double d, double m)
{
    double loss = 0;
    for (size_t i = 32 * block; i < 32 * (block + 1); i++) {
        const double d0 = scale_at(s, i, 0), m0 = scale_at(s, i, 1), x = (double)s->x[i], t0 = (x - m0) / d0;
        double margin, q0 = nearest_level(s->type, t0, &margin);
        const bool inside = t0 > s->facts->low && t0 < s->facts->high;
        loss += (double)g[i] * (d * (inside ? (x - m) / d + (q0 - t0) : q0) + m);
    }
    return loss;
}

static void scale_gradients_are_those_of_the_surrogate(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++) {
        struct scaled s = scaled_of(types[i]);
        float *g = normals(N, 1, 5), *gradients = floats(s.n_scales);
        const size_t k = s.facts->n_scales;
        size_t beyond = 0;
        for (size_t j = 0; j < s.n_scales; j++) { /* so narrow that many are beyond; every third the other way round */
            s.scales[j] *= 0.6f;
            if (j % k == 0 && j / k % 3 == 0)
                s.scales[j] = -s.scales[j];
        }
        quantize_rows_scaled_backward(types[i], s.x, s.scales, g, gradients, ROWS, COLS);
        for (size_t b = 0; b < BLOCKS; b++) {
            const double d = scale_at(&s, 32 * b, 0), m = scale_at(&s, 32 * b, 1), h = fabs(d) / 8;
            if (d == 0)
                continue;
            const double of_d = (surrogate(&s, b, g, d + h, m) - surrogate(&s, b, g, d - h, m)) / (2 * h);
            const double of_m = (surrogate(&s, b, g, d, m + h) - surrogate(&s, b, g, d, m - h)) / (2 * h);
            assert_true(fabs(of_d - (double)gradients[b * k]) < 2e-4 * (fabs(of_d) + (double)s.facts->high));
            if (k == 2) {
                assert_true(fabs(of_m - (double)(gradients[b * k + 1] / s.facts->high)) < 1e-4);
                beyond += of_m != 0;
            }
        }
        assert_true(k == 1 || beyond > BLOCKS / 2);
        done_with(gradients, s.n_scales);
        done_with(g, N);
        scaled_free(&s);
    }
}

/* One block by hand: inside (q - t), at both ends, and just within half a step of one. */
static void a_block_by_hand(void **state)
{
    (void)state;
    float x[32] = {0}, g[32] = {0}, d = 0.5f, gradient;
    const struct { float x, term; } cases[] = {
        {0.6f, 1 - 1.2f}, {0.9f, 2 - 1.8f}, {-1.3f, -3 + 2.6f}, {3.6f, 7}, {100, 7}, {-4, -8}, {-50, -8}, {3.4f, 7 - 6.8f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int at = 0; at < 32; at += 31) {
            memset(x, 0, sizeof x);
            memset(g, 0, sizeof g);
            x[at] = cases[i].x;
            g[at] = -3;
            quantize_rows_scaled_backward(DTYPE_Q4_0, x, &d, g, &gradient, 1, 32);
            assert_true(fabsf(gradient - -3 * cases[i].term) < 1e-5f);
        }
    }
}

/* Scales that are zero, too small or too large for f16: finite blocks and gradients, and a zero that can grow. */
static void no_scale_gives_a_nan(void **state)
{
    (void)state;
    static const float scales[] = {0, -0.0f, 1e-30f, -1e-30f, 6e-8f, 1e30f, -1e30f, 65504};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
            struct scaled s = scaled_of(types[i]);
            float *g = normals(N, 1, 5), *gradients = floats(s.n_scales);
            s.x[0] = 3e38f;
            for (size_t j = 0; j < s.n_scales; j++)
                s.scales[j] = scales[k];
            round_scaled(&s);
            quantize_rows_scaled_backward(types[i], s.x, s.scales, g, gradients, ROWS, COLS);
            for (size_t j = 0; j < N; j++)
                assert_true(isfinite(s.held[j]));
            for (size_t j = 0; j < s.n_scales; j++)
                assert_true(isfinite(gradients[j]));
            assert_true(fabsf(scales[k]) > 1 || gradients[3 * s.facts->n_scales] != 0); /* the third block is of zeros */
            done_with(gradients, s.n_scales);
            done_with(g, N);
            scaled_free(&s);
        }
}

/* --- spans --- */

static const enum dtype all_types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1,   DTYPE_Q8_0,   DTYPE_Q2_K,  DTYPE_Q3_K,  DTYPE_Q4_K,
    DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4,
};

/* Every value of a block lies inside the span of its group, of which, weights reaching from end to end, it is no small
 * part: but where 256 weights share a scale. */
static void spans_hold_what_blocks_hold(void **state)
{
    (void)state;
    enum { WIDTH = 768 }; /* no whole number of strips */
    for_each_level(cpu)
        for (size_t i = 0; i < sizeof all_types / sizeof *all_types; i++) {
            float x[WIDTH], low[WIDTH / 16], high[WIDTH / 16];
            unsigned char blocks[WIDTH * 2];
            for (size_t j = 0; j < WIDTH; j++) /* each 16 from end to end, as wide as the 16 that may share its scale */
                x[j] = 0.01f * (float)(1 + j / 32 % 5) * ((float)(j * 7 % 16) / 7.5f - 1);
            for (size_t j = 512; j < 768; j++)
                x[j] = 0;
            quantize_rows(all_types[i], x, blocks, 1, WIDTH, NULL);
            assert_true(dtype_to_f32(all_types[i], blocks, x, WIDTH));
            relevel_spans(all_types[i], blocks, WIDTH, low, high);
            for (size_t g = 0; g < 512 / 16; g++) {
                float least = INFINITY, largest = -INFINITY;
                for (size_t j = 16 * g; j < 16 * (g + 1); j++)
                    least = fminf(least, x[j]), largest = fmaxf(largest, x[j]);
                if (!(low[g] < least && high[g] > largest))
                    fail_msg("%s, group %zu: %g to %g is not within %g to %g", dtype_info(all_types[i])->name, g,
                             (double)least, (double)largest, (double)low[g], (double)high[g]);
                assert_true(high[g] - low[g] < 2.1f * (largest - least));
            }
            for (size_t g = 512 / 16; g < WIDTH / 16; g++)
                assert_true(all_types[i] == DTYPE_MXFP4 || (isinf(low[g]) && isinf(high[g])));
        }
}

/* Q4_0 with d = 0.5: from -4.25 to 3.75; IQ4_NL from -138.5 d to 125 d; with d < 0 the other way. */
static void spans_by_hand(void **state)
{
    (void)state;
    struct block_q4_0 b[2] = {{.d = half_from_f32(0.5f)}, {.d = half_from_f32(-2)}};
    struct block_iq4_nl iq = {.d = half_from_f32(0.5f)};
    struct block_q4_1 with_min = {.d = half_from_f32(1), .m = half_from_f32(-3)};
    float low[4], high[4];
    relevel_spans(DTYPE_Q4_0, b, 64, low, high);
    assert_true(low[0] == -4.25f && high[0] == 3.75f && low[1] == -4.25f && high[1] == 3.75f);
    assert_true(low[2] == -15 && high[2] == 17 && low[3] == -15 && high[3] == 17);
    relevel_spans(DTYPE_IQ4_NL, &iq, 32, low, high);
    assert_true(low[0] == -69.25f && high[1] == 62.5f);
    relevel_spans(DTYPE_Q4_1, &with_min, 32, low, high);
    assert_true(low[0] == -3.5f && high[1] == 12.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_the_nearest),
        cmocka_unit_test(own_scales_give_own_blocks),
        cmocka_unit_test(all_instruction_sets_agree),
        cmocka_unit_test(scale_gradients_are_those_of_the_surrogate),
        cmocka_unit_test(a_block_by_hand),
        cmocka_unit_test(no_scale_gives_a_nan),
        cmocka_unit_test(spans_hold_what_blocks_hold),
        cmocka_unit_test(spans_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
