/* Importance matrices: files of llama.cpp's making read and written again, the same models measured, and what
 * is no importance matrix refused. */
#include "export/imatrix_collect.h"

#include "base/check.h"
#include "base/file.h"
#include "tests/directory.h"
#include "tests/model/architectures.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIXTURES "tests/fixtures/imatrix/"

static struct imatrix read_fixture(const char *name)
{
    struct imatrix im;
    struct error e;
    char *path = mem_printf(FIXTURES "%s", name);
    assert_ok(imatrix_read(path, &im, &e), e);
    mem_free(path);
    return im;
}

static void assert_close(const struct imatrix *a, const struct imatrix *b, double bound)
{
    assert_int_equal(a->n_entries, b->n_entries);
    assert_string_equal(a->dataset, b->dataset);
    assert_int_equal(a->n_chunks, b->n_chunks);
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct imatrix_entry *x = &a->entries[i], *y = &b->entries[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->n, y->n);
        for (size_t j = 0; j < x->n; j++)
            if (!(fabs((double)x->values[j] - (double)y->values[j]) <= bound * (double)y->values[j]))
                fail_msg("%s, value %zu: %.9g instead of %.9g", x->name, j, (double)x->values[j],
                         (double)y->values[j]);
    }
}

static void both_forms_say_the_same(void **state)
{
    (void)state;
    struct imatrix now = read_fixture("qwen2moe.gguf"), old = read_fixture("qwen2moe.dat");
    assert_string_equal(now.dataset, "text.txt");
    assert_int_equal(now.n_chunks, 2);
    assert_int_equal(now.chunk_size, 16);
    assert_int_equal(old.chunk_size, 0);
    assert_close(&now, &old, 1e-6);
    const struct imatrix_entry *experts = imatrix_find(&now, "blk.0.ffn_down_exps.weight");
    assert_non_null(experts);
    assert_int_equal(experts->n, 6 * 40);
    assert_int_equal(experts->n_experts, 6);
    assert_int_equal(experts->count, 26);
    assert_int_equal(experts->counts[2], 26);
    assert_int_equal(experts->counts[4], 0); /* and so its columns are 1 in both forms */
    for (size_t i = 0; i < 40; i++)
        assert_true(experts->values[4 * 40 + i] == 1);
    assert_true(experts->values[3 * 40] != 1);
    const struct imatrix_entry *old_experts = imatrix_find(&old, "blk.0.ffn_down_exps.weight");
    assert_int_equal(old_experts->n_experts, 1);
    assert_int_equal(old_experts->count, 2);
    assert_null(imatrix_find(&now, "blk.0.ffn_down_exps"));
    assert_null(imatrix_find(&now, "zzz"));
    imatrix_free(&now);
    imatrix_free(&old);
}

/* The fixture read and written in the same form. */
static void rewrite(const char *fixture, bool legacy, struct buffer *before, struct buffer *after)
{
    struct error e;
    struct imatrix im = read_fixture(fixture);
    char *from = mem_printf(FIXTURES "%s", fixture), *to = mem_printf("%s/again", directory);
    assert_ok(imatrix_write(&im, to, legacy, &e), e);
    assert_ok(file_read(from, before, 1 << 20, &e), e);
    assert_ok(file_read(to, after, 1 << 20, &e), e);
    mem_free(from);
    mem_free(to);
    imatrix_free(&im);
}

/* Where all counts are powers of two no bit is lost between sums and means. */
static void written_as_llama_cpp_writes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool legacy;
    } files[] = {{"phi3.gguf", false}, {"qwen2moe.dat", true}};
    for (size_t i = 0; i < 2; i++) {
        struct buffer before = {0}, after = {0};
        rewrite(files[i].name, files[i].legacy, &before, &after);
        assert_int_equal(before.size, after.size);
        assert_memory_equal(before.data, after.data, before.size);
        buffer_free(&before);
        buffer_free(&after);
    }
}

