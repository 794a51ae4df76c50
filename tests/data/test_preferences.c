/* Answers that are compared or judged: what examples_read makes of preferences and of unpaired rows. */
#include "base/file.h"
#include "data/hold_out.h"
#include "data/pair.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char zephyr[] = "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}"
                             "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}{% endfor %}";

static struct tokenizer *bytes; /* a token a byte */
static char folder[64];

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>"};
    struct error e;
    strcpy(folder, "/tmp/linnet-preferences-XXXXXX");
    return mkdtemp(folder) ? tokenizer_new_bytes(special, 1, &bytes, &e) : -1;
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_free(bytes);
    remove_files(folder);
    return 0;
}

#define M(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define PAIR(p, a, b) "{\"prompt\":\"" p "\",\"chosen\":\"" a "\",\"rejected\":\"" b "\"}\n"
#define JUDGED(p, a, label) "{\"prompt\":\"" p "\",\"completion\":\"" a "\",\"label\":" label "}\n"

static int read_rows(const char *rows, const struct example_settings *s, struct examples *all, struct error *e)
{
    char *path = path_join(folder, "rows.jsonl");
    const char *paths[] = {path};
    assert_ok(file_write(path, rows, strlen(rows), e), *e);
    int code = examples_read(paths, 1, s, all, e);
    mem_free(path);
    return code;
}

/* An example as text: what is learned in brackets. */
static void expect_example(const struct examples *x, size_t i, const char *expected)
{
    struct buffer text = {0};
    bool learned = false;
    for (size_t k = x->begin[i]; k <= x->begin[i + 1]; k++) {
        bool now = k < x->begin[i + 1] && x->learned[k];
        if (now != learned)
            buffer_byte(&text, now ? '[' : ']');
        learned = now;
        if (k < x->begin[i + 1])
            tokenizer_decode(bytes, &x->ids[k], 1, true, &text);
    }
    assert_string_equal(text.data, expected);
    buffer_free(&text);
}

/* Two for each pair, the label in front of the first: '+' or '-'. */
static void expect_examples(const char *rows, const struct example_settings *s, const char *const *expected, size_t n)
{
    struct examples all;
    struct error e;
    assert_ok(read_rows(rows, s, &all, &e), e);
    assert_int_equal(all.count, n);
    assert_int_equal(all.answers, s->answers);
    for (size_t i = 0; i < n; i++) {
        expect_example(&all, i, expected[i] + 1);
        assert_int_equal(all.origins[i].wanted, expected[i][0] == '+');
    }
    examples_free(&all);
}

static void pairs_of_every_schema(void **state)
{
    (void)state;
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", zephyr, strlen(zephyr), &t, &e), e);
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED};
    static const char *const joined[] = {"+sky [blue</s>]", "-sky [red</s>]"};
    expect_examples(PAIR("sky ", "blue", "red"), &s, joined, 2);
    s.chat_template = t;
    static const char *const chats[] = {"+</s><|user|>q</s><|assistant|>[good</s>]", "-</s><|user|>q</s><|assistant|>[bad</s>]"};
    expect_examples(PAIR("q", "good", "bad"), &s, chats, 2);
    expect_examples("{\"prompt\":[" M("user", "q") "],\"chosen\":[" M("assistant", "good") "],\"rejected\":["
                    M("assistant", "bad") "]}", &s, chats, 2);
    expect_examples("{\"chosen\":[" M("user", "q") "," M("assistant", "good") "],\"rejected\":[" M("user", "q") ","
                    M("assistant", "bad") "]}", &s, chats, 2);
    chat_template_free(t);
}

static void borrowed_answers(void **state)
{
    (void)state;
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_JUDGED};
    static const char *const judged[] = {
        "+p[one</s>]", "+p[two</s>]", "-q[two</s>]", "-q[three</s>]", "+r[three</s>]", "+r[one</s>]",
    };
    expect_examples(JUDGED("p", "one", "true") JUDGED("q", "two", "false") JUDGED("r", "three", "true"), &s, judged, 6);
    static const char *const both[] = {
        "+p[a</s>]", "+p[c</s>]", "-p[b</s>]", "-p[d</s>]", "+q[c</s>]", "+q[e</s>]", "-q[d</s>]", "-q[e</s>]",
        "-r[e</s>]", "-r[a</s>]",
    };
    expect_examples(PAIR("p", "a", "b") PAIR("q", "c", "d") JUDGED("r", "e", "false"), &s, both, 10);
    static const char *const one_prompt[] = {"+p[a</s>]", "+p[b</s>]", "-p[b</s>]", "-p[a</s>]"};
    expect_examples(PAIR("p", "a", "b"), &s, one_prompt, 4);
    static const char *const alone[] = {"+p[a</s>]", "+p[a</s>]"};
    expect_examples(JUDGED("p", "a", "true"), &s, alone, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_every_schema),
        cmocka_unit_test(borrowed_answers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
