#include "data/shard_rows.h"

#include "base/check.h"
#include "base/rng.h"

enum { STREAM_PHASE = 1, STREAM_ORDER };

int shard_rows_init(struct shard_rows *r, const struct shard *s, enum shard_split split, size_t seq_len,
                bool mask_documents, bool shuffle, uint64_t seed, struct error *e)
{
    CHECK(seq_len > 0 && seq_len <= INT32_MAX);
    *r = (struct shard_rows){
        .shard = s,
        .begin = split == SHARD_TRAIN ? 0 : s->n_train_tokens,
        .end = split == SHARD_TRAIN ? s->n_train_tokens : s->n_tokens,
        .seq_len = seq_len,
        .mask_documents = mask_documents,
        .shuffle = shuffle,
        .seed = seed,
    };
    size_t n = r->end - r->begin;
    const char *name = split == SHARD_TRAIN ? "training" : "validation";
    if (n < 2)
        return error_set(e, ERR_FORMAT, "the shard holds %zu %s tokens; at least 2 are needed%s", n,
                         name,
                         split == SHARD_TRAIN ? "" : ": prepare it with a validation fraction");
    if (shuffle && n - 1 < seq_len)
        return error_set(
            e, ERR_FORMAT,
            "the shard holds %zu %s tokens, too few for one row of %zu and its last target; "
            "choose a shorter sequence or give it more text",
            n, name, seq_len);
    return OK;
}

/* With (n - seq_len) / seq_len rows, a phase of up to seq_len - 1 always leaves room for the last
 * row's last target. A split that short that this is 0 gets its one row. */
size_t shard_rows_per_epoch(const struct shard_rows *r)
{
    size_t n = r->end - r->begin, T = r->seq_len;
    if (!r->shuffle)
        return (n - 1 + T - 1) / T;
    return n < 2 * T ? 1 : (n - T) / T;
}

static uint64_t epoch_key(const struct shard_rows *r, uint64_t epoch, uint64_t stream)
{
    return rng_at(rng_at(r->seed, stream), epoch);
}

/* The first token of a row of the endless sequence of epochs. */
static size_t shuffled_start(const struct shard_rows *r, uint64_t row)
{
    size_t n = r->end - r->begin, rows = shard_rows_per_epoch(r);
    uint64_t epoch = row / rows;
    size_t room = n - rows * r->seq_len; /* phases that leave room for the last target */
    size_t phases = room < r->seq_len ? room : r->seq_len;
    size_t phase = epoch_key(r, epoch, STREAM_PHASE) % phases;
    return r->begin + phase +
           rng_permute(row % rows, rows, epoch_key(r, epoch, STREAM_ORDER)) * r->seq_len;
}

/* The first document boundary after `token`; the total when there is none. */
static size_t boundary_after(const struct shard *s, size_t token)
{
    size_t low = 0, high = s->n_documents; /* documents[low] <= token < documents[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->documents[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void mark_documents(const struct shard_rows *r, size_t start, size_t n, struct batch *b,
                           size_t at)
{
    const struct shard *s = r->shard;
    size_t next = boundary_after(s, start), document = 0;
    for (size_t i = 0; i < n; i++) {
        if (start + i == s->documents[next]) {
            document = i;
            next++;
        }
        b->positions[at + i] = (int32_t)(i - document);
        b->first_key[at + i] = (int32_t)document;
        if (start + i + 1 == s->documents[next])
            b->targets[at + i] = TARGET_IGNORED;
    }
}

/* A row of n <= seq_len targets; the rest is padding. */
static void fill_row(const struct shard_rows *r, size_t start, size_t n, struct batch *b, size_t row)
{
    size_t T = r->seq_len, at = row * T;
    for (size_t i = 0; i < T; i++) {
        b->positions[at + i] = (int32_t)i;
        b->first_key[at + i] = 0;
    }
    if (n) {
        shard_read(r->shard, start, n, b->input_ids + at);
        shard_read(r->shard, start + 1, n, b->targets + at);
        if (r->mask_documents)
            mark_documents(r, start, n, b, at);
    }
    for (size_t i = n; i < T; i++) {
        b->input_ids[at + i] = 0;
        b->targets[at + i] = TARGET_IGNORED;
    }
    for (size_t i = 0; i < n; i++)
        b->n_targets += b->targets[at + i] != TARGET_IGNORED;
}

void shard_rows_fill(const struct shard_rows *r, uint64_t first_row, struct batch *b)
{
    CHECK(r->seq_len <= b->capacity);
    b->seq_len = r->seq_len;
    b->n_targets = b->n_examples = 0;
    b->branches = false;
    for (size_t i = 0; i < b->n_rows; i++) {
        uint64_t row = first_row + i;
        if (r->shuffle) {
            fill_row(r, shuffled_start(r, row), r->seq_len, b, i);
        } else if (row >= shard_rows_per_epoch(r)) {
            fill_row(r, r->begin, 0, b, i);
        } else {
            size_t start = r->begin + row * r->seq_len, left = r->end - 1 - start;
            fill_row(r, start, left < r->seq_len ? left : r->seq_len, b, i);
        }
    }
}

static void fill(const void *source, uint64_t first_row, struct batch *b)
{
    shard_rows_fill(source, first_row, b);
}

struct loader shard_rows_loader(const struct shard_rows *r)
{
    return (struct loader){.rows = {r, shard_rows_per_epoch(r), fill}};
}
