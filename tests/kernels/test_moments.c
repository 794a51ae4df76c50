/* Moments in 8 bits: codes against their definition, rounding, and the update on them. */
#include "kernels/halves.h"
#include "kernels/moments.h"
#include "kernels/update.h"

#include "tests/kernels/util.h"

enum { BLOCK = MOMENT_BLOCK, BIG = 5 * BLOCK + 77 };

/* An array of codes and scales for n elements, with a guard behind each. */
static struct moment make_moment(size_t n)
{
    struct moment m = {MOMENT_8BIT, mem_alloc(n + GUARD, 1), zeros(moment_blocks(n))};
    memset(m.data, 0, n);
    memset((uint8_t *)m.data + n, 0xA5, GUARD);
    return m;
}

static void free_moment(struct moment *m, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++)
        assert_int_equal(((uint8_t *)m->data)[i], 0xA5);
    mem_free(m->data);
    done_with(m->scale, moment_blocks(n));
}

/* Numbers of many sizes; not below 0 for second moments. */
static float *spread(enum moment_order order, size_t n, uint64_t seed)
{
    float *x = normals(n, 1, seed), *size = normals(n, 2, seed + 100);
    for (size_t i = 0; i < n; i++) {
        x[i] *= expf(size[i]);
        x[i] = order == MOMENT_SECOND ? x[i] * x[i] : x[i];
    }
    done_with(size, n);
    return x;
}

/* What a code stands for, from its bits. */
static double meaning(unsigned code, int bits)
{
    int zeros_ = 0;
    code &= (1u << bits) - 1;
    if (code == 0)
        return 0;
    while (!(code >> (bits - 1 - zeros_) & 1))
        zeros_++;
    int fraction = bits - 1 - zeros_;
    unsigned k = code & ((1u << fraction) - 1);
    return pow(10, -zeros_) * (0.1 + 0.9 * k / ldexp(1, fraction));
}

static void codes_mean_what_they_say_and_come_back(void **state)
{
    (void)state;
    for_each_level(level)
    {
        for (enum moment_order order = MOMENT_FIRST; order <= MOMENT_SECOND; order++) {
            struct moment m = make_moment(BLOCK);
            uint8_t *codes = m.data, before[BLOCK];
            float x[BLOCK], scale = 0.37f;
            for (int q = 0; q < BLOCK; q++)
                codes[q] = (uint8_t)q;
            m.scale[0] = scale;
            memcpy(before, codes, BLOCK);
            moment_to_f32(&m, order, x, BLOCK);
            for (unsigned q = 0; q < BLOCK; q++) {
                double want = order == MOMENT_FIRST ? meaning(q, 7) * (double)scale * (q & 0x80 ? -1 : 1)
                                                    : pow(meaning(q, 8) * (double)scale, 2);
                assert_true(fabs(x[q] - want) <= 2e-6 * fabs(want));
            }
            moment_from_f32(&m, order, x, BLOCK);
            if (order == MOMENT_SECOND)
                before[1] = 2; /* the least that is written */
            assert_memory_equal(codes, before, BLOCK);
            assert_true(fabsf(m.scale[0] / scale - 1) < 1e-6f);
            free_moment(&m, BLOCK);
        }
    }
}

/* Between neighbouring codes of a decade lie 0.9 / 2^f of it. */
static void nearest_is_within_half_a_step(void **state)
{
    (void)state;
    for (enum moment_order order = MOMENT_FIRST; order <= MOMENT_SECOND; order++) {
        struct moment m = make_moment(BIG);
        float *x = spread(order, BIG, 3), *y = floats(BIG);
        int bits = order == MOMENT_FIRST ? 7 : 8;
        moment_from_f32(&m, order, x, BIG);
        moment_to_f32(&m, order, y, BIG);
        for (size_t i = 0; i < BIG; i++) {
            double scale = m.scale[i / BLOCK], a = fabsf(x[i]), b = fabsf(y[i]);
            if (order == MOMENT_SECOND)
                a = sqrt(a), b = sqrt(b);
            int e = (int)fmin(bits, fmax(0, floor(-log10(a / scale))));
            double step = e == bits ? pow(10, -bits) : 0.9 * pow(10, -e) / ldexp(1, bits - 1 - e);
            assert_within(fabs(a - b) / (step * scale), 0.501, "step");
        }
        done_with(x, BIG), done_with(y, BIG);
        free_moment(&m, BIG);
    }
}

