/* data/shard_rows: epochs, resuming, masks, and evaluation that counts every target once. */
#include "data/shard_rows.h"

#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

/* A shard in memory whose token i is i, so that every row tells where it comes from. */
struct fake {
    struct shard shard;
    uint32_t *tokens;
};

static struct fake make_shard(size_t n_tokens, size_t n_train, const uint64_t *documents,
                              size_t n_documents)
{
    struct fake f = {.tokens = malloc(n_tokens * sizeof *f.tokens)};
    for (size_t i = 0; i < n_tokens; i++)
        f.tokens[i] = (uint32_t)i;
    f.shard = (struct shard){.n_tokens = n_tokens,
                             .n_train_tokens = n_train,
                             .n_documents = n_documents,
                             .vocab_size = n_tokens,
                             .documents = documents,
                             .token_bytes = 4,
                             .tokens = (const unsigned char *)f.tokens};
    return f;
}

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

static struct shard_rows make_rows(const struct shard *s, enum shard_split split, size_t seq_len,
                                   bool mask, bool shuffle, uint64_t seed)
{
    struct shard_rows r;
    struct error e;
    assert_ok(shard_rows_init(&r, s, split, seq_len, mask, shuffle, seed, &e), e);
    return r;
}

/* ---- training ---- */

static void check_epoch(struct loader *l, struct batch *b, size_t n_train, size_t *phase,
                        size_t *order)
{
    size_t rows = l->rows.per_epoch, T = b->seq_len;
    unsigned char *seen = calloc(n_train, 1);
    *phase = SIZE_MAX;
    for (size_t i = 0; i < rows; i++) {
        loader_next(l, b);
        size_t start = (size_t)b->input_ids[0];
        order[i] = start;
        if (*phase == SIZE_MAX)
            *phase = start % T;
        assert_int_equal(start % T, *phase);
        assert_int_equal(seen[start], 0);
        seen[start] = 1;
        assert_int_equal(b->n_targets, T);
        for (size_t k = 0; k < T; k++) {
            assert_int_equal(b->input_ids[k], start + k);
            assert_int_equal(b->targets[k], start + k + 1);
            assert_int_equal(b->positions[k], k);
            assert_int_equal(b->first_key[k], 0);
            assert_true((size_t)b->targets[k] < n_train);
        }
    }
    free(seen);
}

static void epochs_visit_each_row_once(void **state)
{
    (void)state;
    static const size_t lengths[][2] = {{9, 8},    {16, 8},   {17, 8},  {100, 7},
                                        {1000, 8}, {5003, 5}, {30, 29}, {70, 1}};
    for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++) {
        size_t n = lengths[c][0], T = lengths[c][1];
        uint64_t documents[] = {0, n + 10};
        struct fake f = make_shard(n + 10, n, documents, 1);
        struct arena arena;
        struct batch b = make_batch(1, T, &arena);
        struct shard_rows l_rows = make_rows(&f.shard, SHARD_TRAIN, T, false, true, 42);
        struct loader l = shard_rows_loader(&l_rows);
        size_t rows = l.rows.per_epoch, phases[8], repeated = 0;
        assert_true(rows >= 1 && rows * T <= n - 1 && n - rows * T < 2 * T + 1);
        size_t *orders = calloc(8 * rows, sizeof *orders);
        for (size_t epoch = 0; epoch < 8; epoch++) {
            check_epoch(&l, &b, n, &phases[epoch], orders + epoch * rows);
            if (epoch)
                repeated += !memcmp(orders + epoch * rows, orders + (epoch - 1) * rows,
                                    rows * sizeof *orders);
        }
        if (rows > 20) /* other phases, other orders, and not the order of the text */
            assert_int_equal(repeated, 0);
        if (rows > 100) {
            size_t rising = 0;
            for (size_t i = 1; i < rows; i++)
                rising += orders[i] > orders[i - 1];
            assert_in_range(rising, rows * 4 / 10, rows * 6 / 10);
        }
        free(orders);
        arena_free(&arena);
        free(f.tokens);
    }
}

