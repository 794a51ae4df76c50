/* examples_read: whole datasets, bad and over-long rows, order and hash. */
#include "base/file.h"
#include "data/example.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char zephyr[] = "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}"
                             "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}";

static struct tokenizer *bytes; /* a token a byte */

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>"};
    struct error e;
    return tokenizer_new_bytes(special, 1, &bytes, &e);
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_free(bytes);
    return 0;
}

static struct chat_template *parse(const char *source)
{
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", source, strlen(source), &t, &e), e);
    return t;
}

#define M(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define TWO "{\"messages\":[" M("system", "s") "," M("user", "q1") "," M("assistant", "a1") "," M("user", "q2") "," \
            M("assistant", "a2") "]}"

static char folder[64];

static char *write_file(const char *name, const char *text, bool gzip)
{
    char *path = path_join(folder, name);
    struct error e;
    if (gzip) {
        gzFile f = gzopen(path, "wb");
        assert_int_equal(gzwrite(f, text, (unsigned)strlen(text)), (int)strlen(text));
        gzclose(f);
    } else {
        assert_ok(file_write(path, text, strlen(text), &e), e);
    }
    return path;
}

static void start(void)
{
    strcpy(folder, "/tmp/linnet-examples-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static const char three[] = "\xEF\xBB\xBF" TWO "\r\n\n  \n{\"text\":\"abcdef\",\"id\":1}\n"
                            "{\"prompt\":\"p\",\"completion\":\"c\"}";

static void whole_datasets(void **state)
{
    (void)state;
    start();
    char *a = write_file("a.jsonl", three, false), *b = write_file("b.jsonl.gz", three, true),
         *other = write_file("notes.md", "no rows", false);
    struct chat_template *t = parse(zephyr);
    struct example_settings s = {.tokenizer = bytes, .chat_template = t};
    const char *paths[] = {folder};
    struct examples all;
    struct error e;
    assert_ok(examples_read(paths, 1, &s, &all, &e), e);
    assert_int_equal(all.count, 6);
    assert_int_equal(all.n_files, 2);
    static const uint64_t lines[] = {1, 4, 5};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(all.origins[i].file, i / 3);
        assert_int_equal(all.origins[i].line, lines[i % 3]);
        assert_int_equal(all.learned[all.begin[i]], 0);
    }
    assert_string_equal(all.files[1], b);
    assert_int_equal(all.begin[2] - all.begin[1], 7); /* a b c d e f EOS */
    assert_int_equal(all.report.rows, 6);
    assert_int_equal(all.report.by_schema[SCHEMA_MESSAGES], 2);
    assert_int_equal(all.report.by_schema[SCHEMA_TEXT], 2);
    assert_int_equal(all.report.by_schema[SCHEMA_COMPLETION], 2);
    assert_int_equal(all.report.tokens, all.begin[6]);
    assert_int_equal(all.report.learned_tokens, 2 * (6 + 6 + 2));
    assert_int_equal(all.report.turns, 2 * 4);
    assert_int_equal(all.report.n_unused, 1);
    assert_string_equal(all.report.unused[0], "id");
    examples_free(&all);
    assert_int_equal(examples_read((const char *const[]){other}, 1, &s, &all, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "a dataset file ends in .txt, .jsonl, .txt.gz or .jsonl.gz"));
    examples_free(&all);
    chat_template_free(t);
    remove_files(folder);
    mem_free(a);
    mem_free(b);
    mem_free(other);
}

struct told {
    size_t n;
    uint64_t lines[8];
    char last[200];
};

static void tell(void *context, const char *path, uint64_t line, const char *reason)
{
    struct told *told = context;
    assert_true(told->n < 8 && path_has_suffix(path, "bad.jsonl"));
    told->lines[told->n++] = line;
    snprintf(told->last, sizeof told->last, "%s", reason);
}

static void bad_rows(void **state)
{
    (void)state;
    start();
    char *path = write_file("bad.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"\xff\"}\n{\"x\":1}\n{\"text\":\"abc\"}\n[]\n", false);
    struct example_settings s = {.tokenizer = bytes};
    const char *paths[] = {path};
    struct examples all;
    struct told told = {0};
    struct error e;
    assert_int_equal(examples_read(paths, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "bad.jsonl:2: column "));
    examples_free(&all);
    s.bad_rows = BAD_ROWS_REPORT;
    s.report = tell;
    s.context = &told;
    assert_ok(examples_read(paths, 1, &s, &all, &e), e);
    assert_int_equal(all.count, 2);
    assert_int_equal(all.origins[1].line, 4);
    assert_int_equal(all.report.bad, 3);
    assert_int_equal(all.report.rows, 5);
    assert_int_equal(told.n, 3);
    assert_true(told.lines[0] == 2 && told.lines[1] == 3 && told.lines[2] == 5);
    assert_string_equal(told.last, "not a JSON object");
    examples_free(&all);
    remove_files(folder);
    mem_free(path);
    start();
    path = write_file("bad.jsonl", "{\"x\":1}\n{\"prompt\":\"p\",\"completion\":\"c\",\"label\":false}\n", false);
    paths[0] = path;
    assert_int_equal(examples_read(paths, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "nothing to train on: of 2 rows 1 are bad, 0 longer than 0 tokens, 1 not wanted"));
    examples_free(&all);
    remove_files(folder);
    mem_free(path);
}

static void over_long_rows(void **state)
{
    (void)state;
    start();
    char *path = write_file("long.jsonl", "{\"text\":\"abcdefgh\"}\n{\"prompt\":\"long prompt\",\"completion\":\"c\"}\n"
                                          "{\"text\":\"abc\"}\n{\"oops\":1}\n", false);
    struct example_settings s = {.tokenizer = bytes, .max_tokens = 5, .bad_rows = BAD_ROWS_REPORT};
    const char *paths[] = {path};
    struct examples all;
    struct error e;
    assert_ok(examples_read(paths, 1, &s, &all, &e), e);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.report.dropped, 2);
    assert_int_equal(all.report.longest, 4);
    assert_int_equal(all.report.longest_row, 13);
    examples_free(&all);
    s.over_long = OVER_LONG_TRUNCATE;
    assert_ok(examples_read(paths, 1, &s, &all, &e), e);
    assert_int_equal(all.count, 2);
    assert_int_equal(all.begin[1], 5);
    assert_true(all.origins[0].truncated && !all.origins[1].truncated);
    assert_int_equal(all.report.truncated, 1);
    assert_int_equal(all.report.dropped, 1); /* only its prompt would be left */
    examples_free(&all);
    s.over_long = OVER_LONG_ERROR;
    assert_int_equal(examples_read(paths, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "long.jsonl:1: 9 tokens, and at most 5 are allowed"));
    examples_free(&all);
    remove_files(folder);
    mem_free(path);
}

/* Rows in their order whatever the number of threads, over several blocks; the hash sees ids, masks and bounds. */
static void order_and_hash(void **state)
{
    (void)state;
    start();
    struct buffer text = {0};
    for (int i = 0; i < 3500; i++)
        buffer_printf(&text, "{\"prompt\":\"%0*d\",\"completion\":\"%d\"}\n", 1 + i * 7 % 12000, i, i);
    char *path = write_file("many.jsonl", text.data, false);
    assert_true(text.size > (17 << 20));
    struct example_settings s = {.tokenizer = bytes};
    const char *paths[] = {path};
    struct examples one, four;
    struct error e;
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    assert_ok(examples_read(paths, 1, &s, &one, &e), e);
    omp_set_num_threads(4);
    assert_ok(examples_read(paths, 1, &s, &four, &e), e);
    omp_set_num_threads(before);
    assert_int_equal(one.count, 3500);
    for (size_t i = 0; i < one.count; i++)
        assert_int_equal(one.origins[i].line, i + 1);
    uint64_t hash = examples_hash(&one);
    assert_true(hash == examples_hash(&four));
    four.learned[four.begin[7]] ^= 1;
    assert_true(hash != examples_hash(&four));
    four.learned[four.begin[7]] ^= 1;
    four.ids[9] ^= 1;
    assert_true(hash != examples_hash(&four));
    four.ids[9] ^= 1;
    four.begin[5]++;
    assert_true(hash != examples_hash(&four));
    examples_free(&one);
    examples_free(&four);
    buffer_free(&text);
    remove_files(folder);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_datasets),
        cmocka_unit_test(bad_rows),
        cmocka_unit_test(over_long_rows),
        cmocka_unit_test(order_and_hash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
