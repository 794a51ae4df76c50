/* kernels/dequantize against the independent numpy implementation in tests/fixtures/make_blocks.py,
 * bit for bit, and against what llama.cpp's quantiser made of models we also have in f32. */
#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "kernels/blocks.h"
#include "kernels/dtype.h"
#include "kernels/dtype_variants.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum dtype types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1,   DTYPE_Q8_0,   DTYPE_Q2_K,  DTYPE_Q3_K,
    DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4,
    DTYPE_NVFP4, DTYPE_Q1_0, DTYPE_Q2_0, DTYPE_TQ1_0,  DTYPE_TQ2_0,
};
enum { TYPES = sizeof types / sizeof types[0] };

static void blocks_match_numpy_bit_for_bit(void **state)
{
    (void)state;
    struct gguf g;
    struct error e;
    assert_ok(gguf_open("tests/fixtures/blocks.gguf", &g, &e), e);
    const enum cpu_level best = cpu_level();
    for (int level = CPU_REF; level <= (int)best; level++) {
        cpu_set_level((enum cpu_level)level);
        for (size_t i = 0; i < TYPES; i++) {
            char name[32];
            const struct gguf_tensor *from = gguf_find_tensor(&g, dtype_info(types[i])->name);
            snprintf(name, sizeof name, "%s.f32", dtype_info(types[i])->name);
            const struct gguf_tensor *expected = gguf_find_tensor(&g, name);
            assert_true(from->type == types[i] && from->n_elements == expected->n_elements);
            float *y = mem_alloc(from->n_elements, sizeof *y);
            assert_true(dtype_to_f32(from->type, from->data, y, from->n_elements));
            for (size_t k = 0; k < from->n_elements; k++)
                if (memcmp(&y[k], expected->data + 4 * k, 4) != 0)
                    fail_msg("%s, level %s, element %zu: %a", dtype_info(types[i])->name,
                             cpu_level_name((enum cpu_level)level), k, (double)y[k]);
            mem_free(y);
        }
    }
    cpu_set_level(best);
    gguf_close(&g);
}

static void the_table_agrees_with_the_structs(void **state)
{
    (void)state;
    const size_t sizes[TYPES] = {
        sizeof(struct block_q4_0),  sizeof(struct block_q4_1),   sizeof(struct block_q5_0),
        sizeof(struct block_q5_1),  sizeof(struct block_q8_0),   sizeof(struct block_q2_k),
        sizeof(struct block_q3_k),  sizeof(struct block_q4_k),   sizeof(struct block_q5_k),
        sizeof(struct block_q6_k),  sizeof(struct block_iq4_nl), sizeof(struct block_iq4_xs),
        sizeof(struct block_mxfp4), sizeof(struct block_nvfp4),  sizeof(struct block_q1_0),
        sizeof(struct block_q2_0),  sizeof(struct block_tq1_0),  sizeof(struct block_tq2_0),
    };
    for (size_t i = 0; i < TYPES; i++) {
        assert_int_equal(dtype_info(types[i])->block_bytes, sizes[i]);
        assert_non_null(dequantizer_ref(types[i]));
    }
    assert_null(dequantizer_ref(DTYPE_F32));
    assert_null(dequantizer_ref(DTYPE_I64));
}

static void plain_types_may_lie_anywhere(void **state)
{
    (void)state;
    enum { N = 1500 };
    static float x[N], y[N];
    static unsigned char bytes[8 * N + 8];
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 97) - 48;
    const enum dtype plain[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (size_t t = 0; t < 3; t++) {
        uint16_t stored[2 * N];
        size_t size;
        assert_true(dtype_from_f32(plain[t], x, stored, N));
        assert_true(dtype_bytes(plain[t], N, &size));
        memcpy(bytes + 1, stored, size);
        memset(y, 0, sizeof y);
        assert_true(dtype_to_f32(plain[t], bytes + 1, y, N));
        assert_memory_equal(x, y, sizeof y);
    }
    for (int i = 0; i < N; i++)
        memcpy(bytes + 3 + 8 * i, &(double){(double)x[i]}, 8);
    assert_true(dtype_to_f32(DTYPE_F64, bytes + 3, y, N));
    assert_memory_equal(x, y, sizeof y);
}

