/* data/example_rows: masks, every learned token once an epoch, resuming, batches as long as their rows, and pairs. */
#include "data/example_rows.h"

#include "tests/data/example_set.h"
#include "tests/test.h"

#include <string.h>

enum { T = 40, B = 3 };

static struct batch make_batch(size_t n_rows, size_t seq_len, struct arena *arena)
{
    struct arena plan = {0};
    struct batch b;
    struct error e;
    batch_init(&b, n_rows, seq_len, &plan);
    assert_ok(arena_init(arena, plan.used, "batch", &e), e);
    batch_init(&b, n_rows, seq_len, arena);
    return b;
}

/* The example of a token, where token i of all is i. */
static size_t example_of(const struct examples *x, size_t token)
{
    size_t i = 0;
    while (x->begin[i + 1] <= token)
        i++;
    return i;
}

/* One row, worked out from the tokens alone: it is examples as wholes, then padding. Counts in `seen` how often each
 * token is input and in `targets` how often it is a target; returns the tokens that are no padding. */
static size_t check_row(const struct examples *x, const struct batch *b, size_t row, size_t *seen, size_t *targets)
{
    size_t column = 0, at = row * b->seq_len;
    /* token 0 that sees itself is a token; padding does not */
    while (column < b->seq_len && b->first_key[at + column] <= (int32_t)column) {
        size_t token = (size_t)b->input_ids[at + column], example = example_of(x, token);
        size_t begin = x->begin[example], end = x->begin[example + 1], first = column;
        assert_int_equal(token, begin);
        for (; token < end; token++, column++) {
            bool learned = token + 1 < end && x->learned[token + 1];
            assert_true(column < b->seq_len);
            assert_int_equal(b->input_ids[at + column], token);
            assert_int_equal(b->first_key[at + column], first);
            assert_int_equal(b->positions[at + column], token - begin);
            assert_int_equal(b->targets[at + column], learned ? (int32_t)token + 1 : TARGET_IGNORED);
            seen[token]++;
            if (learned)
                targets[token + 1]++;
        }
    }
    size_t used = column;
    for (; column < b->seq_len; column++) {
        assert_int_equal(b->input_ids[at + column], 0);
        assert_int_equal(b->targets[at + column], TARGET_IGNORED);
        assert_true(b->first_key[at + column] > (int32_t)column);
        assert_in_range(b->positions[at + column], 0, b->capacity - 1);
    }
    return used;
}

/* All rows of a batch, its length and its number of targets. */
static void check_batch(const struct examples *x, const struct batch *b, size_t *seen, size_t *targets)
{
    size_t longest = 1, counted = 0;
    for (size_t r = 0; r < b->n_rows; r++) {
        size_t used = check_row(x, b, r, seen, targets);
        longest = used > longest ? used : longest;
    }
    for (size_t i = 0; i < b->n_rows * b->seq_len; i++)
        counted += b->targets[i] != TARGET_IGNORED;
    assert_int_equal(b->n_targets, counted);
    size_t rounded = (longest + 15) / 16 * 16;
    assert_int_equal(b->seq_len, rounded < b->capacity ? rounded : b->capacity);
}

/* How often each token was an input and a target after n batches. */
struct counts {
    size_t *seen, *targets;
};

static struct counts count(const struct examples *x, struct loader *l, struct batch *b, size_t n_batches)
{
    size_t total = x->begin[x->count];
    struct counts c = {mem_zero(total, sizeof *c.seen), mem_zero(total, sizeof *c.targets)};
    for (size_t i = 0; i < n_batches; i++) {
        loader_next(l, b);
        check_batch(x, b, c.seen, c.targets);
    }
    return c;
}

static void counts_free(struct counts *c)
{
    mem_free(c->seen);
    mem_free(c->targets);
}

/* Unshuffled, once through and padding behind; shuffled, B epochs are whole batches. In both every token of the subset
 * is an input, and every learned one a target, once an epoch. */
