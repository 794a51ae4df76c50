/* What is read from a request, and what is said back. tests/cli/serve.sh has the errors word for word. */
#include "serve/api.h"

#include "base/file.h"
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void every_field_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"prompt\": [\"Once\", [1, 2]], \"max_tokens\": 5, \"temperature\": 0.5, \"top_p\": 0, \"top_k\": 3,"
        "\"min_p\": 0.25, \"n\": 2, \"stream\": true, \"stream_options\": {\"include_usage\": true},"
        "\"stop\": [\"a\", \"b\"], \"seed\": -7, \"logprobs\": 2, \"echo\": true, \"presence_penalty\": 1,"
        "\"frequency_penalty\": -2, \"logit_bias\": {\"5\": -100, \"71\": 3.5}, \"repeat_penalty\": 1.5,"
        "\"repeat_last_n\": 9, \"ignore_eos\": true, \"messages\": 5, \"user\": 7}";
    struct api_request q;
    struct api_error e;
    if (api_parse(API_COMPLETION, text, sizeof text - 1, &q, &e))
        fail_msg("%s", e.message);
    const struct sampler_options *s = &q.options.sampler;
    assert_int_equal(json_array_size(q.prompts), 2);
    assert_int_equal(q.max_tokens, 5);
    assert_true(s->temperature == 0.5 && s->top_p > 0 && s->top_p < 1e-6 && s->top_k == 3 && s->min_p == 0.25);
    assert_true(s->presence_penalty == 1 && s->frequency_penalty == -2 && s->repetition_penalty == 1.5);
    assert_int_equal(s->repetition_window, 9);
    assert_true(q.n == 2 && q.stream && q.include_usage && q.echo && q.has_seed && q.logprobs && q.n_top == 2);
    assert_true(s->seed == (size_t)-7 && q.options.ignore_end);
    assert_int_equal(q.options.n_stops, 2);
    assert_string_equal(q.options.stops[1], "b");
    assert_int_equal(s->n_biases, 2);
    assert_true(s->biases[0].id == 5 && s->biases[0].bias == -INFINITY);
    assert_true(s->biases[1].id == 71 && s->biases[1].bias == 3.5f);
    api_request_free(&q);
}

static void null_is_not_given(void **state)
{
    (void)state;
    static const char text[] = "{\"messages\": [{\"role\": \"user\", \"content\": null}], \"temperature\": null,"
                               "\"stop\": null, \"n\": null, \"tools\": null, \"logit_bias\": null, \"stream\": null,"
                               "\"response_format\": {\"type\": \"text\"}, \"logprobs\": null, \"seed\": null}";
    struct api_request q;
    struct api_error e;
    if (api_parse(API_CHAT, text, sizeof text - 1, &q, &e))
        fail_msg("%s", e.message);
    assert_true(q.options.sampler.temperature == 1 && q.n == 1 && !q.stream && !q.logprobs && !q.has_seed);
    assert_true(!q.tools && q.options.n_stops == 0 && q.options.sampler.n_biases == 0);
    assert_true(q.max_tokens == API_NOT_GIVEN && q.options.sampler.repetition_window == API_NOT_GIVEN);
    assert_int_equal(q.format, FORMAT_TEXT);
    api_request_free(&q);
}

static void messages_are_as_templates_want_them(void **state)
{
    (void)state;
    static const char text[] =
        "{\"messages\": [{\"role\": \"user\", \"name\": \"me\", \"content\": [{\"type\": \"text\", \"text\": \"a\\u0000b\"},"
        "{\"type\": \"text\", \"text\": \"c\"}]}, {\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\","
        "\"arguments\": \"{\\\"x\\\": 1}\"}}, {\"function\": {\"arguments\": \"no\"}}]}],"
        "\"tools\": [{\"type\": \"function\"}], \"response_format\": {\"type\": \"json_schema\", \"json_schema\":"
        "{\"schema\": {\"type\": \"object\"}}}}";
    struct api_request q;
    struct api_error e;
    if (api_parse(API_CHAT, text, sizeof text - 1, &q, &e))
        fail_msg("%s", e.message);
    json_t *first = json_array_get(q.messages, 0), *calls = json_object_get(json_array_get(q.messages, 1), "tool_calls");
    assert_int_equal(json_string_length(json_object_get(first, "content")), 4);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "me");
    json_t *function = json_object_get(json_array_get(calls, 0), "function");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(function, "arguments"), "x")), 1);
    function = json_object_get(json_array_get(calls, 1), "function");
    assert_string_equal(json_string_value(json_object_get(function, "arguments")), "no");
    assert_int_equal(json_array_size(q.tools), 1);
    assert_int_equal(q.format, FORMAT_JSON_SCHEMA);
    assert_true(json_is_object(q.schema));
    api_request_free(&q);
}

