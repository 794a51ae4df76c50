#include "data/loader.h"

#include "base/check.h"
#include "base/rng.h"

enum { STREAM_PHASE = 1, STREAM_ORDER, FEISTEL_ROUNDS = 6 };

int loader_init(struct loader *l, const struct shard *s, enum loader_split split, size_t seq_len,
                bool mask_documents, bool shuffle, uint64_t seed, struct error *e)
{
    CHECK(seq_len > 0 && seq_len <= INT32_MAX);
    *l = (struct loader){
        .shard = s,
        .begin = split == LOADER_TRAIN ? 0 : s->n_train_tokens,
        .end = split == LOADER_TRAIN ? s->n_train_tokens : s->n_tokens,
        .seq_len = seq_len,
        .mask_documents = mask_documents,
        .shuffle = shuffle,
        .seed = seed,
    };
    size_t n = l->end - l->begin;
    const char *name = split == LOADER_TRAIN ? "training" : "validation";
    if (n < 2)
        return error_set(e, ERR_FORMAT, "the shard holds %zu %s tokens; at least 2 are needed%s", n,
                         name,
                         split == LOADER_TRAIN ? "" : ": prepare it with a validation fraction");
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
size_t loader_rows_per_epoch(const struct loader *l)
{
    size_t n = l->end - l->begin, T = l->seq_len;
    if (!l->shuffle)
        return (n - 1 + T - 1) / T;
    return n < 2 * T ? 1 : (n - T) / T;
}

static uint64_t epoch_key(const struct loader *l, uint64_t epoch, uint64_t stream)
{
    return rng_at(rng_at(l->seed, stream), epoch);
}

/* A bijection of [0, 2^(2 * half)). */
static uint64_t feistel(uint64_t x, uint64_t key, int half)
{
    uint64_t mask = ((uint64_t)1 << half) - 1, left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint64_t next = left ^ (rng_at(key + round, right) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

/* A bijection of [0, n): follows the larger bijection's cycle until it is back inside. */
static uint64_t permute(uint64_t i, uint64_t n, uint64_t key)
{
    int half = 1;
    while ((uint64_t)1 << (2 * half) < n)
        half++;
    do
        i = feistel(i, key, half);
    while (i >= n);
    return i;
}

/* The first token of a row of the endless sequence of epochs. */
static size_t shuffled_start(const struct loader *l, uint64_t row)
{
    size_t n = l->end - l->begin, rows = loader_rows_per_epoch(l);
    uint64_t epoch = row / rows;
    size_t room = n - rows * l->seq_len; /* phases that leave room for the last target */
    size_t phases = room < l->seq_len ? room : l->seq_len;
    size_t phase = epoch_key(l, epoch, STREAM_PHASE) % phases;
    return l->begin + phase +
           permute(row % rows, rows, epoch_key(l, epoch, STREAM_ORDER)) * l->seq_len;
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

static void mark_documents(const struct loader *l, size_t start, size_t n, struct batch *b,
                           size_t at)
{
    const struct shard *s = l->shard;
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
static void fill_row(const struct loader *l, size_t start, size_t n, struct batch *b, size_t row)
{
    size_t T = l->seq_len, at = row * T;
    for (size_t i = 0; i < T; i++) {
        b->positions[at + i] = (int32_t)i;
        b->first_key[at + i] = 0;
    }
    if (n) {
        shard_read(l->shard, start, n, b->input_ids + at);
        shard_read(l->shard, start + 1, n, b->targets + at);
        if (l->mask_documents)
            mark_documents(l, start, n, b, at);
    }
    for (size_t i = n; i < T; i++) {
        b->input_ids[at + i] = 0;
        b->targets[at + i] = TARGET_IGNORED;
    }
    for (size_t i = 0; i < n; i++)
        b->n_targets += b->targets[at + i] != TARGET_IGNORED;
}

void loader_fill(const struct loader *l, uint64_t first_row, struct batch *b)
{
    CHECK(b->seq_len == l->seq_len);
    b->n_targets = 0;
    for (size_t i = 0; i < b->n_rows; i++) {
        uint64_t row = first_row + i;
        if (l->shuffle) {
            fill_row(l, shuffled_start(l, row), l->seq_len, b, i);
        } else if (row >= loader_rows_per_epoch(l)) {
            fill_row(l, l->begin, 0, b, i);
        } else {
            size_t start = l->begin + row * l->seq_len, left = l->end - 1 - start;
            fill_row(l, start, left < l->seq_len ? left : l->seq_len, b, i);
        }
    }
}

void loader_next(struct loader *l, struct batch *b)
{
    loader_fill(l, l->rows_consumed, b);
    l->rows_consumed += b->n_rows;
}
