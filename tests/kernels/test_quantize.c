/* kernels/quantize against ggml's own quantiser, bit for bit: blocks it made of rows of every kind
 * (tests/fixtures/make_quantised.py), and whole models it quantised. */
#include "kernels/quantize.h"

#include "base/file.h"
#include "formats/gguf.h"
#include "kernels/blocks.h"
#include "tests/kernels/util.h"

#include <omp.h>
#include <stdlib.h>

static const enum dtype types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1,   DTYPE_Q8_0,   DTYPE_Q2_K,  DTYPE_Q3_K,  DTYPE_Q4_K,
    DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4, DTYPE_TQ1_0, DTYPE_TQ2_0,
};
enum { TYPES = sizeof types / sizeof types[0] };

/* The first block that differs, or SIZE_MAX. */
static size_t first_difference(enum dtype type, const unsigned char *got, const unsigned char *wanted, size_t bytes)
{
    const size_t block = dtype_info(type)->block_bytes;
    for (size_t i = 0; i < bytes; i += block)
        if (memcmp(got + i, wanted + i, block) != 0)
            return i / block;
    return SIZE_MAX;
}

static void compare_with_fixture(const struct gguf *g, enum dtype type, bool important)
{
    const struct gguf_tensor *x = gguf_find_tensor(g, "x"), *importance = gguf_find_tensor(g, "importance");
    char name[32];
    snprintf(name, sizeof name, "%s%s", dtype_info(type)->name, important ? ".importance" : "");
    const struct gguf_tensor *wanted = gguf_find_tensor(g, name);
    assert_true(wanted && wanted->type == type && wanted->n_elements == x->n_elements);
    unsigned char *got = mem_alloc(wanted->n_bytes + GUARD, 1);
    memset(got, 0xA5, wanted->n_bytes + GUARD);
    quantize_rows(type, (const float *)x->data, got, x->dims[1], x->dims[0],
                  important ? (const float *)importance->data : NULL);
    size_t at = first_difference(type, got, wanted->data, wanted->n_bytes);
    if (at != SIZE_MAX)
        fail_msg("%s (%s): block %zu of row %zu differs", name, cpu_level_name(cpu_level()),
                 at % (x->dims[0] / dtype_info(type)->block), at * dtype_info(type)->block / x->dims[0]);
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(got[wanted->n_bytes + i], 0xA5);
    mem_free(got);
}

static void blocks_match_ggml_bit_for_bit(void **state)
{
    (void)state;
    struct gguf g;
    struct error e;
    assert_ok(gguf_open("tests/fixtures/quantised.gguf", &g, &e), e);
    for_each_level(level)
        for (size_t i = 0; i < TYPES; i++) {
            compare_with_fixture(&g, types[i], false);
            compare_with_fixture(&g, types[i], true);
        }
    gguf_close(&g);
}

static void what_can_be_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPES; i++)
        assert_true(quantize_supports(types[i]));
    static const enum dtype others[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8, DTYPE_F64, DTYPE_NVFP4};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(quantize_supports(others[i]) || quantize_weighs(others[i]));
}

/* importance changes what it should, and leaves alone what it should. */
static void importance_counts_where_it_is_said_to(void **state)
{
    (void)state;
    struct gguf g;
    struct error e;
    assert_ok(gguf_open("tests/fixtures/quantised.gguf", &g, &e), e);
    for (size_t i = 0; i < TYPES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.importance", dtype_info(types[i])->name);
        const struct gguf_tensor *with = gguf_find_tensor(&g, name),
                                 *without = gguf_find_tensor(&g, dtype_info(types[i])->name);
        assert_int_equal(memcmp(with->data, without->data, with->n_bytes) != 0, quantize_weighs(types[i]));
    }
    gguf_close(&g);
}

