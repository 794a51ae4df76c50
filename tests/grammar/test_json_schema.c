/* Schemas: what their grammars accept and refuse, what is refused as a schema, and random texts. tests/interop holds
 * such texts against a validator of others. */
#include "grammar/json_schema.h"

#include "base/file.h"
#include "base/memory.h"
#include "tests/grammar/random_text.h"
#include "tests/test.h"

#include <stdlib.h>

static struct grammar *convert(const char *schema)
{
    struct buffer b = {0};
    struct grammar *g = NULL;
    struct error e;
    assert_ok(json_schema_parse(schema, strlen(schema), &b, &e), e);
    if (grammar_parse(b.data, b.size, &g, &e))
        fail_msg("%s\n%s\n%s", schema, b.data, e.message);
    buffer_free(&b);
    return g;
}

static bool matches(const struct grammar *g, const char *text)
{
    struct grammar_state s;
    struct error e;
    grammar_state_init(&s, g);
    bool good = grammar_accept(&s, text, strlen(text), &e) == OK && grammar_may_end(&s);
    grammar_state_free(&s);
    return good;
}

struct example {
    const char *schema, *yes[8], *no[10];
};

static void check(const struct example *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct grammar *g = convert(cases[i].schema);
        for (size_t k = 0; k < 8 && cases[i].yes[k]; k++)
            if (!matches(g, cases[i].yes[k]))
                fail_msg("%s\n  refuses %s", cases[i].schema, cases[i].yes[k]);
        for (size_t k = 0; k < 10 && cases[i].no[k]; k++)
            if (matches(g, cases[i].no[k]))
                fail_msg("%s\n  accepts %s", cases[i].schema, cases[i].no[k]);
        grammar_free(g);
    }
}

static void values(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"true", {"1", "\"a\"", "null", "[]", "{\"a\": [1, {}]}", "-0.5e10", "[ 1,\n  2 ]", "true"},
         {"", "nul", "[1,]", "{\"a\"}", "01", "1.", " 1", "[1    ,2]", "\"\n\"", "\"\\x\""}},
        {"{}", {"\"\\ud83d\\ude00\\u00e9\\n\""}, {"\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83dx\""}},
        {"{\"type\": \"object\"}", {"{}", "{ }", "{\"a\":1,\"b\":[]}"}, {"[]", "1", "{\"a\":1,}"}},
        {"{\"type\": \"boolean\"}", {"true", "false"}, {"null", "True"}},
        {"{\"type\": \"null\"}", {"null"}, {"0"}},
        {"{\"type\": [\"null\", \"integer\"]}", {"null", "12", "-3", "0"}, {"1.5", "1e3", "007", "\"\""}},
        {"{\"enum\": [1, \"a\\\"b\", null, [1, {\"b\": 0.1}]]}", {"1", "\"a\\\"b\"", "null", "[1,{\"b\":0.1}]"}, {"2", "[1, {\"b\":0.1}]"}},
        {"{\"const\": \"\\u00e9\\n\\\\\"}", {"\"\xc3\xa9\\n\\\\\""}, {"\"e\""}},
        {"{\"type\": \"string\", \"enum\": [1, \"x\"]}", {"\"x\""}, {"1"}},
        {"{\"type\": \"number\"}", {"1", "-1.25", "0.5e-3", "1E+2"}, {".5", "1e", "+1", "1e100", "--1"}},
        {"{\"type\": \"number\", \"minimum\": 0}", {"1", "0", "0.5e-3"}, {"-1", "-0"}},
        {"{\"type\": [\"integer\", \"number\"]}", {"1.5"}, {"x"}},
        {"{\"minLength\": 1}", {"\"a\""}, {"\"\"", "1"}},
    };
    check(cases, sizeof cases / sizeof *cases);
}

