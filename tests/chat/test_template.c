/* chat/template.h against jinja2 as transformers uses it (tests/fixtures/make_chat.py), the bounds,
 * the words of errors, and the fuzzer's seeds. */
#include "base/file.h"
#include "base/memory.h"
#include "chat/template.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_chat_template.c"

static json_t *read_json(const char *path)
{
    json_t *root;
    struct error e;
    assert_ok(json_read(path, &root, &e), e);
    return root;
}

static struct chat_template *parse(const char *source)
{
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", source, strlen(source), &t, &e), e);
    return t;
}

/* Whether rendering gave what a case has: its output and spans, or a refusal where that is null. */
static void compare_case(const char *name, const json_t *test, int code, const struct buffer *out,
                         const struct chat_spans *spans, const struct error *e)
{
    const json_t *output = json_object_get(test, "output");
    const json_t *ranges = json_object_get(test, "spans");
    if (json_is_null(output)) {
        if (!code)
            fail_msg("%s: not refused, but rendered as \"%s\"", name, out->data);
        check_line(e);
        return;
    }
    if (code)
        fail_msg("%s: %s", name, e->message);
    if (out->size != json_string_length(output) ||
        (out->size && memcmp(out->data, json_string_value(output), out->size)))
        fail_msg("%s:\n  got      \"%s\"\n  expected \"%s\"", name, out->data ? out->data : "",
                 json_string_value(output));
    if (spans->count != json_array_size(ranges))
        fail_msg("%s: %zu spans, expected %zu", name, spans->count, json_array_size(ranges));
    for (size_t i = 0; i < spans->count; i++) {
        const json_t *range = json_array_get(ranges, i);
        assert_int_equal(spans->items[i].begin, json_integer_value(json_array_get(range, 0)));
        assert_int_equal(spans->items[i].end, json_integer_value(json_array_get(range, 1)));
    }
}

static void features(void **state)
{
    (void)state;
    json_t *root = read_json("tests/fixtures/chat/features.json"), *test;
    size_t i, refused = 0;
    json_array_foreach(json_object_get(root, "cases"), i, test)
    {
        const json_t *source = json_object_get(test, "template");
        const json_t *variables = json_object_get(test, "variables");
        const char *name = json_string_value(json_object_get(test, "name"));
        struct chat_template *t;
        struct buffer out = {0};
        struct chat_spans spans = {0};
        struct error e = {0};
        struct chat_input in = {.variables = variables,
                                .now = json_integer_value(json_object_get(root, "now"))};
        int code = chat_template_parse(name, json_string_value(source), json_string_length(source),
                                       &t, &e);
        if (!code)
            code = chat_template_render(t, &in, &out, NULL, &e);
        compare_case(name, test, code, &out, &spans, &e);
        if (code) {
            char place[200];
            snprintf(place, sizeof place, "%s: line ", name);
            assert_memory_equal(e.message, place, strlen(place));
            refused++;
        }
        chat_template_free(t);
        buffer_free(&out);
    }
    assert_true(i > 220 && refused > 30);
    json_decref(root);
}

