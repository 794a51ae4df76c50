/* distill/on_policy: what stays of an example and how long it may become, batches of the student's own texts, when they
 * come, and what they depend on. */
#include "distill/on_policy.h"

#include "base/rng.h"
#include "tests/data/example_set.h"
#include "tests/test.h"

#include <string.h>

enum { T = 40, B = 3, WRITTEN = 1 << 20, MOST = 4096 };

/* A student that writes a function of seed and prompt, and remembers what it was asked for in the last call. */
struct fake {
    struct prompt prompts[MOST];
    struct tokens written[MOST];
    size_t n, n_calls;
    bool to_the_end; /* writes all it may; else any number of tokens, also none */
    bool fails;
};

static uint64_t hash(const struct prompt *p)
{
    uint64_t h = p->seed;
    for (size_t i = 0; i < p->n; i++)
        h = rng_at(h, (uint64_t)p->ids[i]);
    return h;
}

static int write_some(void *context, const struct prompt *prompts, size_t n, struct tokens *out, struct error *e)
{
    struct fake *f = context;
    f->n_calls++;
    if (f->fails)
        return error_set(e, ERR_FORMAT, "no idea");
    assert_in_range(n, 1, MOST);
    f->n = n;
    for (size_t i = 0; i < n; i++) {
        uint64_t h = hash(&prompts[i]);
        size_t count = f->to_the_end ? prompts[i].max_new_tokens : h % (prompts[i].max_new_tokens + 1);
        assert_true(prompts[i].n > 0 && prompts[i].max_new_tokens > 0);
        f->prompts[i] = prompts[i];
        f->written[i].count = out[i].count = 0;
        for (size_t k = 0; k < count; k++) {
            tokens_push(&out[i], WRITTEN + (int32_t)(rng_at(h, k) % WRITTEN));
            tokens_push(&f->written[i], out[i].ids[k]);
        }
    }
    return OK;
}

/* Rows of examples, and batches of them. */
struct rig {
    struct examples x;
    struct example_rows rows;
    struct arena arenas[2];
    struct batch a, b;
    struct fake *fake;
    struct error failure;
    struct measure share;
    struct on_policy o;
};

static struct batch make_batch(size_t n_rows, struct arena *arena)
{
    struct arena plan = {0};
    struct batch b;
    struct error e;
    batch_init(&b, n_rows, T, &plan);
    assert_ok(arena_init(arena, plan.used, "batch", &e), e);
    batch_init(&b, n_rows, T, arena);
    return b;
}

static void rig_open(struct rig *r, struct examples x, bool packed, bool shuffle, double lambda)
{
    *r = (struct rig){.x = x, .fake = mem_zero(1, sizeof *r->fake)};
    r->a = make_batch(B, &r->arenas[0]);
    r->b = make_batch(B, &r->arenas[1]);
    example_rows_init(&r->rows, &r->x, NULL, 0, T, packed, shuffle, 9);
    r->o = (struct on_policy){.rows = &r->rows, .lambda = lambda, .seed = 5, .student = {r->fake, write_some},
                              .failure = &r->failure, .share = &r->share};
    on_policy_init(&r->o);
}

static void rig_init(struct rig *r, bool packed, bool shuffle, double lambda)
{
    rig_open(r, example_set(50, 0, T, 0, 5), packed, shuffle, lambda);
}

static void rig_free(struct rig *r)
{
    on_policy_free(&r->o);
    example_rows_free(&r->rows);
    example_set_free(&r->x);
    for (size_t i = 0; i < MOST; i++)
        tokens_free(&r->fake->written[i]);
    mem_free(r->fake);
    for (size_t i = 0; i < 2; i++)
        arena_free(&r->arenas[i]);
}

static void next(const struct rig *r, uint64_t first_row, struct batch *b)
{
    struct loader l = on_policy_loader(&r->o);
    l.rows_consumed = first_row;
    loader_next(&l, b);
    assert_int_equal(l.rows_consumed, first_row + b->n_rows);
}

