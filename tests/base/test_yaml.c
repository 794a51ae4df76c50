/* base/yaml.h: what is accepted, what is refused and with which words, and the fuzzing corpus. */
#include "base/buffer.h"
#include "base/file.h"
#include "base/yaml.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct yaml parse(const char *text)
{
    struct yaml y;
    struct error e;
    assert_ok(yaml_parse(text, strlen(text), &y, &e), e);
    return y;
}

static void assert_entry(const struct yaml *y, size_t i, const char *path, const char *value,
                         size_t line)
{
    assert_true(i < y->count);
    assert_string_equal(y->entries[i].path, path);
    assert_string_equal(y->entries[i].value, value);
    assert_int_equal(y->entries[i].line, line);
}

static void assert_refused(const char *text, size_t n, const char *message)
{
    struct yaml y;
    struct error e;
    assert_int_equal(yaml_parse(text, n, &y, &e), ERR_FORMAT);
    assert_string_equal(e.message, message);
    assert_null(y.entries);
    assert_int_equal(y.count, 0);
}

static void refused(const char *text, const char *message)
{
    assert_refused(text, strlen(text), message);
}

static void flattens_nested_keys(void **state)
{
    (void)state;
    struct yaml y = parse("# comment\n"
                          "model:\n"
                          "  hidden_size: 256   # width\n"
                          "  rope_scaling: {type: linear, factor: 2.0}\n"
                          "train:\n"
                          "  name: \"two words\\n\"\n"
                          "top: 1\n");
    assert_int_equal(y.count, 5);
    assert_entry(&y, 0, "model.hidden_size", "256", 3);
    assert_entry(&y, 1, "model.rope_scaling.type", "linear", 4);
    assert_entry(&y, 2, "model.rope_scaling.factor", "2.0", 4);
    assert_entry(&y, 3, "train.name", "two words\n", 6);
    assert_entry(&y, 4, "top", "1", 7);
    for (size_t i = 0; i < y.count; i++)
        assert_false(y.entries[i].in_list);
    yaml_entries_free(&y);
}

static void lists_keep_their_order(void **state)
{
    (void)state;
    struct yaml y =
        parse("data:\n  paths: [a.txt, b.txt]\n  more:\n    - x\n    - ~\n  none: []\n");
    assert_int_equal(y.count, 5);
    assert_entry(&y, 0, "data.paths", "a.txt", 2);
    assert_entry(&y, 1, "data.paths", "b.txt", 2);
    assert_entry(&y, 2, "data.more", "x", 4);
    assert_entry(&y, 3, "data.more", "~", 5);
    for (size_t i = 0; i < 4; i++) {
        assert_true(y.entries[i].in_list);
        assert_int_equal(y.entries[i].index, i % 2);
    }
    assert_string_equal(y.entries[4].path, "data.none");
    assert_true(y.entries[4].in_list);
    assert_null(y.entries[4].value);
    yaml_entries_free(&y);
}

static void null_is_told_from_text(void **state)
{
    (void)state;
    struct yaml y = parse("a:\nb: null\nc: ~\nd: \"null\"\ne: ''\nf: nullify\n");
    const bool null[] = {true, true, true, false, false, false};
    assert_int_equal(y.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(y.entries[i].is_null, null[i]);
    yaml_entries_free(&y);
}

static void empty_texts_have_no_entries(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "{}", "a: {}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct yaml y = parse(texts[i]);
        assert_int_equal(y.count, 0);
        yaml_entries_free(&y);
    }
}

static void unsupported_yaml_is_named(void **state)
{
    (void)state;
    refused("a: &x 1\n", "line 1, column 4: anchor \"&x\" is not supported");
    refused("a: &x 1\nb: *x\n", "line 1, column 4: anchor \"&x\" is not supported");
    refused("b: *x\n", "line 1, column 4: alias \"*x\": write the value out instead");
    refused("a: !!int 1\n", "line 1, column 4: tag \"tag:yaml.org,2002:int\" is not supported");
    refused("a: 1\n---\nb: 2\n",
            "line 2, column 1: a second document: a configuration is one document");
    refused("[a]: 1\n", "line 1, column 1: a key must be a name");
    refused("? {a: 1}\n: 2\n", "line 1, column 3: a key must be a name");
    refused("a:\n  - b\n  - [c]\n", "line 3, column 5: the list \"a\" may hold only single values");
    refused("a: [{b: c}]\n", "line 1, column 5: the list \"a\" may hold only single values");
    refused("- a\n", "line 1, column 1: expected \"key: value\" lines");
    refused("just words\n", "line 1, column 1: expected \"key: value\" lines");
    refused("a.b: 1\n",
            "line 1, column 1: key \"a.b\" holds a dot: write nested keys on lines of their own");
    refused("'': 1\n", "line 1, column 1: a key must have 1 to 128 characters");
    refused("a: \"x\\0y\"\n", "line 1, column 4: the value of \"a\" holds a NUL character");
}

