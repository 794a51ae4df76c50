/* Prompts of rows (dataset_prompt_parse, example_make_prompt): what is continued is what training sees before the first
 * token that it learns. */
#include "base/memory.h"
#include "chat/presets.h"
#include "data/example.h"
#include "tests/test.h"

#include <string.h>

static const char chatml[] = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
                             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static const char llama3[] = "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + "
                             "'<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
                             "{% endif %}";
static const char marks[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

static struct tokenizer *bytes;

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
                                          "<|eot_id|>"};
    struct error e;
    return tokenizer_new_bytes(special, sizeof special / sizeof *special, &bytes, &e);
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_free(bytes);
    return 0;
}

/* The prompt of the line, as tokens; and the example's before the first that is learned of the last turn. */
static void expect_same_with(const struct tokenizer *tokenizer, const char *line, const char *source,
                             const struct dataset_fields *fields)
{
    struct dataset_row row, asked;
    struct example x = {0};
    struct tokens prompt = {0};
    struct chat_template *t = NULL;
    struct error e;
    if (source)
        assert_ok(chat_template_parse("test", source, strlen(source), &t, &e), e);
    struct example_settings s = {.tokenizer = tokenizer, .chat_template = t, .fields = fields, .now = 1};
    assert_ok(dataset_row_parse(line, strlen(line), fields, &row, &e), e);
    if (row.n_prompt == 0)
        s.loss = LOSS_LAST_TURN;
    assert_ok(example_make(&row, &s, &x, &e), e);
    size_t first = 0;
    while (!x.learned[first])
        first++;
    assert_ok(dataset_prompt_parse(line, strlen(line), fields, &asked, &e), e);
    assert_int_equal(asked.n_prompt, json_array_size(asked.messages));
    tokens_push(&prompt, 7); /* is replaced */
    assert_ok(example_make_prompt(&asked, &s, &prompt, &e), e);
    assert_int_equal(prompt.count, first);
    assert_memory_equal(prompt.ids, x.tokens.ids, first * sizeof *prompt.ids);
    dataset_row_free(&row);
    dataset_row_free(&asked);
    example_free(&x);
    tokens_free(&prompt);
    chat_template_free(t);
}

static void expect_same(const char *line, const char *source, const struct dataset_fields *fields)
{
    expect_same_with(bytes, line, source, fields);
}

#define USER "{\"role\": \"user\", \"content\": \"Hi there\"}"
#define BOT "{\"role\": \"assistant\", \"content\": \"Yes\"}"
#define BOT2 "{\"role\": \"assistant\", \"content\": \"No, not me\"}"
#define SYSTEM "{\"role\": \"system\", \"content\": \"Be brief\"}"

static void a_prompt_is_what_training_sees(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"prompt\": \"Hi there\", \"completion\": \" Yes\"}",
        "{\"prompt\": \"Hi there\", \"completion\": \" Yes\", \"label\": true}",
        "{\"prompt\": \"Hi there\", \"chosen\": \" Yes\", \"rejected\": \"No\"}",
        "{\"prompt\": [" SYSTEM ", " USER "], \"completion\": [" BOT "]}",
        "{\"prompt\": [" USER "], \"completion\": [" USER ", " BOT ", " USER ", " BOT2 "]}",
        "{\"prompt\": [" USER "], \"chosen\": [" BOT "], \"rejected\": [" BOT2 "]}",
        "{\"chosen\": [" SYSTEM ", " USER ", " BOT "], \"rejected\": [" SYSTEM ", " USER ", " BOT2 "]}",
        "{\"messages\": [" USER ", " BOT ", " USER ", " BOT2 "], \"system\": \"Be brief\"}",
        "{\"messages\": [" USER ", " BOT "], \"prompt\": \"of no use\"}",
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": \"Yes\"}]}",
        "{\"instruction\": \"Add\", \"input\": \"1 2\", \"output\": \"3\", \"history\": [[\"a\", \"b\"]]}",
    };
    static const char *const templates[] = {chatml, llama3, marks};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t k = 0; k < 3; k++)
            if (templates[k] != marks || !strstr(rows[i], "completion\": [" USER)) /* marks without a prompt: other rules */
                expect_same(rows[i], templates[k], NULL);
    for (size_t i = 0; i < 3; i++)
        expect_same(rows[i], NULL, NULL);
    static const struct dataset_fields named = {.prompt = "question", .completion = "answer"};
    expect_same("{\"question\": \"Hi\", \"answer\": \"Yes\", \"text\": \"Hi Yes\"}", NULL, &named);
}

