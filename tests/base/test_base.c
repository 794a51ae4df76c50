/* base/: hashes against published vectors, random numbers, memory, formatting. */
#include "base/buffer.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
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

/* Sizes beyond size_t are refused in words, never wrapped around to a small block. */
static void arena_sizes_never_wrap(void **state)
{
    (void)state;
    struct arena plan = {0}, arena;
    struct error e;
    assert_null(arena_alloc(&plan, SIZE_MAX / 4, 8));
    assert_null(arena_alloc(&plan, SIZE_MAX / 8, 8));
    assert_null(arena_alloc(&plan, 100, 4));
    assert_int_equal(arena_init(&arena, plan.used, "the test", &e), ERR_MEMORY);
    assert_int_equal(strncmp(e.message, "cannot reserve ", 15), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_matches_specification),
        cmocka_unit_test(hash_in_pieces_is_the_hash_of_the_whole),
        cmocka_unit_test(rng_is_uniform_and_normal),
        cmocka_unit_test(arena_measures_before_it_allocates),
        cmocka_unit_test(arena_sizes_never_wrap),
        cmocka_unit_test(errors_nest),
        cmocka_unit_test(formats_read_well),
        cmocka_unit_test(buffer_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
