/* data/answer_pairs.h: no pair twice, as many as there are, every answer as often as any other. */
#include "data/answer_pairs.h"

#include "base/memory.h"
#include "tests/test.h"

#include <stdbool.h>
#include <string.h>

enum { MOST = 12 };

static void check(size_t n_right, size_t n_wrong, size_t most)
{
    struct answer_pair pairs[MOST * MOST + 1];
    bool seen[MOST][MOST] = {{false}};
    size_t right[MOST] = {0}, wrong[MOST] = {0}, all = n_right * n_wrong;
    size_t n = answer_pairs(n_right, n_wrong, most, 5, pairs);
    assert_int_equal(n, most < all ? most : all);
    for (size_t i = 0; i < n; i++) {
        assert_true(pairs[i].right < n_right && pairs[i].wrong < n_wrong);
        assert_false(seen[pairs[i].right][pairs[i].wrong]);
        seen[pairs[i].right][pairs[i].wrong] = true;
        right[pairs[i].right]++;
        wrong[pairs[i].wrong]++;
    }
    for (size_t i = 0; i < n_right; i++)
        assert_true(right[i] == n / n_right || right[i] == n / n_right + (n % n_right > 0));
    for (size_t i = 0; i < n_wrong; i++)
        assert_true(wrong[i] == n / n_wrong || wrong[i] == n / n_wrong + (n % n_wrong > 0));
}

static void pairs_are_different_and_even(void **state)
{
    (void)state;
    for (size_t r = 1; r <= MOST; r++)
        for (size_t w = 1; w <= MOST; w++)
            for (size_t most = 0; most <= r * w + 1 && most <= MOST * MOST; most++)
                check(r, w, most);
    struct answer_pair none;
    assert_int_equal(answer_pairs(0, 3, 1, 1, &none), 0);
    assert_int_equal(answer_pairs(3, 0, 1, 1, &none), 0);
}

static void a_seed_decides(void **state)
{
    (void)state;
    struct answer_pair a[6], b[6], c[6];
    memset(a, 0, sizeof a), memset(b, 0, sizeof b), memset(c, 0, sizeof c);
    answer_pairs(7, 9, 6, 1, a);
    answer_pairs(7, 9, 6, 1, b);
    answer_pairs(7, 9, 6, 2, c);
    assert_memory_equal(a, b, sizeof a);
    assert_true(memcmp(a, c, sizeof a) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_different_and_even),
        cmocka_unit_test(a_seed_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
