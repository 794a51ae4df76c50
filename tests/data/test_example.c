/* data/example.h: which tokens are learned, written out by hand for templates of several families and held against the
 * spans that Hugging Face's masks are made of. */
#include "base/file.h"
#include "base/memory.h"
#include "data/example.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char chatml[] = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
                             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
static const char llama3[] = "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + "
                             "'<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
                             "{% endif %}";
static const char zephyr[] = "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}"
                             "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}";
static const char mistral[] = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
                              "{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}"
                              "{% endif %}{% endfor %}";
/* Takes the reasoning out of every turn but the last one, as Qwen 3's. */
static const char thinker[] =
    "{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and not loop.last and '</think>' in c %}"
    "{% set c = c.split('</think>')[-1] %}{% endif %}{{ '<|im_start|>' + m.role + '\n' + c + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
/* Marks the words of the assistant without the token behind them. */
static const char open_marks[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}";

static struct tokenizer *bytes; /* a token a byte, so that masks are exact to the byte */

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {
        "</s>", "<s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        "<start_of_turn>", "<end_of_turn>",
    };
    struct error e;
    return tokenizer_new_bytes(special, sizeof special / sizeof *special, &bytes, &e);
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

/* The example's text with every learned run within { and }. */
static char *shown(const struct example *x)
{
    struct buffer b = {0};
    for (size_t i = 0; i < x->tokens.count; i++) {
        if (x->learned[i] && (i == 0 || !x->learned[i - 1]))
            buffer_byte(&b, '{');
        tokenizer_decode(bytes, &x->tokens.ids[i], 1, true, &b);
        if (x->learned[i] && (i + 1 == x->tokens.count || !x->learned[i + 1]))
            buffer_byte(&b, '}');
    }
    return b.data;
}

static int make(const char *line, const char *template, enum example_loss loss, struct example *x, struct error *e)
{
    struct chat_template *t = template ? parse(template) : NULL;
    struct example_settings s = {.tokenizer = bytes, .chat_template = t, .loss = loss};
    struct dataset_row row;
    assert_ok(dataset_row_parse(line, strlen(line), NULL, &row, e), *e);
    int code = example_make(&row, &s, x, e);
    dataset_row_free(&row);
    chat_template_free(t);
    return code;
}

static void expect(const char *line, const char *template, enum example_loss loss, const char *expected)
{
    struct example x = {0};
    struct error e = {0};
    assert_ok(make(line, template, loss, &x, &e), e);
    char *text = shown(&x);
    assert_string_equal(text, expected);
    size_t learned = 0;
    for (size_t i = 0; i < x.tokens.count; i++)
        learned += x.learned[i];
    assert_int_equal(learned, x.n_learned);
    mem_free(text);
    example_free(&x);
}

static void refuse(const char *line, const char *template, enum example_loss loss, const char *part)
{
    struct example x = {0};
    struct error e = {0};
    int code = make(line, template, loss, &x, &e);
    if (code != ERR_FORMAT || !strstr(e.message, part))
        fail_msg("%s: code %d, \"%s\" should say \"%s\"", line, code, e.message, part);
    example_free(&x);
}

#define M(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define TWO "{\"messages\":[" M("system", "s") "," M("user", "q1") "," M("assistant", "a1") "," M("user", "q2") "," \
            M("assistant", "a2") "]}"

static void turns_of_every_family(void **state)
{
    (void)state;
    expect(TWO, chatml, LOSS_COMPLETIONS,
           "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n{a1<|im_end|>}\n"
           "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n{a2<|im_end|>}\n");
    expect(TWO, chatml, LOSS_LAST_TURN,
           "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n"
           "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n{a2<|im_end|>}\n");
    /* All but the first token, which nothing predicts. */
    expect("{\"messages\":[" M("user", "q") "," M("assistant", "a") "]}", chatml, LOSS_ALL,
           "<|im_start|>{user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n}");
    expect(TWO, llama3, LOSS_COMPLETIONS,
           "</s><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nq1"
           "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{a1<|eot_id|>}<|start_header_id|>user"
           "<|end_header_id|>\n\nq2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{a2<|eot_id|>}");
    expect(TWO, zephyr, LOSS_COMPLETIONS,
           "<|system|>\ns</s>\n<|user|>\nq1</s>\n<|assistant|>\n{a1</s>}\n<|user|>\nq2</s>\n<|assistant|>\n{a2</s>}\n");
    expect("{\"messages\":[" M("user", "q1") "," M("assistant", "a1") "," M("user", "q2") "," M("assistant", "a2") "]}",
           mistral, LOSS_COMPLETIONS, "</s>[INST] q1 [/INST]{ a1</s>}[INST] q2 [/INST]{ a2</s>}");
    /* White space of the words themselves is theirs. */
    expect("{\"messages\":[" M("user", "q") "," M("assistant", " a\\n ") "," M("user", "r") "]}", chatml, LOSS_COMPLETIONS,
           "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n{ a\n <|im_end|>}\n<|im_start|>user\nr<|im_end|>\n");
}