static void strings(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"{\"type\": \"string\"}", {"\"\"", "\"a \\\" \\\\ \\/ \\u1234 \xe2\x82\xac\""}, {"\"", "a", "\"\\\"", "\"\t\""}},
        {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}",
         {"\"ab\"", "\"\xe2\x82\xac\xf0\x9f\x98\x80z\"", "\"\\n\\ud83d\\ude00\""}, {"\"a\"", "\"abcd\"", "\"\\n\""}},
        {"{\"type\": \"string\", \"pattern\": \"^a[0-9]{2,}b?$\"}", {"\"a12\"", "\"a123b\""}, {"\"a1\"", "\"xa12\"", "\"a12bb\""}},
        {"{\"type\": \"string\", \"pattern\": \"b+\"}", {"\"b\"", "\"abba\"", "\"\\nb\""}, {"\"\"", "\"aca\""}},
        {"{\"type\": \"string\", \"pattern\": \"^(?:a|b(c)*)+?$\"}", {"\"a\"", "\"bccab\""}, {"\"\"", "\"ac\""}},
        {"{\"type\": \"string\", \"pattern\": \"^\\\\d\\\\.\\\\\\\\\\\"\\\\u00e9$\"}", {"\"1.\\\\\\\"\xc3\xa9\""}, {"\"1x\\\\\\\"\xc3\xa9\""}},
        {"{\"type\": \"string\", \"pattern\": \"^[^a\\\\]-]-[\\\\]\\\\-]$\"}", {"\"b--\"", "\"\\\"-]\"", "\"\\\\-]\"", "\"\\n--\""}, {"\"a--\"", "\"]--\""}},
        {"{\"type\": \"string\", \"pattern\": \"^.$\"}", {"\"x\"", "\"\\\"\"", "\"\\t\""}, {"\"\\n\"", "\"\"", "\"xy\""}},
        {"{\"type\": \"string\", \"pattern\": \"^\\\\s\\\\S\\\\D\\\\W$\"}", {"\" aa-\"", "\"\\t1.,\""}, {"\"aaaa\"", "\"  a-\"", "\" a1-\"", "\" aaa\""}},
        {"{\"type\": \"string\", \"pattern\": \"^a|b$\"}", {"\"ax\"", "\"xb\"", "\"a\""}, {"\"xax\"", "\"bx\""}},
        {"{\"type\": \"string\", \"format\": \"date\"}", {"\"2024-02-29\"", "\"2000-02-29\"", "\"1999-12-31\"", "\"2023-04-30\""},
         {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\"", "\"2023-00-10\"", "\"2023-01-00\""}},
        {"{\"type\": \"string\", \"format\": \"time\"}", {"\"23:59:59Z\"", "\"00:00:00.125+01:30\""}, {"\"24:00:00Z\"", "\"12:00:00\"", "\"1:00:00Z\""}},
        {"{\"type\": \"string\", \"format\": \"date-time\"}", {"\"2024-02-29T12:00:00Z\""}, {"\"2024-02-29 12:00:00Z\"", "\"2024-02-29\""}},
        {"{\"type\": \"string\", \"format\": \"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567-e89b-12d3-a456-42661417400\"", "\"\""}},
    };
    check(cases, sizeof cases / sizeof *cases);
}

