/* data/dataset_row.h: every schema as one form, what is said of rows that have none, and the fuzzer's seeds. */
#include "base/file.h"
#include "data/dataset_row.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
#include "tests/fuzz/fuzz_dataset_row.c"

/* The row in one line: schema, prompt's messages before a bar, the rejected ones, tools, label and warnings. */
static char *shown(const struct dataset_row *row)
{
    struct buffer b = {0};
    buffer_printf(&b, "%s:", row_schema_name(row->schema));
    if (row->text)
        buffer_printf(&b, " %s", row->text);
    for (size_t i = 0; i < json_array_size(row->messages); i++) {
        const json_t *m = json_array_get(row->messages, i);
        if (i && i == row->n_prompt)
            buffer_string(&b, " |");
        buffer_printf(&b, " %c=%s", *json_string_value(json_object_get(m, "role")),
                      json_string_value(json_object_get(m, "content")));
        const json_t *calls = json_object_get(m, "tool_calls");
        char *text = calls ? json_dumps(calls, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
        buffer_string(&b, text ? text : "");
        free(text);
    }
    for (size_t i = row->n_prompt; i < json_array_size(row->rejected); i++)
        buffer_printf(&b, " !%s",
                      json_string_value(json_object_get(json_array_get(row->rejected, i), "content")));
    char *tools = row->tools ? json_dumps(row->tools, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    buffer_printf(&b, "%s%s", tools ? " tools=" : "", tools ? tools : "");
    free(tools);
    if (row->kind == ROW_UNPAIRED)
        buffer_string(&b, row->label ? " good" : " bad");
    for (size_t i = 0; i < ROW_WARNINGS; i++)
        if (row->warnings & 1u << i)
            buffer_printf(&b, " (%s)", row_warning_text((enum row_warning)(1u << i)));
    for (size_t i = 0; i < row->n_unused; i++)
        buffer_printf(&b, " ?%s", row->unused[i]);
    return b.data;
}

static void expect(const char *line, const struct dataset_fields *fields, const char *expected)
{
    struct dataset_row row;
    struct error e = {0};
    if (dataset_row_parse(line, strlen(line), fields, &row, &e))
        fail_msg("%s: %s", line, e.message);
    char *text = shown(&row);
    assert_string_equal(text, expected);
    mem_free(text);
    dataset_row_free(&row);
}

static void refuse(const char *line, size_t n, const struct dataset_fields *fields, const char *part)
{
    struct dataset_row row;
    struct error e = {0};
    int code = dataset_row_parse(line, n, fields, &row, &e);
    if (code != ERR_FORMAT || !strstr(e.message, part) || strchr(e.message, '\n'))
        fail_msg("%.200s: code %d, \"%s\" should say \"%s\"", line, code, e.message, part);
    dataset_row_free(&row);
}

#define U "{\"role\":\"user\",\"content\":\"q\"}"
#define A "{\"role\":\"assistant\",\"content\":\"a\"}"
#define B "{\"role\":\"assistant\",\"content\":\"b\"}"
#define CALL "[{\"function\":{\"arguments\":{\"x\":1},\"name\":\"f\"},\"type\":\"function\"}]"

static void every_schema(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"text\":\"The sky is blue.\",\"id\":7}", "text: The sky is blue. ?id"},
        {"{\"prompt\":\"p\",\"completion\":\"c\"}", "prompt/completion: u=p | a=c"},
        {"{\"prompt\":[" U "],\"completion\":[" A "]}", "prompt/completion of messages: u=q | a=a"},
        {"{\"prompt\":[" U "],\"completion\":\"c\"}", "prompt/completion of messages: u=q | a=c"},
        {"{\"messages\":[" U "," A "]}", "messages: u=q a=a"},
        {"{\"conversations\":[" U "," A "],\"tools\":[],\"system\":null}", "messages: u=q a=a"},
        {"{\"messages\":[" U "," A "],\"system\":\"s\"}", "messages: s=s u=q a=a"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"h\"},{\"from\":\"gpt\",\"value\":\"g\"}],\"system\":\"s\"}",
         "ShareGPT: s=s u=h a=g"},
        {"{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\",\"value\":\"h\"},"
         "{\"from\":\"function_call\",\"value\":\"{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"x\\\":1}}\"},"
         "{\"from\":\"observation\",\"value\":\"o\"},{\"from\":\"gpt\",\"value\":\"g\"}],"
         "\"tools\":\"[{\\\"name\\\":\\\"f\\\"}]\"}",
         "ShareGPT: s=s u=h a=" CALL " t=o a=g tools=[{\"function\":{\"name\":\"f\"},\"type\":\"function\"}]"},
        {"{\"instruction\":\"i\",\"input\":\"\",\"output\":\"o\",\"text\":\"all\"}", "Alpaca: u=i a=o ?text"},
        {"{\"instruction\":\"i\",\"input\":\"n\",\"output\":\"o\",\"system\":\"s\",\"history\":[[\"x\",\"y\"]]}",
         "Alpaca: s=s u=x a=y u=i\nn a=o"},
        {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", "prompt/chosen/rejected: u=p | a=c !r"},
        {"{\"prompt\":[" U "],\"chosen\":[" A "],\"rejected\":[" B "]}",
         "prompt/chosen/rejected of messages: u=q | a=a !b"},
        {"{\"chosen\":[" U "," A "],\"rejected\":[" U "," B "]}", "chosen/rejected: u=q | a=a !b"},
        {"{\"prompt\":\"q\",\"chosen\":[" U "," A "],\"rejected\":[" U "," B "],\"messages\":[" U "," A "]}",
         "chosen/rejected: u=q | a=a !b ?messages"},
        {"{\"chosen\":[" U "," A "],\"rejected\":[" U "," A "]}",
         "chosen/rejected: u=q | a=a !a (chosen and rejected are the same)"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":false}", "prompt/completion/label: u=p | a=c bad"},
        {"{\"prompt\":[" U "],\"completion\":[" A "],\"label\":true}",
         "prompt/completion/label of messages: u=q | a=a good"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":\"news\"}", "prompt/completion: u=p | a=c ?label"},
        {"{\"text\":\"t\",\"messages\":null}", "text: t"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i][0], NULL, cases[i][1]);
}

#define USER_CALLS(calls) "{\"messages\":[" U ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":" calls "}]}"

static void calls_in_every_form(void **state)
{
    (void)state;
    static const char *const same[] = {
        USER_CALLS("[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]"),
        USER_CALLS("[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}}]"),
        USER_CALLS("[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]"),
        USER_CALLS("[{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}]"),
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        expect(same[i], NULL, "messages: u=q a=" CALL);
    expect(USER_CALLS("[{\"id\":\"1\",\"name\":\"f\"},{\"name\":\"g\",\"arguments\":\"\"}]"), NULL,
           "messages: u=q a=[{\"function\":{\"arguments\":{},\"name\":\"f\"},\"type\":\"function\"},"
           "{\"function\":{\"arguments\":{},\"name\":\"g\"},\"type\":\"function\"}]");
    refuse(USER_CALLS("[{\"name\":\"f\",\"arguments\":\"x\"}]"), strlen(USER_CALLS("[{\"name\":\"f\",\"arguments\":\"x\"}]")),
           NULL, "\"messages\", message 2: tool call 1: \"arguments\" is a string: column 1: not valid JSON");
}

static void names_and_parts(void **state)
{
    (void)state;
    struct dataset_fields asked = {.prompt = "question", .completion = "answer"};
    expect("{\"question\":\"p\",\"answer\":\"c\",\"messages\":[]}", &asked, "prompt/completion: u=p | a=c ?messages");
    expect("{\"text\":\"t\"}", &asked, "text: t");
    asked = (struct dataset_fields){.messages = "dialog"};
    expect("{\"dialog\":[" U "," A "],\"prompt\":\"p\",\"completion\":\"c\"}", &asked,
           "messages: u=q a=a ?prompt ?completion");
    asked = (struct dataset_fields){.text = "body"};
    expect("{\"body\":\"t\",\"prompt\":\"p\",\"completion\":\"c\"}", &asked, "text: t ?prompt ?completion");
    expect("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
           "{\"type\":\"text\",\"text\":\"y\"}]}," A "]}", NULL, "messages: u=xy a=a");
    expect("{\"messages\":[" U "," A "," A "," U "," U ",{\"role\":\"system\",\"content\":\"\"}]}", NULL,
           "messages: u=q a=a a=a u=q u=q s= (two messages of the assistant in a row) (two messages of the user in a "
           "row) (a system message behind the first message) (the last message is not the assistant's)");
}

/* What a message has besides is the template's. */
static void other_members_stay(void **state)
{
    (void)state;
    static const char line[] = "{\"messages\":[" U ",{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\","
                               "\"name\":null,\"weight\":1,\"tool_calls\":null}]}";
    struct dataset_row row;
    struct error e = {0};
    assert_ok(dataset_row_parse(line, sizeof line - 1, NULL, &row, &e), e);
    char *text = json_dumps(json_array_get(row.messages, 1), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"content\":\"\",\"reasoning_content\":\"hm\",\"role\":\"assistant\",\"weight\":1}");
    free(text);
    dataset_row_free(&row);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"{\"text\": \"x\"", "column 12: not valid JSON"},
        {"", "not valid JSON"},
        {"[" U "]", "not a JSON object"},
        {"{\"text\":\"a\",\"text\":\"b\"}", "duplicate"},
        {"{\"text\":\"\xff\"}", "not valid JSON"},
        {"{\"text\":\"a\\u0000b\"}", "a text holds a NUL character"},
        {"{\"text\":3}", "\"text\" must be a string"},
        {"{\"text\":\"\"}", "\"text\" is empty"},
        {"{\"a\":1,\"b\":null}", "no known schema: the fields are \"a\", \"b\" (null); needed are \"prompt\" and "
                                 "\"completion\", \"messages\""},
        {"{}", "the fields are none"},
        {"{\"prompt\":\"p\",\"completion\":7}", "\"completion\" must be a string or a list of messages"},
        {"{\"prompt\":\"\",\"completion\":\"c\"}", "\"prompt\" is empty"},
        {"{\"prompt\":\"p\",\"completion\":[" U "]}", "\"completion\" has no message of the assistant"},
        {"{\"messages\":\"" "x" "\"}", "\"messages\" must be a list of messages"},
        {"{\"messages\":[]}", "\"messages\" is an empty list"},
        {"{\"messages\":[" U "]}", "\"messages\" has no message of the assistant"},
        {"{\"messages\":[" U ",3]}", "\"messages\", message 2: must be an object"},
        {"{\"messages\":[" U ",{\"role\":\"asistant\",\"content\":\"a\"}]}",
         "\"messages\", message 2: unknown role \"asistant\"; did you mean \"assistant\"?"},
        {"{\"messages\":[{\"role\":\"narrator of it all\",\"content\":\"a\"}]}", "known are system, developer"},
        {"{\"conversations\":[{\"from\":\"humann\",\"value\":\"a\"}]}",
         "\"conversations\", message 1: unknown from \"humann\"; did you mean \"human\"?"},
        {"{\"messages\":[{\"content\":\"a\"}]}", "message 1: no \"role\" and no \"from\""},
        {"{\"messages\":[{\"role\":1,\"content\":\"a\"}]}", "message 1: \"role\" must be a string"},
        {"{\"messages\":[{\"from\":1,\"value\":\"a\"}]}", "message 1: \"from\" must be a string"},
        {"{\"messages\":[" U ",{\"role\":\"assistant\"}]}", "message 2: the message of the assistant has no content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"\"}," A "]}", "message 1: the message of the user is empty"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "\"content\" must be a string or a list of parts"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "part 1 of the content is of the type \"image_url\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}", "part 1 of the content must be"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"q\",\"tool_calls\":[{\"name\":\"f\"}]}]}",
         "message 1: only the assistant calls tools"},
        {USER_CALLS("{}"), "\"tool_calls\" must be a list"},
        {USER_CALLS("[]"), "the message of the assistant has no content"},
        {USER_CALLS("[{\"function\":{}}]"), "tool call 1 has no \"name\""},
        {USER_CALLS("[7]"), "tool call 1 must be an object"},
        {USER_CALLS("[{\"name\":\"f\",\"arguments\":[1]}]"), "\"arguments\" must be an object or a string"},
        {USER_CALLS("[{\"name\":\"f\",\"arguments\":\"[1]\"}]"), "\"arguments\" is a string that holds no JSON object"},
        {"{\"conversations\":[{\"from\":\"function_call\",\"value\":\"f(1)\"}]}", "the function_call: column 1"},
        {"{\"messages\":[" U "," A "],\"tools\":{}}", "\"tools\" must be a list of tools"},
        {"{\"messages\":[" U "," A "],\"tools\":[1]}", "\"tools\", tool 1: must be an object"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," U "," A "],\"system\":\"t\"}",
         "both a field \"system\" and a system message"},
        {"{\"messages\":[" U ",{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0.5}]}", "\"weight\" must be 0 or 1"},
        {"{\"instruction\":\"\",\"output\":\"o\"}", "\"instruction\" is empty"},
        {"{\"instruction\":\"i\",\"output\":3}", "\"output\" must be a string"},
        {"{\"instruction\":\"i\",\"output\":\"o\",\"history\":[[\"a\"]]}", "\"history\", turn 1: must be a question"},
        {"{\"instruction\":\"i\",\"output\":\"o\",\"history\":[[\"a\",4]]}", "\"history\", turn 1: \"answer\" must be"},
        {"{\"chosen\":\"c\"}", "\"chosen\" without \"rejected\""},
        {"{\"prompt\":\"p\",\"rejected\":\"c\"}", "\"rejected\" without \"chosen\""},
        {"{\"chosen\":\"c\",\"rejected\":\"r\"}", "are no lists of messages and there is no \"prompt\""},
        {"{\"chosen\":[" A "],\"rejected\":[" B "]}", "share no message that could be the prompt"},
        {"{\"prompt\":\"other\",\"chosen\":[" U "," A "],\"rejected\":[" U "," B "]}",
         "are whole conversations that do not both begin with \"prompt\""},
        {"{\"chosen\":[" U "," A "],\"rejected\":[" U "," U "]}", "\"rejected\" has no message of the assistant"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].line, strlen(cases[i].line), NULL, cases[i].part);
    struct dataset_fields asked = {.label = "ok"};
    static const char label[] = "{\"prompt\":\"p\",\"completion\":\"c\",\"ok\":\"yes\"}";
    refuse(label, sizeof label - 1, &asked, "\"ok\" must be true or false");
}

