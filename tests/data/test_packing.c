/* data/packing: every example once, no row too full, as few rows as best fit by hand. */
#include "data/packing.h"

#include "base/memory.h"
#include "base/rng.h"
#include "tests/test.h"

/* Every example once, rows within their capacity and none without an example, the longest first. */
static void check_valid(const struct packing *p, const size_t *lengths, size_t n, size_t capacity)
{
    unsigned char *seen = mem_zero(n, 1);
    size_t used = 0;
    assert_int_equal(p->capacity, capacity);
    assert_int_equal(p->begin[0], 0);
    assert_int_equal(p->begin[p->n_rows], n);
    for (size_t r = 0; r < p->n_rows; r++) {
        size_t length = 0;
        assert_true(p->begin[r] < p->begin[r + 1]);
        for (size_t k = p->begin[r]; k < p->begin[r + 1]; k++) {
            assert_true(p->items[k] < n);
            assert_int_equal(seen[p->items[k]]++, 0);
            length += lengths[p->items[k]];
            if (k > p->begin[r])
                assert_true(lengths[p->items[k]] <= lengths[p->items[k - 1]]);
        }
        assert_true(length <= capacity);
        used += length;
    }
    assert_int_equal(p->used, used);
    if (p->n_rows)
        assert_true(packing_share(p) == (double)used / (double)(p->n_rows * capacity));
    mem_free(seen);
}

/* The number of rows, by looking at every row for every example. */
static size_t slow_rows(const size_t *lengths, size_t n, size_t capacity)
{
    size_t *left = mem_zero(n, sizeof *left), n_rows = 0;
    for (size_t length = capacity + 1; length-- > 0;)
        for (size_t i = 0; i < n; i++) {
            if (lengths[i] != length)
                continue;
            size_t best = n_rows;
            for (size_t r = 0; r < n_rows; r++)
                if (left[r] >= length && (best == n_rows || left[r] < left[best]))
                    best = r;
            if (best == n_rows)
                left[n_rows++] = capacity;
            left[best] -= length;
        }
    mem_free(left);
    return n_rows;
}

static size_t *random_lengths(struct rng *rng, size_t n, size_t shortest, size_t longest)
{
    size_t *lengths = mem_alloc(n, sizeof *lengths);
    for (size_t i = 0; i < n; i++)
        lengths[i] = shortest + rng_below(rng, longest - shortest + 1);
    return lengths;
}

static void packs_as_best_fit_does(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 1, 0);
    for (size_t round = 0; round < 400; round++) {
        size_t n = rng_below(&rng, 120), capacity = 1 + rng_below(&rng, round % 2 ? 12 : 200);
        size_t *lengths = random_lengths(&rng, n, 0, 1 + rng_below(&rng, capacity));
        for (size_t i = 0; i < n; i++)
            lengths[i] = lengths[i] < capacity ? lengths[i] : capacity;
        struct packing p;
        packing_best_fit(&p, lengths, n, capacity);
        check_valid(&p, lengths, n, capacity);
        assert_int_equal(p.n_rows, slow_rows(lengths, n, capacity));
        packing_free(&p);
        mem_free(lengths);
    }
}

/* What Ding et al. find: many examples of mixed lengths fill rows all but completely. */
static void many_short_ones_fill_rows(void **state)
{
    (void)state;
    static const struct {
        size_t shortest, longest, capacity;
        double share;
    } cases[] = {{10, 400, 2048, 0.999}, {1, 1024, 1024, 0.99}, {30, 2000, 4096, 0.999}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rng rng;
        rng_init(&rng, 2, c);
        size_t n = 20000, *lengths = random_lengths(&rng, n, cases[c].shortest, cases[c].longest);
        struct packing p;
        packing_best_fit(&p, lengths, n, cases[c].capacity);
        check_valid(&p, lengths, n, cases[c].capacity);
        if (!(packing_share(&p) > cases[c].share))
            fail_msg("case %zu: rows are %.5f full", c, packing_share(&p));
        packing_free(&p);
        mem_free(lengths);
    }
}

static void finds_what_fits_exactly(void **state)
{
    (void)state;
    enum { CAPACITY = 100, PAIRS = 49 };
    size_t lengths[2 * PAIRS];
    for (size_t i = 0; i < PAIRS; i++) {
        lengths[i] = i + 1;
        lengths[PAIRS + i] = CAPACITY - 1 - i;
    }
    struct packing p;
    packing_best_fit(&p, lengths, 2 * PAIRS, CAPACITY);
    check_valid(&p, lengths, 2 * PAIRS, CAPACITY);
    assert_int_equal(p.n_rows, PAIRS);
    assert_true(packing_share(&p) == 1);
    packing_free(&p);
}

static void same_bytes(const struct packing *a, const struct packing *b, size_t n)
{
    assert_int_equal(a->n_rows, b->n_rows);
    assert_memory_equal(a->begin, b->begin, (a->n_rows + 1) * sizeof *a->begin);
    assert_memory_equal(a->items, b->items, n * sizeof *a->items);
}

/* The same again, and equal lengths in their own order: the first examples in the first rows. */
static void is_deterministic(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 3, 0);
    size_t n = 3000, *lengths = random_lengths(&rng, n, 1, 300);
    struct packing a, b;
    packing_best_fit(&a, lengths, n, 512);
    packing_best_fit(&b, lengths, n, 512);
    same_bytes(&a, &b, n);
    packing_free(&a);
    packing_free(&b);
    for (size_t i = 0; i < n; i++)
        lengths[i] = 7;
    packing_best_fit(&a, lengths, n, 22);
    assert_int_equal(a.n_rows, n / 3);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(a.items[i], i);
    packing_free(&a);
    mem_free(lengths);
}

static void edges(void **state)
{
    (void)state;
    struct packing p;
    packing_best_fit(&p, NULL, 0, 10);
    check_valid(&p, NULL, 0, 10);
    assert_int_equal(p.n_rows, 0);
    assert_true(packing_share(&p) == 1);
    packing_free(&p);

    static const struct {
        size_t n, lengths[4], capacity, n_rows;
    } cases[] = {
        {1, {10}, 10, 1},         {1, {1}, 10, 1},          {1, {0}, 1, 1},
        {4, {1, 1, 1, 1}, 1, 4},  {4, {10, 10, 10, 10}, 10, 4}, {4, {5, 5, 5, 5}, 10, 2},
        {3, {10, 0, 0}, 10, 1},   {4, {6, 6, 4, 4}, 10, 2}, {2, {1, 10}, 10, 2},
        {2, {0, 0}, 3, 1},        {4, {16, 1, 15, 17}, 32, 2}, {3, {6, 5, 5}, 10, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        packing_best_fit(&p, cases[i].lengths, cases[i].n, cases[i].capacity);
        check_valid(&p, cases[i].lengths, cases[i].n, cases[i].capacity);
        assert_int_equal(p.n_rows, cases[i].n_rows);
        packing_free(&p);
    }
}

static void one_each(void **state)
{
    (void)state;
    const size_t lengths[] = {3, 9, 1};
    struct packing p;
    packing_one_each(&p, lengths, 3, 10);
    check_valid(&p, lengths, 3, 10);
    assert_int_equal(p.n_rows, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(p.items[p.begin[i]], i);
    packing_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_as_best_fit_does),
        cmocka_unit_test(many_short_ones_fill_rows),
        cmocka_unit_test(finds_what_fits_exactly),
        cmocka_unit_test(is_deterministic),
        cmocka_unit_test(edges),
        cmocka_unit_test(one_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