static void arrays_and_objects(void **state)
{
    (void)state;
    static const struct example cases[] = {
        {"{\"type\": \"array\", \"items\": {\"type\": \"boolean\"}, \"minItems\": 1, \"maxItems\": 2}", {"[true]", "[ true, false ]"}, {"[]", "[true,true,true]", "[1]"}},
        {"{\"type\": \"array\", \"maxItems\": 0}", {"[]"}, {"[1]"}},
        {"{\"type\": \"array\", \"minItems\": 2}", {"[1, \"a\"]", "[1,2,{}]"}, {"[1]", "[]"}},
        {"{\"prefixItems\": [{\"type\": \"null\"}, {\"type\": \"boolean\"}], \"minItems\": 1}", {"[null]", "[null,true]"}, {"[]", "[true]", "[null,true,1]"}},
        {"{\"prefixItems\": [{\"type\": \"null\"}], \"items\": {\"type\": \"integer\"}, \"maxItems\": 3}", {"[]", "[null]", "[null, 1]", "[null,1,2]"}, {"[1]", "[null,1,2,3]", "[null,null]"}},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}, \"b\": {\"type\": \"null\"}, \"c\": {\"type\": \"null\"}}, \"required\": [\"b\"]}",
         {"{\"b\":null}", "{\"a\":null,\"b\":null}", "{\"b\": null, \"c\": null}", "{ \"a\" : null , \"b\" : null , \"c\" : null }"},
         {"{}", "{\"a\":null}", "{\"c\":null}", "{\"b\":null,\"a\":null}", "{\"b\":null,\"d\":null}", "{\"b\":null,}"}},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}, \"b\": {\"type\": \"null\"}}}",
         {"{}", "{\"a\":null}", "{\"b\":null}", "{\"a\":null,\"b\":null}"}, {"{,}", "{\"c\":1}"}},
        {"{\"type\": \"object\", \"properties\": {}, \"additionalProperties\": false}", {"{}", "{ }"}, {"{\"a\":1}"}},
        {"{\"type\": \"object\", \"properties\": {\"ab\": {\"type\": \"null\"}}, \"additionalProperties\": {\"type\": \"integer\"}}",
         {"{}", "{\"ab\":null}", "{\"a\":1}", "{\"abc\":1,\"\":2}", "{\"ab\":null,\"b\":1}"}, {"{\"ab\":1}", "{\"a\":1,\"ab\":1}", "{\"a\":null}"}},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"required\": [\"z\"]}", {"{\"a\":null,\"z\":[1]}", "{\"z\":0}"}, {"{\"a\":null}", "{}"}},
        {"{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}]}", {"null", "[]", "[null, [null]]"}, {"1", "[1]"}},
        {"{\"allOf\": [{\"type\": [\"integer\", \"string\"]}, {\"type\": \"number\"}, {\"minimum\": 3}, {\"minimum\": 5, \"maximum\": 12}]}",
         {"5", "12", "9"}, {"4", "13", "5.5", "\"\""}},
        {"{\"allOf\": [{\"enum\": [1, 2, 3]}, {\"enum\": [2, 3, 4]}, {\"const\": 3}]}", {"3"}, {"2", "1"}},
        {"{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"$ref\": \"#/$defs/b/anyOf/1\"}, \"b\": {\"anyOf\": [true, {\"const\": 7}]}}}", {"7"}, {"8"}},
    };
    check(cases, sizeof cases / sizeof *cases);
}

