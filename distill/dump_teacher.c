#include "distill/dump_teacher.h"

#include <math.h>

/* Scratch for n rows, and how it is shared out: what is of 8 bytes first. */
static size_t lay_out(const struct dump *d, size_t n, float *base, struct dump_rows *rows, size_t **positions)
{
    size_t most = d->description.most, words = sizeof(size_t) / sizeof(float), used = 0;
    bool dense = d->description.kind == DUMP_DENSE;
    *rows = (struct dump_rows){.capacity = n, .most = most};
    *positions = (size_t *)(base + used), used += words * n;
    rows->begin = (size_t *)(base + used), used += words * (n + 1);
    rows->log_tail = base + used, used += n;
    rows->log_probs = base + used, used += n * most;
    rows->ids = (int32_t *)(base + used), used += dense ? 0 : n * most;
    return used;
}

static size_t scratch(const void *context, size_t n)
{
    const struct dump_pair *pair = context;
    static float nowhere[1];
    struct dump_rows rows;
    size_t *positions;
    size_t used = lay_out(pair->train, n, nowhere, &rows, &positions), other = 0;
    if (pair->held_out)
        other = lay_out(pair->held_out, n, nowhere, &rows, &positions);
    return used > other ? used : other;
}

/* Moves the probability of tokens from v on to the tail. */
static void drop_beyond(struct soft_targets *t, struct dump_rows *rows, size_t n, size_t v)
{
    size_t kept = 0, from = 0;
    for (size_t i = 0; i < n; i++) {
        double tail = exp(rows->log_tail[i]), dropped = 0;
        size_t end = rows->begin[i + 1];
        for (; from < end; from++) {
            if ((size_t)rows->ids[from] >= v) {
                dropped += exp(rows->log_probs[from]);
                continue;
            }
            rows->ids[kept] = rows->ids[from];
            rows->log_probs[kept++] = rows->log_probs[from];
        }
        if (dropped > 0)
            rows->log_tail[i] = (float)log(tail + dropped);
        rows->begin[i + 1] = kept;
    }
    t->v = v;
}

/* A batch is all of one of the two. */
static int read_rows(void *context, const struct batch *b, const uint32_t *index, size_t n, float *base,
                     struct soft_targets *out, struct error *e)
{
    const struct dump_pair *pair = context;
    bool held_out = n > 0 && b->target_numbers[index[0]] >= pair->train->n_positions;
    struct dump *d = held_out ? pair->held_out : pair->train;
    struct dump_rows rows;
    size_t *positions;
    lay_out(d, n, base, &rows, &positions);
    for (size_t i = 0; i < n; i++)
        positions[i] = b->target_numbers[index[i]] - (held_out ? pair->train->n_positions : 0);
    int code = dump_read(d, positions, n, &rows, out, e);
    if (!code && !out->logits && d->description.vocab_size > pair->vocab_size)
        drop_beyond(out, &rows, n, pair->vocab_size);
    return code;
}

struct teacher dump_teacher(struct dump_pair *pair)
{
    return (struct teacher){.context = pair, .scratch = scratch, .rows = read_rows};
}