/* Nesting is bounded, whatever the length of the line. */
static void deep_rows_are_refused(void **state)
{
    (void)state;
    static const size_t depths[] = {2000, 100000, 5000000};
    for (size_t i = 0; i < 3; i++) {
        size_t n = depths[i];
        char *line = malloc(2 * n + 40);
        memcpy(line, "{\"x\":", 5);
        memset(line + 5, '[', n);
        memset(line + 5 + n, ']', n);
        line[5 + 2 * n] = '}';
        refuse(line, 2 * n + 6, NULL, i == 0 ? "no known schema" : "maximum parsing depth reached");
        free(line);
    }
}

/* The fuzzer's seeds, each in an allocation of just its size. */
static void seeds_are_taken_or_refused(void **state)
{
    (void)state;
    struct path_list list;
    struct error e = {0};
    assert_ok(dir_list("tests/fuzz/corpus/dataset_row", &list, &e), e);
    assert_true(list.count >= 20);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct dataset_row row;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        uint8_t *bytes = malloc(b.size ? b.size : 1);
        memcpy(bytes, b.data, b.size);
        int code = dataset_row_parse((const char *)bytes, b.size, NULL, &row, &e);
        if ((code == OK) != (strstr(list.paths[i], "/good-") != NULL))
            fail_msg("%s: code %d, \"%s\"", list.paths[i], code, e.message);
        dataset_row_free(&row);
        LLVMFuzzerTestOneInput(bytes, b.size);
        free(bytes);
        buffer_free(&b);
    }
    path_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schema),          cmocka_unit_test(calls_in_every_form),
        cmocka_unit_test(names_and_parts),       cmocka_unit_test(other_members_stay),
        cmocka_unit_test(what_is_wrong_is_said), cmocka_unit_test(deep_rows_are_refused),
        cmocka_unit_test(seeds_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
