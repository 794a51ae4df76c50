/* The choice within a budget against all choices there are, on small random instances. */
#include "qat/choose.h"

#include "base/rng.h"
#include "tests/test.h"

#include <math.h>

enum { ITEMS = 5, POINTS = 4, ROUNDS = 400 };

struct instance {
    struct choice_point points[ITEMS][POINTS];
    struct choice_item items[ITEMS];
    size_t n;
};

/* Losses fall with size, mostly: of some a larger point loses more, of some two are of one size. */
static void make_instance(struct instance *x, struct rng *r)
{
    x->n = 1 + rng_below(r, ITEMS);
    for (size_t i = 0; i < x->n; i++) {
        x->items[i] = (struct choice_item){x->points[i], 1 + rng_below(r, POINTS)};
        for (size_t j = 0; j < x->items[i].n_points; j++)
            x->points[i][j] = (struct choice_point){10 + rng_below(r, 40), exp(-4 * rng_uniform(r))};
    }
}

struct total {
    size_t size;
    double loss;
};

static struct total total_of(const struct instance *x, const size_t *chosen)
{
    struct total t = {0};
    for (size_t i = 0; i < x->n; i++) {
        assert_true(chosen[i] < x->items[i].n_points);
        t.size += x->points[i][chosen[i]].size;
        t.loss += x->points[i][chosen[i]].loss;
    }
    return t;
}

/* The least loss within the budget among all choices; INFINITY where none fits. */
static double best_loss(const struct instance *x, size_t budget)
{
    double best = INFINITY;
    size_t chosen[ITEMS] = {0};
    for (size_t i = 0; i < x->n;) {
        const struct total t = total_of(x, chosen);
        if (t.size <= budget && t.loss < best)
            best = t.loss;
        for (i = 0; i < x->n && ++chosen[i] == x->items[i].n_points; i++)
            chosen[i] = 0;
    }
    return best;
}

/* Most that one step of an item can gain. */
static double largest_gain(const struct instance *x)
{
    double gain = 0;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < x->items[i].n_points; j++)
            for (size_t k = 0; k < x->items[i].n_points; k++)
                gain = fmax(gain, x->points[i][j].loss - x->points[i][k].loss);
    return gain;
}

static void near_the_best_and_never_above_the_budget(void **state)
{
    (void)state;
    struct rng r;
    struct instance x;
    size_t n_exact = 0, n_fit = 0;
    rng_init(&r, 7, 0);
    for (size_t round = 0; round < ROUNDS; round++) {
        make_instance(&x, &r);
        for (size_t budget = 0; budget < 50 * x.n; budget += 3) {
            size_t chosen[ITEMS];
            const bool fits = choose_within(x.items, x.n, budget, chosen);
            const double best = best_loss(&x, budget);
            const struct total got = total_of(&x, chosen);
            assert_int_equal(fits, isfinite(best));
            if (!fits)
                continue;
            n_fit++;
            assert_true(got.size <= budget);
            assert_true(got.loss >= best - 1e-12 && got.loss <= best + largest_gain(&x));
            n_exact += got.loss <= best + 1e-12;
        }
    }
    assert_true(n_fit > 10000 && n_exact > n_fit / 2); /* and mostly it is the best */
}

/* Whatever a byte is taken to cost: each item's own best at that price makes up a choice that none of its size is better
 * than (Everett, 1963), and the one that must come out for a budget of that size. */
static void best_at_every_price_of_a_byte(void **state)
{
    (void)state;
    struct rng r;
    struct instance x;
    rng_init(&r, 8, 0);
    for (size_t round = 0; round < 10 * ROUNDS; round++) {
        size_t wanted[ITEMS] = {0}, chosen[ITEMS];
        make_instance(&x, &r);
        const double price = exp(-8 * rng_uniform(&r));
        for (size_t i = 0; i < x.n; i++)
            for (size_t j = 1; j < x.items[i].n_points; j++) {
                const struct choice_point *p = &x.points[i][j], *best = &x.points[i][wanted[i]];
                if (p->loss + price * (double)p->size < best->loss + price * (double)best->size)
                    wanted[i] = j;
            }
        const struct total want = total_of(&x, wanted);
        assert_true(choose_within(x.items, x.n, want.size, chosen));
        assert_memory_equal(chosen, wanted, x.n * sizeof *chosen);
        assert_true(fabs(want.loss - best_loss(&x, want.size)) < 1e-12);
    }
}

static void what_is_dominated_is_left_alone(void **state)
{
    (void)state;
    const struct choice_point a[] = {{10, 1}, {30, 1}, {20, 2}, {10, 1}}, b[] = {{10, 4}, {20, 3.9}, {30, 0}};
    const struct choice_item items[] = {{a, 4}, {b, 3}};
    size_t chosen[2];
    assert_false(choose_within(items, 2, 19, chosen));
    assert_true(choose_within(items, 2, 20, chosen));
    assert_true(chosen[0] == 0 && chosen[1] == 0);
    assert_true(choose_within(items, 2, 39, chosen)); /* (20, 3.9) is above the line from (10, 4) to (30, 0) */
    assert_true(chosen[0] == 0 && chosen[1] == 0);
    assert_true(choose_within(items, 2, 1000, chosen));
    assert_true(chosen[0] == 0 && chosen[1] == 2);
    assert_true(choose_within(items, 0, 0, chosen));
}

/* A step that does not fit is passed over, and one that does is taken. */
static void what_still_fits_is_taken(void **state)
{
    (void)state;
    const struct choice_point a[] = {{10, 10}, {40, 0}, {50, -1}}, b[] = {{10, 1}, {15, 0.5}};
    const struct choice_item items[] = {{a, 3}, {b, 2}};
    size_t chosen[2];
    assert_true(choose_within(items, 2, 30, chosen));
    assert_true(chosen[0] == 0 && chosen[1] == 1);
    assert_true(choose_within(items, 2, 50, chosen));
    assert_true(chosen[0] == 1 && chosen[1] == 0);
    assert_true(choose_within(items, 2, 55, chosen));
    assert_true(chosen[0] == 1 && chosen[1] == 1);
    assert_true(choose_within(items, 2, 65, chosen));
    assert_true(chosen[0] == 2 && chosen[1] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_best_and_never_above_the_budget),
        cmocka_unit_test(best_at_every_price_of_a_byte),
        cmocka_unit_test(what_is_dominated_is_left_alone),
        cmocka_unit_test(what_still_fits_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
