/* Files of tensor types: what a line may be, and what is refused, with its place. */
#include "qat/types.h"

#include "base/file.h"
#include "base/memory.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <stdlib.h>

static int parse(const char *text, struct parsed_wishes *p, struct error *e)
{
    *p = (struct parsed_wishes){0};
    *e = (struct error){0};
    return type_overrides_parse(text, strlen(text), "mix.types", p, e);
}

static void lines(void **state)
{
    (void)state;
    struct parsed_wishes p;
    struct error e;
    assert_ok(parse("# a comment = q8_0\n\n  ^blk\\.0\\.attn_q\\.weight$=Q3_K \r\n\t# another\na=b=f16", &p, &e), e);
    assert_int_equal(p.wishes.n_overrides, 2);
    assert_string_equal(p.wishes.overrides[0].pattern, "^blk\\.0\\.attn_q\\.weight$");
    assert_int_equal(p.wishes.overrides[0].type, DTYPE_Q3_K);
    assert_string_equal(p.wishes.overrides[0].where, "mix.types:3");
    assert_string_equal(p.wishes.overrides[1].pattern, "a=b"); /* the last "=" parts them */
    assert_int_equal(p.wishes.overrides[1].type, DTYPE_F16);
    assert_string_equal(p.wishes.overrides[1].where, "mix.types:5");
    type_wishes_free(&p);
}

static void what_is_no_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "mix.types: holds no line PATTERN=TYPE"},
        {"# nothing\n\n", "mix.types: holds no line PATTERN=TYPE"},
        {"a=q8_0\nffn_down\n", "mix.types:2: expected PATTERN=TYPE, for example ffn_down=q8_0"},
        {"=q8_0", "mix.types:1: expected PATTERN=TYPE, for example ffn_down=q8_0"},
        {"\na= ", "mix.types:2: expected PATTERN=TYPE, for example ffn_down=q8_0"},
        {"a=q7_0", "mix.types:1: there is no type \"q7_0\"; did you mean q4_0?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed_wishes p;
        struct error e;
        assert_int_equal(parse(cases[i].text, &p, &e), ERR_USAGE);
        assert_string_equal(e.message, cases[i].message);
        type_wishes_free(&p);
    }
    struct parsed_wishes p = {0};
    struct error e;
    assert_int_equal(type_overrides_parse("a\0b=q8_0", 8, "mix.types", &p, &e), ERR_USAGE);
    assert_string_equal(e.message, "mix.types:1: a NUL byte; this is no text file");
    type_wishes_free(&p);
}

/* A file among flags stands where it does, for the first pattern that is found counts. */
static void a_file_among_flags(void **state)
{
    (void)state;
    char directory[] = "/tmp/linnet-types-XXXXXX";
    struct type_request r = {.type = "q4_k_m"};
    struct parsed_wishes p;
    struct error e;
    assert_non_null(mkdtemp(directory));
    char *path = path_join(directory, "a.types"), *flag = mem_printf("@%s", path);
    assert_ok(file_write(path, "x=q8_0\ny=f16\n", 13, &e), e);
    option_strings_add(&r.tensor_types, "first=q6_k");
    option_strings_add(&r.tensor_types, flag);
    option_strings_add(&r.tensor_types, "last=q2_k");
    assert_ok(type_wishes_parse(&r, "--type", "--", &p, &e), e);
    static const char *const patterns[] = {"first", "x", "y", "last"};
    assert_int_equal(p.wishes.n_overrides, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(p.wishes.overrides[i].pattern, patterns[i]);
        assert_int_equal(p.wishes.overrides[i].where != NULL, i == 1 || i == 2);
    }
    type_wishes_free(&p);

    /* with the lines in its place the file may go */
    struct type_request expanded = {.type = "q4_k_m"};
    for (size_t i = 0; i < r.tensor_types.count; i++)
        option_strings_add(&expanded.tensor_types, r.tensor_types.items[i]);
    assert_ok(type_request_expand(&expanded, &e), e);
    static const char *const texts[] = {"first=q6_k", "x=q8_0", "y=f16", "last=q2_k"};
    assert_int_equal(expanded.tensor_types.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(expanded.tensor_types.items[i], texts[i]);
    option_strings_free(&expanded.tensor_types);

    unlink(path);
    assert_int_equal(type_request_expand(&r, &e), ERR_IO);
    assert_int_equal(r.tensor_types.count, 3);
    assert_int_equal(type_wishes_parse(&r, "--type", "--", &p, &e), ERR_IO);
    assert_string_equal(e.message + strlen(path), ": No such file or directory");
    type_wishes_free(&p);
    char *long_text = mem_zero(TYPE_FILE_LIMIT + 1, 1);
    assert_ok(file_write(path, long_text, TYPE_FILE_LIMIT + 1, &e), e);
    assert_int_equal(type_wishes_parse(&r, "--type", "--", &p, &e), ERR_FORMAT);
    type_wishes_free(&p);
    mem_free(long_text), mem_free(path), mem_free(flag);
    option_strings_free(&r.tensor_types);
    remove_files(directory);
}

/* The fuzzer's: good-* must be accepted, bad-* refused with one line. */
static void seeds(void **state)
{
    (void)state;
    struct path_list list = {0};
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/type_overrides", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct parsed_wishes p = {0};
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        e = (struct error){0};
        const int code = type_overrides_parse(b.data, b.size, "seed", &p, &e);
        const bool accept = strncmp(path_basename(list.paths[i]), "good-", 5) == 0;
        if (accept ? code != OK : code != ERR_USAGE || !e.message[0] || strchr(e.message, '\n'))
            fail_msg("%s: code %d, message \"%s\"", list.paths[i], code, e.message);
        accept ? good++ : bad++;
        type_wishes_free(&p);
        buffer_free(&b);
    }
    path_list_free(&list);
    assert_true(good >= 3 && bad >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(what_is_no_line),
        cmocka_unit_test(a_file_among_flags),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
