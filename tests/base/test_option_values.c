/* base/options.h without a configuration around it: single values, and names that are near. */
#include "base/options.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static bool accepts(const struct option *row, const char *text)
{
    struct error e;
    return option_parse_value(row, text, false, false, NULL, &e) == OK;
}

static void numbers_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        size_t value;
    } sizes[] = {
        {"0", true, 0},
        {"1_000_000", true, 1000000},
        {"20M", true, 20000000},
        {"4k", true, 4000},
        {"4K", true, 4000},
        {"2G", true, 2000000000},
        {"007", true, 7},
        {"18446744073709551615", true, SIZE_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551G", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1.5", false, 0},
        {"1e3", false, 0},
        {"1__0", false, 0},
        {"_1", false, 0},
        {"1_", false, 0},
        {"k", false, 0},
        {"1kk", false, 0},
        {"0x10", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1T", false, 0},
    };
    struct option size = {"k", NULL, OPTION_SIZE, 0, .help = ""};
    struct error e;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t z = 12345;
        bool good = option_parse_value(&size, sizes[i].text, false, false, &z, &e) == OK;
        if (good != sizes[i].good || (good && z != sizes[i].value) || (!good && z != 12345))
            fail_msg("size \"%s\"", sizes[i].text);
    }
    struct option integer = {"k", NULL, OPTION_INT, 0, .help = ""};
    assert_true(accepts(&integer, "-2147483647") && accepts(&integer, "2147483647"));
    assert_false(accepts(&integer, "2147483648") || accepts(&integer, "--1") ||
                 accepts(&integer, "-") || accepts(&integer, "1k"));
    struct option number = {"k", NULL, OPTION_FLOAT, 0, .help = ""};
    static const char *const good[] = {"0", "-1", "1e-3", ".5", "5.", "+2", "1E5", "4.9e-324"};
    static const char *const bad[] = {"",    "e",  ".",  "inf", "nan", "0x1p3", "1e999",
                                      "1,5", "1 ", " 1", "1e",  "--1", "1.2.3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(accepts(&number, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (accepts(&number, bad[i]))
            fail_msg("number \"%s\" was accepted", bad[i]);
    number.minimum = 0.5;
    number.maximum = INFINITY;
    assert_true(accepts(&number, "0.5") && accepts(&number, "1e300"));
    assert_false(accepts(&number, "0.4999"));
}

static void a_number_may_be_not_given(void **state)
{
    (void)state;
    struct {
        size_t z;
        int i;
        double f, free;
    } object, back;
#define OFFSET(member) offsetof(__typeof__(object), member)
    const struct option rows_of_object[] = {
        {"z", NULL, OPTION_SIZE, OFFSET(z), .minimum = 1, .help = ""},
        {"i", NULL, OPTION_INT, OFFSET(i), .minimum = 2, .maximum = 9, .help = ""},
        {"f", NULL, OPTION_FLOAT, OFFSET(f), .minimum = 0.5, .maximum = 1, .help = ""},
        {"free", NULL, OPTION_FLOAT, OFFSET(free), .help = ""},
    };
    memset(&object, 0xA5, sizeof object);
    memset(&back, 0xA5, sizeof back);
    struct option_section a = {.name = "s", .rows = rows_of_object, .n_rows = 4, .object = &object};
    struct option_section b = {.name = "s", .rows = rows_of_object, .n_rows = 4, .object = &back};
    struct options from = {.sections = &a, .n_sections = 1}, to = {.sections = &b, .n_sections = 1};
    struct error e;
    struct buffer text = {0};
    struct yaml y;
    options_init(&from);
    options_init(&to);
    assert_int_equal(object.z, 0);
    assert_int_equal(object.i, 0);
    assert_true(object.f == 0 && object.free == 0);
    options_print_yaml(&from, &text);
    assert_string_equal(text.data, "s:\n  z: null\n  i: null\n  f: null\n  free: 0\n");
    assert_ok(options_apply_set(&to, "s.z=4", &e), e);
    assert_ok(options_apply_set(&to, "s.z=null", &e), e);
    assert_ok(yaml_parse(text.data, text.size, &y, &e), e);
    assert_ok(options_apply_yaml(&to, &y, "x", &e), e);
    assert_int_equal(back.z, 0);
    assert_int_equal(options_apply_set(&to, "s.z=0", &e), ERR_USAGE);
    assert_int_equal(options_apply_set(&to, "s.i=10", &e), ERR_USAGE);
    yaml_entries_free(&y);
    buffer_free(&text);
    options_free(&from);
    options_free(&to);
}

static void nearest_names(void **state)
{
    (void)state;
    static const char *const verbs[] = {"pretrain", "generate", "info", "tokenizer train"};
    assert_string_equal(nearest_name("pretrian", verbs, 4), "pretrain");
    assert_string_equal(nearest_name("ifno", verbs, 4), "info");
    assert_string_equal(nearest_name("generat", verbs, 4), "generate");
    assert_null(nearest_name("serve", verbs, 4));
    assert_null(nearest_name("", verbs, 4));
    char huge[4096];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    assert_null(nearest_name(huge, verbs, 4));
}

static void lists_of_numbers(void **state)
{
    (void)state;
    static const struct option row = {"factors", NULL, OPTION_NUMBERS, 0, .minimum = 0, .maximum = 10,
                                      .help = ""};
    struct option_numbers list = {.count = 7};
    struct error e;
    struct buffer text = {0};
    assert_ok(option_parse_value(&row, "1.5", false, false, &list, &e), e);
    assert_ok(option_parse_value(&row, "10", false, true, &list, &e), e);
    assert_int_equal(list.count, 2);
    assert_true(list.items[0] == 1.5 && list.items[1] == 10);
    assert_int_equal(option_parse_value(&row, "11", false, true, &list, &e), ERR_USAGE);
    assert_string_equal(e.message, "expected numbers from 0 to 10, found \"11\"");
    assert_int_equal(option_parse_value(&row, "one", false, true, &list, &e), ERR_USAGE);
    option_print_value(&row, &list, &text);
    assert_string_equal(text.data, "[1.5, 10]");
    while (list.count < OPTION_MOST_NUMBERS)
        assert_ok(option_parse_value(&row, "1", false, true, &list, &e), e);
    assert_int_equal(option_parse_value(&row, "1", false, true, &list, &e), ERR_USAGE);
    assert_int_equal(list.count, OPTION_MOST_NUMBERS);
    assert_ok(option_parse_value(&row, "", true, false, &list, &e), e);
    assert_int_equal(list.count, 0);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_numbers),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(a_number_may_be_not_given),
        cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