static void prompts_and_weights(void **state)
{
    (void)state;
    expect("{\"prompt\":\"p\",\"completion\":\"c\"}", chatml, LOSS_COMPLETIONS,
           "<|im_start|>user\np<|im_end|>\n<|im_start|>assistant\n{c<|im_end|>}\n");
    /* An answer within the prompt is no completion. */
    expect("{\"prompt\":[" M("user", "a") "," M("assistant", "b") "," M("user", "c") "],\"completion\":[" M("assistant", "d")
           "]}", zephyr, LOSS_COMPLETIONS,
           "<|user|>\na</s>\n<|assistant|>\nb</s>\n<|user|>\nc</s>\n<|assistant|>\n{d</s>}\n");
    expect("{\"messages\":[" M("user", "a") ",{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}," M("user", "c") ","
           M("assistant", "d") "]}", zephyr, LOSS_COMPLETIONS,
           "<|user|>\na</s>\n<|assistant|>\nb</s>\n<|user|>\nc</s>\n<|assistant|>\n{d</s>}\n");
    expect("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", zephyr, LOSS_COMPLETIONS,
           "<|user|>\np</s>\n<|assistant|>\n{c</s>}\n");
    refuse("{\"messages\":[" M("user", "a") ",{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}]}", zephyr,
           LOSS_COMPLETIONS, "no token of it is learned");
}

static void rows_without_a_template(void **state)
{
    (void)state;
    expect("{\"prompt\":\"The sky is\",\"completion\":\" blue.\"}", NULL, LOSS_COMPLETIONS, "The sky is{ blue.</s>}");
    expect("{\"prompt\":\"The sky is\",\"completion\":\" blue.\"}", NULL, LOSS_ALL, "T{he sky is blue.</s>}");
    expect("{\"text\":\"The sky\"}", NULL, LOSS_COMPLETIONS, "T{he sky</s>}");
    expect("{\"text\":\"The sky</s>\"}", chatml, LOSS_LAST_TURN, "T{he sky</s>}"); /* EOS once */
    expect("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", NULL, LOSS_COMPLETIONS, "p{c</s>}");
    refuse(TWO, NULL, LOSS_COMPLETIONS, "there is no chat template");
}

static void marks_of_generation(void **state)
{
    (void)state;
    expect(TWO, open_marks, LOSS_COMPLETIONS,
           "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n{a1<|im_end|>}\n"
           "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n{a2<|im_end|>}\n");
    expect("{\"messages\":[" M("user", "a") "," M("assistant", "b") "," M("assistant", "c") "]}", open_marks,
           LOSS_LAST_TURN,
           "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\n{c<|im_end|>}\n");
    expect("{\"prompt\":[" M("user", "a") "," M("assistant", "b") "," M("user", "c") "],\"completion\":\"d\"}", open_marks,
           LOSS_COMPLETIONS,
           "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
           "<|im_start|>assistant\n{d<|im_end|>}\n");
    /* Two stretches a turn: which ones the last turn has cannot be told. */
    static const char twice[] = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% generation %}"
                                "x{% endgeneration %}{% endfor %}";
    refuse("{\"messages\":[" M("user", "a") "," M("assistant", "b") "," M("user", "c") "," M("assistant", "d") "]}", twice,
           LOSS_LAST_TURN, "marks 8 stretches of text with {% generation %} for 2 turns");
}

#define THOUGHT "{\"messages\":[" M("user", "q1") "," M("assistant", "<think>t</think>a1") "," M("user", "q2") "," \
                M("assistant", "<think>u</think>a2") "]}"