static bool same_batch(const struct batch *a, const struct batch *b)
{
    size_t n = a->n_rows * a->seq_len;
    bool same = a->seq_len == b->seq_len && a->n_targets == b->n_targets && a->n_rows == b->n_rows;
    for (size_t i = 0; same && i < n; i++)
        same = a->input_ids[i] == b->input_ids[i] && a->targets[i] == b->targets[i] &&
               a->positions[i] == b->positions[i] && a->first_key[i] == b->first_key[i] &&
               (a->targets[i] == TARGET_IGNORED || a->target_numbers[i] == b->target_numbers[i]);
    return same;
}

/* One example of ids 0, 1, 2, ...; '#' is learned. */
static struct examples one_example(const char *pattern)
{
    size_t n = strlen(pattern);
    struct examples x = {.count = 1, .begin = mem_zero(2, sizeof *x.begin)};
    x.ids = mem_alloc(n, sizeof *x.ids);
    x.learned = mem_alloc(n, sizeof *x.learned);
    x.begin[1] = n;
    for (size_t i = 0; i < n; i++) {
        x.ids[i] = (int32_t)i;
        x.learned[i] = pattern[i] == '#';
    }
    return x;
}

static void what_stays_of_an_example(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t kept;
        bool continued;
    } cases[] = {
        {"...####", 3, true},          {"...####..", 3, true},       {"..##...###.", 7, true},
        {"..#", 2, true},              {"..#.#.#", 6, true},         {".#######", 2, true}, /* a text of 8 */
        {".##########################", 6, true}, {"########", 2, true}, {".#", 1, true},
        {".##", 1, true},              {".##....", 1, true},         {".##..#", 5, true},
        {"......", 6, false},          {".", 1, false},              {"#", 1, false},
        {"#.....", 6, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r;
        rig_open(&r, one_example(cases[i].pattern), false, false, 1);
        next(&r, 0, &r.a);
        assert_int_equal(r.fake->n_calls, cases[i].continued);
        assert_true(on_policy_was_last(&r.o));
        if (cases[i].continued) {
            assert_int_equal(r.fake->n, 1);
            assert_int_equal(r.fake->prompts[0].n, cases[i].kept);
            assert_ptr_equal(r.fake->prompts[0].ids, r.x.ids);
            assert_int_equal(r.fake->prompts[0].max_new_tokens, T - cases[i].kept); /* all of the row */
        }
        for (size_t k = 0; k < cases[i].kept; k++)
            assert_int_equal(r.a.input_ids[k], k);
        assert_int_equal(r.a.n_targets, cases[i].continued ? r.fake->written[0].count : 0);
        rig_free(&r);
    }
}

/* One row against what the student was asked and wrote, from its question *at on. */
static size_t check_row(const struct rig *r, const struct batch *b, size_t row, uint64_t number, size_t *at)
{
    struct example_row items = example_rows_at(&r->rows, number);
    size_t column = 0, base = row * b->seq_len;
    for (size_t k = 0; k < items.n; k++) {
        size_t begin = r->x.begin[items.numbers[k]], n = r->x.begin[items.numbers[k] + 1] - begin, first = column;
        const struct prompt *p = &r->fake->prompts[*at];
        const struct tokens *written = NULL;
        size_t kept = n;
        if (*at < r->fake->n && n > 0 && p->ids == r->x.ids + begin) {
            written = &r->fake->written[(*at)++];
            kept = p->n;
        }
        size_t total = kept + (written ? written->count : 0);
        assert_true(column + total <= b->seq_len);
        for (size_t i = 0; i < total; i++, column++) {
            int32_t id = i < kept ? r->x.ids[begin + i] : written->ids[i - kept];
            bool has_target = i + 1 >= kept && i + 1 < total;
            assert_int_equal(b->input_ids[base + column], id);
            assert_int_equal(b->positions[base + column], i);
            assert_int_equal(b->first_key[base + column], first);
            assert_int_equal(b->targets[base + column], has_target ? written->ids[i + 1 - kept] : TARGET_IGNORED);
            assert_true(b->target_numbers[base + column] == SIZE_MAX);
        }
        for (size_t i = 1; !written && i < n; i++)
            assert_false(r->x.learned[begin + i]); /* else it would have been continued */
    }
    size_t used = column;
    for (; column < b->seq_len; column++) {
        assert_int_equal(b->targets[base + column], TARGET_IGNORED);
        assert_true(b->first_key[base + column] > (int32_t)column);
    }
    return used;
}