/* The largest error relative to the largest value of its block of 256 (or of 32), and the
 * root mean square error relative to that of the values. */
static void compare(const struct gguf_tensor *q, const struct gguf_tensor *reference, double *worst,
                    double *rms)
{
    size_t n = q->n_elements, block = dtype_info(q->type)->block;
    float *x = mem_alloc(n, sizeof *x), *y = mem_alloc(n, sizeof *y);
    assert_true(dtype_to_f32(reference->type, reference->data, x, n));
    assert_true(dtype_to_f32(q->type, q->data, y, n));
    double errors = 0, squares = 0;
    *worst = 0;
    for (size_t i = 0; i < n; i += block) {
        double largest = 0, error = 0;
        for (size_t k = i; k < i + block; k++) {
            double d = fabs((double)y[k] - (double)x[k]);
            errors += d * d;
            squares += (double)x[k] * (double)x[k];
            largest = fmax(largest, fabs((double)x[k]));
            error = fmax(error, d);
        }
        *worst = fmax(*worst, largest > 0 ? error / largest : error);
    }
    *rms = sqrt(errors / fmax(squares, 1e-30));
    mem_free(x);
    mem_free(y);
}

/* Limits follow from the formats: a step of Q4_0 is an eighth of the largest value, of Q8_0 a
 * 127th, and rounding errs by half a step (Q4_0 by a whole one where it clips); K-quants also round
 * their scales; BF16 rounds to 8 bits. A misread layout errs by as much as the values are. */
static void golden_models_are_near_their_originals(void **state)
{
    (void)state;
    static const struct {
        const char *quantised, *original;
    } pairs[] = {
        {"babyllama-Q4_0", "babyllama-f32"}, {"babyllama-Q8_0", "babyllama-f32"},
        {"random256-BF16", "random256-f32"}, {"random256-Q4_K_M", "random256-f32"},
        {"random256-Q6_K", "random256-f32"},
    };
    static const struct {
        enum dtype type;
        double worst, rms;
    } limits[] = {
        {DTYPE_F32, 0, 0},           {DTYPE_BF16, 0.003907, 0.002}, {DTYPE_Q4_0, 0.126, 0.10},
        {DTYPE_Q8_0, 0.0045, 0.006}, {DTYPE_Q4_K, 0.12, 0.08},      {DTYPE_Q6_K, 0.02, 0.02},
    };
    const char *shared = getenv("LINNET_SHARED");
    if (!shared || !*shared)
        shared = "../shared";
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char *path = mem_printf("%s/golden/%s.gguf", shared, pairs[i].quantised);
        char *original = mem_printf("%s/golden/%s.gguf", shared, pairs[i].original);
        struct gguf q, f;
        struct error e;
        if (!file_exists(path)) {
            printf("skipped: golden models are near their originals (%s is missing)\n", path);
            mem_free(path);
            mem_free(original);
            skip();
        }
        assert_ok(gguf_open(path, &q, &e), e);
        assert_ok(gguf_open(original, &f, &e), e);
        size_t compared = 0;
        for (size_t t = 0; t < q.n_tensors; t++) {
            char *name = mem_string_n(q.tensors[t].name.data, q.tensors[t].name.size);
            double worst, rms;
            compare(&q.tensors[t], gguf_find_tensor(&f, name), &worst, &rms);
            size_t l = 0;
            while (limits[l].type != q.tensors[t].type)
                l++;
            if (!(worst <= limits[l].worst && rms <= limits[l].rms))
                fail_msg("%s, %s (%s): worst %g, rms %g", pairs[i].quantised, name,
                         dtype_info(q.tensors[t].type)->name, worst, rms);
            compared += q.tensors[t].type != DTYPE_F32;
            mem_free(name);
        }
        assert_true(compared > 0);
        gguf_close(&q);
        gguf_close(&f);
        mem_free(path);
        mem_free(original);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_match_numpy_bit_for_bit),
        cmocka_unit_test(the_table_agrees_with_the_structs),
        cmocka_unit_test(plain_types_may_lie_anywhere),
        cmocka_unit_test(golden_models_are_near_their_originals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