/* Each template is parsed once and rendered for each conversation. */
static size_t render_folder(const char *folder)
{
    char path[400];
    snprintf(path, sizeof path, "%s/conversations.json", folder);
    json_t *root = read_json(path), *test;
    struct chat_template *t = NULL;
    const char *last = "";
    size_t i, with_spans = 0;
    json_array_foreach(json_object_get(root, "cases"), i, test)
    {
        const char *name = json_string_value(json_object_get(test, "template"));
        const char *messages = json_string_value(json_object_get(test, "messages"));
        const char *options = json_string_value(json_object_get(test, "options"));
        struct buffer source = {0}, out = {0};
        struct chat_spans spans = {0};
        struct error e = {0};
        if (strcmp(name, last) != 0) {
            chat_template_free(t);
            snprintf(path, sizeof path, "%s/%s", folder, name);
            assert_ok(file_read(path, &source, CHAT_TEMPLATE_MOST, &e), e);
            assert_ok(chat_template_parse(name, source.data, source.size, &t, &e), e);
            last = name;
        }
        const json_t *more = json_object_get(json_object_get(root, "options"), options);
        struct chat_input in = {
            .messages = json_object_get(json_object_get(root, "messages"), messages),
            .tools = json_object_get(more, "tools"),
            .documents = json_object_get(more, "documents"),
            .add_generation_prompt = json_is_true(json_object_get(more, "add_generation_prompt")),
            .bos_token = json_string_value(json_object_get(root, "bos_token")),
            .eos_token = json_string_value(json_object_get(root, "eos_token")),
            .variables = more,
            .now = json_integer_value(json_object_get(root, "now"))};
        int code = chat_template_render(t, &in, &out, &spans, &e);
        snprintf(path, sizeof path, "%s, messages \"%s\", options \"%s\"", name, messages, options);
        compare_case(path, test, code, &out, &spans, &e);
        assert_true(spans.count == 0 || chat_template_has_generation(t));
        with_spans += spans.count > 0;
        snprintf(path, sizeof path, "%s", folder);
        buffer_free(&source);
        buffer_free(&out);
        chat_spans_free(&spans);
    }
    chat_template_free(t);
    json_decref(root);
    assert_true(with_spans > 0);
    return i;
}

static void conversations(void **state)
{
    (void)state;
    assert_true(render_folder("tests/fixtures/chat") > 500);
    /* and the texts that models come with, where somebody gathered them: tests/fixtures/chat/README.md */
    const char *more = getenv("LINNET_CHAT_TEMPLATES");
    if (more)
        assert_true(render_folder(more) > 0);
}

static void render_text(const char *source, const struct chat_input *in, const char *expected)
{
    struct chat_template *t = parse(source);
    struct buffer out = {0};
    struct error e;
    assert_ok(chat_template_render(t, in, &out, NULL, &e), e);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
    chat_template_free(t);
}

static void render_refused(const char *source, const struct chat_input *in, const char *message)
{
    struct chat_template *t = NULL;
    struct buffer out = {0};
    struct chat_spans spans = {0};
    struct error e = {0};
    buffer_string(&out, "before");
    if (!chat_template_parse("test", source, strlen(source), &t, &e))
        assert_int_equal(chat_template_render(t, in, &out, &spans, &e), ERR_FORMAT);
    assert_string_equal(e.message, message);
    assert_string_equal(out.data, "before");
    assert_int_equal(spans.count, 0);
    buffer_free(&out);
    chat_spans_free(&spans);
    chat_template_free(t);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
    } rows[] = {
        {"a\n {{ 'é' | wrap }}", "test: line 2, column 11: the filter \"wrap\" is not supported"},
        {"{{ raise_exception('Roles\\nmust alternate') }}",
         "test: line 1, column 4: the template refuses the conversation: Roles must alternate"},
        {"\n\n{% if a %}\n{% for b in c %}{% endif %}",
         "test: line 4, column 20: \"endif\" ends no block"},
        {"a\n{% if a %}", "test: line 2, column 1: {% if %} has no end"},
        {"{% include 'x' %}", "test: line 1, column 4: the statement \"include\" is not supported"},
        {"{{ a.b.c }}", "test: line 1, column 6: 'a' is undefined"},
        {"{{ 'a'.b.c }}", "test: line 1, column 10: a string has no 'b'"},
        {"{{ 'a'.format() }}",
         "test: line 1, column 8: the method format of a string is not supported"},
        {"{{ 1 is prime }}", "test: line 1, column 9: the test \"prime\" is not supported"},
        {"{{ lipsum() }}", "test: line 1, column 4: 'lipsum' is undefined"},
        {"{{ 1 +\n}}", "test: line 2, column 1: expected an expression, but the tag ends"},
        {"{{ 'a\n\nb'|trim('x', 2) }}",
         "test: line 3, column 4: the filter trim takes at most 1 arguments, not 2"},
        {"{{ [1]|join(x=1) }}",
         "test: line 1, column 8: the filter join has no argument \"x\", or it is not supported"},
        {"{{ éééééééééééééééééééééééééééééééééééééééé.b }}",
         "test: line 1, column 45: 'éééééééééééééééééééééééééééééé' is undefined"},
        {"\xFF", "test: the template is not valid UTF-8"},
    };
    struct chat_input in = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        render_refused(rows[i].source, &in, rows[i].message);
}