/* Without a template BOS comes first where the tokenizer says so, once; a template writes it itself. */
static void bos_comes_once(void **state)
{
    (void)state;
    json_t *fixture, *root, *model, *shared;
    struct tokenizer *t;
    struct error e;
    assert_ok(json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e), e);
    root = json_object_get(json_object_get(json_object_get(fixture, "stacks"), "llama2"), "root");
    model = json_object_get(root, "model");
    shared = json_object_get(fixture, "shared");
    struct {
        json_t *object;
        const char *key;
    } parts[] = {{root, "added_tokens"}, {model, "vocab"}, {model, "merges"}};
    for (size_t i = 0; i < 3; i++) {
        const char *part = json_string_value(json_object_get(parts[i].object, parts[i].key));
        if (part)
            json_object_set(parts[i].object, parts[i].key, json_object_get(shared, part));
    }
    json_object_set_new(root, "post_processor", json_pack("{s:s, s:[{s:{s:s}}, {s:{s:s}}], s:{s:{s:[s]}}}", "type",
                        "TemplateProcessing", "single", "SpecialToken", "id", "<s>", "Sequence", "id", "A", "special_tokens",
                        "<s>", "tokens", "<s>"));
    char *text = json_dumps(root, 0);
    assert_ok(tokenizer_parse_json(text, strlen(text), &t, &e), e);
    assert_true(tokenizer_adds_bos(t));
    expect_same_with(t, "{\"prompt\": \"a\", \"completion\": \" b\"}", NULL, NULL);
    expect_same_with(t, "{\"prompt\": \"<s>a\", \"completion\": \" b\"}", NULL, NULL);
    expect_same_with(t, "{\"messages\": [" USER ", " BOT "]}", llama3, NULL);
    expect_same_with(t, "{\"messages\": [" USER ", " BOT "]}", chatml, NULL);
    free(text);
    tokenizer_free(t);
    json_decref(fixture);
}

static void expect_lead(const char *source, const char *line, const char *want)
{
    struct dataset_row row;
    struct chat_template *t = NULL;
    struct buffer lead = {0};
    struct error e;
    if (source)
        assert_ok(chat_template_parse("test", source, strlen(source), &t, &e), e);
    struct example_settings s = {.tokenizer = bytes, .chat_template = t, .now = 1};
    assert_ok(dataset_prompt_parse(line, strlen(line), NULL, &row, &e), e);
    size_t n = json_array_size(row.messages);
    example_answer_lead(&row, &s, &lead);
    assert_string_equal(lead.data ? lead.data : "", want);
    assert_int_equal(json_array_size(row.messages), n);
    buffer_free(&lead);
    dataset_row_free(&row);
    chat_template_free(t);
}

/* What a template puts between its opening and the answer. */
static void templates_lead_up_to_answers(void **state)
{
    (void)state;
    static const char line[] = "{\"messages\": [" USER "]}";
    static const char mistral[] = "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
                                  "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}";
    static const char thinker[] =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{{ '<think></think>\n' }}"
        "{% endif %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    static const char refuses[] = "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}"
                                  "{% endif %}{{ m.content }}{% endfor %}";
    static const char other[] = "{% if add_generation_prompt %}A{% else %}B{% endif %}{{ messages[-1].content }}";
    expect_lead(mistral, line, " ");
    expect_lead(chat_preset("plain"), line, " ");
    expect_lead(chatml, line, "");
    expect_lead(llama3, line, "");
    expect_lead(thinker, line, "<think></think>\n");
    expect_lead(refuses, line, "");
    expect_lead(other, line, "");
    expect_lead(NULL, "{\"prompt\": \"Hi\"}", "");
}