static void write_noisily(struct moment *m, enum moment_order order, const float *x, size_t n, uint32_t noise)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        float block[BLOCK] = {0};
        uint32_t first = noise + (uint32_t)at;
        size_t size = n - at < BLOCK ? n - at : BLOCK;
        memcpy(block, x + at, size * sizeof *x);
        moment_write_block(m, order, at, size, block, &first);
    }
}

/* The mean of many roundings is the number itself: of second moments, not of their roots. */
static void rounding_at_random_has_no_bias(void **state)
{
    (void)state;
    enum { TIMES = 4000 };
    for (enum moment_order order = MOMENT_FIRST; order <= MOMENT_SECOND; order++) {
        struct moment m = make_moment(BLOCK);
        float *x = spread(order, BLOCK, 5), y[BLOCK];
        double mean[BLOCK] = {0}, squares[BLOCK] = {0}, sum = 0;
        for (uint32_t t = 0; t < TIMES; t++) {
            write_noisily(&m, order, x, BLOCK, t * 2654435761u);
            moment_to_f32(&m, order, y, BLOCK);
            for (size_t i = 0; i < BLOCK; i++) {
                double error = (double)y[i] - (double)x[i];
                mean[i] += error / TIMES, squares[i] += error * error / TIMES;
            }
        }
        for (size_t i = 0; i < BLOCK; i++) {
            double deviation = sqrt(squares[i] / TIMES) + 1e-6 * fabs((double)x[i]); /* of the mean */
            assert_within(fabs(mean[i]) / deviation, 5, "element %zu of order %d", i, (int)order);
            sum += mean[i] / deviation / BLOCK;
        }
        assert_within(fabs(sum), 0.3, "all elements of order %d", (int)order);
        done_with(x, BLOCK);
        free_moment(&m, BLOCK);
    }
}

static void every_level_gives_the_same_bits(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 15, 255, 256, 257, BIG};
    for (int c = 0; c < 24; c++) {
        size_t n = counts[c % 6];
        enum moment_order order = c / 6 % 2 ? MOMENT_SECOND : MOMENT_FIRST;
        bool noisy = c >= 12;
        struct moment first = {0};
        float *x = spread(order, n, (uint64_t)c), *values = floats(n), *y = floats(n);
        for_each_level(level)
        {
            struct moment m = make_moment(n);
            if (noisy)
                write_noisily(&m, order, x, n, 99);
            else
                moment_from_f32(&m, order, x, n);
            moment_to_f32(&m, order, y, n);
            if (level == CPU_REF) {
                first = m;
                memcpy(values, y, n * sizeof *y);
                continue;
            }
            assert_memory_equal(m.data, first.data, n);
            assert_memory_equal(m.scale, first.scale, moment_blocks(n) * sizeof *m.scale);
            assert_memory_equal(y, values, n * sizeof *y);
            free_moment(&m, n);
        }
        free_moment(&first, n);
        done_with(x, n), done_with(values, n), done_with(y, n);
    }
}