static void phases_vary(void **state)
{
    (void)state;
    uint64_t documents[] = {0, 1000};
    struct fake f = make_shard(1000, 1000, documents, 1);
    struct arena arena;
    struct batch b = make_batch(1, 10, &arena);
    struct shard_rows l_rows = make_rows(&f.shard, SHARD_TRAIN, 10, false, true, 1);
    struct loader l = shard_rows_loader(&l_rows);
    bool seen[10] = {false};
    for (uint64_t epoch = 0; epoch < 100; epoch++) {
        shard_rows_fill(&l_rows, epoch * l.rows.per_epoch, &b);
        seen[b.input_ids[0] % 10] = true;
    }
    for (size_t i = 0; i < 10; i++)
        assert_true(seen[i]);
    arena_free(&arena);
    free(f.tokens);
}

static bool same_batch(const struct batch *a, const struct batch *b)
{
    size_t n = a->n_rows * a->seq_len * sizeof *a->targets;
    return a->n_targets == b->n_targets && !memcmp(a->input_ids, b->input_ids, n) &&
           !memcmp(a->targets, b->targets, n) && !memcmp(a->positions, b->positions, n) &&
           !memcmp(a->first_key, b->first_key, n);
}

/* Stopping anywhere and starting again from rows_consumed gives what an uninterrupted run gives;
 * and another batch size gives the same rows. */
static void resumes(void **state)
{
    (void)state;
    uint64_t documents[] = {0, 30, 31, 200, 555, 700};
    struct fake f = make_shard(700, 600, documents, 5);
    struct arena arenas[3];
    struct batch a = make_batch(3, 8, &arenas[0]), b = make_batch(3, 8, &arenas[1]),
                 one = make_batch(1, 8, &arenas[2]);
    struct shard_rows whole_rows = make_rows(&f.shard, SHARD_TRAIN, 8, true, true, 7);
    struct loader whole = shard_rows_loader(&whole_rows);
    struct shard_rows rows_rows = make_rows(&f.shard, SHARD_TRAIN, 8, true, true, 7);
    struct loader rows = shard_rows_loader(&rows_rows);
    size_t different = 0;
    for (int step = 0; step < 100; step++) { /* four epochs */
        struct shard_rows again_rows = make_rows(&f.shard, SHARD_TRAIN, 8, true, true, 7);
        struct loader again = shard_rows_loader(&again_rows);
        again.rows_consumed = whole.rows_consumed;
        loader_next(&whole, &a);
        loader_next(&again, &b);
        assert_true(same_batch(&a, &b));
        for (size_t r = 0; r < 3; r++) {
            loader_next(&rows, &one);
            assert_memory_equal(one.input_ids, a.input_ids + 8 * r, 8 * sizeof(int32_t));
        }
        struct shard_rows other_rows = make_rows(&f.shard, SHARD_TRAIN, 8, true, true, 8);
        struct loader other = shard_rows_loader(&other_rows);
        other.rows_consumed = again.rows_consumed - 3;
        loader_next(&other, &b);
        different += !same_batch(&a, &b);
    }
    assert_int_equal(whole.rows_consumed, 300);
    assert_true(different > 95);
    for (int i = 0; i < 3; i++)
        arena_free(&arenas[i]);
    free(f.tokens);
}

/* ---- masks ---- */

/* Worked out the slow way, from the list of documents alone. */
static void check_masks(const struct batch *b, const uint64_t *documents, size_t n_documents)
{
    size_t counted = 0;
    for (size_t r = 0; r < b->n_rows; r++) {
        size_t at = r * b->seq_len, start = (size_t)b->input_ids[at];
        for (size_t i = 0; i < b->seq_len; i++) {
            size_t token = start + i, first = start;
            bool last = false;
            for (size_t d = 0; d < n_documents; d++) {
                if (documents[d] <= token && documents[d] > start)
                    first = documents[d];
                last = last || documents[d + 1] == token + 1;
            }
            assert_int_equal(b->input_ids[at + i], token);
            assert_int_equal(b->first_key[at + i], first - start);
            assert_int_equal(b->positions[at + i], token - first);
            if (last)
                assert_int_equal(b->targets[at + i], TARGET_IGNORED);
            else
                assert_int_equal(b->targets[at + i], token + 1);
            counted += !last;
        }
    }
    assert_int_equal(b->n_targets, counted);
}