static void one_form_into_the_other(void **state)
{
    (void)state;
    struct error e;
    struct imatrix im = read_fixture("qwen2moe.gguf"), again, old = read_fixture("qwen2moe.dat");
    char *path = mem_printf("%s/other", directory);
    assert_ok(imatrix_write(&im, path, true, &e), e);
    assert_ok(imatrix_read(path, &again, &e), e);
    assert_close(&again, &old, 1e-6);
    for (size_t i = 0; i < im.n_entries; i++)
        assert_int_equal(again.entries[i].count, old.entries[i].count);
    imatrix_free(&again);
    assert_ok(imatrix_write(&im, path, false, &e), e);
    assert_ok(imatrix_read(path, &again, &e), e);
    assert_close(&again, &im, 1e-6);
    assert_int_equal(again.chunk_size, 16);
    for (size_t i = 0; i < im.n_entries; i++)
        for (size_t j = 0; j < im.entries[i].n_experts; j++)
            assert_int_equal(again.entries[i].counts[j], im.entries[i].counts[j]);
    imatrix_free(&again);
    im.entries[0].count = (size_t)1 << 40;
    im.chunk_size = 2;
    assert_int_equal(imatrix_write(&im, path, true, &e), ERR_USAGE);
    mem_free(path);
    imatrix_free(&im);
    imatrix_free(&old);
}

/* --- measuring --- */

static struct model make_example(const char *name, bool tied)
{
    struct model_config c;
    struct model m;
    struct error e;
    size_t i = 0;
    while (i < N_EXAMPLES && strcmp(examples[i].name, name) != 0)
        i++;
    CHECK(i < N_EXAMPLES);
    assert_ok(example_config(&examples[i], 256, &c, &e), e);
    c.tie_word_embeddings = c.tie_word_embeddings || tied;
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    example_weights(&m, 7);
    return m;
}

/* text.txt, a token a byte. */
static void measure(struct model *m, size_t n_rows, struct imatrix *im)
{
    struct importance collected;
    struct buffer text = {0};
    struct error e;
    int32_t ids[32];
    struct importance_options o = {.context = 16, .n_rows = n_rows, .head = true};
    assert_ok(file_read(FIXTURES "text.txt", &text, 100, &e), e);
    assert_int_equal(text.size, 32);
    for (size_t i = 0; i < 32; i++)
        ids[i] = (unsigned char)text.data[i];
    assert_ok(importance_init(&collected, m, &o, &e), e);
    for (size_t i = 0; i < 2; i++)
        assert_ok(importance_add(&collected, ids + i * 16, &e), e);
    assert_ok(importance_finish(&collected, &e), e);
    assert_int_equal(collected.score.n_targets, 2 * 7);
    imatrix_collect(im, &collected, "text.txt");
    importance_free(&collected);
    buffer_free(&text);
}

static void measured_as_llama_cpp_measures(void **state)
{
    (void)state;
    static const char *const families[] = {"phi3", "qwen2moe"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t n_rows = 1; n_rows <= 3; n_rows++) {
            struct model m = make_example(families[i], false);
            char *name = mem_printf("%s.gguf", families[i]);
            struct imatrix theirs = read_fixture(name), ours;
            measure(&m, n_rows, &ours);
            assert_close(&ours, &theirs, 3e-5);
            assert_int_equal(ours.chunk_size, theirs.chunk_size);
            for (size_t j = 0; j < ours.n_entries; j++)
                assert_memory_equal(ours.entries[j].counts, theirs.entries[j].counts,
                                    ours.entries[j].n_experts * sizeof(size_t));
            for (size_t j = 0; j < m.config.num_hidden_layers; j++)
                assert_null(m.layers[j].ffn.down.hook);
            imatrix_free(&ours);
            imatrix_free(&theirs);
            mem_free(name);
            model_free(&m);
        }
    }
}

