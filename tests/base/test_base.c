/* base/: hashes against published vectors, random numbers, memory, formatting. */
#include "base/buffer.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tests/test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static void hash_matches_specification(void **state)
{
    (void)state;
    assert_int_equal(hash64("", 0, 0), 0xEF46DB3751D8E999ull);
    assert_int_equal(hash64("a", 1, 0), 0xD24EC4F1A98C6E5Bull);
    assert_int_equal(hash64("abc", 3, 0), 0x44BC2CF5AD770999ull);
    const char *text = "Call me Ishmael. Some years ago--never mind how long precisely-";
    assert_int_equal(hash64(text, strlen(text), 0), 0x02A2E85470D6FD96ull);
}

static void hash_in_pieces_is_the_hash_of_the_whole(void **state)
{
    (void)state;
    unsigned char bytes[211];
    struct rng r;
    rng_init(&r, 3, 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)rng_next(&r);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint64_t whole = hash64(bytes, n, n);
        for (int round = 0; round < 20; round++) {
            struct hash64_state s;
            hash64_begin(&s, n);
            for (size_t at = 0; at < n;) {
                size_t piece = rng_below(&r, n - at + 1);
                hash64_update(&s, bytes + at, piece);
                at += piece;
            }
            assert_int_equal(hash64_end(&s), whole);
        }
    }
}

static void rng_is_uniform_and_normal(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 1, 2);
    size_t counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9600, 10400);
    static float x[100001];
    rng_fill_normal(&r, x, 100001, 2.0f);
    double sum = 0, squares = 0;
    for (int i = 0; i < 100001; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_true(fabs(sum / 100001) < 0.03);
    assert_true(fabs(squares / 100001 - 4) < 0.1);
}

static void arena_measures_before_it_allocates(void **state)
{
    (void)state;
    struct arena plan = {0}, arena;
    struct error e;
    for (int pass = 0; pass < 2; pass++) {
        struct arena *a = pass ? &arena : &plan;
        if (pass)
            assert_ok(arena_init(&arena, plan.used, "test", &e), e);
        float *x = arena_alloc(a, 3, sizeof *x);
        float *y = arena_alloc(a, 5, sizeof *y);
        if (pass) {
            assert_int_equal((uintptr_t)y % ARENA_ALIGN, 0);
            assert_ptr_equal((char *)y, (char *)x + ARENA_ALIGN);
        }
    }
    assert_int_equal(arena.used, plan.used);
    arena_free(&arena);
}

/* Sizes beyond any machine: refused in words, never wrapped around to a small block. */
static void arena_refuses_what_no_machine_has(void **state)
{
    (void)state;
    struct arena plan = {0}, arena;
    struct error e;
    assert_null(arena_alloc(&plan, SIZE_MAX / 4, 8));
    assert_null(arena_alloc(&plan, SIZE_MAX / 8, 8));
    assert_null(arena_alloc(&plan, 100, 4));
    assert_int_equal(arena_init(&arena, plan.used, "the test", &e), ERR_MEMORY);
    assert_int_equal(strncmp(e.message, "no room for the test: it takes ", 31), 0);
    /* each fits, both together do not */
    size_t limit, available, mb = 1 << 20;
    mem_measure(&limit, &available);
    size_t half = limit / 2 + 1;
    struct arena first;
    assert_ok(arena_init(&first, half, "the first half", &e), e);
    assert_int_equal(arena_init(&arena, half, "the second half", &e), ERR_MEMORY);
    assert_ok(arena_init(&arena, half - 2 * mb, "less than half", &e), e);
    arena_free(&arena);
    arena_free(&first);
    assert_ok(arena_init(&first, half + mb, "more than half", &e), e);
    arena_free(&first);
}

static void errors_nest(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(error_set(&e, ERR_FORMAT, "bad %d", 7), ERR_FORMAT);
    assert_int_equal(error_prefix(&e, "file %s", "x"), ERR_FORMAT);
    assert_string_equal(e.message, "file x: bad 7");
}

static void formats_read_well(void **state)
{
    (void)state;
    char t[32];
    assert_string_equal(format_duration(3.21, t), "3.2s");
    assert_string_equal(format_duration(187, t), "3m 07s");
    assert_string_equal(format_duration(3725, t), "1h 02m");
    assert_string_equal(format_count(999, t), "999");
    assert_string_equal(format_count(1234567, t), "1.2M");
    assert_string_equal(format_bytes(1.5e9, t), "1.5 GB");
}

