/* Every distribution of a dump read once, and what they are like together. */
#include "base/log.h"
#include "base/memory.h"
#include "distill/dump_private.h"

#include <math.h>

enum { PIECE_ENTRIES = 1 << 20, PIECE_POSITIONS = 16384 };

struct verification {
    struct dump *dump;
    struct dump_rows rows;
    size_t *positions;   /* (capacity) */
    size_t token;        /* where the next position's token is looked for */
    /* sums over positions */
    double entries, covered, tail, entropy, top, agreement, cross_entropy, target_covered;
    double offsets, squares; /* of the sums of distributions from 1, and those squared */
};

/* The token that stands at the next position. */
static int32_t next_target(struct verification *v)
{
    const struct examples *x = &v->dump->examples;
    while (!x->learned[v->token])
        v->token++;
    return x->ids[v->token++];
}

static const struct dump_part *part_of(const struct dump *d, size_t position)
{
    size_t i = 0;
    while (position >= d->parts[i].first_position + d->parts[i].n_positions)
        i++;
    return &d->parts[i];
}

static int bad_sum(const struct dump *d, size_t position, double sum, struct error *e)
{
    const struct dump_part *p = part_of(d, position);
    return error_set(e, ERR_FORMAT,
                     "%s: dataset \"log_probs\", position %zu: probabilities and tail add up to %.4f, not 1; are they "
                     "normalised, and log_tail that of all other tokens? Write this part again",
                     p->path, position - p->first_position, sum);
}

/* One position's entries (n, by id) into the sums. */
static int count_position(struct verification *v, size_t position, const int32_t *ids, const float *log_probs, size_t n,
                          double log_tail, struct error *e)
{
    int32_t target = next_target(v), top = 0;
    double covered = 0, tail = exp(log_tail), entropy = tail > 0 ? -tail * log_tail : 0, best = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        double log_p = (double)log_probs[i], p = exp(log_p);
        int32_t id = ids ? ids[i] : (int32_t)i;
        covered += p;
        entropy -= p > 0 ? p * log_p : 0;
        if (log_p > best)
            best = log_p, top = id;
        if (id == target && p > 0) {
            v->cross_entropy -= log_p;
            v->target_covered++;
        }
    }
    double off = covered + tail - 1;
    if (v->dump->description.kind != DUMP_SAMPLED && !(fabs(off) <= 0.01))
        return bad_sum(v->dump, position, off + 1, e);
    v->offsets += off;
    v->squares += off * off;
    v->entries += (double)n;
    v->covered += covered;
    v->tail += tail;
    v->entropy += entropy;
    v->top += exp(best);
    v->agreement += top == target;
    return OK;
}

static int count_piece(struct verification *v, size_t first, size_t n, struct error *e)
{
    struct soft_targets t;
    const size_t vocab = v->dump->description.vocab_size;
    const float scale = 1 / (float)v->dump->description.temperature;
    for (size_t i = 0; i < n; i++)
        v->positions[i] = first + i;
    int code = dump_read(v->dump, v->positions, n, &v->rows, &t, e);
    for (size_t i = 0; t.logits && !code && i < n * vocab; i++)
        v->rows.log_probs[i] *= scale;
    for (size_t i = 0; i < n && !code; i++)
        code = t.logits ? count_position(v, first + i, NULL, t.logits + i * vocab, vocab, -INFINITY, e)
                        : count_position(v, first + i, t.ids + t.begin[i], t.log_probs + t.begin[i],
                                         t.begin[i + 1] - t.begin[i], (double)t.log_tail[i], e);
    return code;
}

/* Sampled distributions sum to 1 in the mean: within 0.01 and what chance explains, which few positions do not tell. */
static int check_mean(const struct verification *v, struct error *e)
{
    enum { FEW = 30 };
    double n = (double)v->dump->n_positions, off = v->offsets / n, mean = 1 + off;
    double chance = n < FEW ? INFINITY : 5 * sqrt(fmax(0, v->squares / n - off * off) / n);
    if (v->dump->description.kind != DUMP_SAMPLED || fabs(mean - 1) <= 0.01 + chance)
        return OK;
    return error_set(e, ERR_FORMAT,
                     "%s: dataset \"log_probs\": the weights of a position add up to %.4f in the mean of %zu, not 1: they are no "
                     "estimate of probabilities; write the dump again",
                     v->dump->parts->path, mean, v->dump->n_positions);
}

static void set_statistics(const struct verification *v, struct dump_statistics *s)
{
    double n = (double)v->dump->n_positions;
    n = n > 0 ? n : 1;
    *s = (struct dump_statistics){v->entries / n, v->covered / n,   v->tail / n, v->entropy / n, v->top / n, v->agreement / n,
                                  v->target_covered > 0 ? v->cross_entropy / v->target_covered : 0, v->target_covered / n};
}

static void allocate(struct verification *v)
{
    size_t most = v->dump->description.most, n = PIECE_ENTRIES / most;
    n = n > PIECE_POSITIONS ? PIECE_POSITIONS : n ? n : 1;
    bool dense = v->dump->description.kind == DUMP_DENSE;
    v->rows = (struct dump_rows){n, most, mem_alloc(n + 1, sizeof(size_t)), dense ? NULL : mem_alloc(n, most * sizeof(int32_t)),
                                 mem_alloc(n, most * sizeof(float)), mem_alloc(n, sizeof(float))};
    v->positions = mem_alloc(n, sizeof *v->positions);
}

int dump_verify(struct dump *d, const char *label, struct dump_statistics *statistics, struct error *e)
{
    struct verification v = {.dump = d};
    struct progress progress;
    int code = OK;
    allocate(&v);
    if (label)
        progress_start(&progress, label, (double)d->n_positions);
    for (size_t i = 0; i < d->n_positions && !code; i += v.rows.capacity) {
        size_t n = d->n_positions - i < v.rows.capacity ? d->n_positions - i : v.rows.capacity;
        code = count_piece(&v, i, n, e);
        if (label && !code)
            progress_update(&progress, (double)(i + n), "");
    }
    if (label)
        progress_finish(&progress, "");
    if (!code && d->n_positions)
        code = check_mean(&v, e);
    if (!code && statistics)
        set_statistics(&v, statistics);
    mem_free(v.rows.begin);
    mem_free(v.rows.ids);
    mem_free(v.rows.log_probs);
    mem_free(v.rows.log_tail);
    mem_free(v.positions);
    return code;
}