/* A template that rewrites what was said before. */
static void rewritten_turns_are_refused(void **state)
{
    (void)state;
    refuse(THOUGHT, thinker, LOSS_COMPLETIONS, "the chat template writes turn 1 of the assistant, or what is before it, "
           "differently once the conversation goes on");
    refuse(THOUGHT, thinker, LOSS_COMPLETIONS, "--loss last-turn");
    expect(THOUGHT, thinker, LOSS_LAST_TURN,
           "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n"
           "<|im_start|>assistant\n{<think>u</think>a2<|im_end|>}\n");
    expect(TWO, thinker, LOSS_LAST_TURN,
           "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n"
           "<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n{a2<|im_end|>}\n");
    static const char reopened[] = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
                                   "{% if add_generation_prompt %}<think>{% endif %}";
    refuse(TWO, reopened, LOSS_LAST_TURN, "--loss all learns the whole text");
    static const char silent[] = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    refuse(TWO, silent, LOSS_LAST_TURN, "shows nothing of turn 2");
    static const char strict[] = "{% if messages[-1].role != 'assistant' %}{{ raise_exception('no answer') }}{% endif %}x";
    refuse(TWO, strict, LOSS_COMPLETIONS, "finding turn 1 of the assistant");
}

/* Turns that no token ends are learned, and counted. */
static void turns_without_an_end(void **state)
{
    (void)state;
    struct example x = {0};
    struct error e;
    assert_ok(make(TWO, "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
                        "{% if add_generation_prompt %}assistant:{% endif %}", LOSS_COMPLETIONS, &x, &e), e);
    char *text = shown(&x);
    assert_string_equal(text, "system:s\nuser:q1\nassistant:{a1\n}user:q2\nassistant:{a2\n}");
    assert_int_equal(x.n_turns, 2);
    assert_int_equal(x.n_unfinished, 2);
    mem_free(text);
    /* A special token within the words closes nothing. */
    expect("{\"messages\":[" M("user", "q") "," M("assistant", "a<start_of_turn>b") "]}",
           "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}"
           "{% if add_generation_prompt %}assistant:{% endif %}", LOSS_COMPLETIONS,
           "user:q\nassistant:{a<start_of_turn>b\n}");
    assert_ok(make(TWO, zephyr, LOSS_COMPLETIONS, &x, &e), e);
    assert_int_equal(x.n_turns, 2);
    assert_int_equal(x.n_unfinished, 0);
    example_free(&x);
}

/* ---- against Hugging Face ---- */

/* With return_assistant_tokens_mask transformers marks the tokens of the characters within {% generation %}; a token here
 * is a byte or a special token, so the learned tokens are those that begin within the fixture's spans. */
static size_t compare_case(const json_t *root, const json_t *test, const struct chat_template *t)
{
    const json_t *messages = json_object_get(json_object_get(root, "messages"),
                                             json_string_value(json_object_get(test, "messages")));
    const json_t *more = json_object_get(json_object_get(root, "options"),
                                         json_string_value(json_object_get(test, "options")));
    const json_t *spans = json_object_get(test, "spans");
    struct example_settings s = {.tokenizer = bytes, .chat_template = t, .variables = more,
                                 .now = json_integer_value(json_object_get(root, "now"))};
    struct example x = {0};
    struct error e = {0};
    if (json_array_size(spans) == 0)
        return 0;
    /* BOS and EOS are the fixture's through `variables`. */
    json_t *variables = json_deep_copy(more);
    json_object_set(variables, "bos_token", json_object_get(root, "bos_token"));
    json_object_set(variables, "eos_token", json_object_get(root, "eos_token"));
    s.variables = variables;
    assert_ok(example_make_chat(messages, 0, json_object_get(more, "tools"), &s, &x, &e), e);
    size_t at = 0, span = 0;
    struct buffer text = {0};
    for (size_t i = 0; i < x.tokens.count; i++) {
        while (span < json_array_size(spans) &&
               (size_t)json_integer_value(json_array_get(json_array_get(spans, span), 1)) <= at)
            span++;
        const json_t *range = json_array_get(spans, span);
        bool inside = range && (size_t)json_integer_value(json_array_get(range, 0)) <= at;
        if (inside != x.learned[i])
            fail_msg("%s, %s: token %zu at byte %zu", json_string_value(json_object_get(test, "template")),
                     json_string_value(json_object_get(test, "messages")), i, at);
        tokenizer_decode(bytes, &x.tokens.ids[i], 1, true, &text);
        at = text.size;
    }
    assert_string_equal(text.data, json_string_value(json_object_get(test, "output")));
    buffer_free(&text);
    json_decref(variables);
    example_free(&x);
    return 1;
}

