/* data/answer_check.h: which answers are the same, where the final one stands, and what is refused. */
#include "data/answer_check.h"

#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static void expect_normal(const char *text, const char *want)
{
    struct buffer out = {0};
    answer_normalise(text, strlen(text), &out);
    assert_string_equal(out.data ? out.data : "", want);
    buffer_free(&out);
}

static void numbers_have_one_form(void **state)
{
    (void)state;
    static const char *const thousand[] = {
        "1000", "1,000", " 1000.0 ", "1e3", "+1000", "$1,000.00", "1 000", "1\u00A0000", "1000 \u20AC", "\u00A31000.", "01000",
        "1000.00.", "10.00E2", "10000e-1", "$ 1000",
    };
    for (size_t i = 0; i < sizeof thousand / sizeof *thousand; i++)
        expect_normal(thousand[i], "1e3");
    expect_normal("-0.50", "-5e-1");
    expect_normal("-$5", "-5e0");
    expect_normal(".5", "5e-1");
    expect_normal("-0.0", "0");
    expect_normal("000", "0");
    expect_normal("12 345 678", "12345678e0");
    expect_normal("1,00,000", "1e5");
    /* more than a double tells apart */
    expect_normal("9007199254740993", "9007199254740993e0");
    expect_normal("0.1000000000000000000000000000001", "1000000000000000000000000000001e-31");
}

static void what_is_no_number_is_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"1, 2", "1 2", "1 0000", "3$4", "1/2", "5%", "0x10", "inf", "nan", "1e", "1e9999999", "-", ".",
                                        "1.2.3", "5 apples", ",5"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_normal(texts[i], texts[i]);
    expect_normal("  A  young\n Lamb\t", "a young lamb");
    expect_normal("two\u00A0\u2003 words", "two words");
    expect_normal("X\u00B2", "x\u00B2"); /* not X2 */
    expect_normal("\u00C9t\u00E9", "\u00E9t\u00E9");
    expect_normal("E\u0301te\u0301", "\u00E9t\u00E9");
    expect_normal("\xFF A", "\xFF a"); /* not UTF-8: that byte as it is */
    expect_normal("", "");
    expect_normal("$", "$");
}

static void expect_final(const char *regex, const char *text, const char *want)
{
    struct answer_check c;
    struct buffer out = {0};
    struct error e;
    assert_ok(answer_check_open(&c, ANSWER_EXACT, "answer", regex, NULL, &e), e);
    bool found = answer_final(&c, text, &out);
    assert_int_equal(found, want != NULL);
    if (want)
        assert_string_equal(out.data ? out.data : "", want);
    buffer_free(&out);
    answer_check_close(&c);
}

static void the_final_answer_comes_last(void **state)
{
    (void)state;
    expect_final(NULL, " 42\n", "42");
    expect_final(NULL, "6 * 7 = <<6*7=42>>42\n#### 42", "42");
    expect_final(NULL, "#### 1\n#### 42 \nQuestion: and now?", "42");
    expect_final(NULL, "####", "");
    static const char line[] = "Answer: (.*)";
    expect_final(line, "Answer: 1\nso\nAnswer:  42 \nbye", "42");
    expect_final(line, "no answer", NULL);
    expect_final(line, "Answer: 7\nAnswer: ", "7"); /* the last match is of nothing */
    expect_final("^([0-9]+)$", "1\n22\nx3\n", "22");
    expect_final("([0-9]*)", "a 12 b", "12");
    expect_final("^([0-9])", "12\n34", "3"); /* and not the 4, where the search goes on */
    expect_final("x|(y)", "yx", "y");
    expect_final("boxed\\{([^}]*)\\}", "\\boxed{1} = \\boxed{-2}", "-2");
}

static bool is_right(const char *final, const char *pattern, const char *row, const char *text)
{
    struct answer_check c;
    struct error e;
    json_t *root = json_loads(row, 0, NULL);
    bool right = false;
    assert_non_null(root);
    assert_ok(answer_check_open(&c, pattern ? ANSWER_PATTERN : ANSWER_EXACT, "answer", final, pattern, &e), e);
    assert_ok(answer_check(&c, root, text, &right, &e), e);
    answer_check_close(&c);
    json_decref(root);
    return right;
}