/* Every integer about some bounds. */
static void integer_bounds(void **state)
{
    (void)state;
    static const int bounds[][2] = {{0, 0}, {0, 9}, {0, 10}, {3, 7}, {7, 13}, {1, 100}, {99, 101}, {123, 4567}, {-1, 1},
                                    {-20, -3}, {-105, 1000}, {-9, 0}, {200, 299}, {250, 1250}, {-1111, -999}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"type\": \"integer\", \"minimum\": %d, \"maximum\": %d.5}", bounds[i][0], bounds[i][1]);
        if (bounds[i][1] < 0)
            snprintf(text, sizeof text, "{\"type\": \"integer\", \"exclusiveMinimum\": %d, \"maximum\": %d}", bounds[i][0] - 1, bounds[i][1]);
        struct grammar *g = convert(text);
        for (int n = -5500; n <= 5500; n++) {
            char number[16];
            snprintf(number, sizeof number, "%d", n);
            if (matches(g, number) != (n >= bounds[i][0] && n <= bounds[i][1]))
                fail_msg("%s: %d", text, n);
        }
        assert_false(matches(g, "00") || matches(g, "-0") || matches(g, "") || matches(g, "1.0"));
        grammar_free(g);
    }
    struct grammar *g = convert("{\"type\": \"integer\", \"minimum\": 42}");
    assert_true(matches(g, "42") && matches(g, "9999999999999999") && !matches(g, "41") && !matches(g, "10000000000000000"));
    grammar_free(g);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct { const char *schema, *error; } cases[] = {
        {"[", "JSON schema"},
        {"1", "#: a schema is an object, true or false"},
        {"false", "#: the schema false allows nothing"},
        {"{\"type\": \"text\"}", "type: expected null, boolean"},
        {"{\"type\": []}", "type: an empty list"},
        {"{\"properties\": {\"a\": {\"not\": {}}}}", "#/properties/a: the keyword \"not\" is not supported"},
        {"{\"type\": \"string\", \"not\": {}}", "#: the keyword \"not\""},
        {"{\"enum\": [1], \"not\": {}}", "the keyword \"not\" is not supported"},
        {"{\"anyOf\": [{}], \"if\": {}}", "the keyword \"if\""},
        {"{\"type\": \"array\", \"items\": {\"multipleOf\": 3}}", "#/items: the keyword \"multipleOf\""},
        {"{\"type\": \"array\", \"uniqueItems\": true}", "uniqueItems"},
        {"{\"type\": \"object\", \"patternProperties\": {}}", "patternProperties"},
        {"{\"type\": \"string\", \"format\": \"email\"}", "format: only date, time, date-time and uuid"},
        {"{\"type\": \"string\", \"format\": \"date\", \"maxLength\": 3}", "only one of pattern, format and lengths"},
        {"{\"type\": \"string\", \"minLength\": 3, \"maxLength\": 2}", "minLength is more than maxLength"},
        {"{\"type\": \"string\", \"pattern\": \"^a\\u0000b$\"}", "pattern: a NUL is written"},
        {"{\"type\": \"string\", \"minLength\": -1}", "minLength: expected a count"},
        {"{\"type\": \"string\", \"maxLength\": 1e9}", "maxLength is more than 65536"},
        {"{\"type\": \"number\", \"maximum\": 2}", "bounds of numbers that are no integers"},
        {"{\"type\": \"integer\", \"minimum\": 3, \"maximum\": 2}", "no integer is within the bounds"},
        {"{\"type\": \"integer\", \"minimum\": 1e300}", "beyond 2^53"},
        {"{\"minimum\": \"1\"}", "expected a number"},
        {"{\"enum\": []}", "none of the values"},
        {"{\"enum\": [1], \"type\": \"string\"}", "none of the values"},
        {"{\"enum\": [1], \"minimum\": 0}", "the keyword \"minimum\" is not supported beside enum"},
        {"{\"$ref\": \"other.json\"}", "only places in the same document"},
        {"{\"$ref\": \"#/$defs/x\"}", "there is nothing there"},
        {"{\"required\": [\"a\"], \"additionalProperties\": false}", "required: \"a\" is not among the properties"},
        {"{\"anyOf\": []}", "anyOf: expected a list of schemas"},
        {"{\"allOf\": [{\"type\": \"string\"}, {\"type\": \"null\"}]}", "#/allOf/1: no value has both of these types"},
        {"{\"allOf\": [{\"pattern\": \"a\"}, {\"pattern\": \"b\"}]}", "pattern: two schemas must hold"},
        {"{\"allOf\": [{\"additionalProperties\": false}, {\"properties\": {\"a\": {}}}]}", "additionalProperties concerns the property \"a\""},
        {"{\"allOf\": [{\"$ref\": \"#\"}]}", "JSON schema"},
        {"{\"minItems\": 2, \"items\": false}", "minItems"},
        {"{\"type\": \"string\", \"pattern\": \"(?=a)\"}", "look around"},
        {"{\"type\": \"string\", \"pattern\": \"a\\\\b\"}", "this escape is not supported"},
        {"{\"type\": \"string\", \"pattern\": \"(a\"}", "( has no closing )"},
        {"{\"type\": \"string\", \"pattern\": \"a)\"}", ") without ("},
        {"{\"type\": \"string\", \"pattern\": \"a**\"}", "nothing to repeat"},
        {"{\"type\": \"string\", \"pattern\": \"(^a)\"}", "^ and $ are supported at the ends"},
        {"{\"type\": \"string\", \"pattern\": \"[b-a]\"}", "no range of characters"},
        {"{\"type\": \"string\", \"pattern\": \"a{,3}\"}", "a quantifier is {m}"},
        {"{\"type\": \"string\", \"pattern\": \"a{3,1}\"}", "a quantifier is {m}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = {0};
        struct error e = {0};
        struct grammar *g = NULL;
        int code = json_schema_parse(cases[i].schema, strlen(cases[i].schema), &b, &e);
        assert_true(code == OK || b.size == 0);
        if (!code)
            code = grammar_parse(b.data, b.size, &g, &e);
        if (code != ERR_FORMAT || !strstr(e.message, cases[i].error))
            fail_msg("%s\n  code %d, says \"%s\", not \"%s\"", cases[i].schema, code, e.message, cases[i].error);
        buffer_free(&b);
    }
    /* a schema without an end, and one that calls itself: the grammar says so */
    struct buffer b = {0};
    struct error e;
    struct grammar *g;
    static const char *const loops[] = {
        "{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}",
        "{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"$ref\": \"#/$defs/a\"}}}"};
    for (int i = 0; i < 2; i++) {
        buffer_clear(&b);
        assert_ok(json_schema_parse(loops[i], strlen(loops[i]), &b, &e), e);
        assert_int_equal(grammar_parse(b.data, b.size, &g, &e), ERR_FORMAT);
    }
    buffer_free(&b);
}