static void masks_documents(void **state)
{
    (void)state;
    uint64_t documents[] = {0, 1, 2, 10, 18, 19, 27, 60, 64, 100, 101, 120};
    struct fake f = make_shard(120, 110, documents, 11);
    struct arena arena;
    struct batch b = make_batch(4, 8, &arena);
    struct shard_rows l_rows = make_rows(&f.shard, SHARD_TRAIN, 8, true, true, 3);
    struct loader l = shard_rows_loader(&l_rows);
    for (int step = 0; step < 200; step++) {
        loader_next(&l, &b);
        check_masks(&b, documents, 11);
    }
    arena_free(&arena);
    free(f.tokens);
}

/* ---- evaluation ---- */

static void evaluation_covers_everything_once(void **state)
{
    (void)state;
    for (size_t n = 2; n < 60; n++)
        for (int mask = 0; mask < 2; mask++) {
            uint64_t documents[] = {0, 20, 22, 45, 22 + 60};
            struct fake f = make_shard(82, 82 - n, documents, 4);
            struct arena arena;
            struct batch b = make_batch(2, 8, &arena);
            struct shard_rows l_rows = make_rows(&f.shard, SHARD_VALIDATION, 8, mask, false, 1);
            struct loader l = shard_rows_loader(&l_rows);
            unsigned char seen[82] = {0};
            size_t total = 0, batches = (l.rows.per_epoch + 1) / 2;
            assert_int_equal(l.rows.per_epoch, (n - 1 + 7) / 8);
            for (size_t i = 0; i < batches; i++) {
                loader_next(&l, &b);
                assert_true(b.n_targets > 0 || mask);
                total += b.n_targets;
                for (size_t k = 0; k < 16; k++) {
                    if (b.targets[k] == TARGET_IGNORED)
                        continue;
                    assert_int_equal(b.targets[k], b.input_ids[k] + 1);
                    seen[b.targets[k]]++;
                }
            }
            for (size_t i = 0; i < 82; i++) {
                bool first = i == 20 || i == 22 || i == 45;
                assert_int_equal(seen[i], i > 82 - n && !(mask && first));
                total -= seen[i];
            }
            assert_int_equal(total, 0);
            for (int i = 0; i < 2; i++) { /* and then nothing more */
                loader_next(&l, &b);
                assert_int_equal(b.n_targets, 0);
                for (size_t k = 0; k < 16; k++)
                    assert_true(b.targets[k] == TARGET_IGNORED && b.input_ids[k] == 0);
            }
            arena_free(&arena);
            free(f.tokens);
        }
}

static void refuses_short_splits(void **state)
{
    (void)state;
    uint64_t documents[] = {0, 10};
    struct fake f = make_shard(10, 9, documents, 1);
    struct shard_rows l;
    struct error e;
    assert_int_equal(shard_rows_init(&l, &f.shard, SHARD_VALIDATION, 4, false, false, 0, &e),
                     ERR_FORMAT);
    assert_non_null(strstr(e.message, "1 validation tokens"));
    assert_int_equal(shard_rows_init(&l, &f.shard, SHARD_TRAIN, 9, false, true, 0, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "9 training tokens"));
    assert_ok(shard_rows_init(&l, &f.shard, SHARD_TRAIN, 8, false, true, 0, &e), e);
    assert_ok(shard_rows_init(&l, &f.shard, SHARD_TRAIN, 100, false, false, 0, &e), e);
    assert_int_equal(shard_rows_per_epoch(&l), 1);
    free(f.tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epochs_visit_each_row_once),
        cmocka_unit_test(phases_vary),
        cmocka_unit_test(resumes),
        cmocka_unit_test(masks_documents),
        cmocka_unit_test(evaluation_covers_everything_once),
        cmocka_unit_test(refuses_short_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