static void adapters_are_chosen(void **state)
{
    (void)state;
    static const struct api_adapter adapters[] = {{"a", "x/a", 1}, {"b", "x/b", 0.5f}, {"c", "x/c", -2}};
    static const struct {
        const char *fields;
        bool any;
        float strengths[3];
        const char *model;
    } cases[] = {
        {"", false, {0}, "base"},
        {", \"model\": \"base\", \"lora\": null", false, {0}, "base"},
        {", \"model\": 5", false, {0}, "base"},
        {", \"model\": \"b\"", true, {0, 0.5f, 0}, "b"},
        {", \"model\": \"other\", \"lora\": []", true, {0, 0, 0}, "base"},
        {", \"lora\": [{\"id\": 2, \"scale\": 3}, {\"id\": 0, \"scale\": -0.25}]", true, {-0.25f, 0, 3}, "base"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_request q;
        struct api_error e;
        char *text = mem_printf("{\"prompt\": \"x\"%s}", cases[i].fields);
        const char *model = "base";
        float *strengths;
        if (api_parse(API_COMPLETION, text, strlen(text), &q, &e) ||
            api_choose_adapters(&q, adapters, 3, &strengths, &model, &e))
            fail_msg("%s", e.message);
        assert_string_equal(model, cases[i].model);
        assert_int_equal(strengths != NULL, cases[i].any);
        if (strengths)
            assert_memory_equal(strengths, cases[i].strengths, sizeof cases[i].strengths);
        mem_free(strengths);
        api_request_free(&q);
        mem_free(text);
    }
    const float now[] = {0.1f, 0, -3};
    json_t *list = api_adapters_json(adapters, now, 3);
    char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(7));
    assert_string_equal(text, "[{\"id\":0,\"name\":\"a\",\"path\":\"x/a\",\"scale\":0.1},{\"id\":1,\"name\":\"b\","
                              "\"path\":\"x/b\",\"scale\":0.0},{\"id\":2,\"name\":\"c\",\"path\":\"x/c\",\"scale\":-3.0}]");
    free(text);
    json_decref(list);
}

