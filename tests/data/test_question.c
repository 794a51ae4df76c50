/* Questions in the forms of the datasets, and lines that are none. */
#include "data/question.h"

#include "base/buffer.h"
#include "base/file.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *line, enum question_style style, const char *context,
                   const char *choices, size_t answer)
{
    struct question q;
    struct error e;
    char joined[256] = "";
    assert_ok(question_parse(line, strlen(line), style, &q, &e), e);
    assert_string_equal(q.context, context);
    for (size_t i = 0; i < q.n_choices; i++)
        strcat(strcat(joined, i ? "|" : ""), q.choices[i]);
    assert_string_equal(joined, choices);
    assert_int_equal(q.answer, answer);
    question_free(&q);
}

static void every_form_of_a_question(void **state)
{
    (void)state;
    static const char *const plain[] = {
        "{\"question\": \"Q \", \"choices\": [\"a\", \" b\", \"c\"], \"answer\": 1}",
        "{\"query\": \"Q \", \"choices\": [\"a\", \" b\", \"c\"], \"gold\": \"1\"}",
        "{\"prompt\": \"Q \", \"choices\": [\"a\", \" b\", \"c\"], \"label\": \"B\"}",
        "{\"ctx\": \"Q \", \"endings\": [\"a\", \" b\", \"c\"], \"target\": \" b\"}",
        "{\"question\": null, \"ctx\": \"Q \", \"choices\": {\"text\": [\"a\", \" b\", \"c\"]}, \"answer\": 1}",
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        expect(plain[i], QUESTION_AUTO, "Q ", "a| b|c", 1);
    static const char arc[] = "{\"question\": \"Q?\", \"choices\": {\"text\": [\"a\", \"b\", \"2\"],"
                              " \"label\": [\"1\", \"2\", \"3\"]}, \"answerKey\": \"2\"}";
    expect(arc, QUESTION_AUTO, "Question: Q?\nAnswer:", "a|b|2", 1);
    expect(arc, QUESTION_PLAIN, "Q?", "a|b|2", 1);
    expect(plain[0], QUESTION_ARC, "Question: Q \nAnswer:", "a| b|c", 1);
}

/* Against lm-evaluation-harness's own preprocessing, by hand and in tests/fixtures/make_choices.py. */
static void hellaswag_is_cleaned(void **state)
{
    (void)state;
    expect("{\"activity_label\": \" Tea\", \"ctx_a\": \"[header] Make tea [title] Boil.  [step]\","
           " \"ctx_b\": \"then THE cup\", \"endings\": [\" [step] a   b [title] c\\u00a0\","
           " \"[open\\nx] y\", \"d [[x] e]\", \"\\u00e9\"], \"label\": \"3\", \"ctx\": \"unused\"}",
           QUESTION_AUTO, "Tea: Make tea. Boil.  Then the cup",
           " a  b. c|[open\nx] y|d e]|\xc3\xa9", 3);
    expect("{\"ctx\": \"A man [step]\", \"endings\": [\"[x] a\", \"b\"], \"label\": 0}", QUESTION_AUTO,
           "A man [step]", "[x] a|b", 0);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
#define TWO "\"question\": \"x\", \"choices\": [\"a\", \"b\"]"
#define ARC "\"question\": \"x\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", \"B\"]}"
    static const struct {
        const char *line, *part;
        enum question_style style;
    } cases[] = {
        {"", "not valid JSON", 0},
        {"{\"question\": \"\\u0\n\"}", "not valid JSON: invalid escape near '\"\\u0\\n'", 0},
        {"{\"question\": \"a\n\"}", "not valid JSON", 0},
        {"[1]", "not a JSON object", 0},
        {"{\"choices\": [\"a\", \"b\"], \"answer\": 0}", "no question:", 0},
        {"{\"question\": 5, \"choices\": [\"a\", \"b\"], \"answer\": 0}", "\"question\" must be a text", 0},
        {"{\"question\": \"a\\u0000\", \"choices\": [\"a\", \"b\"], \"answer\": 0}", "NUL character", 0},
        {"{\"question\": \"x\", \"answer\": 0}", "no choices:", 0},
        {"{\"question\": \"x\", \"choices\": \"ab\", \"answer\": 0}", "must be a list of 2 to 100", 0},
        {"{\"question\": \"x\", \"choices\": [\"a\"], \"answer\": 0}", "must be a list of 2 to 100", 0},
        {"{\"question\": \"x\", \"choices\": [\"a\", 1], \"answer\": 0}", "\"choices\" must be a text", 0},
        {"{\"question\": \"x\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "choice 1 is empty", 0},
        {"{\"question\": \"x\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\"]}, \"answer\": 0}",
         "\"label\" has 1 entries for 2 choices", 0},
        {"{" TWO "}", "no answer:", 0},
        {"{" TWO ", \"answer\": 2}", "\"answer\" is 2, which is none of the 2 choices", 0},
        {"{" TWO ", \"answer\": -1}", "\"answer\" is -1", 0},
        {"{" TWO ", \"answer\": 0.0}", "\"answer\" is 0.0", 0},
        {"{" TWO ", \"answer\": true}", "\"answer\" is true", 0},
        {"{" TWO ", \"answer\": \"C\"}", "\"answer\" is \"C\"", 0},
        {"{" TWO ", \"answer\": \"0000\"}", "\"answer\" is \"0000\"", 0},
        {"{" TWO ", \"answer\": [0]}", "\"answer\" is [0]", 0},
        {"{" ARC ", \"answerKey\": \"C\"}", "\"answerKey\" is \"C\"", 0},
        {"{" ARC ", \"answerKey\": \"0\"}", "\"answerKey\" is \"0\"", 0},
        {"{" TWO ", \"answer\": 0}", "\"activity_label\" must be a text", QUESTION_HELLASWAG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct question q;
        struct error e = {0};
        int code = question_parse(cases[i].line, strlen(cases[i].line), cases[i].style, &q, &e);
        if (code != ERR_FORMAT || !strstr(e.message, cases[i].part) || strchr(e.message, '\n'))
            fail_msg("%s: code %d, \"%s\" should say \"%s\"", cases[i].line, code, e.message,
                     cases[i].part);
        question_free(&q);
    }
}

/* The fuzzer's seeds, each in an allocation of just its size. */
static void seeds_are_taken_or_refused(void **state)
{
    (void)state;
    struct path_list list;
    struct error e = {0};
    assert_ok(dir_list("tests/fuzz/corpus/question", &list, &e), e);
    assert_true(list.count >= 20);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct question q;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        char *bytes = malloc(b.size ? b.size : 1);
        memcpy(bytes, b.data, b.size);
        int code = question_parse(bytes, b.size, QUESTION_AUTO, &q, &e);
        if ((code == OK) != (strstr(list.paths[i], "/good-") != NULL))
            fail_msg("%s: code %d, \"%s\"", list.paths[i], code, e.message);
        question_free(&q);
        free(bytes);
        buffer_free(&b);
    }
    path_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_question),
        cmocka_unit_test(hellaswag_is_cleaned),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(seeds_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