static void masks_of_hugging_face(void **state)
{
    (void)state;
    json_t *root, *test;
    struct error e;
    assert_ok(json_read("tests/fixtures/chat/conversations.json", &root, &e), e);
    size_t i, compared = 0;
    json_array_foreach(json_object_get(root, "cases"), i, test)
    {
        const char *name = json_string_value(json_object_get(test, "template"));
        struct buffer source = {0};
        char *path = path_join("tests/fixtures/chat", name);
        assert_ok(file_read(path, &source, CHAT_TEMPLATE_MOST, &e), e);
        struct chat_template *t = parse(source.data);
        compared += compare_case(root, test, t);
        chat_template_free(t);
        buffer_free(&source);
        mem_free(path);
    }
    assert_true(compared >= 30);
    json_decref(root);
}

/* The same template with and without marks: both ways to find turns agree. */
static void both_ways_agree(void **state)
{
    (void)state;
    static const char marked[] =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}"
        "{% endfor %}";
    static const enum example_loss losses[] = {LOSS_COMPLETIONS, LOSS_LAST_TURN, LOSS_ALL};
    for (size_t i = 0; i < 3; i++) {
        struct example a = {0}, b = {0};
        struct error e;
        assert_ok(make(TWO, marked, losses[i], &a, &e), e);
        assert_ok(make(TWO, chatml, losses[i], &b, &e), e);
        assert_int_equal(a.tokens.count, b.tokens.count);
        assert_memory_equal(a.tokens.ids, b.tokens.ids, a.tokens.count * sizeof *a.tokens.ids);
        assert_memory_equal(a.learned, b.learned, a.tokens.count);
        example_free(&a);
        example_free(&b);
    }
}

/* ---- other tokenizers ---- */

static struct tokenizer *parse_stack(const json_t *fixture, const char *name)
{
    json_t *root = json_deep_copy(json_object_get(json_object_get(json_object_get(fixture, "stacks"), name), "root"));
    json_t *model = json_object_get(root, "model"), *shared = json_object_get(fixture, "shared");
    struct {
        json_t *object;
        const char *key;
    } parts[] = {{root, "added_tokens"}, {model, "vocab"}, {model, "merges"}};
    struct tokenizer *t;
    struct error e;
    for (size_t i = 0; i < 3; i++) {
        const char *part = json_string_value(json_object_get(parts[i].object, parts[i].key));
        if (part)
            json_object_set(parts[i].object, parts[i].key, json_object_get(shared, part));
    }
    char *text = json_dumps(root, 0);
    assert_ok(tokenizer_parse_json(text, strlen(text), &t, &e), e);
    free(text);
    json_decref(root);
    return t;
}

/* BOS where the tokenizer says so, once; it is not learned. */
static void texts_with_bos(void **state)
{
    (void)state;
    static const struct {
        const char *line, *all, *prompt;
    } cases[] = {
        {"{\"text\":\"a b\"}", "<s>a b</s>", "<s>"},
        {"{\"text\":\"<s>a b</s>\"}", "<s>a b</s>", "<s>"},
        {"{\"prompt\":\"a\",\"completion\":\" b\"}", "<s>a b</s>", "<s>a"},
    };
    json_t *fixture, *root, *processor = json_pack(
        "{s:s, s:[{s:{s:s}}, {s:{s:s}}], s:{s:{s:[s]}}}", "type", "TemplateProcessing", "single", "SpecialToken", "id",
        "<s>", "Sequence", "id", "A", "special_tokens", "<s>", "tokens", "<s>");
    struct error e;
    assert_ok(json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e), e);
    root = json_object_get(json_object_get(json_object_get(fixture, "stacks"), "llama2"), "root");
    json_object_set_new(root, "post_processor", processor);
    struct tokenizer *t = parse_stack(fixture, "llama2");
    assert_true(tokenizer_adds_bos(t));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct example_settings s = {.tokenizer = t};
        struct dataset_row row;
        struct example x = {0};
        struct buffer text = {0};
        assert_ok(dataset_row_parse(cases[i].line, strlen(cases[i].line), NULL, &row, &e), e);
        assert_ok(example_make(&row, &s, &x, &e), e);
        tokenizer_decode(t, x.tokens.ids, x.tokens.count, true, &text);
        assert_string_equal(text.data, cases[i].all);
        assert_int_equal(x.tokens.ids[0], tokenizer_bos(t));
        assert_int_equal(x.learned[0], 0);
        size_t prompt = x.tokens.count - x.n_learned; /* the learned ones are the last ones */
        assert_null(memchr(x.learned + prompt, 0, x.n_learned));
        buffer_clear(&text);
        tokenizer_decode(t, x.tokens.ids, prompt, true, &text);
        assert_string_equal(text.data, cases[i].prompt);
        dataset_row_free(&row);
        example_free(&x);
        buffer_free(&text);
    }
    tokenizer_free(t);
    json_decref(fixture);
}

