#include "distill/dump_teacher.h"

#include <math.h>

size_t dump_pair_train_positions(const struct dump_pair *pair)
{
    return pair->alignment ? pair->alignment->n_positions : pair->train->n_positions;
}

/* What a row is read from. */
struct source {
    struct dump *dump;
    const struct alignment *alignment;
};

static struct source source_of(const struct dump_pair *pair, bool held_out)
{
    return held_out ? (struct source){pair->held_out, pair->held_out_alignment} : (struct source){pair->train, pair->alignment};
}

/* Where the rows are read to. */
struct room {
    struct dump_rows rows;
    size_t *positions;
    int32_t *targets; /* aligned alone */
};

/* Scratch for n rows, and how it is shared out: what is of 8 bytes first. */
static size_t lay_out(struct source s, size_t n, float *base, struct room *r)
{
    const struct dump *d = s.dump;
    struct dump_rows *rows = &r->rows;
    size_t most = d->description.most, words = sizeof(size_t) / sizeof(float), used = 0;
    bool has_ids = d->description.kind != DUMP_DENSE || s.alignment;
    *rows = (struct dump_rows){.capacity = n, .most = most};
    r->positions = (size_t *)(base + used), used += words * n;
    rows->begin = (size_t *)(base + used), used += words * (n + 1);
    rows->log_tail = base + used, used += n;
    rows->log_probs = base + used, used += n * most;
    rows->ids = (int32_t *)(base + used), used += has_ids ? n * most : 0;
    r->targets = (int32_t *)(base + used), used += s.alignment ? n : 0;
    return used;
}

static size_t scratch(const void *context, size_t n)
{
    const struct dump_pair *pair = context;
    static float nowhere[1];
    struct room room;
    size_t used = lay_out(source_of(pair, false), n, nowhere, &room);
    size_t other = pair->held_out ? lay_out(source_of(pair, true), n, nowhere, &room) : 0;
    return used > other ? used : other;
}

/* Moves the probability of tokens from v on to the tail. */
static int drop_beyond(struct soft_targets *t, struct dump_rows *rows, size_t n, size_t v, struct error *e)
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
        if (rows->begin[i] == kept || (dropped > 0 && t->sampled))
            return error_set(e, ERR_FORMAT, "the dump holds a token likely that the student, with %zu, has not: %s", v,
                             t->sampled ? "that cannot be left out of samples" : "nothing else is known of that position");
    }
    t->v = v;
    return OK;
}

/* A batch is all of one of the two. */
static int read_rows(void *context, const struct batch *b, const uint32_t *index, size_t n, float *base,
                     struct soft_targets *out, struct error *e)
{
    const struct dump_pair *pair = context;
    size_t n_train = dump_pair_train_positions(pair);
    bool held_out = n > 0 && b->target_numbers[index[0]] >= n_train;
    struct source s = source_of(pair, held_out);
    struct room room;
    lay_out(s, n, base, &room);
    for (size_t i = 0; i < n; i++) {
        size_t number = b->target_numbers[index[i]] - (held_out ? n_train : 0);
        room.positions[i] = s.alignment ? s.alignment->positions[number] : number;
        if (s.alignment)
            room.targets[i] = b->targets[index[i]];
    }
    int code = dump_read(s.dump, room.positions, n, &room.rows, out, e);
    if (!code && s.alignment)
        token_map_rows(s.alignment->map, room.targets, n, &room.rows, out);
    else if (!code && !out->logits && s.dump->description.vocab_size > pair->vocab_size)
        code = drop_beyond(out, &room.rows, n, pair->vocab_size, e);
    return code;
}

struct teacher dump_teacher(struct dump_pair *pair)
{
    return (struct teacher){.context = pair, .scratch = scratch, .rows = read_rows};
}
