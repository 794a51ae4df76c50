/* Replays the fuzzers' seeds through the parsers: good-* must be accepted, bad-* refused with one
 * line, and nothing may read outside its bytes (each file gets an allocation of just its size). */
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf_private.h"
#include "formats/safetensors.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_gguf(const unsigned char *bytes, size_t n, struct error *e)
{
    struct gguf g;
    int code = gguf_parse(bytes, n, &g, e);
    gguf_close(&g);
    return code;
}

/* Two images, the second from the second magic on. */
static int parse_split(const unsigned char *bytes, size_t n, struct error *e)
{
    struct gguf parts[2] = {{0}}, whole;
    size_t second = 4, fault;
    while (memcmp(bytes + second, "GGUF", 4) != 0)
        second++;
    assert_ok(gguf_parse(bytes, second, &parts[0], e), *e);
    assert_ok(gguf_parse(bytes + second, n - second, &parts[1], e), *e);
    int code = gguf_join(parts, 2, &whole, &fault, e);
    gguf_close(&whole);
    gguf_close(&parts[0]);
    gguf_close(&parts[1]);
    return code;
}

static int parse_safetensors(const unsigned char *bytes, size_t n, struct error *e)
{
    struct safetensors s;
    int code = safetensors_parse(bytes, n, &s, e);
    safetensors_close(&s);
    return code;
}

static int parse_index(const unsigned char *bytes, size_t n, struct error *e)
{
    struct safetensors_index index;
    int code = safetensors_index_parse((const char *)bytes, n, &index, e);
    safetensors_index_free(&index);
    return code;
}

static void replay(const char *directory,
                   int (*parse)(const unsigned char *, size_t, struct error *), size_t at_least)
{
    struct path_list list;
    struct error e = {0};
    assert_ok(dir_list(directory, &list, &e), e);
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        unsigned char *bytes = malloc(b.size ? b.size : 1);
        if (b.size)
            memcpy(bytes, b.data, b.size);
        const char *name = path_basename(list.paths[i]);
        e = (struct error){0};
        int code = parse(bytes, b.size, &e);
        if (strncmp(name, "good-", 5) == 0) {
            good++;
            if (code)
                fail_msg("%s: refused: %s", list.paths[i], e.message);
        } else if (strncmp(name, "bad-", 4) == 0) {
            bad++;
            if (code != ERR_FORMAT || !e.message[0] || strchr(e.message, '\n'))
                fail_msg("%s: code %d, message \"%s\"", list.paths[i], code, e.message);
        }
        free(bytes);
        buffer_free(&b);
    }
    path_list_free(&list);
    assert_true(good >= 5 && bad >= at_least);
}

static void gguf_seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/gguf", parse_gguf, 45);
}

static void split_seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/gguf_split", parse_split, 13);
}

static void safetensors_seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/safetensors", parse_safetensors, 40);
}

static void index_seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/safetensors_index", parse_index, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_seeds),
        cmocka_unit_test(split_seeds),
        cmocka_unit_test(safetensors_seeds),
        cmocka_unit_test(index_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