/* Stacks that swallow blanks beside <|im_start|> and <|im_end|>, put spaces before words, or normalise (the user's e and
 * accent become one character, Qwen's way). */
static void words_of_several_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *learned;
    } cases[] = {
        {"gpt2", "Yes,  it is 4.<|im_end|>"},   {"llama3", "Yes,  it is 4.<|im_end|>"},
        {"qwen2", "Yes,  it is 4.<|im_end|>"},  {"llama2", "Yes,  it is 4.<|im_end|>"},
        {"gemma", "Yes,  it is 4.<|im_end|>"},  {"unigram-bytes", "Yes,  it is 4.<|im_end|>"},
        {"normalizers", "yes, it is 4.<|im_end|>"},
    };
    static const char line[] = "{\"messages\":[" M("user", " cafe\xCC\x81 \\n?") "," M("assistant", "Yes,  it is 4.") ","
                               M("user", "a b") "," M("assistant", "Yes,  it is 4.") "]}";
    static const char whole[] = "<|im_start|>user\n cafe\xCC\x81 \n?<|im_end|>\n<|im_start|>assistant\nYes,  it is 4."
                                "<|im_end|>\n<|im_start|>user\na b<|im_end|>\n<|im_start|>assistant\nYes,  it is 4."
                                "<|im_end|>\n";
    json_t *fixture;
    struct error e;
    assert_ok(json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e), e);
    struct chat_template *template = parse(chatml);
    struct dataset_row row;
    assert_ok(dataset_row_parse(line, sizeof line - 1, NULL, &row, &e), e);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t = parse_stack(fixture, cases[i].name);
        struct example_settings s = {.tokenizer = t, .chat_template = template};
        struct example x = {0};
        struct tokens ids = {0}, learned = {0};
        struct buffer text = {0};
        if (example_make(&row, &s, &x, &e))
            fail_msg("%s: %s", cases[i].name, e.message);
        tokenizer_encode(t, whole, sizeof whole - 1, true, &ids);
        assert_int_equal(ids.count, x.tokens.count);
        assert_memory_equal(ids.ids, x.tokens.ids, ids.count * sizeof *ids.ids);
        for (size_t j = 0; j < ids.count; j++) {
            if (x.learned[j])
                tokens_push(&learned, ids.ids[j]);
            if (!x.learned[j] || (j + 1 < ids.count && x.learned[j + 1]))
                continue;
            tokenizer_decode(t, learned.ids, learned.count, true, &text);
            size_t blank = strspn(text.data, " ");
            if (strcmp(text.data + blank, cases[i].learned) != 0)
                fail_msg("%s: learned is \"%s\"", cases[i].name, text.data);
            learned.count = 0;
            buffer_clear(&text);
        }
        assert_int_equal(x.n_turns, 2);
        assert_int_equal(x.n_unfinished, 0);
        buffer_free(&text);
        tokens_free(&ids);
        tokens_free(&learned);
        example_free(&x);
        tokenizer_free(t);
    }
    dataset_row_free(&row);
    chat_template_free(template);
    json_decref(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_of_every_family),       cmocka_unit_test(prompts_and_weights),
        cmocka_unit_test(rows_without_a_template),     cmocka_unit_test(marks_of_generation),
        cmocka_unit_test(rewritten_turns_are_refused), cmocka_unit_test(turns_without_an_end),
        cmocka_unit_test(masks_of_hugging_face),       cmocka_unit_test(both_ways_agree),
        cmocka_unit_test(words_of_several_tokenizers), cmocka_unit_test(texts_with_bos),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
