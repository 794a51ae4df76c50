/* Grammars: what they accept, what they refuse to be, and masks against each token tried by itself. */
#include "grammar/grammar.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <stdlib.h>
#include <string.h>

static struct grammar *parse(const char *text)
{
    struct grammar *g = NULL;
    struct error e;
    assert_ok(grammar_parse(text, strlen(text), &g, &e), e);
    return g;
}

/* Read whole, and again one byte at a time. */
static bool matches(const struct grammar *g, const char *text)
{
    struct grammar_state whole, bytes;
    struct error e;
    grammar_state_init(&whole, g), grammar_state_init(&bytes, g);
    bool good = grammar_accept(&whole, text, strlen(text), &e) == OK;
    for (const char *c = text; *c; c++)
        if (grammar_accept(&bytes, c, 1, &e) != OK) {
            assert_false(good);
            goto done;
        }
    assert_true(good);
    good = grammar_may_end(&whole);
    assert_int_equal(good, grammar_may_end(&bytes));
done:
    grammar_state_free(&whole), grammar_state_free(&bytes);
    return good;
}

static void what_is_accepted(void **state)
{
    (void)state;
    static const struct { const char *grammar, *yes[6], *no[8]; } cases[] = {
        {"root ::= \"ab\" | \"cd\"", {"ab", "cd"}, {"", "a", "abc", "ad", "abcd"}},
        {"root ::= [a-cx]+", {"a", "cab", "x"}, {"", "d", "a d", "abd"}},
        {"root ::= [^a-c\\n]*", {"", "xyz", "\xc3\xa9\xf0\x9f\x98\x80"}, {"a", "xb", "\n", "\xff", "\xc3"}},
        {"root ::= .{2}", {"ab", "\n\xe2\x82\xac"}, {"", "a", "abc", "\xe2\x82"}},
        {"root ::= [\xc3\xa0-\xc3\xbc\\u4e00-\\u9fff]?", {"", "\xc3\xa9", "\xe4\xb8\x80"}, {"e", "\xc3\xbd", "\xc3\x9f", "\xea\x80\x80", "\xc3"}},
        {"root ::= [\\U0001F600-\\U0001F64F]", {"\xf0\x9f\x98\x80"}, {"\xf0\x9f\x98", "\xf0\x9f\x99\x90", "\xf0\x9f\x97\xbf"}},
        {"root ::= \"a\"{2,4}", {"aa", "aaa", "aaaa"}, {"", "a", "aaaaa"}},
        {"root ::= (\"a\" \"b\"?){2,}", {"aa", "aba", "abab", "aaaab"}, {"", "a", "ab", "abb"}},
        {"root ::= \"a\"{3}", {"aaa"}, {"aa", "aaaa"}},
        {"root ::= \"a\"{0}", {""}, {"a"}},
        {"root ::= \"a\"{0,2} \"b\"", {"b", "ab", "aab"}, {"aaab", "a"}},
        {"root ::= ((\"a\"*)*)+", {"", "a", "aaaa"}, {"b"}},
        {"root ::= (x? y?){1,3}\nx ::= \"x\"\ny ::= \"y\"", {"", "x", "yx", "xyxyxy", "yyy"}, {"xyxyxyx", "yyyy"}},
        {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())", ")("}},
        {"root ::= s\ns ::= \"a\" s \"b\" s | ", {"", "ab", "aabb", "abaabb"}, {"a", "ba", "aab"}},
        {"root ::= \"a\" root | \"b\"", {"b", "aab"}, {"a", "", "ba"}},
        {"root ::= \"\\\"\\\\\\n\\t\\r\\x41\\[\\]\\-\\^\" # end", {"\"\\\n\t\rA[]-^"}, {"A"}},
        {"root ::= [\\]\\\\\\-a^]*", {"]", "\\-a^"}, {"b", "["}},
        {"root ::= [a-]*", {"-a-"}, {"b"}},
        {"# a comment\r\nroot ::=\n  \"a\" (\n \"b\" # here\n | \"c\"\n )\n  | \"d\" |\n \"e\"\n\n", {"ab", "ac", "d", "e"}, {"a", "bc", "abc"}},
        {"a-1_b ::= \"x\"\nroot ::= a-1_b a-1_b", {"xx"}, {"x"}},
        /* ambiguous: both readings stay open */
        {"root ::= a | b\na ::= [a-z]+ \"!\"\nb ::= [a-m]+ \"?\"", {"hi!", "hi?", "zz!"}, {"zz?", "hi"}},
        {"root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9] | \"(\" e \")\"", {"1", "1+2", "((1)+2)+(3)"}, {"1+", "(1", "1)", "+1"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = parse(cases[i].grammar);
        for (size_t k = 0; k < 6 && cases[i].yes[k]; k++)
            if (!matches(g, cases[i].yes[k]))
                fail_msg("%s\n  refuses \"%s\"", cases[i].grammar, cases[i].yes[k]);
        for (size_t k = 0; k < 8 && cases[i].no[k]; k++)
            if (matches(g, cases[i].no[k]))
                fail_msg("%s\n  accepts \"%s\"", cases[i].grammar, cases[i].no[k]);
        grammar_free(g);
    }
}

static void what_is_no_grammar(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } cases[] = {
        {"", "there is no rule root"},
        {"root2 ::= \"a\"", "there is no rule root"},
        {"root ::= a", "line 1, column 10: there is no rule a"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: the rule root is there already"},
        {"root ::= \"a", "line 1, column 10: \" has no closing \""},
        {"root ::= [a", "[ has no closing ]"},
        {"root ::= [b-a]", "column 11: the range ends before it begins"},
        {"root ::= []", "a class without characters"},
        {"root ::= [^\\x00-\\U0010FFFF]", "a class without characters"},
        {"root ::= (\"a\"", "( has no closing )"},
        {"root ::= \"a\")", ") without ("},
        {"root ::= *", "* has nothing to repeat"},
        {"root ::= \"a\"**", "an operator behind an operator"},
        {"root ::= \"a\"{2,1}", "{2,1}: the first must not be more"},
        {"root ::= \"a\"{x}", "a repetition is {m}, {m,} or {m,n}"},
        {"root ::= \"a\"{1", "{ has no closing }"},
        {"root ::= \"a\"{99999}", "a repetition of more than 65536"},
        {"root ::= (\"abcd\"{60000} \"x\"{60000}){60000} [ab]{65536} ([cd] | \"e\" \"f\"){65536}\n"
         "a ::= \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536}\n"
         "b ::= \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536} \"a\"{65536}\n",
         "the grammar grows beyond"},
        {"root ::= \"\\q\"", "column 11: unknown escape"},
        {"root ::= \"\\u12\"", "\\u needs 4 hexadecimal digits"},
        {"root ::= \"\\uD800\"", "U+D800 is not a character"},
        {"root ::= \"\\U00110000\"", "U+110000 is not a character"},
        {"root ::= \"\xff\"", "not UTF-8"},
        {"root = \"a\"", "expected ::="},
        {"= \"a\"", "expected a rule"},
        {"root ::= <think>", "are not supported"},
        {"root ::= \"a\" ; \"b\"", "unexpected character"},
        {"root ::= root \"a\" | \"b\"", "left recursion: a rule calls itself before it has read anything (root -> root)"},
        {"root ::= a\na ::= b?  c\nb ::= \"b\"\nc ::= (\"\" a) \"x\" | \"y\"", "(a -> c -> a)"},
        {"root ::= (root | \"b\")+ \"x\"", "(root -> root)"},
        {"root ::= \"a\" root", "root never ends"},
        {"root ::= \"a\" b\nb ::= \"x\" b | \"y\" root", "root never ends"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g;
        struct error e = {0};
        if (grammar_parse(cases[i].text, strlen(cases[i].text), &g, &e) != ERR_FORMAT ||
            !strstr(e.message, cases[i].error))
            fail_msg("%s\n  says \"%s\", not \"%s\"", cases[i].text, e.message, cases[i].error);
        assert_null(g);
    }
}

static void nest(struct buffer *b, int depth, const char *inner, const char *close)
{
    buffer_clear(b);
    buffer_string(b, "root ::= ");
    for (int i = 0; i < depth; i++)
        buffer_byte(b, '(');
    buffer_string(b, inner);
    for (int i = 0; i < depth; i++)
        buffer_string(b, close);
}

/* Nesting, empty repetitions of empty repetitions, and long chains take neither time nor stack. */
static void hostile_grammars_end_soon(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct error e;
    struct grammar *g;
    nest(&b, 10, "\"a\"?", "){2}");
    g = parse(b.data);
    assert_true(matches(g, "") && matches(g, "aaaaa") && !matches(g, "b"));
    grammar_free(g);
    nest(&b, 150, "\"a\"?", "){2}");
    assert_int_equal(grammar_parse(b.data, b.size, &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "too ambiguous"));
    nest(&b, 150, "\"a\"?", ")*");
    g = parse(b.data);
    assert_true(matches(g, "") && matches(g, "aaaaa") && !matches(g, "b"));
    grammar_free(g);
    nest(&b, 100000, "", ")");
    assert_int_equal(grammar_parse(b.data, b.size, &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "more than 200 parentheses"));
    buffer_clear(&b);
    buffer_string(&b, "root ::= r0\n");
    for (int i = 0; i < 20000; i++)
        buffer_printf(&b, "r%d ::= r%d \"b\" | r%d\n", i, i + 1, i + 1);
    buffer_string(&b, "r20000 ::= \"a\"\n");
    assert_int_equal(grammar_parse(b.data, b.size, &g, &e), ERR_FORMAT);
    buffer_free(&b);
}

static void deep_nesting_has_a_limit(void **state)
{
    (void)state;
    struct grammar *g = parse("root ::= \"(\" root \")\" | \"\"");
    struct grammar_state s;
    struct error e;
    grammar_state_init(&s, g);
    for (int i = 0; i < GRAMMAR_MOST_DEPTH; i++)
        assert_ok(grammar_accept(&s, "(", 1, &e), e);
    assert_int_equal(grammar_accept(&s, "(", 1, &e), ERR_FORMAT);
    for (int i = 0; i < GRAMMAR_MOST_DEPTH; i++)
        assert_ok(grammar_accept(&s, ")", 1, &e), e);
    assert_true(grammar_may_end(&s) && grammar_must_end(&s));
    grammar_state_free(&s);
    grammar_free(g);
}

static const char json[] =
    "root ::= object\n"
    "value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n"
    "array ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9]{1,3})? ws\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

/* A vocabulary with pieces that cross rules and parts of characters. */
static struct tokenizer *make_tokens(void)
{
    static const char text[] =
        "{\"the\": [1, 2.5e-3, \"caf\xc3\xa9 \xe2\x82\xac \xe2\x82\xad\"], \"that\": {\"a\": {}, \"b\": [[]]}}\n"
        "{\"the\": [[12, 12]], \"th\\n\\u00e9\": \"\xf0\x9f\x98\x80\xf0\x9f\x98\x81\", \"x\": true, \"y\": null}}\n"
        "((1+2)+(3+4))+((1))  aaaa aaaa aaab {\"the\": \"\", \"\": {\"x\": false, \"y\": true}}\n";
    const size_t offsets[] = {0, sizeof text - 1};
    const char *special[] = {"<pad>", "<end>"};
    struct tokenizer_settings s = {.splitter = SPLITTER_GPT2, .vocab_size = 380, .min_frequency = 1,
                                   .special_tokens = special, .n_special_tokens = 2, .threads = 1};
    struct tokenizer_trainer *trainer = NULL;
    struct tokenizer *t = NULL;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text, offsets, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

static bool has(const uint32_t *mask, size_t id)
{
    return mask[id / 32] >> id % 32 & 1;
}
/* Every token by itself, in a copy. Returns how many may come next. */
static size_t check_mask(const struct grammar_state *s, const struct token_trie *t, const struct tokenizer *tokenizer,
                         const uint32_t *mask, struct grammar_state *copy)
{
    size_t count = 0;
    struct buffer bytes = {0};
    struct error e;
    for (size_t i = 0; i < t->n_tokens; i++) {
        int32_t id = (int32_t)i;
        bool want = tokenizer_is_end(tokenizer, id) && grammar_may_end(s);
        if (!tokenizer_is_special(tokenizer, id) && !tokenizer_is_end(tokenizer, id)) {
            buffer_clear(&bytes);
            tokenizer_decode(tokenizer, &id, 1, false, &bytes);
            grammar_state_copy(copy, s);
            want = grammar_accept(copy, bytes.data, bytes.size, &e) == OK;
        }
        if (has(mask, i) != want)
            fail_msg("token %zu (\"%.*s\"): the mask says %d", i, (int)bytes.size, bytes.data, !want);
        count += want;
    }
    buffer_free(&bytes);
    return count;
}

/* Random texts: each token one of those the mask allows, the shorter ones of the grammar's endings liked best. */
static void random_texts(const char *grammar, const struct tokenizer *tokenizer, size_t n_texts, size_t length)
{
    struct grammar *g = parse(grammar);
    struct token_trie *t = token_trie_new(tokenizer, SIZE_MAX);
    uint32_t *mask = mem_alloc(token_trie_words(t), sizeof *mask);
    struct grammar_state s, copy;
    struct error e;
    struct rng r;
    rng_init(&r, 5, 0);
    grammar_state_init(&copy, g);
    for (size_t text = 0; text < n_texts; text++) {
        grammar_state_init(&s, g);
        for (size_t i = 0; i < length; i++) {
            assert_ok(grammar_mask(&s, t, mask, &e), e);
            size_t count = check_mask(&s, t, tokenizer, mask, &copy), pick = rng_below(&r, count), id = 0;
            assert_true(count > 0);
            while (!has(mask, id) || pick-- > 0)
                id++;
            if (tokenizer_is_end(tokenizer, (int32_t)id))
                break;
            assert_ok(grammar_accept_token(&s, t, (int32_t)id, &e), e);
        }
        grammar_state_free(&s);
    }
    grammar_state_free(&copy);
    mem_free(mask);
    token_trie_free(t);
    grammar_free(g);
}

static void masks_are_what_each_token_says(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokens();
    random_texts(json, t, 6, 60);
    random_texts("root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9] | \"(\" e \")\"", t, 10, 30);
    random_texts("root ::= s\ns ::= \"(\" s \")\" s | [a-c\xc3\xa9-\xc3\xaf\\u20AC\\U0001F600]", t, 10, 30);
    random_texts("root ::= .{0,20}", t, 6, 30);
    random_texts("root ::= ([a-z]+ \" \"? | \"the\" \"at\"? | [^a-z]{2})*", t, 4, 30);
    tokenizer_free(t);
}

static void special_tokens_and_the_end(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = make_tokens();
    struct token_trie *t = token_trie_new(tokenizer, SIZE_MAX);
    struct grammar *g = parse("root ::= \"<pad>\"? \"{\"?");
    struct grammar_state s;
    struct error e;
    uint32_t mask[12];
    int32_t pad = tokenizer_find(tokenizer, "<pad>", 5), end = tokenizer_eos(tokenizer);
    assert_true(token_trie_words(t) <= 12);
    assert_true(pad != TOKEN_NONE && end != TOKEN_NONE);
    grammar_state_init(&s, g);
    assert_ok(grammar_mask(&s, t, mask, &e), e);
    assert_true(has(mask, (size_t)end));
    assert_true(pad == end || !has(mask, (size_t)pad));
    assert_true(grammar_may_end(&s) && !grammar_must_end(&s));
    assert_ok(grammar_accept(&s, "{", 1, &e), e);
    assert_true(grammar_must_end(&s));
    assert_ok(grammar_mask(&s, t, mask, &e), e);
    for (size_t i = 0; i < t->n_tokens; i++)
        assert_int_equal(has(mask, i), tokenizer_is_end(tokenizer, (int32_t)i));
    grammar_state_free(&s);
    token_trie_free(t);
    t = token_trie_new(tokenizer, 260); /* fewer, as a model may have */
    assert_int_equal(t->n_tokens, 260);
    token_trie_free(t);
    grammar_free(g);
    tokenizer_free(tokenizer);
}

static void a_dead_end_is_reported(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = make_tokens();
    struct token_trie *t = token_trie_new(tokenizer, 40); /* without most bytes */
    struct grammar *g = parse("root ::= \"\\U0001F600\"");
    struct grammar_state s;
    struct error e;
    uint32_t mask[2];
    grammar_state_init(&s, g);
    assert_int_equal(grammar_mask(&s, t, mask, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "no token of the vocabulary"));
    grammar_state_free(&s);
    grammar_free(g);
    token_trie_free(t);
    tokenizer_free(tokenizer);
}

static void refused_bytes_change_nothing(void **state)
{
    (void)state;
    struct grammar *g = parse(json);
    struct grammar_state s, saved;
    struct error e;
    grammar_state_init(&s, g), grammar_state_init(&saved, g);
    assert_ok(grammar_accept(&s, "{\"a\": [1, {\"b\": \"\xc3", 18, &e), e);
    assert_int_equal(grammar_accept(&s, "\xa9\" , }", 6, &e), ERR_FORMAT);
    grammar_state_copy(&saved, &s);
    assert_ok(grammar_accept(&s, "\xa9\"}]}", 5, &e), e);
    assert_true(grammar_may_end(&s));
    grammar_state_copy(&s, &saved); /* back */
    assert_false(grammar_may_end(&s));
    assert_int_equal(grammar_accept(&s, "}", 1, &e), ERR_FORMAT);
    assert_ok(grammar_accept(&s, "\xa9\"}]} ", 6, &e), e);
    grammar_state_free(&s), grammar_state_free(&saved);
    grammar_free(g);
}

/* The fuzzer's: good-* must be accepted, bad-* refused with one line. */
static void seeds(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/grammar", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        struct grammar *g = NULL;
        assert_ok(file_read(list.paths[i], &b, 1 << 20, &e), e);
        e = (struct error){0};
        const char *text = b.data, *line = memchr(text, '\n', b.size);
        size_t skip = line ? (size_t)(line - text) + 1 : 0; /* the fuzzer's text */
        int code = grammar_parse(text + skip, b.size - skip, &g, &e);
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
        cmocka_unit_test(what_is_accepted),
        cmocka_unit_test(what_is_no_grammar),
        cmocka_unit_test(hostile_grammars_end_soon),
        cmocka_unit_test(deep_nesting_has_a_limit),
        cmocka_unit_test(masks_are_what_each_token_says),
        cmocka_unit_test(special_tokens_and_the_end),
        cmocka_unit_test(a_dead_end_is_reported),
        cmocka_unit_test(refused_bytes_change_nothing),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