/* The output layer is the embedding in one tensor, or written once more: llama.cpp wants that of StableLM. */
static void the_output_layer_that_is_the_embedding(void **state)
{
    (void)state;
    static const struct {
        const char *family, *name, *other;
    } cases[] = {{"llama", "token_embd.weight", "output.weight"},
                 {"stablelm", "output.weight", "token_embd.weight"}};
    for (size_t i = 0; i < 2; i++) {
        struct model m = make_example(cases[i].family, true);
        struct imatrix im;
        measure(&m, 2, &im);
        assert_non_null(imatrix_find(&im, cases[i].name));
        assert_null(imatrix_find(&im, cases[i].other));
        assert_int_equal(im.n_entries, 4 * 7 + 1);
        imatrix_free(&im);
        model_free(&m);
    }
}

static void inputs_that_are_no_numbers(void **state)
{
    (void)state;
    struct model m = make_example("llama", false);
    struct importance collected;
    struct importance_options o = {.context = 4, .n_rows = 1};
    struct error e;
    m.layers[2].ffn.up.weight->value[5] = NAN;
    assert_ok(importance_init(&collected, &m, &o, &e), e);
    assert_int_equal(importance_add(&collected, (int32_t[]){1, 2, 3, 4}, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "the inputs of blk.2.ffn_down.weight are not finite"));
    importance_free(&collected);
    m.layers[2].ffn.up.weight->value[5] = 1e38F; /* finite, and its square is not */
    assert_ok(importance_init(&collected, &m, &o, &e), e);
    assert_int_equal(importance_add(&collected, (int32_t[]){1, 2, 3, 4}, &e), ERR_FORMAT);
    importance_free(&collected);
    model_free(&m);
}

/* --- files that are none --- */

static void seeds(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/imatrix", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct imatrix im;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        unsigned char *bytes = malloc(b.size ? b.size : 1); /* of just its size, for sanitizers */
        memcpy(bytes, b.size ? b.data : "", b.size);
        e = (struct error){0};
        int code = imatrix_parse(bytes, b.size, &im, &e);
        bool want_good = strncmp(path_basename(list.paths[i]), "good-", 5) == 0;
        if (code != (want_good ? OK : ERR_FORMAT) || (code && !e.message[0]) || strchr(e.message, '\n'))
            fail_msg("%s: code %d, message \"%s\"", list.paths[i], code, e.message);
        want_good ? good++ : bad++;
        imatrix_free(&im);
        free(bytes);
        buffer_free(&b);
    }
    assert_true(good >= 7 && bad >= 45);
    path_list_free(&list);
}

static void errors_say_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *file, *message;
    } cases[] = {
        {"bad-old-nan", "\"blk.0.attn_q.weight\": nan is no sum of squares"},
        {"bad-old-twice", "\"blk.0.attn_q.weight\" is there twice"},
        {"bad-old-calls-zero", "offset 27: the number of calls is 0; at least 1 is possible"},
        {"bad-gguf-zero", "\"blk.0.attn_q.weight\" has seen no token"},
        {"bad-gguf-no-counts", "\"blk.0.attn_q.weight\" has no counts"},
        {"bad-gguf-model", "a GGUF file of type \"model\", not an importance matrix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imatrix im;
        struct error e;
        char *path = mem_printf("tests/fuzz/corpus/imatrix/%s", cases[i].file);
        char *want = mem_printf("%s: %s", path, cases[i].message);
        assert_int_equal(imatrix_read(path, &im, &e), ERR_FORMAT);
        assert_string_equal(e.message, want);
        assert_null(im.entries);
        mem_free(path);
        mem_free(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_say_the_same),
        cmocka_unit_test(written_as_llama_cpp_writes),
        cmocka_unit_test(one_form_into_the_other),
        cmocka_unit_test(measured_as_llama_cpp_measures),
        cmocka_unit_test(the_output_layer_that_is_the_embedding),
        cmocka_unit_test(inputs_that_are_no_numbers),
        cmocka_unit_test(seeds),
        cmocka_unit_test(errors_say_what_and_where),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
