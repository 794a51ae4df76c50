/* Distributions of positions. */
#include "base/check.h"
#include "distill/dump_private.h"

#include <math.h>

enum { PIECE = 4 * DUMP_BLOCK }; /* positions read at once where their counts differ */

/* One run of neighbours within a part. */
struct run {
    struct dump *dump;
    struct dump_part *part;
    size_t first, n;        /* positions of the part */
    struct dump_rows *rows;
    size_t row, entry;      /* where it goes: its first row, and its first entry there */
};

static int read_column(const struct run *r, int column, enum hdf5_type type, size_t offset, size_t n, void *out,
                       struct error *e)
{
    struct hdf5_fault fault = {0};
    int code = hdf5_column_read(r->part->columns[column], type, offset, n, out, &fault, e);
    return code && fault.what ? dump_chunk_error(r->part, dump_column_names[column], &fault, e) : code;
}

/* Something is wrong with what was stored for row i of the run. */
static int bad_value(const struct run *r, size_t i, int column, size_t element, const char *what, double value,
                     struct error *e)
{
    size_t chunk = element / hdf5_column_info(r->part->columns[column])->chunk_rows;
    return error_set(e, ERR_FORMAT, "%s: dataset \"%s\", chunk %zu, position %zu: %s (%g); write this part again", r->part->path,
                     dump_column_names[column], chunk, r->first + i, what, value);
}

static int read_tails(const struct run *r, struct error *e)
{
    float *tail = r->rows->log_tail + r->row;
    int code = read_column(r, COLUMN_TAIL, HDF5_F32, r->first, r->n, tail, e);
    for (size_t i = 0; i < r->n && !code; i++)
        if (!(tail[i] <= 0))
            code = bad_value(r, i, COLUMN_TAIL, r->first + i, "a log-probability must be at most 0", (double)tail[i], e);
    return code;
}

/* Gaps, in place, become ids. `begin`: of the run's rows; first: the number of its first entry in the part. */
static int sum_gaps(const struct run *r, const size_t *begin, size_t first, struct error *e)
{
    const uint64_t v = r->dump->description.vocab_size;
    for (size_t i = 0; i < r->n; i++) {
        uint64_t id = 0;
        for (size_t j = begin[i]; j < begin[i + 1]; j++) {
            uint32_t gap = (uint32_t)r->rows->ids[j];
            if (gap == 0 && j > begin[i])
                return bad_value(r, i, COLUMN_GAPS, first + j - begin[0], "an id is there twice", (double)id, e);
            id += gap;
            if (id >= v)
                return bad_value(r, i, COLUMN_GAPS, first + j - begin[0], "an id is beyond the vocabulary", (double)id, e);
            r->rows->ids[j] = (int32_t)id;
        }
    }
    return OK;
}

static int check_log_probs(const struct run *r, const size_t *begin, size_t first, struct error *e)
{
    const float *log_probs = r->rows->log_probs;
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = begin[i]; j < begin[i + 1]; j++)
            if (!(log_probs[j] <= 0 && log_probs[j] >= -3e38f))
                return bad_value(r, i, COLUMN_PROBS, first + j - begin[0], "a log-probability must be a number, at most 0",
                                 (double)log_probs[j], e);
    return OK;
}

/* The run's rows in `begin`, and the number of its first entry in the part. */
static int find_entries(const struct run *r, size_t *begin, size_t *first, struct error *e)
{
    const struct dump_part *p = r->part;
    begin[0] = r->entry;
    if (!p->counted) {
        *first = r->first * p->most;
        for (size_t i = 0; i < r->n; i++)
            begin[i + 1] = begin[i] + p->most;
        return OK;
    }
    uint32_t counts[PIECE];
    size_t block = r->first / DUMP_BLOCK, skip = r->first % DUMP_BLOCK;
    CHECK(skip + r->n <= PIECE);
    int code = read_column(r, COLUMN_COUNTS, HDF5_U32, r->first - skip, skip + r->n, counts, e);
    if (code)
        return code;
    *first = p->blocks[block];
    for (size_t i = 0; i < skip; i++)
        *first += counts[i];
    for (size_t i = 0; i < r->n; i++) {
        if (counts[skip + i] > p->most)
            return bad_value(r, i, COLUMN_COUNTS, r->first + i, "the file has changed: entries", counts[skip + i], e);
        begin[i + 1] = begin[i] + counts[skip + i];
    }
    return OK;
}