static void every_learned_token_once_an_epoch(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        bool packed = mode & 1, shuffle = mode & 2, some = mode & 4;
        struct examples x = example_set(50, 0, T, 0, 5);
        const size_t subset[] = {49, 3, 0, 17, 18, 30, 4};
        struct example_rows r;
        struct arena arena;
        struct batch b = make_batch(B, T, &arena);
        example_rows_init(&r, &x, some ? subset : NULL, 7, T, packed, shuffle, 9);
        struct loader l = example_rows_loader(&r);
        assert_int_equal(l.rows.per_epoch, r.packing.n_rows);
        assert_true(packed ? r.packing.n_rows < (some ? 7 : 50) : r.packing.n_rows == (some ? 7 : 50));
        size_t epochs = shuffle ? B : 1, n_batches = shuffle ? l.rows.per_epoch : l.rows.per_epoch / B + 3;
        struct counts c = count(&x, &l, &b, n_batches);
        for (size_t i = 0; i < x.count; i++) {
            bool in = !some;
            for (size_t k = 0; k < 7; k++)
                in = in || subset[k] == i;
            for (size_t k = x.begin[i]; k < x.begin[i + 1]; k++) {
                assert_int_equal(c.seen[k], in ? epochs : 0);
                assert_int_equal(c.targets[k], in && x.learned[k] ? epochs : 0);
            }
        }
        if (!shuffle) {
            assert_int_equal(b.n_targets, 0); /* beyond the end */
            assert_int_equal(b.seq_len, EXAMPLE_ROWS_STEP);
        }
        counts_free(&c);
        example_rows_free(&r);
        arena_free(&arena);
        example_set_free(&x);
    }
}

/* Whatever is marked as learned, an example's first token is no target of the example before it. */
static void no_target_crosses(void **state)
{
    (void)state;
    struct examples x = example_set(30, 1, 9, 0, 8);
    memset(x.learned, 1, x.begin[x.count]);
    struct example_rows r;
    struct arena arena;
    struct batch b = make_batch(B, T, &arena);
    example_rows_init(&r, &x, NULL, 0, T, true, false, 0);
    struct loader l = example_rows_loader(&r);
    struct counts c = count(&x, &l, &b, (l.rows.per_epoch + B - 1) / B);
    for (size_t i = 0; i < x.count; i++)
        for (size_t k = x.begin[i]; k < x.begin[i + 1]; k++)
            assert_int_equal(c.targets[k], k > x.begin[i]);
    counts_free(&c);
    example_rows_free(&r);
    arena_free(&arena);
    example_set_free(&x);
}

/* The first token of a row: what row it is. */
static void read_order(const struct example_rows *r, size_t epoch, struct batch *one, int32_t *order)
{
    struct loader l = example_rows_loader(r);
    l.rows_consumed = epoch * l.rows.per_epoch;
    for (size_t i = 0; i < l.rows.per_epoch; i++) {
        loader_next(&l, one);
        order[i] = one->input_ids[0];
    }
}

static void epochs_have_other_orders(void **state)
{
    (void)state;
    struct examples x = example_set(200, 5, T, 0, 6);
    struct arena arena;
    struct batch one = make_batch(1, T, &arena);
    for (int packed = 0; packed < 2; packed++) {
        int32_t orders[4][200];
        for (uint64_t seed = 0; seed < 2; seed++) {
            struct example_rows r;
            example_rows_init(&r, &x, NULL, 0, T, packed, true, seed);
            read_order(&r, 0, &one, orders[2 * seed]);
            read_order(&r, 1, &one, orders[2 * seed + 1]);
            size_t n = r.packing.n_rows, rising = 0;
            for (size_t i = 1; i < n; i++)
                rising += orders[2 * seed][i] > orders[2 * seed][i - 1];
            assert_in_range(rising, n * 35 / 100, n * 65 / 100);
            for (size_t i = 0; i < 2 * seed + 1; i++)
                assert_true(memcmp(orders[i], orders[2 * seed + 1], n * sizeof(int32_t)) != 0);
            example_rows_free(&r);
        }
    }
    arena_free(&arena);
    example_set_free(&x);
}

static bool same_batch(const struct batch *a, const struct batch *b)
{
    size_t n = a->n_rows * a->seq_len * sizeof *a->targets;
    return a->seq_len == b->seq_len && a->n_targets == b->n_targets && !memcmp(a->input_ids, b->input_ids, n) &&
           !memcmp(a->targets, b->targets, n) && !memcmp(a->positions, b->positions, n) &&
           !memcmp(a->first_key, b->first_key, n);
}

/* Stopping anywhere, also where an epoch ends within a batch, and starting again from rows_consumed alone gives what an
 * uninterrupted run gives; one row at a time gives the same rows. */
