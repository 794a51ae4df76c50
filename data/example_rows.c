#include "data/example_rows.h"

#include "base/check.h"
#include "base/rng.h"

enum { STREAM_ORDER = 1 };

static size_t *first_targets(const struct examples *x)
{
    size_t *first = mem_alloc(x->count, sizeof *first), next = 0;
    for (size_t i = 0; i < x->count; i++) {
        first[i] = next;
        next += example_targets(x, i);
    }
    return first;
}

static size_t unit_length(const struct example_rows *r, size_t i)
{
    return r->pairs ? example_pair_length(r->examples, i, r->share_prompt) : example_length(r->examples, i);
}

/* Packs the n units whose numbers are in `subset`, or the first n. */
static void pack(struct example_rows *r, const size_t *subset, size_t n, bool packed)
{
    size_t n_units = r->examples->count / (r->pairs ? 2 : 1);
    CHECK(n > 0 || !r->shuffle);
    size_t *lengths = mem_alloc(n, sizeof *lengths);
    for (size_t i = 0; i < n; i++) {
        CHECK(!subset || subset[i] < n_units);
        lengths[i] = unit_length(r, subset ? subset[i] : i);
    }
    (packed ? packing_best_fit : packing_one_each)(&r->packing, lengths, n, r->seq_len);
    r->first_target = first_targets(r->examples);
    for (size_t i = 0; subset && i < n; i++)
        r->packing.items[i] = subset[r->packing.items[i]];
    mem_free(lengths);
}

void example_rows_init(struct example_rows *r, const struct examples *examples, const size_t *subset, size_t n,
                       size_t seq_len, bool packed, bool shuffle, uint64_t seed)
{
    *r = (struct example_rows){.examples = examples, .seq_len = seq_len, .shuffle = shuffle, .seed = seed};
    pack(r, subset, subset ? n : examples->count, packed);
}

void example_rows_init_pairs(struct example_rows *r, const struct examples *examples, size_t seq_len, bool packed,
                             bool shuffle, uint64_t seed, bool share_prompt)
{
    CHECK(examples->count % 2 == 0);
    *r = (struct example_rows){.examples = examples, .pairs = true, .share_prompt = share_prompt, .seq_len = seq_len,
                               .shuffle = shuffle, .seed = seed};
    pack(r, NULL, examples->count / 2, packed);
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
            length += unit_length(r, items.numbers[k]);
        longest = length > longest ? length : longest;
    }
    size_t rounded = (longest + EXAMPLE_ROWS_STEP - 1) / EXAMPLE_ROWS_STEP * EXAMPLE_ROWS_STEP;
    return rounded < r->seq_len ? rounded : r->seq_len;
}

/* Where an example lies: from its token `from` on at column `column` of the row that begins at `row`. The tokens before
 * `from` are those at column first_key and following; keys [hidden, column) are another's. */
struct place {
    size_t row, column, from, first_key, hidden;
};

static void fill_example(const struct example_rows *r, size_t example, struct batch *b, struct place p)
{
    const struct examples *x = r->examples;
    size_t number = r->first_number + r->first_target[example];
    size_t begin = x->begin[example], n = example_length(x, example), first = p.row + p.column;
    bool hides = p.hidden < p.column;
    for (size_t i = p.from; i < n; i++) {
        size_t at = first + i - p.from;
        bool has_target = i + 1 < n && x->learned[begin + i + 1];
        b->input_ids[at] = x->ids[begin + i];
        b->targets[at] = has_target ? x->ids[begin + i + 1] : TARGET_IGNORED;
        b->positions[at] = (int32_t)i;
        b->first_key[at] = (int32_t)p.first_key;
        b->hidden_keys[2 * at] = hides ? (int32_t)p.hidden : 0;
        b->hidden_keys[2 * at + 1] = hides ? (int32_t)p.column : 0;
        b->target_numbers[at] = number;
        number += has_target;
        b->n_targets += has_target;
    }
    b->branches |= hides;
}

static void note_example(const struct example_rows *r, size_t example, struct batch *b, size_t begin, size_t end)
{
    if (begin < end)
        b->examples[b->n_examples++] = (struct batch_example){r->first_example + example, begin, end};
}

/* Both examples of a pair; the first one's rest begins where what they share ends. */
static size_t fill_pair(const struct example_rows *r, size_t pair, struct batch *b, size_t row, size_t column)
{
    size_t a = 2 * pair, shared = r->share_prompt ? example_pair_shared(r->examples, pair) : 0;
    size_t second = column + example_length(r->examples, a), end = second + example_length(r->examples, a + 1) - shared;
    fill_example(r, a, b, (struct place){row, column, 0, column, column});
    note_example(r, a, b, row + column + shared, row + second);
    fill_example(r, a + 1, b, (struct place){row, second, shared, shared ? column : second,
                                             shared ? column + shared : second});
    note_example(r, a + 1, b, row + second, row + end);
    return end;
}

/* An example or a pair. Returns the column behind it. */
static size_t fill_unit(const struct example_rows *r, size_t unit, struct batch *b, size_t row, size_t column)
{
    if (r->pairs)
        return fill_pair(r, unit, b, row, column);
    size_t end = column + example_length(r->examples, unit);
    fill_example(r, unit, b, (struct place){row, column, 0, column, column});
    note_example(r, unit, b, row + column, row + end);
    return end;
}

static void fill_row(const struct example_rows *r, struct example_row items, struct batch *b, size_t row)
{
    size_t column = 0;
    for (size_t k = 0; k < items.n; k++)
        column = fill_unit(r, items.numbers[k], b, row, column);
    for (; column < b->seq_len; column++) {
        size_t at = row + column;
        b->input_ids[at] = 0;
        b->targets[at] = TARGET_IGNORED;
        b->positions[at] = 0;
        b->first_key[at] = (int32_t)column + 1;
        b->hidden_keys[2 * at] = b->hidden_keys[2 * at + 1] = 0;
    }
}

static void fill(const void *source, uint64_t first_row, struct batch *b)
{
    const struct example_rows *r = source;
    CHECK(r->seq_len <= b->capacity);
    b->seq_len = batch_length(r, first_row, b->n_rows);
    b->n_targets = b->n_examples = 0;
    b->branches = false;
    for (size_t i = 0; i < b->n_rows; i++)
        fill_row(r, example_rows_at(r, first_row + i), b, i * b->seq_len);
}

struct loader example_rows_loader(const struct example_rows *r)
{
    return (struct loader){.rows = {r, r->packing.n_rows, fill}};
}