static void duplicates_are_found(void **state)
{
    (void)state;
    refused("a: 1\nb: 2\na: 3\n", "line 3, column 1: key \"a\" is given twice");
    refused("m:\n  x: 1\nn: 2\nm:\n  y: 2\n", "line 4, column 1: key \"m\" is given twice");
    refused("m:\n  x: 1\n  x: 1\nm: 3\n", "line 3, column 3: key \"m.x\" is given twice");
    refused("m: {x: []}\nm: {x: []}\n", "line 2, column 1: key \"m\" is given twice");
}

static void syntax_errors_have_a_place(void **state)
{
    (void)state;
    refused("a: 1\n  b: 2\n",
            "line 2, column 4: not valid YAML: mapping values are not allowed in this context");
    refused("a: \"open\n", "line 2, column 1: not valid YAML: found unexpected end of stream");
    refused("a:\n\t- b\n",
            "line 2, column 1: not valid YAML: found character that cannot start any token");
    struct yaml y;
    struct error e;
    assert_int_equal(yaml_parse("a: \xFF\n", 6, &y, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "invalid leading UTF-8 octet"));
    assert_int_equal(yaml_parse("a: x\0y\n", 7, &y, &e), ERR_FORMAT);
}

static void nesting_and_sizes_are_bounded(void **state)
{
    (void)state;
    struct yaml y = parse("a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}\n");
    assert_int_equal(y.count, 1);
    assert_entry(&y, 0, "a.a.a.a.a.a.a.a", "1", 1);
    yaml_entries_free(&y);
    refused("a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}\n",
            "line 1, column 32: \"a.a.a.a.a.a.a.a\" is nested too deeply");

    struct buffer text = {0};
    for (int i = 0; i < 128; i++)
        buffer_byte(&text, 'k');
    buffer_string(&text, ": 1\n");
    y = parse(text.data);
    assert_int_equal(strlen(y.entries[0].path), 128);
    yaml_entries_free(&y);
    buffer_clear(&text);
    for (int i = 0; i < 129; i++)
        buffer_byte(&text, 'k');
    buffer_string(&text, ": 1\n");
    refused(text.data, "line 1, column 1: a key must have 1 to 128 characters");

    buffer_clear(&text);
    for (int i = 0; i <= YAML_MAX_ENTRIES; i++)
        buffer_printf(&text, "k%d: 1\n", i);
    refused(text.data, "line 10001, column 1: too many keys for a configuration");
    buffer_clear(&text);
    buffer_string(&text, "k:\n");
    for (int i = 0; i <= YAML_MAX_ENTRIES; i++)
        buffer_string(&text, "- 1\n");
    refused(text.data, "line 10002, column 3: too many values for a configuration");
    buffer_clear(&text);
    for (int i = 0; i <= YAML_MAX_BYTES; i++)
        buffer_byte(&text, '#');
    refused(text.data, "line 1, column 1: larger than the 1 MiB a configuration may have");
    buffer_free(&text);
}

static void files_are_named(void **state)
{
    (void)state;
    struct yaml y;
    struct error e;
    assert_int_equal(yaml_read("/nonexistent/x.yaml", &y, &e), ERR_IO);
    assert_string_equal(e.message, "/nonexistent/x.yaml: No such file or directory");
    char path[64];
    snprintf(path, sizeof path, "/tmp/linnet_test_yaml_%d.yaml", (int)getpid());
    assert_ok(file_write(path, "a: 1\na: 2\n", 10, &e), e);
    assert_int_equal(yaml_read(path, &y, &e), ERR_FORMAT);
    char expected[128];
    snprintf(expected, sizeof expected, "%s:2:1: key \"a\" is given twice", path);
    assert_string_equal(e.message, expected);
    assert_ok(file_write(path, "a: 1\nb: 2\n", 10, &e), e);
    assert_ok(yaml_read(path, &y, &e), e);
    assert_int_equal(y.count, 2);
    yaml_entries_free(&y);
    remove(path);
}

/* Every file of the corpus, whole and cut short at every length: no crash, and on failure one line
 * with a place. */
static void corpus_replays(void **state)
{
    (void)state;
    struct path_list files;
    struct error e;
    assert_ok(dir_list("tests/fuzz/corpus/yaml", &files, &e), e);
    assert_true(files.count >= 8);
    for (size_t i = 0; i < files.count; i++) {
        struct buffer text = {0};
        assert_ok(file_read(files.paths[i], &text, 1 << 20, &e), e);
        for (size_t n = 0; n <= text.size; n++) {
            struct yaml y;
            if (yaml_parse(text.data, n, &y, &e) != OK) {
                assert_memory_equal(e.message, "line ", 5);
                assert_null(strchr(e.message, '\n'));
            }
            yaml_entries_free(&y);
        }
        buffer_free(&text);
    }
    path_list_free(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flattens_nested_keys),
        cmocka_unit_test(lists_keep_their_order),
        cmocka_unit_test(null_is_told_from_text),
        cmocka_unit_test(empty_texts_have_no_entries),
        cmocka_unit_test(unsupported_yaml_is_named),
        cmocka_unit_test(duplicates_are_found),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(nesting_and_sizes_are_bounded),
        cmocka_unit_test(files_are_named),
        cmocka_unit_test(corpus_replays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