static void answers_are_right_or_wrong(void **state)
{
    (void)state;
    static const char gsm[] = "{\"answer\": \"6 * 7\\n#### 1,042\"}", line[] = "answer is (.*)\\.";
    assert_true(is_right(NULL, NULL, gsm, "I think\n#### 1042.0"));
    assert_true(is_right(NULL, NULL, gsm, "1042"));
    assert_false(is_right(NULL, NULL, gsm, "#### 1043"));
    assert_false(is_right(NULL, NULL, gsm, ""));
    assert_true(is_right(line, NULL, "{\"answer\": \"two cats\"}", "The answer is Two  Cats."));
    assert_true(is_right(line, NULL, "{\"answer\": \"The answer is 2.\"}", "The answer is 2.0."));
    assert_false(is_right(line, NULL, "{\"answer\": \"two cats\"}", "two cats"));
    assert_true(is_right(NULL, NULL, "{\"answer\": 42}", " 42"));
    assert_true(is_right(NULL, NULL, "{\"answer\": 0.1}", "0.10"));
    assert_false(is_right(NULL, NULL, "{\"answer\": 9007199254740993}", "9007199254740992"));
    assert_true(is_right(NULL, "ok+", "{}", "it is okkk"));
    assert_false(is_right(NULL, "^ok+$", "{}", "it is okkk"));
    assert_true(is_right(NULL, "^ok$", "{}", "so\nok\n"));
    assert_true(is_right(NULL, "never", "{\"pattern\": \"a{2}\"}", "baab"));
    assert_false(is_right(NULL, "b", "{\"pattern\": \"a{3}\"}", "baab"));
    assert_true(is_right(NULL, "b", "{\"pattern\": null}", "baab"));
}

static void expect_error(enum answer_rule rule, const char *row, const char *message)
{
    struct answer_check c;
    struct error e;
    json_t *root = json_loads(row, JSON_ALLOW_NUL, NULL);
    bool right = true;
    assert_ok(answer_check_open(&c, rule, "answer", NULL, NULL, &e), e);
    assert_int_equal(answer_check(&c, root, "1", &right, &e), ERR_FORMAT);
    assert_string_equal(e.message, message);
    assert_false(right);
    answer_check_close(&c);
    json_decref(root);
}

static void expect_refused(const char *final, const char *pattern, const char *message)
{
    struct answer_check c;
    struct error e;
    assert_int_equal(answer_check_open(&c, ANSWER_EXACT, "answer", final, pattern, &e), ERR_USAGE);
    assert_string_equal(e.message, message);
    answer_check_close(&c);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const char none[] = "no \"answer\" to compare with; --answer-field names the member that holds the right answer";
    expect_error(ANSWER_EXACT, "{\"question\": \"a\"}", none);
    expect_error(ANSWER_EXACT, "{\"answer\": null}", none);
    expect_error(ANSWER_EXACT, "{\"answer\": [1]}", "\"answer\" must be a text or a number");
    expect_error(ANSWER_EXACT, "{\"answer\": \"a\\u0000b\"}", "\"answer\" must be a text or a number");
    expect_error(ANSWER_EXACT, "{\"answer\": \" \"}", "\"answer\" has no answer in it");
    expect_error(ANSWER_EXACT, "{\"answer\": \"so\\n####\"}", "\"answer\" has no answer in it");
    expect_error(ANSWER_PATTERN, "{}", "no \"pattern\", and no --pattern for rows without one");
    expect_error(ANSWER_PATTERN, "{\"pattern\": 1}", "\"pattern\" must be a text");
    expect_error(ANSWER_PATTERN, "{\"pattern\": \"(\"}", "\"pattern\": (: no regular expression: Unmatched ( or \\(");
    expect_error(ANSWER_PATTERN, "{\"pattern\": \"((a{100}){100}){100}\"}",
                 "\"pattern\": ((a{100}){100}){100}: it repeats more than 10000 times");
    expect_error(ANSWER_PATTERN, "{\"pattern\": \"(a)\\\\\\\\\\\\1\"}", "\"pattern\": (a)\\\\\\1: back references (\\1) are not known");
    expect_refused("(a+)\\1", NULL, "--final (a+)\\1: back references (\\1) are not known");
    expect_refused("a", NULL, "--final a: no group in it: the answer is what the first (...) matches");
    expect_refused("(a", NULL, "--final (a: no regular expression: Unmatched ( or \\(");
    expect_refused(NULL, "[a", "--pattern [a: no regular expression: Unmatched [, [^, [:, [., or [=");
    char *large = malloc(ANSWER_PATTERN_MOST + 2);
    memset(large, 'a', ANSWER_PATTERN_MOST + 1);
    large[ANSWER_PATTERN_MOST + 1] = '\0';
    expect_refused(NULL, large, "--pattern a regular expression of more than 4096 bytes");
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_one_form),
        cmocka_unit_test(what_is_no_number_is_text),
        cmocka_unit_test(the_final_answer_comes_last),
        cmocka_unit_test(answers_are_right_or_wrong),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
