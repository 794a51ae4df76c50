#include "distill/on_policy.h"

#include "base/check.h"
#include "base/rng.h"

enum { STREAM_CHOICE = 2, STREAM_DRAW = 3 };

/* An example of the batch: its first `kept` tokens, and what the student writes behind them. */
struct piece {
    size_t example, kept;
    bool continued;
};

/* A batch in the making. Memory that grows to the largest and stays. */
struct on_policy_work {
    size_t rows_capacity, pieces_capacity, tokens_capacity;
    struct piece *pieces;
    struct prompt *prompts;  /* of the pieces that are continued */
    struct tokens *written;  /* what continues those */
    size_t n_pieces, n_prompts;
    struct examples made;    /* the pieces as examples */
    size_t *first_target, *items, *row_begin; /* how these make rows */
    bool last;
};

void on_policy_init(struct on_policy *o)
{
    CHECK(o->lambda >= 0 && o->lambda <= 1);
    CHECK(o->rows && o->student.complete && o->failure);
    o->work = mem_zero(1, sizeof *o->work);
}

void on_policy_free(struct on_policy *o)
{
    struct on_policy_work *w = o->work;
    if (!w)
        return;
    for (size_t i = 0; i < w->pieces_capacity; i++)
        tokens_free(&w->written[i]);
    mem_free(w->pieces);
    mem_free(w->prompts);
    mem_free(w->written);
    mem_free(w->made.ids);
    mem_free(w->made.learned);
    mem_free(w->made.begin);
    mem_free(w->first_target);
    mem_free(w->items);
    mem_free(w->row_begin);
    mem_free(w);
    o->work = NULL;
}

bool on_policy_chosen(const struct on_policy *o, uint64_t first_row)
{
    uint64_t bits = rng_at(rng_at(o->seed, STREAM_CHOICE), first_row) >> 11;
    return (double)bits * 0x1p-53 < o->lambda;
}

bool on_policy_was_last(const struct on_policy *o)
{
    return o->work->last;
}

/* --- prompts --- */

/* How much of an example is its prompt; all of it where nothing is learned. */
static size_t prompt_length(const struct examples *x, size_t example)
{
    const uint8_t *learned = x->learned + x->begin[example];
    size_t n = example_length(x, example), end = n, begin;
    while (end > 1 && !learned[end - 1])
        end--;
    if (end <= 1)
        return n;
    for (begin = end - 1; begin > 1 && learned[begin - 1];)
        begin--;
    if (begin > 1)
        return begin;
    return n / 4 > 1 ? n / 4 : 1; /* a text */
}

/* Memory for so many rows and pieces, and tokens of them. */
static void reserve(struct on_policy_work *w, size_t n_rows, size_t n_pieces, size_t n_tokens)
{
    struct examples *x = &w->made;
    if (n_rows > w->rows_capacity) {
        w->row_begin = mem_resize(w->row_begin, n_rows + 1, sizeof *w->row_begin);
        w->rows_capacity = n_rows;
    }
    if (n_pieces > w->pieces_capacity) {
        w->pieces = mem_resize(w->pieces, n_pieces, sizeof *w->pieces);
        w->prompts = mem_resize(w->prompts, n_pieces, sizeof *w->prompts);
        w->written = mem_resize(w->written, n_pieces, sizeof *w->written);
        w->first_target = mem_resize(w->first_target, n_pieces, sizeof *w->first_target);
        w->items = mem_resize(w->items, n_pieces, sizeof *w->items);
        x->begin = mem_resize(x->begin, n_pieces + 1, sizeof *x->begin);
        for (size_t i = w->pieces_capacity; i < n_pieces; i++)
            w->written[i] = (struct tokens){0};
        w->pieces_capacity = n_pieces;
    }
    if (n_tokens > w->tokens_capacity) {
        x->ids = mem_resize(x->ids, n_tokens, sizeof *x->ids);
        x->learned = mem_resize(x->learned, n_tokens, sizeof *x->learned);
        w->tokens_capacity = n_tokens;
    }
}

/* Adds the pieces of a row. Returns how many tokens the row has as it is; *n_continued: of how many the student writes
 * the end. */
static size_t add_pieces(struct on_policy_work *w, const struct examples *x, struct example_row row, size_t *n_continued)
{
    size_t used = 0;
    *n_continued = 0;
    for (size_t k = 0; k < row.n; k++) {
        size_t n = example_length(x, row.numbers[k]), kept = prompt_length(x, row.numbers[k]);
        w->pieces[w->n_pieces++] = (struct piece){row.numbers[k], kept, kept < n};
        *n_continued += kept < n;
        used += n;
    }
    return used;
}