static void resumes(void **state)
{
    (void)state;
    struct examples x = example_set(40, 2, T, 0, 7);
    struct arena arenas[3];
    struct batch a = make_batch(B, T, &arenas[0]), b = make_batch(B, T, &arenas[1]), one = make_batch(1, T, &arenas[2]);
    for (int packed = 0; packed < 2; packed++) {
        struct example_rows r, other;
        example_rows_init(&r, &x, NULL, 0, T, packed, true, 1);
        example_rows_init(&other, &x, NULL, 0, T, packed, true, 2);
        assert_true(r.packing.n_rows % B != 0 || !packed);
        struct loader whole = example_rows_loader(&r), rows = whole;
        size_t different = 0;
        for (int step = 0; step < 60; step++) {
            struct example_rows fresh;
            example_rows_init(&fresh, &x, NULL, 0, T, packed, true, 1);
            struct loader again = example_rows_loader(&fresh), changed = example_rows_loader(&other);
            again.rows_consumed = changed.rows_consumed = whole.rows_consumed;
            loader_next(&whole, &a);
            loader_next(&again, &b);
            assert_true(same_batch(&a, &b));
            for (size_t i = 0; i < B; i++) {
                loader_next(&rows, &one);
                assert_true(one.seq_len <= a.seq_len);
                assert_memory_equal(one.input_ids, a.input_ids + i * a.seq_len, one.seq_len * sizeof(int32_t));
                assert_memory_equal(one.targets, a.targets + i * a.seq_len, one.seq_len * sizeof(int32_t));
            }
            loader_next(&changed, &b);
            different += !same_batch(&a, &b);
            example_rows_free(&fresh);
        }
        assert_int_equal(whole.rows_consumed, 60 * B);
        assert_true(different > 50);
        example_rows_free(&r);
        example_rows_free(&other);
    }
    for (int i = 0; i < 3; i++)
        arena_free(&arenas[i]);
    example_set_free(&x);
}

