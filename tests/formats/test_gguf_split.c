/* formats/gguf on models in several files: the parts of tests/fixtures/blocks.gguf, made by
 * tests/fixtures/split_gguf.py in the form llama.cpp loads, are the same container as the whole;
 * parts that are missing, foreign, mixed up or damaged are named. */
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART(i, n) "tests/fixtures/blocks-0000" #i "-of-0000" #n ".gguf"

static char directory[] = "/tmp/linnet-split-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int empty_directory(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    if (dir_list(directory, &list, &e))
        return -1;
    for (size_t i = 0; i < list.count; i++)
        unlink(list.paths[i]);
    path_list_free(&list);
    return 0;
}

static int remove_directory(void **state)
{
    return empty_directory(state) ? -1 : rmdir(directory);
}

static void any_part_stands_for_the_whole(void **state)
{
    (void)state;
    static const char *const paths[] = {PART(1, 3), PART(2, 3), PART(3, 3)};
    struct gguf whole, split;
    struct error e;
    assert_ok(gguf_open("tests/fixtures/blocks.gguf", &whole, &e), e);
    for (size_t p = 0; p < 3; p++) {
        assert_ok(gguf_open(paths[p], &split, &e), e);
        assert_true(split.n_maps == 3 && split.n_tensors == whole.n_tensors);
        assert_int_equal(split.n_kv, 4);
        assert_non_null(gguf_find(&split, "general.architecture")); /* of the first part alone */
        for (size_t i = 0; i < whole.n_tensors; i++) {
            const struct gguf_tensor *t = &whole.tensors[i], *u = &split.tensors[i];
            char *name = mem_string_n(t->name.data, t->name.size);
            assert_ptr_equal(gguf_find_tensor(&split, name), u);
            assert_true(t->type == u->type && t->n_bytes == u->n_bytes);
            assert_memory_equal(t->data, u->data, t->n_bytes);
            mem_free(name);
        }
        assert_null(gguf_find_tensor(&split, "absent"));
        gguf_close(&split);
    }
    gguf_close(&whole);
}

/* One part, with a tensor of one float; number, count or total < 0: the key is left out. */
struct part {
    const char *name, *tensor;
    int number, count, total;
};

static int zero(void *context, void *bytes, struct error *e)
{
    (void)context, (void)e;
    memset(bytes, 0, 4);
    return OK;
}

static char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_part(const struct part *p)
{
    struct error e;
    struct gguf_writer *w = gguf_writer_new();
    if (p->number >= 0)
        gguf_put_u16(w, "split.no", (uint16_t)p->number);
    if (p->count >= 0)
        gguf_put_u16(w, "split.count", (uint16_t)p->count);
    if (p->total >= 0)
        gguf_put_i32(w, "split.tensors.count", p->total);
    gguf_put_tensor(w, p->tensor, DTYPE_F32, 1, (size_t[]){1}, zero, NULL);
    assert_ok(gguf_writer_finish(w, path_of(p->name), &e), e);
    gguf_writer_free(w);
}

#define A "m-00001-of-00002.gguf"
#define B "m-00002-of-00002.gguf"