static void random_texts_are_json(void **state)
{
    (void)state;
    json_t *schemas;
    struct error e;
    struct tokenizer *t;
    struct rng r;
    struct buffer text = {0};
    assert_ok(json_read("tests/fixtures/json_schemas.json", &schemas, &e), e);
    assert_ok(tokenizer_new_bytes(NULL, 0, &t, &e), e);
    struct token_trie *bytes = token_trie_new(t, SIZE_MAX);
    rng_init(&r, 3, 0);
    assert_true(json_array_size(schemas) > 30);
    for (size_t i = 0; i < json_array_size(schemas); i++) {
        char *schema = json_dumps(json_array_get(schemas, i), JSON_ENCODE_ANY);
        struct grammar *g = convert(schema);
        for (int k = 0; k < 10; k++) {
            if (!random_text(g, bytes, &r, &text, &e))
                fail_msg("%s\n  has no end: %.300s", schema, text.data);
            json_t *value = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            if (!value)
                fail_msg("%s\n  allows %s", schema, text.data);
            json_decref(value);
        }
        grammar_free(g);
        free(schema);
    }
    buffer_free(&text);
    token_trie_free(bytes);
    tokenizer_free(t);
    json_decref(schemas);
}

static void put_list(struct buffer *out, const char *before, const char *item, size_t n, const char *behind)
{
    buffer_string(out, before);
    for (size_t i = 0; i < n; i++)
        buffer_printf(out, item, i), buffer_string(out, i + 1 < n ? "," : behind);
}

static void refused_as_too_large(struct buffer *schema)
{
    struct buffer gbnf = {0};
    struct error e = {0};
    assert_int_equal(json_schema_parse(schema->data, schema->size, &gbnf, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "the schema grows too large here"));
    buffer_free(&gbnf);
    buffer_free(schema);
}

/* Schemas of a few megabytes, each of which asks for some ten billion comparisons or copies: without a limit on those,
 * this test takes minutes. */
static void work_is_limited(void **state)
{
    (void)state;
    struct buffer s = {0};
    put_list(&s, "{\"allOf\":[{\"enum\":[", "%zu", 150000, "]},");
    put_list(&s, "{\"enum\":[", "-1%zu", 150000, "]}]}");
    refused_as_too_large(&s);
    put_list(&s, "{\"properties\":{", "\"%zx\":{}", 120000, "},");
    put_list(&s, "\"allOf\":[", "{\"properties\":{}}", 90000, "]}");
    refused_as_too_large(&s);
}

static void long_patterns(void **state)
{
    (void)state;
    struct buffer s = {0};
    put_list(&s, "{\"type\":\"string\",\"pattern\":\"^[", "a", 1500000, "]$\"}");
    struct grammar *g = convert(s.data);
    assert_true(matches(g, "\"a\"") && matches(g, "\",\"") && !matches(g, "\"b\""));
    grammar_free(g);
    buffer_free(&s);
}

/* The fuzzer's: good-* must be accepted, bad-* refused with one line. */
static void seeds(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/json_schema", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct grammar *g = NULL;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        e = (struct error){0};
        struct buffer gbnf = {0};
        int code = json_schema_parse(b.data, b.size, &gbnf, &e);
        if (!code)
            code = grammar_parse(gbnf.data, gbnf.size, &g, &e);
        buffer_free(&gbnf);
        bool accept = strncmp(path_basename(list.paths[i]), "good-", 5) == 0;
        if (accept ? code != OK : code != ERR_FORMAT || !e.message[0] || strchr(e.message, '\n'))
            fail_msg("%s: code %d, message \"%s\"", list.paths[i], code, e.message);
        accept ? good++ : bad++;
        grammar_free(g);
        buffer_free(&b);
    }
    path_list_free(&list);
    assert_true(good >= 20 && bad >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(strings),
        cmocka_unit_test(arrays_and_objects),
        cmocka_unit_test(integer_bounds),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(random_texts_are_json),
        cmocka_unit_test(work_is_limited),
        cmocka_unit_test(long_patterns),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