/* Nothing becomes no number, and no second moment that is there becomes 0. */
static void extremes_stay_numbers(void **state)
{
    (void)state;
    static const float sizes[] = {0, 1e-45f, 1e-38f, 1e-37f, 1e-30f, 1, 1e19f, 3e38f, 3.4e38f, INFINITY};
    for_each_level(level)
    {
        for (enum moment_order order = MOMENT_FIRST; order <= MOMENT_SECOND; order++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                struct moment m = make_moment(BLOCK);
                float x[BLOCK], y[BLOCK];
                for (size_t j = 0; j < BLOCK; j++)
                    x[j] = sizes[i] * (j == 9 ? 1 : j == 10 ? 1e-20f : j % 2 ? 1e-3f : 0);
                for (size_t j = 0; j < BLOCK; j++)
                    x[j] = isnan(x[j]) ? 0 : x[j];
                moment_from_f32(&m, order, x, BLOCK);
                for (uint32_t noise = 0; noise < 50; noise++) {
                    moment_to_f32(&m, order, y, BLOCK);
                    for (size_t j = 0; j < BLOCK; j++) {
                        assert_true(isfinite(y[j]) && (x[j] != 0 || y[j] == 0));
                        if (order == MOMENT_SECOND && x[j] > 1e-30f)
                            assert_true(y[j] > 0);
                    }
                    assert_true(isfinite(m.scale[0]) && m.scale[0] >= 0);
                    write_noisily(&m, order, y, BLOCK, noise);
                }
                if (sizes[i] >= 1e-30f && sizes[i] <= 3e38f)
                    assert_true(fabsf(y[9] / sizes[i] - 1) < 1e-3f);
                free_moment(&m, BLOCK);
            }
        }
    }
}

/* AdamW on moments of 8 bits is AdamW on what they stand for, in f32, and then rounding. */
static void adamw_on_codes(void **state)
{
    (void)state;
    struct adamw_step step = {.beta1 = 0.9f, .beta2 = 0.99f, .gradient_scale = 0.5f, .keep = 0.99f,
                              .rate = 1e-2f, .root = 1, .epsilon = 1e-8f};
    static const size_t shapes[][2] = {{1, 5}, {3, 100}, {7, 256}, {40, 513}, {70, 300}};
    for_each_level(level)
    {
        for (size_t s = 0; s < 10; s++) {
            size_t rows = shapes[s / 2][0], c = shapes[s / 2][1], n = rows * c;
            bool halves = s % 2;
            float *w = normals(n, 1, 1), *w2 = normals(n, 1, 1), *g = normals(n, 1, 2);
            float *first = spread(MOMENT_FIRST, n, 3), *second = spread(MOMENT_SECOND, n, 4);
            struct moment m = make_moment(n), v = make_moment(n), wm = make_moment(n), wv = make_moment(n);
            moment_from_f32(&m, MOMENT_FIRST, first, n);
            moment_from_f32(&v, MOMENT_SECOND, second, n);
            moment_to_f32(&m, MOMENT_FIRST, first, n);
            moment_to_f32(&v, MOMENT_SECOND, second, n);
            if (halves)
                halves_split(w2, rows, c);
            struct update_arrays plain = {.w = w, .gradient = g, .m = {.data = first}, .v = {.data = second},
                                          .rows = rows, .c = c}, other = plain;
            other.w = w2, other.halves = halves, other.noise = 7, other.m = m, other.v = v;
            kernels_set_threads(1 + (int)s % 3);
            adamw_step(&plain, &step);
            adamw_step(&other, &step);
            if (halves)
                halves_join(w2, rows, c);
            assert_memory_equal(w, w2, n * sizeof *w);
            write_noisily(&wm, MOMENT_FIRST, first, n, 7);
            write_noisily(&wv, MOMENT_SECOND, second, n, 7);
            assert_memory_equal(m.data, wm.data, n);
            assert_memory_equal(v.data, wv.data, n);
            assert_memory_equal(m.scale, wm.scale, moment_blocks(n) * sizeof *m.scale);
            assert_memory_equal(v.scale, wv.scale, moment_blocks(n) * sizeof *v.scale);
            free_moment(&m, n), free_moment(&v, n), free_moment(&wm, n), free_moment(&wv, n);
            done_with(w, n), done_with(w2, n), done_with(g, n), done_with(first, n), done_with(second, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_mean_what_they_say_and_come_back),
        cmocka_unit_test(nearest_is_within_half_a_step),
        cmocka_unit_test(rounding_at_random_has_no_bias),
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(extremes_stay_numbers),
        cmocka_unit_test(adamw_on_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