static int read_sparse(struct run *r, struct error *e)
{
    size_t *begin = r->rows->begin + r->row, first = 0;
    int code = find_entries(r, begin, &first, e);
    if (code)
        return code;
    size_t n = begin[r->n] - begin[0];
    code = read_column(r, COLUMN_GAPS, HDF5_U32, first, n, r->rows->ids + begin[0], e);
    if (!code)
        code = sum_gaps(r, begin, first, e);
    if (!code)
        code = read_column(r, COLUMN_PROBS, HDF5_F32, first, n, r->rows->log_probs + begin[0], e);
    if (!code)
        code = check_log_probs(r, begin, first, e);
    if (!code)
        code = read_tails(r, e);
    r->entry = begin[r->n];
    return code;
}

/* Log-probabilities at temperature T times T are logits at temperature 1. */
static int read_dense(struct run *r, struct error *e)
{
    size_t v = r->dump->description.vocab_size;
    float *logits = r->rows->log_probs + r->row * v, t = (float)r->dump->description.temperature;
    int code = read_column(r, COLUMN_PROBS, HDF5_F32, r->first, r->n, logits, e);
    for (size_t i = 0; i < r->n && !code; i++)
        for (size_t j = 0; j < v; j++) {
            float *x = &logits[i * v + j];
            if (!(*x <= 0))
                return bad_value(r, i, COLUMN_PROBS, r->first + i, "a log-probability must be a number, at most 0", (double)*x,
                                 e);
            *x *= t;
        }
    return code;
}

static struct dump_part *part_of(const struct dump *d, size_t position)
{
    size_t low = 0, high = d->n_parts;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (d->parts[middle].first_position <= position)
            low = middle;
        else
            high = middle;
    }
    return &d->parts[low]; /* of parts without positions the last one that begins there */
}

/* How many of n positions follow one another from the first on, in one piece. */
static size_t run_length(const struct dump_part *p, const size_t *positions, size_t n)
{
    size_t end = p->first_position + p->n_positions, most = end - positions[0], length = 1;
    if (p->counted) {
        size_t room = PIECE - (positions[0] - p->first_position) % DUMP_BLOCK;
        most = most < room ? most : room;
    }
    while (length < n && length < most && positions[length] == positions[0] + length)
        length++;
    return length;
}

int dump_read(struct dump *d, const size_t *positions, size_t n, struct dump_rows *rows, struct soft_targets *out,
              struct error *e)
{
    const struct dump_description *s = &d->description;
    bool dense = s->kind == DUMP_DENSE;
    CHECK(n <= rows->capacity && s->most <= rows->most);
    struct run r = {.dump = d, .rows = rows};
    for (size_t i = 0; i < n; i += r.n) {
        CHECK(positions[i] < d->n_positions);
        r.part = part_of(d, positions[i]);
        r.first = positions[i] - r.part->first_position;
        r.n = run_length(r.part, positions + i, n - i);
        r.row = i;
        int code = dump_use_part(d, r.part, e);
        if (!code)
            code = dense ? read_dense(&r, e) : read_sparse(&r, e);
        if (code)
            return code;
    }
    *out = (struct soft_targets){.v = s->vocab_size, .source_temperature = (float)s->temperature,
                                 .sampled = s->kind == DUMP_SAMPLED};
    if (dense) {
        out->logits = rows->log_probs;
        return OK;
    }
    if (n == 0)
        rows->begin[0] = 0;
    out->begin = rows->begin;
    out->ids = rows->ids;
    out->log_probs = rows->log_probs;
    out->log_tail = rows->log_tail;
    return OK;
}