/* The messages that the line asks with, as JSON, and its text. */
static void expect_asked(const char *line, const char *messages, const char *prompt, const char *question)
{
    struct dataset_fields fields = {.prompt = question};
    struct dataset_row row;
    struct error e;
    assert_ok(dataset_prompt_parse(line, strlen(line), &fields, &row, &e), e);
    char *text = json_dumps(row.messages, 0);
    assert_string_equal(text, messages);
    assert_true((row.prompt != NULL) == (prompt != NULL));
    if (prompt)
        assert_string_equal(row.prompt, prompt);
    assert_true(!row.completion && !row.rejected_text && !row.rejected && !row.text);
    free(text);
    dataset_row_free(&row);
}

static void rows_need_no_answer(void **state)
{
    (void)state;
    expect_asked("{\"prompt\": \"Hi there\"}", "[" USER "]", "Hi there", NULL);
    expect_asked("{\"question\": \"Hi there\", \"answer\": \"Yes\"}", "[" USER "]", "Hi there", "question");
    expect_asked("{\"q\": \"Hi there\", \"messages\": [" BOT "]}", "[" USER "]", "Hi there", "q");
    expect_asked("{\"prompt\": [" SYSTEM ", " USER "]}", "[" SYSTEM ", " USER "]", NULL, NULL);
    expect_asked("{\"messages\": [" USER "]}", "[" USER "]", NULL, NULL);
    expect_asked("{\"messages\": [" USER ", " BOT ", " USER "], \"system\": \"Be brief\"}",
                 "[" SYSTEM ", " USER ", " BOT ", " USER "]", NULL, NULL);
    expect_asked("{\"instruction\": \"Hi there\"}", "[" USER "]", NULL, NULL);
    expect_asked("{\"instruction\": \"Hi there\", \"output\": null}", "[" USER "]", NULL, NULL);
}

static void expect_error(const char *line, const char *message)
{
    struct dataset_row row;
    struct error e;
    assert_int_equal(dataset_prompt_parse(line, strlen(line), NULL, &row, &e), ERR_FORMAT);
    assert_string_equal(e.message, message);
    dataset_row_free(&row);
}

static void rows_without_a_prompt(void **state)
{
    (void)state;
    expect_error("{}", "no prompt: the fields are none; needed is \"prompt\", \"messages\" or \"instruction\"; other names "
                       "can be given");
    expect_error("{\"text\": \"a\"}", "no prompt: the fields are \"text\"; needed is \"prompt\", \"messages\" or "
                                      "\"instruction\"; other names can be given");
    expect_error("{\"messages\": [" BOT "]}", "nothing is said before the assistant's turn");
    expect_error("{\"prompt\": \"a\", \"chosen\": \"b\"}", "\"chosen\" without \"rejected\"");
    expect_error("{\"prompt\": \"\"}", "\"prompt\" is empty");
    expect_error("[1]", "not a JSON object");
}

static void a_conversation_needs_a_template(void **state)
{
    (void)state;
    static const char line[] = "{\"messages\": [" USER "]}";
    struct example_settings s = {.tokenizer = bytes};
    struct dataset_row row;
    struct tokens prompt = {0};
    struct error e;
    assert_ok(dataset_prompt_parse(line, strlen(line), NULL, &row, &e), e);
    assert_int_equal(example_make_prompt(&row, &s, &prompt, &e), ERR_FORMAT);
    tokens_free(&prompt);
    dataset_row_free(&row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_is_what_training_sees),
        cmocka_unit_test(bos_comes_once),
        cmocka_unit_test(templates_lead_up_to_answers),
        cmocka_unit_test(rows_need_no_answer),
        cmocka_unit_test(rows_without_a_prompt),
        cmocka_unit_test(a_conversation_needs_a_template),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