/* What an adversary would try: each ends soon, with one line. */
static void work_is_bounded(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 9223372036854775807 }}",
        "{{ [1] * 99999999999 }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x "
        "%}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
        "endfor %}{{ ns.x }}",
        "{% set a = namespace(x=[1]) %}{% set b = namespace(x=[1]) %}{% for i in range(40) %}"
        "{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{% set k = [] %}{% set _ = k.append(k) %}{{ l == "
        "k }}",
        "{{ range(1000000) }}",
        "{{ 'aaaa' | indent(999999999) }}",
        "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{{ 'b' in x }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{{ x[5] }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{% set y = x.split('a') %}{% endfor "
        "%}",
        "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{% set y = x.rsplit('ab') %}{% "
        "endfor %}",
        "{% set x = '[' * 1000000 %}{{ x | from_json }}",
        "{% set x = '[' ~ '{},' * 300000 ~ '0]' %}{% for i in range(99) %}{% set y = x | from_json "
        "%}"
        "{% endfor %}",
        "{% set x = ' ' * 1000000 %}{% for i in range(99999) %}{% set y = x.split() %}{% endfor %}",
        "{% set x = 'a' * 9000000 %}{% set y = x | replace('', x) %}",
        "{% for i in range(99999) %}{% set x = range(99999) | list | sort %}{% endfor %}",
        "{{ 9223372036854775807 + 1 }}{{ 1 }}",
        "{{ -9223372036854775807 - 2 }}",
        "{{ 10 ** 19 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}",
    };
    struct chat_input in = {0};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct chat_template *t = parse(sources[i]);
        struct buffer out = {0};
        struct error e = {0};
        clock_t begin = clock();
        if (!chat_template_render(t, &in, &out, NULL, &e))
            fail_msg("not refused: %s", sources[i]);
        check_line(&e);
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (seconds > 60) /* a second, where nothing checks every access */
            fail_msg("%.0f s: %s", seconds, sources[i]);
        buffer_free(&out);
        chat_template_free(t);
    }
}

static void limits_can_be_lowered(void **state)
{
    (void)state;
    const char *source = "{% for i in range(100) %}0123456789{% endfor %}";
    struct chat_input in = {.output_most = 999};
    render_refused(source, &in,
                   "test: line 1, column 26: the output is longer than the limit of 999 bytes");
    in = (struct chat_input){.work_most = 300};
    render_refused(source, &in, "test: line 1, column 8: the template takes too many steps");
    in = (struct chat_input){.memory_most = 4096};
    render_refused("{{ 'a' * 5000 }}", &in,
                   "test: line 1, column 8: the template needs more memory than the limit of 4096 "
                   "bytes");
    render_refused("{% for i in range(99) %}{% endfor %}", &in, /* pieces that fit, but not all */
                   "test: line 1, column 13: the template needs more memory than the limit of 4096 "
                   "bytes");
    render_text("{% for i in range(3) %}0{% endfor %}", &(struct chat_input){.output_most = 3},
                "000");
}