static void wrong_parts_are_named(void **state)
{
    (void)state;
    static const struct {
        struct part a, b;
        const char *open, *at, *part; /* what to open, the file and the text of the error */
    } cases[] = {
        {{A, "x", 0, 2, 2}, {B, "y", 1, 2, 2}, B, NULL, NULL},
        {{A, "x", 0, 2, -1}, {B, "y", 1, 2, -1}, A, NULL, NULL},
        {{A, "x", 0, 2, 2}, {"n-00002-of-00002.gguf", "y", 1, 2, 2}, A, B,
         ": this part is missing; all 2 must lie in one folder"},
        {{A, "x", 0, 2, 2}, {B, "y", 1, 3, 2}, A, B,
         ": key \"split.count\" is 3, but there should be 2 parts: this is a part of another model"},
        {{A, "x", 0, 2, 2}, {B, "y", -1, -1, -1}, A, B, ": key \"split.count\" is 0, but"},
        {{A, "x", 0, 2, 2}, {B, "y", -1, 2, 2}, A, B, ": key \"split.no\" is missing"},
        {{A, "x", 0, 2, 2}, {B, "y", 0, 2, 2}, A, B,
         ": key \"split.no\" says that it is part 1 of 2, its name that it is part 2: files were"},
        {{A, "x", 1, 2, 2}, {B, "y", 1, 2, 2}, A, A, ": key \"split.no\" says that it is part 2 of"},
        {{A, "x", 0, 2, 2}, {B, "y", 1, 2, 3}, A, B, ": key \"split.tensors.count\" differs"},
        {{A, "x", 0, 2, 3}, {B, "y", 1, 2, 3}, A, A,
         ": the parts hold 2 tensors, but \"split.tensors.count\" is 3"},
        {{A, "x", 0, 2, 2}, {B, "x", 1, 2, 2}, A, A, ": tensor \"x\" is in two parts"},
        {{"m.gguf", "x", 0, 2, 2}, {B, "y", 1, 2, 2}, "m.gguf", "m.gguf",
         ": one of 2 parts, whose names must end in -00001-of-00002.gguf and so on"},
        {{"m-00001-of-00003.gguf", "x", 0, 2, 2}, {B, "y", 1, 2, 2}, "m-00001-of-00003.gguf",
         "m-00001-of-00003.gguf", ": one of 2 parts, whose names"},
        {{"m-00000-of-00002.gguf", "x", 0, 2, 2}, {B, "y", 1, 2, 2}, "m-00000-of-00002.gguf",
         "m-00000-of-00002.gguf", ": one of 2 parts, whose names"},
        {{A, "x", 0, 20000, 2}, {B, "y", 1, 2, 2}, A, A,
         ": key \"split.count\" is 20000, at most 10000 are allowed"},
        {{"m.gguf", "x", 0, 1, 1}, {B, "y", 1, 2, 2}, "m.gguf", NULL, NULL}, /* a whole */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gguf g;
        struct error e = {0};
        write_part(&cases[i].a);
        write_part(&cases[i].b);
        int code = gguf_open(path_of(cases[i].open), &g, &e);
        if (!cases[i].part) {
            assert_ok(code, e);
            assert_non_null(gguf_find_tensor(&g, "x"));
        } else {
            char *expected = mem_printf("%s%s", path_of(cases[i].at), cases[i].part);
            if (!code || strncmp(e.message, expected, strlen(expected)) != 0)
                fail_msg("\"%s\" should begin with \"%s\"", e.message, expected);
            mem_free(expected);
            assert_true(!g.tensors && !g.kv && !g.maps && !g.index);
        }
        gguf_close(&g);
        empty_directory(NULL);
    }
}

static void a_damaged_part_is_named(void **state)
{
    (void)state;
    struct gguf g;
    struct error e;
    write_part(&(struct part){A, "x", 0, 2, 2});
    write_part(&(struct part){B, "y", 1, 2, 2});
    assert_int_equal(truncate(path_of(B), 100), 0);
    assert_int_equal(gguf_open(path_of(A), &g, &e), ERR_FORMAT);
    assert_memory_equal(e.message, path_of(B), strlen(path_of(B)));
    assert_non_null(strstr(e.message, "cut short or damaged"));
    struct gguf_writer *w = gguf_writer_new();
    gguf_put_string(w, "split.count", "two");
    assert_ok(gguf_writer_finish(w, path_of(A), &e), e);
    gguf_writer_free(w);
    assert_int_equal(gguf_open(path_of(A), &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, A ": key \"split.count\" must be a whole number"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_stands_for_the_whole),
        cmocka_unit_test_teardown(wrong_parts_are_named, empty_directory),
        cmocka_unit_test_teardown(a_damaged_part_is_named, empty_directory),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