/* The pieces of a row, and a prompt for each that is continued, with an equal share of what the row has free. */
static void add_row(const struct on_policy *o, uint64_t number)
{
    struct on_policy_work *w = o->work;
    const struct examples *x = o->rows->examples;
    size_t first = w->n_pieces, n_continued, used = add_pieces(w, x, example_rows_at(o->rows, number), &n_continued);
    size_t share = n_continued ? (o->rows->seq_len - used) / n_continued : 0;
    uint64_t seed = rng_at(rng_at(o->seed, STREAM_DRAW), number);
    for (size_t i = first; i < w->n_pieces; i++) {
        const struct piece *p = &w->pieces[i];
        if (!p->continued)
            continue;
        size_t most = example_length(x, p->example) - p->kept + share;
        if (o->max_new_tokens && most > o->max_new_tokens)
            most = o->max_new_tokens;
        w->prompts[w->n_prompts++] = (struct prompt){x->ids + x->begin[p->example], p->kept, most,
                                                     rng_at(seed, i - first)};
    }
}

static void add_rows(const struct on_policy *o, uint64_t first_row, size_t n_rows)
{
    struct on_policy_work *w = o->work;
    size_t n_pieces = 0;
    for (size_t i = 0; i < n_rows; i++)
        n_pieces += example_rows_at(o->rows, first_row + i).n;
    reserve(w, n_rows, n_pieces, n_rows * o->rows->seq_len);
    w->n_pieces = w->n_prompts = 0;
    w->row_begin[0] = 0;
    for (size_t i = 0; i < n_rows; i++) {
        add_row(o, first_row + i);
        w->row_begin[i + 1] = w->n_pieces;
    }
}

/* --- what continues them --- */

static int continue_prompts(const struct on_policy *o, struct error *e)
{
    struct on_policy_work *w = o->work;
    if (w->n_prompts == 0)
        return OK;
    int code = o->student.complete(o->student.context, w->prompts, w->n_prompts, w->written, e);
    for (size_t i = 0; !code && i < w->n_prompts; i++)
        CHECK(w->written[i].count <= w->prompts[i].max_new_tokens);
    return code;
}

/* --- the batch --- */

static size_t append(struct examples *x, size_t end, const int32_t *ids, size_t n, bool learned)
{
    for (size_t i = 0; i < n; i++) {
        x->ids[end + i] = ids[i];
        x->learned[end + i] = learned;
    }
    return end + n;
}

/* The pieces and what was written behind them, as examples: no row of them is longer than the rows may be. */
static void make_examples(const struct on_policy *o)
{
    struct on_policy_work *w = o->work;
    const struct examples *from = o->rows->examples;
    const struct tokens *written = w->written;
    struct examples *x = &w->made;
    size_t end = 0;
    for (size_t i = 0; i < w->n_pieces; i++) {
        const struct piece *p = &w->pieces[i];
        x->begin[i] = end;
        end = append(x, end, from->ids + from->begin[p->example], p->kept, false);
        if (p->continued) {
            end = append(x, end, written->ids, written->count, true);
            written++;
        }
    }
    x->begin[w->n_pieces] = end;
    x->count = w->n_pieces;
}

/* The batch is the only one of the rows that the made examples are packed in as they come. */
static void lay_out(const struct on_policy *o, struct batch *b)
{
    struct on_policy_work *w = o->work;
    for (size_t i = 0; i < w->n_pieces; i++) {
        w->first_target[i] = 0;
        w->items[i] = i;
    }
    struct packing packing = {.capacity = o->rows->seq_len, .n_rows = b->n_rows, .begin = w->row_begin, .items = w->items};
    struct example_rows rows = {.examples = &w->made, .first_target = w->first_target, .packing = packing,
                                .seq_len = o->rows->seq_len};
    struct loader loader = example_rows_loader(&rows);
    loader_next(&loader, b);
    for (size_t i = 0; i < b->n_rows * b->seq_len; i++)
        b->target_numbers[i] = SIZE_MAX;
    b->n_examples = 0; /* what they are called here are no numbers of the dataset's */
}

/* False: the student could not, and o->failure says why. */
static bool fill_with_own(const struct on_policy *o, uint64_t first_row, struct batch *b)
{
    struct error e;
    add_rows(o, first_row, b->n_rows);
    if (continue_prompts(o, &e)) {
        *o->failure = e;
        return false;
    }
    make_examples(o);
    lay_out(o, b);
    return true;
}

static void fill(const void *source, uint64_t first_row, struct batch *b)
{
    const struct on_policy *o = source;
    struct loader plain = example_rows_loader(o->rows);
    o->work->last = !o->failure->code && on_policy_chosen(o, first_row) && fill_with_own(o, first_row, b);
    if (!o->work->last)
        plain.rows.fill(plain.rows.source, first_row, b);
    if (o->share) {
        o->share->sum += o->work->last;
        o->share->count += 1;
    }
}

struct loader on_policy_loader(const struct on_policy *o)
{
    return (struct loader){.rows = {o, o->rows->packing.n_rows, fill}};
}