/* `count` times `open`, and `close` as often. */
static char *nested(const char *before, const char *open, const char *close, const char *after,
                    size_t count)
{
    struct buffer b = {0};
    buffer_string(&b, before);
    for (size_t i = 0; i < count; i++)
        buffer_string(&b, open);
    buffer_string(&b, after);
    for (size_t i = 0; i < count; i++)
        buffer_string(&b, close);
    return b.data;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *before, *open, *close, *after;
        size_t good;
    } rows[] = {
        {"{{ ", "[", "]", "", CHAT_NESTING_MOST},
        {"{{ ", "(", ")", "1", CHAT_NESTING_MOST},
        {"{{ ", "-", " ", "1", 200},
        {"{{ ", "not ", " ", "1", 200},
        {"{{ ", "1 if 1 else ", " ", "1", 100},
        {"{{ 1", " + 1", " ", "", 200},
        {"{{ ''", ".strip()", " ", "", 200},
        {"{{ 1", "|string", " ", "", 300},
        {"{{ 0 }}", "{% if 1 %}", "{% endif %}", "", CHAT_NESTING_MOST},
        {"{{ 0 }}", "{% for i in [1] %}", "{% endfor %}", "", CHAT_NESTING_MOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int good = 1; good >= 0; good--) {
            size_t count = good ? rows[i].good : 20000;
            bool print = strncmp(rows[i].before, "{{ 0 }}", 7) != 0;
            char *source =
                nested(rows[i].before, rows[i].open, rows[i].close, rows[i].after, count);
            struct buffer whole = {0}, out = {0};
            buffer_string(&whole, source);
            buffer_string(&whole, print ? " }}" : "");
            mem_free(source);
            struct chat_template *t = NULL;
            struct error e = {0};
            int code = chat_template_parse("test", whole.data, whole.size, &t, &e);
            if (!code)
                code = chat_template_render(t, &(struct chat_input){0}, &out, NULL, &e);
            if ((code == OK) != good)
                fail_msg("row %zu, %zu deep: %s", i, count, good ? e.message : "not refused");
            buffer_free(&whole);
            buffer_free(&out);
            chat_template_free(t);
        }
    }
}

static void data_may_nest_to_the_limit_only(void **state)
{
    (void)state;
    struct chat_template *t = parse("{{ messages | tojson | length }}");
    for (int deep = 0; deep <= 1; deep++) {
        char *text = nested("", "[", "]", "", deep ? 2000 : CHAT_NESTING_MOST);
        json_t *root;
        struct error e = {0};
        struct buffer out = {0};
        assert_ok(json_parse(text, strlen(text), &root, &e), e);
        struct chat_input in = {.messages = root};
        assert_int_equal(chat_template_render(t, &in, &out, NULL, &e), deep ? ERR_FORMAT : OK);
        json_decref(root);
        buffer_free(&out);
        mem_free(text);
    }
    chat_template_free(t);
}

static void a_template_has_a_largest_size(void **state)
{
    (void)state;
    char *source = mem_alloc(CHAT_TEMPLATE_MOST + 1, 1);
    memset(source, 'a', CHAT_TEMPLATE_MOST + 1);
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", source, CHAT_TEMPLATE_MOST, &t, &e), e);
    chat_template_free(t);
    assert_int_equal(chat_template_parse("test", source, CHAT_TEMPLATE_MOST + 1, &t, &e),
                     ERR_FORMAT);
    assert_null(t);
    /* Tags as dense as they can be take the most memory. */
    for (size_t i = 0; i + 5 <= CHAT_TEMPLATE_MOST; i += 5)
        memcpy(source + i, "{{1}}", 5);
    source[CHAT_TEMPLATE_MOST - 1] = 'a';
    assert_ok(chat_template_parse("test", source, CHAT_TEMPLATE_MOST, &t, &e), e);
    chat_template_free(t);
    mem_free(source);
}