static void errors_name_the_field(void **state)
{
    (void)state;
    static const struct {
        enum api_kind kind;
        const char *text, *param;
    } cases[] = {
        {API_COMPLETION, "{\"prompt\": \"x\", \"top_k\": 1.5}", "top_k"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"top_p\": 1.5}", "top_p"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"stop\": [\"a\", \"\"]}", "stop"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"stop\": \"\\u0000\"}", "stop"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"seed\": 1.5}", "seed"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"logprobs\": true}", "logprobs"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"suffix\": \"y\"}", "suffix"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"stream_options\": {}}", "stream_options"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"logit_bias\": {\"1\": 101}}", "logit_bias"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"lora\": 1}", "lora"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"lora\": [0]}", "lora"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"lora\": [{\"id\": 0.5, \"scale\": 1}]}", "lora"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"lora\": [{\"id\": 0}]}", "lora"},
        {API_COMPLETION, "{\"prompt\": \"x\", \"lora\": [{\"id\": 0, \"scale\": 1e39}]}", "lora"},
        {API_COMPLETION, "{\"prompt\": []}", "prompt"},
        {API_COMPLETION, "{\"prompt\": [[1], []]}", "prompt"},
        {API_COMPLETION, "{\"prompt\": [1, -1]}", "prompt"},
        {API_COMPLETION, "{\"prompt\": [\"a\", \"b\", \"c\"], \"n\": 60}", "prompt"},
        {API_CHAT, "{\"messages\": \"x\"}", "messages"},
        {API_CHAT, "{\"messages\": [5]}", "messages[0]"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}, {\"content\": \"x\"}]}", "messages[1].role"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "messages[0].content"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}], \"tools\": [1]}", "tools"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}], \"tool_choice\": \"required\"}", "tool_choice"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}], \"top_logprobs\": 2}", "top_logprobs"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}], \"response_format\": {\"type\": \"xml\"}}", "response_format"},
        {API_CHAT, "{\"messages\": [{\"role\": \"user\"}], \"chat_template_kwargs\": []}", "chat_template_kwargs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_request q;
        struct api_error e;
        assert_int_equal(api_parse(cases[i].kind, cases[i].text, strlen(cases[i].text), &q, &e), ERR_USAGE);
        assert_string_equal(e.param, cases[i].param);
        assert_int_equal(e.status, 400);
        assert_non_null(strstr(e.message, cases[i].param));
    }
}

/* Names of tokens and where they begin, of bytes that are no characters too. */
static void probabilities_are_told(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    const struct token_logprob top[] = {{.id = 'x', .logprob = -0.5}, {.id = 0xE2, .logprob = -INFINITY}};
    size_t offset = 4;
    for (enum api_kind kind = API_COMPLETION; kind <= API_CHAT; kind++) {
        json_t *list = api_logprobs_new(kind), *all = api_logprobs_new(kind);
        struct progress_step step = {.has_token = true, .id = 'y', .logprob = -1.5, .top = top, .n_top = 2};
        api_logprobs_add(list, kind, t, &step, &offset);
        step.id = 0xE2;
        step.logprob = NAN;
        api_logprobs_add(list, kind, t, &step, &offset);
        api_logprobs_move(all, list);
        char *text = json_dumps(all, JSON_COMPACT);
        if (kind == API_COMPLETION)
            assert_string_equal(text, "{\"tokens\":[\"y\",\"\xEF\xBF\xBD\"],\"token_logprobs\":[-1.5,null],"
                                      "\"top_logprobs\":[{\"x\":-0.5,\"\xEF\xBF\xBD\":-9999.0},null],\"text_offset\":[4,5]}");
        else
            assert_non_null(strstr(text, "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-9999.0,\"bytes\":[226]}"));
        free(text);
        text = json_dumps(list, JSON_COMPACT);
        assert_null(strstr(text, "9999"));
        free(text);
        json_decref(list);
        json_decref(all);
    }
    assert_int_equal(offset, 6);
    tokenizer_free(t);
}

/* The fuzzer's seeds: completion-*.json and chat-*.json are right. */
static void seeds_are_taken_or_refused(void **state)
{
    (void)state;
    struct path_list list;
    struct error e = {0};
    assert_ok(dir_list("tests/fuzz/corpus/api", &list, &e), e);
    assert_true(list.count >= 5);
    for (size_t i = 0; i < list.count * 2; i++) {
        enum api_kind kind = i % 2 ? API_CHAT : API_COMPLETION;
        const char *path = list.paths[i / 2];
        struct buffer b = {0};
        struct api_request q;
        struct api_error why = {0};
        assert_ok(file_read(path, &b, 1 << 20, &e), e);
        int code = api_parse(kind, b.data, b.size, &q, &why);
        if ((code == OK) != (strstr(path, kind == API_CHAT ? "/chat" : "/completion") != NULL))
            fail_msg("%s: code %d, \"%s\"", path, code, why.message);
        if (!code)
            api_request_free(&q);
        buffer_free(&b);
    }
    path_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(null_is_not_given),
        cmocka_unit_test(messages_are_as_templates_want_them),
        cmocka_unit_test(adapters_are_chosen),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(probabilities_are_told),
        cmocka_unit_test(seeds_are_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
