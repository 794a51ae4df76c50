#include "distill/dump_teacher.h"

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
    static float nowhere[1];
    struct dump_rows rows;
    size_t *positions;
    return lay_out(context, n, nowhere, &rows, &positions);
}

static int read_rows(void *context, const struct batch *b, const uint32_t *index, size_t n, float *base,
                     struct soft_targets *out, struct error *e)
{
    struct dump *d = context;
    struct dump_rows rows;
    size_t *positions;
    lay_out(d, n, base, &rows, &positions);
    for (size_t i = 0; i < n; i++)
        positions[i] = b->target_numbers[index[i]];
    return dump_read(d, positions, n, &rows, out, e);
}

struct teacher dump_teacher(struct dump *d)
{
    return (struct teacher){.context = d, .scratch = scratch, .rows = read_rows};
}
