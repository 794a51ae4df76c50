/* What the steps of a tokenizer.json are made of: patterns, normalisation rules, base64, lattices. */
#include "base/rng.h"
#include "tests/test.h"
#include "tokenizer/base64.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/regex.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

#include <stdio.h>
#include <string.h>

/* The matches of a pattern in a text, each in brackets. */
static const char *matches(const char *pattern, const char *text, size_t n)
{
    static char found[4096];
    struct regex *r;
    struct error e;
    struct regex_scratch *s = regex_scratch_new();
    size_t at = 0, used = 0;
    assert_ok(regex_compile(pattern, strlen(pattern), false, &r, &e), e);
    struct regex_matches m = {.regex = r, .scratch = s, .text = text, .n = n};
    while (regex_next(&m)) {
        assert_true(m.start >= at && m.end >= m.start && m.end <= n && used + m.end - at < 4000);
        memcpy(found + used, text + at, m.start - at);
        used += m.start - at;
        found[used++] = '[';
        memcpy(found + used, text + m.start, m.end - m.start);
        used += m.end - m.start;
        found[used++] = ']';
        at = m.end;
    }
    memcpy(found + used, text + at, n - at);
    found[used + n - at] = 0;
    regex_free(r);
    regex_scratch_free(s);
    return found;
}

static void finds(const char *pattern, const char *text, const char *expected)
{
    assert_string_equal(matches(pattern, text, strlen(text)), expected);
}

/* Results are Oniguruma's. */
static void patterns_mean_what_oniguruma_makes_of_them(void **state)
{
    (void)state;
    finds("\\p{N}{1,3}+", "12345 6", "[12345] [6]"); /* repeated, not possessive */
    finds("(?:ab){1,2}+x", "abababx", "[abababx]");
    finds("[a-c]{2}+", "abcab", "[abca]b");
    finds("^a|b$", "a\na b\nb", "[a]\n[a] [b]\n[b]"); /* at every line */
    finds("a.", "a\nab", "a\n[ab]");
    finds("\\h+", "xFFg", "x[FF]g");
    finds("(?=[A-Z])", "aBcD", "a[]Bc[]D");
    finds("x*", "axxb", "[]a[xx]b[]");
    finds("\\s", "a\xE1\xA0\x8E\xC2\x85 b", "a\xE1\xA0\x8E[\xC2\x85][ ]b"); /* U+180E is none */
    finds("[^\\s\\p{L}]+", "a1\xE2\x80\x83-b", "a[1]\xE2\x80\x83[-]b");
    finds("\\p{L}+", "\xE1\xB2\x89 \xF0\x9E\x97\x90", "[\xE1\xB2\x89] [\xF0\x9E\x97\x90]");
    finds("\\p{Han}", "\xE3\x80\x81\xE4\xB8\xAD", "\xE3\x80\x81[\xE4\xB8\xAD]");
    finds("(?i:'s)", "'S '\xC5\xBF", "['S] ['\xC5\xBF]");
}