static void batches_are_well_formed(void **state)
{
    (void)state;
    for (int mode = 0; mode < 16; mode++) {
        bool packed = mode & 1, shuffle = mode & 2, limited = mode & 8;
        struct rig r;
        size_t n_full = 0, n_past_the_end = 0;
        rig_init(&r, packed, shuffle, 1);
        r.fake->to_the_end = mode & 4;
        r.o.max_new_tokens = limited ? 4 : 0;
        for (uint64_t row = 0; row < 2 * r.rows.packing.n_rows; row += B) {
            size_t at = 0, longest = 1, n_targets = 0;
            r.fake->n = 0;
            next(&r, row, &r.a);
            for (size_t i = 0; i < B; i++) {
                size_t used = check_row(&r, &r.a, i, row + i, &at);
                longest = used > longest ? used : longest;
                n_full += used == T;
            }
            assert_int_equal(at, r.fake->n); /* all that was written is in the batch */
            for (size_t i = 0; i < at; i++) {
                n_targets += r.fake->written[i].count;
                assert_true(!limited || r.fake->prompts[i].max_new_tokens <= 4);
            }
            assert_int_equal(r.a.n_targets, n_targets);
            size_t rounded = (longest + EXAMPLE_ROWS_STEP - 1) / EXAMPLE_ROWS_STEP * EXAMPLE_ROWS_STEP;
            assert_int_equal(r.a.seq_len, rounded < T ? rounded : T);
            n_past_the_end += row >= r.rows.packing.n_rows && at == 0;
        }
        assert_true(shuffle ? n_past_the_end == 0 : n_past_the_end > 0);
        if (r.fake->to_the_end && !limited && !packed)
            assert_true(n_full > 20); /* place is used where there is some */
        rig_free(&r);
    }
}

/* Each example may grow by its share of what the row has free: 40 - (10 + 6) for two, of which one is all prompt. */
static void free_place_is_shared(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct examples x = {.count = 2, .begin = mem_zero(3, sizeof *x.begin)};
        struct rig r;
        x.ids = mem_zero(16, sizeof *x.ids);
        x.learned = mem_zero(16, sizeof *x.learned);
        x.begin[1] = 10, x.begin[2] = 16;
        memset(x.learned + 7, 1, 3);
        memset(x.learned + 14, both, 2);
        rig_open(&r, x, true, false, 1);
        next(&r, 0, &r.a);
        assert_int_equal(r.fake->n, 1 + both);
        assert_int_equal(r.fake->prompts[0].max_new_tokens, 3 + 24 / (1 + both));
        if (both)
            assert_int_equal(r.fake->prompts[1].max_new_tokens, 2 + 12);
        rig_free(&r);
    }
}

static void lambda_zero_is_the_rows_and_one_never_is(void **state)
{
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        struct rig r;
        rig_init(&r, mode & 1, mode & 2, 0);
        struct loader plain = example_rows_loader(&r.rows), own = on_policy_loader(&r.o);
        assert_int_equal(own.rows.per_epoch, plain.rows.per_epoch);
        for (int i = 0; i < 100; i++) {
            loader_next(&plain, &r.a);
            loader_next(&own, &r.b);
            assert_true(same_batch(&r.a, &r.b));
            assert_false(on_policy_was_last(&r.o));
        }
        assert_int_equal(r.fake->n_calls, 0);
        assert_true(r.share.sum == 0 && r.share.count == 100);
        rig_free(&r);
        rig_init(&r, mode & 1, true, 1);
        for (uint64_t i = 0; i < 100; i++) {
            next(&r, i * B, &r.a);
            assert_true(on_policy_was_last(&r.o) && on_policy_chosen(&r.o, i * B));
        }
        assert_true(r.share.sum == 100 && r.share.count == 100);
        rig_free(&r);
    }
}