static void the_bits_do_not_depend_on_the_threads(void **state)
{
    (void)state;
    enum { ROWS = 67, COLS = 512 };
    float *x = normals((size_t)ROWS * COLS, 0.1f, 5), *importance = normals(COLS, 1, 6);
    static unsigned char one[ROWS * COLS * 2], many[ROWS * COLS * 2];
    for (size_t i = 0; i < COLS; i++)
        importance[i] *= importance[i];
    const int threads = omp_get_max_threads();
    for (size_t i = 0; i < TYPES; i++) {
        omp_set_num_threads(1);
        quantize_rows(types[i], x, one, ROWS, COLS, importance);
        omp_set_num_threads(5);
        quantize_rows(types[i], x, many, ROWS, COLS, importance);
        assert_memory_equal(one, many, sizeof one);
    }
    omp_set_num_threads(threads);
    done_with(x, (size_t)ROWS * COLS), done_with(importance, COLS);
}

/* Twice the same: what a type can hold exactly comes back as it was. */
static void what_was_quantised_stays(void **state)
{
    (void)state;
    enum { COLS = 256 };
    static const enum dtype exact[] = {DTYPE_Q8_0, DTYPE_TQ1_0, DTYPE_TQ2_0, DTYPE_MXFP4};
    float *x = normals(COLS, 1, 8), *y = floats(COLS), *z = floats(COLS);
    unsigned char blocks[COLS * 2];
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        quantize_rows(exact[i], x, blocks, 1, COLS, NULL);
        assert_true(dtype_to_f32(exact[i], blocks, y, COLS));
        quantize_rows(exact[i], y, blocks, 1, COLS, NULL);
        assert_true(dtype_to_f32(exact[i], blocks, z, COLS));
        for (size_t k = 0; k < COLS; k++)
            assert_true(fabsf(y[k] - z[k]) <= 1e-3f * fabsf(y[k]));
    }
    done_with(x, COLS), done_with(y, COLS), done_with(z, COLS);
}

/* Every tensor of a model that llama.cpp quantised, from the same model in f32. */
static void golden_models(void **state)
{
    (void)state;
    static const struct {
        const char *quantised, *original;
    } pairs[] = {
        {"babyllama-Q4_0", "babyllama-f32"}, {"babyllama-Q8_0", "babyllama-f32"},
        {"random256-Q4_K_M", "random256-f32"}, {"random256-Q6_K", "random256-f32"},
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
            printf("skipped: golden models (%s is missing)\n", path);
            mem_free(path), mem_free(original);
            skip();
        }
        assert_ok(gguf_open(path, &q, &e), e);
        assert_ok(gguf_open(original, &f, &e), e);
        size_t compared = 0;
        for (size_t t = 0; t < q.n_tensors; t++) {
            const struct gguf_tensor *wanted = &q.tensors[t];
            if (!quantize_supports(wanted->type))
                continue;
            char *name = mem_string_n(wanted->name.data, wanted->name.size);
            const struct gguf_tensor *from = gguf_find_tensor(&f, name);
            assert_true(from && from->type == DTYPE_F32);
            unsigned char *got = mem_alloc(wanted->n_bytes, 1);
            quantize_rows(wanted->type, (const float *)from->data, got, wanted->n_elements / wanted->dims[0],
                          wanted->dims[0], NULL);
            if (first_difference(wanted->type, got, wanted->data, wanted->n_bytes) != SIZE_MAX)
                fail_msg("%s: %s differs", pairs[i].quantised, name);
            compared++;
            mem_free(got), mem_free(name);
        }
        assert_true(compared > 0);
        gguf_close(&q), gguf_close(&f);
        mem_free(path), mem_free(original);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_match_ggml_bit_for_bit),
        cmocka_unit_test(what_can_be_made),
        cmocka_unit_test(importance_counts_where_it_is_said_to),
        cmocka_unit_test(the_bits_do_not_depend_on_the_threads),
        cmocka_unit_test(what_was_quantised_stays),
        cmocka_unit_test(golden_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