/* A row of exactly the capacity, one that is no multiple of the step, and a batch with more room than rows need. */
static void lengths_of_batches(void **state)
{
    (void)state;
    static const struct {
        size_t length, seq_len, expected;
    } cases[] = {{1, 40, 16}, {16, 40, 16}, {17, 40, 32}, {33, 40, 40}, {40, 40, 40}, {5, 8, 8}, {8, 8, 8}, {0, 40, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t spare = 0; spare < 30; spare += 10) {
            struct examples x = example_set(2, cases[i].length, cases[i].length, 0, 1);
            struct example_rows r;
            struct arena arena;
            struct batch b = make_batch(2, cases[i].seq_len + spare, &arena);
            example_rows_init(&r, &x, NULL, 0, cases[i].seq_len, false, false, 0);
            struct loader l = example_rows_loader(&r);
            loader_next(&l, &b);
            assert_int_equal(b.seq_len, cases[i].expected);
            assert_int_equal(b.capacity, cases[i].seq_len + spare);
            example_rows_free(&r);
            arena_free(&arena);
            example_set_free(&x);
        }
}

/* ---- pairs ---- */

/* n pairs: a prompt of up to 8 tokens, in every third pair not the same one in both; then up to 9 tokens, the first one
 * learned. Tokens are small numbers, so that answers often begin alike. */
static struct examples pair_set(size_t n, uint64_t seed)
{
    struct examples x = {.count = 2 * n, .begin = mem_zero(2 * n + 1, sizeof *x.begin)};
    struct rng rng;
    rng_init(&rng, seed, 0);
    x.ids = mem_zero(2 * n * 20, sizeof *x.ids);
    x.learned = mem_zero(2 * n * 20, sizeof *x.learned);
    for (size_t i = 0; i < 2 * n; i++) {
        size_t first = i % 2 ? example_length(&x, i - 1) : 0, prompt, at = x.begin[i];
        prompt = 1 + rng_below(&rng, 8);
        for (size_t k = 0; i % 2 && k < first && x.learned[x.begin[i - 1] + k] == 0; k++)
            prompt = k + 1;
        size_t length = prompt + 1 + rng_below(&rng, 9);
        for (size_t k = 0; k < length; k++) {
            bool copied = i % 2 && k < prompt && !(i % 6 == 5 && k >= prompt / 2);
            x.ids[at + k] = copied ? x.ids[x.begin[i - 1] + k] : (int32_t)rng_below(&rng, 3);
            x.learned[at + k] = k == prompt || (k > prompt && rng_below(&rng, 2));
        }
        x.begin[i + 1] = at + length;
    }
    return x;
}

/* Whether the token at a column sees the key at another, as batch.h says. */
static bool sees(const struct batch *b, size_t row, size_t column, size_t key)
{
    size_t at = row * b->seq_len + column;
    const int32_t *hidden = b->hidden_keys + 2 * at;
    bool is_hidden = b->branches && (int32_t)key >= hidden[0] && (int32_t)key < hidden[1];
    return (int32_t)key >= b->first_key[at] && key <= column && !is_hidden;
}

/* What a token sees, in order, must be its own example as far as it goes. */
static void check_view(const struct examples *x, size_t example, size_t token, const struct batch *b, size_t row,
                       size_t column)
{
    size_t seen = 0;
    for (size_t key = 0; key < b->seq_len; key++)
        if (sees(b, row, column, key)) {
            assert_true(seen <= token);
            assert_int_equal(b->input_ids[row * b->seq_len + key], x->ids[x->begin[example] + seen]);
            assert_int_equal(b->positions[row * b->seq_len + key], seen);
            seen++;
        }
    assert_int_equal(seen, token + 1);
}

static size_t learned_before(const struct examples *x, size_t token)
{
    size_t n = 0;
    for (size_t k = 0; k < token; k++)
        n += x->learned[k];
    return n;
}

/* One of the batch's examples: everything from the token on that its positions begin with. Returns its targets. */
static size_t check_pair_example(const struct examples *x, const struct batch *b, struct batch_example one, size_t first)
{
    size_t example = one.number - 1000, row = one.begin / b->seq_len, n = example_length(x, example), n_targets = 0;
    size_t from = (size_t)b->positions[one.begin];
    assert_int_equal(from, first);
    assert_int_equal(one.end - one.begin, n - from);
    for (size_t i = from; i < n; i++) {
        size_t at = one.begin + i - from;
        bool learned = i + 1 < n && x->learned[x->begin[example] + i + 1];
        assert_int_equal(b->input_ids[at], x->ids[x->begin[example] + i]);
        assert_int_equal(b->targets[at], learned ? x->ids[x->begin[example] + i + 1] : TARGET_IGNORED);
        if (learned) /* of all learned tokens, of which no example's first is one */
            assert_int_equal(b->target_numbers[at], 7 + learned_before(x, x->begin[example] + i + 1));
        check_view(x, example, i, b, row, at % b->seq_len);
        n_targets += learned;
    }
    return n_targets;
}

/* The definition: as many tokens as are equal, before the last token before the first learned one of either. */
static size_t naive_shared(const struct examples *x, size_t pair)
{
    size_t a = x->begin[2 * pair], b = x->begin[2 * pair + 1], n = 0;
    while (!x->learned[a + n + 1] && !x->learned[b + n + 1] && x->ids[a + n] == x->ids[b + n])
        n++;
    return n;
}

static void pairs_in_rows(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        bool packed = mode & 1, shuffle = mode & 2, share = mode & 4, branched = false;
        struct examples x = pair_set(40, 3 + (uint64_t)mode);
        struct example_rows r;
        struct arena arena;
        struct batch b = make_batch(B, 2 * T, &arena);
        size_t *times = mem_zero(x.count, sizeof *times), n_shared = 0;
        example_rows_init_pairs(&r, &x, 2 * T, packed, shuffle, 5, share);
        r.first_number = 7;
        r.first_example = 1000;
        assert_true(packed ? r.packing.n_rows < 40 : r.packing.n_rows == 40);
        struct loader l = example_rows_loader(&r);
        for (size_t step = 0; step < l.rows.per_epoch; step++) {
            size_t n_targets = 0, tokens = 0, used = 0;
            loader_next(&l, &b);
            assert_int_equal(b.n_examples % 2, 0);
            for (size_t i = 0; i < b.n_examples; i++) {
                size_t example = b.examples[i].number - 1000, shared = share ? naive_shared(&x, example / 2) : 0;
                assert_int_equal(example % 2, i % 2);
                assert_true(i == 0 || b.examples[i].begin >= b.examples[i - 1].end);
                assert_true(i % 2 == 0 || b.examples[i].begin == b.examples[i - 1].end);
                n_targets += check_pair_example(&x, &b, b.examples[i], shared);
                tokens += b.examples[i].end - b.examples[i].begin + (i % 2 ? 0 : shared);
                n_shared += shared > 0;
                times[example]++;
                branched |= b.branches;
                assert_true(share || !b.branches);
            }
            assert_int_equal(b.n_targets, n_targets);
            for (size_t at = 0; at < b.n_rows * b.seq_len; at++)
                used += b.first_key[at] <= (int32_t)(at % b.seq_len);
            assert_int_equal(used, tokens);
        }
        for (size_t i = 0; i < x.count; i++)
            assert_int_equal(times[i], shuffle ? B : 1); /* as many epochs as a batch has rows, or one and padding */
        assert_true(!share || (branched && n_shared > 0 && n_shared < x.count * (shuffle ? B : 1)));
        mem_free(times);
        example_rows_free(&r);
        arena_free(&arena);
        example_set_free(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_learned_token_once_an_epoch),
        cmocka_unit_test(no_target_crosses),
        cmocka_unit_test(epochs_have_other_orders),
        cmocka_unit_test(resumes),
        cmocka_unit_test(lengths_of_batches),
        cmocka_unit_test(pairs_in_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