static void the_choice_is_a_function_of_seed_and_row(void **state)
{
    (void)state;
    struct rig r;
    size_t chosen = 0, other = 0, steps = 2000;
    rig_init(&r, true, true, 0.3);
    struct on_policy changed = r.o;
    changed.seed = 6;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t row = rng_permute(i, steps, 1) * B; /* in any order */
        struct loader plain = example_rows_loader(&r.rows);
        bool is = on_policy_chosen(&r.o, row);
        next(&r, row, &r.a);
        assert_int_equal(on_policy_was_last(&r.o), is);
        plain.rows_consumed = row;
        loader_next(&plain, &r.b);
        assert_int_equal(same_batch(&r.a, &r.b), !is);
        chosen += is;
        other += is != on_policy_chosen(&changed, row);
    }
    assert_in_range(chosen, steps * 27 / 100, steps * 33 / 100);
    assert_in_range(other, steps * 38 / 100, steps * 46 / 100); /* 2 x 0.3 x 0.7 */
    assert_true(r.share.sum == (double)chosen && r.share.count == (double)steps);
    assert_int_equal(r.fake->n_calls, chosen);
    rig_free(&r);
}

/* The same row is the same in a batch of one as in one of three, after others as first; and no two examples, rows or
 * epochs have the same random numbers. */
static void rows_are_functions_of_their_numbers(void **state)
{
    (void)state;
    struct rig r, fresh;
    static uint64_t seeds[MOST];
    size_t n_seeds = 0;
    rig_init(&r, true, true, 1);
    struct arena arena;
    struct batch one = make_batch(1, &arena);
    for (uint64_t row = 0; row < 3 * r.rows.packing.n_rows; row += B) {
        rig_init(&fresh, true, true, 1);
        next(&r, row, &r.a);
        for (size_t i = 0; i < r.fake->n; i++)
            seeds[n_seeds++] = r.fake->prompts[i].seed;
        next(&fresh, row, &r.b);
        assert_true(same_batch(&r.a, &r.b));
        for (size_t i = 0; i < B; i++) {
            next(&fresh, row + i, &one);
            assert_true(one.seq_len <= r.a.seq_len);
            assert_memory_equal(one.input_ids, r.a.input_ids + i * r.a.seq_len, one.seq_len * sizeof(int32_t));
            assert_memory_equal(one.targets, r.a.targets + i * r.a.seq_len, one.seq_len * sizeof(int32_t));
        }
        rig_free(&fresh);
    }
    for (size_t i = 0; i < n_seeds; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(seeds[i] != seeds[k]);
    assert_true(n_seeds > 100);
    arena_free(&arena);
    rig_free(&r);
}

static void a_failure_is_kept(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, true, true, 1);
    next(&r, 0, &r.a);
    assert_true(on_policy_was_last(&r.o));
    r.fake->fails = true;
    for (int i = 0; i < 3; i++) {
        struct loader plain = example_rows_loader(&r.rows);
        next(&r, 0, &r.a);
        loader_next(&plain, &r.b);
        assert_true(same_batch(&r.a, &r.b)); /* something that a pass can be made over */
        assert_false(on_policy_was_last(&r.o));
        assert_int_equal(r.failure.code, ERR_FORMAT);
        assert_string_equal(r.failure.message, "no idea");
        assert_int_equal(r.fake->n_calls, 2); /* not asked again */
    }
    struct objective objective = {.failure = r.o.failure};
    struct error e;
    assert_int_equal(objective_check(&objective, &e), ERR_FORMAT);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_of_an_example),
        cmocka_unit_test(batches_are_well_formed),
        cmocka_unit_test(free_place_is_shared),
        cmocka_unit_test(lambda_zero_is_the_rows_and_one_never_is),
        cmocka_unit_test(the_choice_is_a_function_of_seed_and_row),
        cmocka_unit_test(rows_are_functions_of_their_numbers),
        cmocka_unit_test(a_failure_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
