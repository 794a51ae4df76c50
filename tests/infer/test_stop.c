/* Stop strings, however the text is cut into pieces. */
#include "infer/stop.h"

#include "tests/test.h"

#include <string.h>

static void check(const char *const *stops, size_t n_stops, const char *text, const char *want,
                  bool want_found)
{
    size_t n = strlen(text);
    for (size_t piece = 1; piece <= n; piece++) {
        struct stop_filter f = {.stops = stops, .n_stops = n_stops};
        struct buffer out = {0};
        bool found = false;
        for (size_t i = 0; i < n && !found; i += piece) {
            size_t size = n - i < piece ? n - i : piece;
            found = stop_filter_push(&f, text + i, size, &out);
            /* nothing is let through that later turns out to belong to a stop string */
            assert_true(out.size <= strlen(want) && memcmp(out.data, want, out.size) == 0);
        }
        if (!found)
            stop_filter_flush(&f, &out);
        assert_int_equal(found, want_found);
        buffer_append(&out, "", 0);
        assert_string_equal(out.data, want);
        buffer_free(&out);
        stop_filter_free(&f);
    }
}

#define CHECK_STOPS(text, want, found, ...)                                    \
    do {                                                                       \
        const char *const stops[] = {__VA_ARGS__};                             \
        check(stops, sizeof stops / sizeof *stops, text, want, found);         \
    } while (0)

static void cut_at_the_first(void **state)
{
    (void)state;
    CHECK_STOPS("one two END three", "one two ", true, "END");
    CHECK_STOPS("aaab", "a", true, "aab");
    CHECK_STOPS("abababac!", "abab", true, "abac");
    CHECK_STOPS("x\n\nQuestion: y", "x", true, "\n\nQ", "y");
    CHECK_STOPS("END", "", true, "END");
}

static void text_without_one_is_whole(void **state)
{
    (void)state;
    CHECK_STOPS("one two EN", "one two EN", false, "END");
    CHECK_STOPS("ababab", "ababab", false, "abac", "zzz");
    check(NULL, 0, "anything", "anything", false);
}

static void text_is_held_back_only_while_it_must(void **state)
{
    (void)state;
    const char *const stops[] = {"\nUser:"};
    struct stop_filter f = {.stops = stops, .n_stops = 1};
    struct buffer out = {0};
    assert_false(stop_filter_push(&f, "Hi\nU", 4, &out));
    assert_string_equal(out.data, "Hi");
    assert_false(stop_filter_push(&f, "ncle", 4, &out));
    assert_string_equal(out.data, "Hi\nUncle");
    assert_false(stop_filter_push(&f, "\n\nUse", 5, &out));
    assert_string_equal(out.data, "Hi\nUncle\n");
    assert_true(stop_filter_push(&f, "r: more", 7, &out));
    assert_string_equal(out.data, "Hi\nUncle\n");
    stop_filter_flush(&f, &out);
    assert_string_equal(out.data, "Hi\nUncle\n");
    buffer_free(&out);
    stop_filter_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_the_first),
        cmocka_unit_test(text_without_one_is_whole),
        cmocka_unit_test(text_is_held_back_only_while_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