static void buffer_grows(void **state)
{
    (void)state;
    struct buffer b = {0};
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%d,", i % 10);
    assert_int_equal(b.size, 2000);
    assert_int_equal(strlen(b.data), 2000);
    buffer_free(&b);
}

static void arenas_beyond_the_machine_are_refused(void **state)
{
    (void)state;
    size_t limit, available;
    struct arena arena;
    struct error e;
    mem_measure(&limit, &available);
    assert_true(available > 0 && available <= limit);
    if (limit > SIZE_MAX / 4)
        skip();
    assert_int_equal(arena_init(&arena, limit * 2, "the test", &e), ERR_MEMORY);
    assert_non_null(strstr(e.message, "no room for the test: it takes"));
    assert_null(arena.base);
}

/* Two-byte characters from an even and from an odd place: both are cut between characters. */
static void long_errors_are_cut_between_characters(void **state)
{
    (void)state;
    char text[3000];
    struct error e;
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA9", 2);
    text[sizeof text - 2] = 0;
    for (int way = 0; way < 8; way++) {
        if (way / 2 == 0) {
            error_set(&e, ERR_IO, "%s%s", way % 2 ? "x" : "", text);
        } else if (way / 2 == 1) {
            error_set(&e, ERR_IO, "%s", text);
            error_prefix(&e, "%s", way % 2 ? "x" : "");
        } else if (way / 2 == 2) {
            error_set(&e, ERR_IO, "why");
            error_prefix(&e, "%s%s", way % 2 ? "x" : "", text);
        } else {
            error_set_errno(&e, "%s%s", way % 2 ? "x" : "", text);
        }
        size_t n = strlen(e.message);
        assert_true(n >= sizeof e.message - 4 && n < sizeof e.message);
        assert_true(utf8_valid(e.message, n));
        assert_string_equal(e.message + n - 3, "...");
        assert_int_equal(e.code, ERR_IO);
    }
    /* as long as fits, nothing is cut */
    text[sizeof e.message - 2] = 0;
    error_set(&e, ERR_IO, "%s", text);
    assert_string_equal(e.message, text);
}

/* The sequences that are accepted are those that some code point is written as, and no others. */
static void utf8_is_what_code_points_are_written_as(void **state)
{
    (void)state;
    uint32_t code;
    char bytes[4];
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        size_t n = utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_decode(bytes, 4, &code), surrogate ? 0 : n);
        assert_true(surrogate || code == c);
        assert_int_equal(utf8_decode(bytes, n - 1, &code), 0); /* cut short */
    }
    size_t accepted[5] = {0};
    for (uint32_t s = 0; s < 1u << 24; s++) {
        const unsigned char three[] = {(unsigned char)(s >> 16), (unsigned char)(s >> 8),
                                       (unsigned char)s};
        accepted[utf8_decode(three, 3, &code)]++;
    }
    assert_int_equal(accepted[1] >> 16, 0x80);
    assert_int_equal(accepted[2] >> 8, 0x800 - 0x80);
    assert_int_equal(accepted[3], 0x10000 - 0x800 - 0x800);
    assert_int_equal(accepted[4], 0);
    static const char *const bad[] = {"\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
                                      "\xF1\x80\x80\xC0"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(utf8_decode(bad[i], 4, &code), 0);
    assert_true(utf8_valid("\xC3\xA9t\xC3\xA9", 5));
    assert_false(utf8_valid("\xC3\xA9t\xC3\xA9", 4));
}

static void an_error_stays_one_line(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(error_set(&e, ERR_FORMAT, "key \"%s\" is odd", "a\nb\x1B[2J\x7F\xC3\xA9"), ERR_FORMAT);
    assert_string_equal(e.message, "key \"a\\nb\\x1b[2J\\x7f\xC3\xA9\" is odd");
    error_prefix(&e, "%s", "fi\rle");
    assert_string_equal(e.message, "fi\\x0dle: key \"a\\nb\\x1b[2J\\x7f\xC3\xA9\" is odd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_stays_one_line),
        cmocka_unit_test(hash_matches_specification),
        cmocka_unit_test(hash_in_pieces_is_the_hash_of_the_whole),
        cmocka_unit_test(rng_is_uniform_and_normal),
        cmocka_unit_test(arena_measures_before_it_allocates),
        cmocka_unit_test(arena_refuses_what_no_machine_has),
        cmocka_unit_test(errors_nest),
        cmocka_unit_test(formats_read_well),
        cmocka_unit_test(arenas_beyond_the_machine_are_refused),
        cmocka_unit_test(utf8_is_what_code_points_are_written_as),
        cmocka_unit_test(long_errors_are_cut_between_characters),
        cmocka_unit_test(buffer_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