static void spans_are_offsets_into_the_output(void **state)
{
    (void)state;
    struct chat_template *t =
        parse("{% for m in [1, 2] %}a{% generation %}é{{ m }}{% endgeneration %}"
              "{% generation %}{% endgeneration %}{% endfor %}");
    struct buffer out = {0};
    struct chat_spans spans = {0};
    struct error e;
    assert_true(chat_template_has_generation(t));
    for (int i = 0; i < 2; i++) /* both append */
        assert_ok(chat_template_render(t, &(struct chat_input){0}, &out, &spans, &e), e);
    assert_string_equal(out.data, "aé1aé2aé1aé2");
    assert_int_equal(spans.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(spans.items[i].begin, 4 * i + 1);
        assert_int_equal(spans.items[i].end, 4 * i + 4);
    }
    chat_template_free(t);
    chat_spans_free(&spans);
    buffer_clear(&out);
    t = parse("{% generation %}a{% generation %}b{% endgeneration %}{% endgeneration %}c");
    assert_ok(chat_template_render(t, &(struct chat_input){0}, &out, &spans, &e), e);
    assert_int_equal(spans.count, 1); /* the outer one */
    assert_int_equal(spans.items[0].end, 2);
    chat_template_free(t);
    chat_spans_free(&spans);
    buffer_free(&out);
    t = parse("x");
    assert_false(chat_template_has_generation(t));
    chat_template_free(t);
    render_refused(
        "{% generation %}a{% endgeneration %}{% set x %}{% generation %}b{% endgeneration %}"
        "{% endset %}",
        &(struct chat_input){0},
        "test: line 1, column 51: {% generation %} inside a macro, block set, filter or "
        "call block has no known place in the output");
}

static void input_reaches_the_template(void **state)
{
    (void)state;
    struct error e;
    json_t *variables;
    const char text[] = "{\"a\": 1, \"bos_token\": \"B\", \"messages\": [2]}";
    assert_ok(json_parse(text, sizeof text - 1, &variables, &e), e);
    const char *source = "{{ a }}{{ bos_token }}{{ eos_token is defined }}{{ messages }}{{ tools }}"
                         "{{ add_generation_prompt }}";
    render_text(source, &(struct chat_input){0}, "FalseNoneNoneFalse");
    render_text(source,
                &(struct chat_input){.variables = variables,
                                     .bos_token = "x",
                                     .eos_token = "y",
                                     .add_generation_prompt = true},
                "1BTrue[2]NoneTrue");
    json_decref(variables);
    render_refused("{{ bos_token }}", &(struct chat_input){.bos_token = "\xC3"},
                   "test: line 1, column 1: bos_token is not valid UTF-8");
    /* What a template changes is its own copy. */
    json_t *messages = json_pack("[{s:s}]", "role", "user");
    render_text(
        "{% set _ = messages.append(1) %}{% set _ = messages[0].pop('role') %}{{ messages }}",
        &(struct chat_input){.messages = messages}, "[{}, 1]");
    assert_int_equal(json_array_size(messages), 1);
    assert_int_equal(json_object_size(json_array_get(messages, 0)), 1);
    json_decref(messages);
    render_text("{{ strftime_now('%Y-%m-%d %H:%M') }}", &(struct chat_input){.now = 951868799},
                "2000-02-29 23:59");
}

/* The fuzzer's seeds, whole and cut short: rendered or refused, never harmed. */
static void corpus_replays(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    assert_ok(dir_list("tests/fuzz/corpus/chat_template", &list, &e), e);
    assert_true(list.count >= 20);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        size_t step = b.size / 32 + 1;
        for (size_t n = 0; n <= b.size; n += n + step > b.size && n < b.size ? b.size - n : step) {
            uint8_t *bytes = malloc(n ? n : 1); /* of just this size, for the sanitizers */
            memcpy(bytes, b.data ? b.data : "", n);
            LLVMFuzzerTestOneInput(bytes, n);
            free(bytes);
        }
        buffer_free(&b);
    }
    path_list_free(&list);
    json_decref(conversation());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features),
        cmocka_unit_test(conversations),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(work_is_bounded),
        cmocka_unit_test(limits_can_be_lowered),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(data_may_nest_to_the_limit_only),
        cmocka_unit_test(a_template_has_a_largest_size),
        cmocka_unit_test(spans_are_offsets_into_the_output),
        cmocka_unit_test(input_reaches_the_template),
        cmocka_unit_test(corpus_replays),
    };
    setenv("TZ", "UTC0", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
