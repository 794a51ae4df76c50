#include "data/example_rows.h"

#include "base/check.h"
#include "base/rng.h"

enum { STREAM_ORDER = 1 };

static size_t example_length(const struct examples *x, size_t i)
{
    return x->begin[i + 1] - x->begin[i];
}

static size_t *first_targets(const struct examples *x)
{
    size_t *first = mem_alloc(x->count, sizeof *first), next = 0;
    for (size_t i = 0; i < x->count; i++) {
        first[i] = next;
        for (size_t k = x->begin[i] + 1; k < x->begin[i + 1]; k++)
            next += x->learned[k] != 0;
    }
    return first;
}

void example_rows_init(struct example_rows *r, const struct examples *examples, const size_t *subset, size_t n,
                       size_t seq_len, bool packed, bool shuffle, uint64_t seed)
{
    if (!subset)
        n = examples->count;
    CHECK(n > 0 || !shuffle);
    *r = (struct example_rows){.examples = examples, .seq_len = seq_len, .shuffle = shuffle, .seed = seed};
    size_t *lengths = mem_alloc(n, sizeof *lengths);
    for (size_t i = 0; i < n; i++) {
        CHECK(!subset || subset[i] < examples->count);
        lengths[i] = example_length(examples, subset ? subset[i] : i);
    }
    (packed ? packing_best_fit : packing_one_each)(&r->packing, lengths, n, seq_len);
    r->first_target = first_targets(examples);
    for (size_t i = 0; subset && i < n; i++)
        r->packing.items[i] = subset[r->packing.items[i]];
    mem_free(lengths);
}

void example_rows_free(struct example_rows *r)
{
    packing_free(&r->packing);
    mem_free(r->first_target);
    *r = (struct example_rows){0};
}

struct example_row example_rows_at(const struct example_rows *r, uint64_t number)
{
    const struct packing *p = &r->packing;
    if (!r->shuffle && number >= p->n_rows)
        return (struct example_row){0};
    size_t row = number;
    if (r->shuffle)
        row = rng_permute(number % p->n_rows, p->n_rows,
                          rng_at(rng_at(r->seed, STREAM_ORDER), number / p->n_rows));
    return (struct example_row){p->items + p->begin[row], p->begin[row + 1] - p->begin[row]};
}

/* What the longest of the batch's rows needs. */
static size_t batch_length(const struct example_rows *r, uint64_t first_row, size_t n_rows)
{
    size_t longest = 1;
    for (size_t i = 0; i < n_rows; i++) {
        struct example_row items = example_rows_at(r, first_row + i);
        size_t length = 0;
        for (size_t k = 0; k < items.n; k++)
            length += example_length(r->examples, items.numbers[k]);
        longest = length > longest ? length : longest;
    }
    size_t rounded = (longest + EXAMPLE_ROWS_STEP - 1) / EXAMPLE_ROWS_STEP * EXAMPLE_ROWS_STEP;
    return rounded < r->seq_len ? rounded : r->seq_len;
}

/* An example at column `column` of the row that begins at `row`. */
static void fill_example(const struct example_rows *r, size_t example, struct batch *b, size_t row, size_t column)
{
    const struct examples *x = r->examples;
    size_t number = r->first_number + r->first_target[example];
    size_t begin = x->begin[example], n = example_length(x, example);
    for (size_t i = 0; i < n; i++) {
        size_t at = row + column + i;
        bool has_target = i + 1 < n && x->learned[begin + i + 1];
        b->input_ids[at] = x->ids[begin + i];
        b->targets[at] = has_target ? x->ids[begin + i + 1] : TARGET_IGNORED;
        b->positions[at] = (int32_t)i;
        b->first_key[at] = (int32_t)column;
        b->target_numbers[at] = number;
        number += has_target;
        b->n_targets += has_target;
    }
}

static void fill_row(const struct example_rows *r, struct example_row items, struct batch *b, size_t row)
{
    size_t column = 0;
    for (size_t k = 0; k < items.n; k++) {
        fill_example(r, items.numbers[k], b, row, column);
        column += example_length(r->examples, items.numbers[k]);
    }
    for (; column < b->seq_len; column++) {
        b->input_ids[row + column] = 0;
        b->targets[row + column] = TARGET_IGNORED;
        b->positions[row + column] = 0;
        b->first_key[row + column] = (int32_t)column + 1;
    }
}

static void fill(const void *source, uint64_t first_row, struct batch *b)
{
    const struct example_rows *r = source;
    CHECK(r->seq_len <= b->capacity);
    b->seq_len = batch_length(r, first_row, b->n_rows);
    b->n_targets = 0;
    for (size_t i = 0; i < b->n_rows; i++)
        fill_row(r, example_rows_at(r, first_row + i), b, i * b->seq_len);
}

struct loader example_rows_loader(const struct example_rows *r)
{
    return (struct loader){.rows = {r, r->packing.n_rows, fill}};
}