/* The pattern that is done by hand against the same, written so that it is not recognised. */
static void trailing_blanks_are_found_by_hand_as_by_pattern(void **state)
{
    (void)state;
    static const char *const parts[] = {" ", "\n", "\r\n", "x", "\t", "\xC2\xA0", "\xE3\x80\x80",
                                        "\xE2\x80\x83", "\xC3\xA9", "\xC2\x85"};
    struct rng r;
    rng_init(&r, 11, 1);
    for (int round = 0; round < 2000; round++) {
        char text[128], by_hand[4096];
        size_t n = 0;
        for (size_t k = rng_below(&r, 20); k-- > 0;) {
            const char *part = parts[rng_below(&r, sizeof parts / sizeof *parts)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        snprintf(by_hand, sizeof by_hand, "%s", matches("\\s+$", text, n));
        assert_string_equal(by_hand, matches("\\s+(?:$)", text, n));
    }
}

static void patterns_are_refused_with_a_place(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a(b", "missing closing parenthesis, offset 3"},
        {"[a[b]]", "offset 2"},
        {"[a&&b]", "offset 2"},
        {"(?m:.)", "the option m is not supported"},
        {"a**+(?", "offset"},
        {"\\C", "offset"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct regex *r;
        struct error e;
        assert_int_equal(regex_compile(bad[i][0], strlen(bad[i][0]), false, &r, &e), ERR_FORMAT);
        assert_null(r);
        if (!strstr(e.message, bad[i][1]))
            fail_msg("%s: \"%s\"", bad[i][0], e.message);
    }
}

/* Rules: e becomes x, e with an acute becomes yy. The double array by hand: the root's offset is 0x80. */
static void rules_replace_the_longest_or_as_hugging_face(void **state)
{
    (void)state;
    uint32_t units[1024] = {[0] = 0x80 << 10};
    size_t e = 0x80 ^ 'e', cc = 0x100 ^ 0xCC, acute = 0x200 ^ 0x81;
    units[e] = (uint32_t)(e ^ 0x100) << 10 | 1 << 8 | 'e'; /* its value is at 0x100, its children around */
    units[0x100] = 1u << 31 | 0;
    units[cc] = (uint32_t)(cc ^ 0x200) << 10 | 0xCC;
    units[acute] = (uint32_t)(acute ^ 0x300) << 10 | 1 << 8 | 0x81;
    units[0x300] = 1u << 31 | 2;
    struct buffer all = {0}, out = {0};
    uint32_t size = sizeof units;
    buffer_append(&all, &size, 4);
    buffer_append(&all, units, sizeof units);
    buffer_append(&all, "x\0yy", 5);
    struct charsmap *map;
    struct error error;
    size_t used = 0;
    assert_ok(charsmap_parse(all.data, all.size, &map, &error), error);
    assert_string_equal(charsmap_find(map, "e\xCC\x81z", 4, false, &used), "yy");
    assert_int_equal(used, 3);
    assert_string_equal(charsmap_find(map, "e\xCC\x81z", 4, true, &used), "x");
    assert_int_equal(used, 1);
    assert_null(charsmap_find(map, "z", 1, false, &used));
    charsmap_apply(map, "e\xCC\x81ze\xFF", 6, &out); /* the cluster whole, by its shortest rule */
    assert_string_equal(out.data, "xzx\xFF");
    charsmap_free(map);
    assert_int_equal(charsmap_parse(all.data, 100, &map, &error), ERR_FORMAT);
    buffer_free(&all);
    buffer_free(&out);
}

static void base64_comes_back(void **state)
{
    (void)state;
    static const char bytes[] = "\0\xFF\x10 any bytes";
    for (size_t n = 0; n < sizeof bytes; n++) {
        struct buffer text = {0}, back = {0};
        buffer_append(&text, "", 0);
        base64_encode(bytes, n, &text);
        assert_true(base64_decode(text.data, text.size, &back));
        assert_int_equal(back.size, n);
        if (n)
            assert_memory_equal(back.data, bytes, n);
        buffer_free(&text);
        buffer_free(&back);
    }
    struct buffer out = {0};
    assert_false(base64_decode("abc", 3, &out) || base64_decode("a?==", 4, &out));
    buffer_free(&out);
}

/* What is unknown costs ten more than the worst piece: "abc" "d" "e" (-27) beats a, ?, "cde" (-30). Of
 * unknown characters in a row comes one. */
static void a_lattice_weighs_the_unknown(void **state)
{
    (void)state;
    static const char json[] =
        "{\"added_tokens\": [], \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], "
        "[\"a\", 0], [\"abc\", -1], [\"d\", -20], [\"e\", -6], [\"cde\", 0]]}}";
    static const int32_t expected[] = {2, 3, 4, 0, 1};
    struct tokenizer *t;
    struct error e;
    struct tokens ids = {0};
    assert_ok(tokenizer_parse_json(json, sizeof json - 1, &t, &e), e);
    tokenizer_encode(t, "abcdeqqa", 8, true, &ids);
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    tokens_free(&ids);
    tokenizer_free(t);
}

static void forms_are_unicodes(void **state)
{
    (void)state;
    static const struct {
        enum normal_form form;
        const char *text, *expected;
    } cases[] = {
        {FORM_NFC, "e\xCC\x81\xFFq\xCC\x87\xCC\xA3", "\xC3\xA9\xFFq\xCC\xA3\xCC\x87"},
        {FORM_NFD, "\xC3\xA9\xEA\xB0\x81", "e\xCC\x81\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8"},
        {FORM_NFKC, "\xEF\xAC\x81\xC2\xBD\xEF\xBC\xA1", "fi1\xE2\x81\x84" "2A"},
        {FORM_NFKD, "\xE1\xBA\x9B\xCC\xA3", "s\xCC\xA3\xCC\x87"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = {0};
        unicode_normalize(cases[i].text, strlen(cases[i].text), cases[i].form, &out);
        assert_string_equal(out.data, cases[i].expected);
        buffer_free(&out);
    }
    struct buffer out = {0};
    unicode_lower("A\xC4\xB0\xCE\xA3\xFF\xE1\xB2\x89", 9, &out);
    assert_string_equal(out.data, "ai\xCC\x87\xCF\x83\xFF\xE1\xB2\x8A");
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_oniguruma_makes_of_them),
        cmocka_unit_test(trailing_blanks_are_found_by_hand_as_by_pattern),
        cmocka_unit_test(patterns_are_refused_with_a_place),
        cmocka_unit_test(rules_replace_the_longest_or_as_hugging_face),
        cmocka_unit_test(base64_comes_back),
        cmocka_unit_test(a_lattice_weighs_the_unknown),
        cmocka_unit_test(forms_are_unicodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
