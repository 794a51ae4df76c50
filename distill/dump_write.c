/* Writing a dump, part by part. */
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "distill/dump_private.h"
#include "kernels/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ELEMENTS = 32768, /* what a reader decompresses at least */
    PART_BYTES = 300000000,
    PARTS_MOST = 100000,
};
static const float f16_lowest = -65504;

enum { COLUMN_TOKENS = DUMP_COLUMNS, COLUMN_SEQUENCES, COLUMN_SUPERVISED, WRITTEN_COLUMNS };

struct dump_writer {
    char *folder;
    int compression;
    size_t positions_per_part;
    struct dump_description description;
    size_t number;                               /* of the part at hand, or the next one */
    struct hdf5_file *file;                      /* NULL: none is begun */
    struct hdf5_column *columns[WRITTEN_COLUMNS];
    size_t n_tokens, n_positions;                /* of the part at hand */
    bool has_parts;
    struct error failure;
    struct buffer gaps, log_probs, counts, work; /* of the sequence at hand */
};

static bool counted(const struct dump_description *d)
{
    return d->kind == DUMP_SAMPLED || (d->kind == DUMP_TOP && d->cumulative > 0);
}

static enum hdf5_type small_type(size_t largest)
{
    return largest <= UINT16_MAX ? HDF5_U16 : HDF5_U32;
}

/* ---- opening ---- */

static int check_description(const struct dump_description *d, struct error *e)
{
    if (d->vocab_size == 0 || d->vocab_size > INT32_MAX)
        return error_set(e, ERR_USAGE, "a vocabulary of %zu tokens: ids have 31 bits", d->vocab_size);
    if (d->most == 0 || d->most > d->vocab_size || (d->kind == DUMP_DENSE && d->most != d->vocab_size))
        return error_set(e, ERR_USAGE, "%zu entries of a position, of a vocabulary of %zu tokens", d->most, d->vocab_size);
    if (d->kind != DUMP_DENSE && d->most > DUMP_SPARSE_MOST)
        return error_set(e, ERR_USAGE, "%zu entries of a position: over %d a dump must be dense", d->most, DUMP_SPARSE_MOST);
    if (!(d->temperature > 0 && isfinite(d->temperature)))
        return error_set(e, ERR_USAGE, "a temperature of %g: it must be above 0", d->temperature);
    if (!(d->cumulative >= 0 && d->cumulative <= 1))
        return error_set(e, ERR_USAGE, "a cumulative probability of %g: it must be 0 to 1", d->cumulative);
    if (!d->teacher || !*d->teacher)
        return error_set(e, ERR_USAGE, "a dump needs the name of its teacher");
    return OK;
}

/* What is there already: the description must be the same. */
static int check_resumed(const struct dump *d, const char *path, const struct dump_description *wanted, struct error *e)
{
    const struct dump_description *there = &d->description;
    const char *what = NULL;
    if (dump_check_same(there, path, wanted, "what is to be added", e))
        return e ? e->code = ERR_USAGE : ERR_USAGE;
    if (there->most != wanted->most)
        what = "k";
    else if (there->cumulative != wanted->cumulative)
        what = "cumulative";
    else if (there->teacher_hash != wanted->teacher_hash)
        what = "teacher_hash";
    return !what ? OK
                 : error_set(e, ERR_USAGE, "%s: \"%s\" of the parts there is another than that of what is to be added; go on "
                                           "with the same, or choose another folder",
                             path, what);
}

static int resume(struct dump_writer *w, size_t *n_sequences, size_t *n_positions, struct error *e)
{
    struct dump d;
    int code = dump_open(w->folder, &d, e);
    if (code)
        return code;
    code = check_resumed(&d, w->folder, &w->description, e);
    *n_sequences = d.examples.count;
    *n_positions = d.n_positions;
    w->has_parts = true;
    dump_close(&d);
    return code;
}

static char *part_path(const struct dump_writer *w)
{
    char name[32];
    snprintf(name, sizeof name, "part-%05zu.h5", w->number);
    return path_join(w->folder, name);
}

/* The number of the next part: behind all that are there, in the order of names. */
static int number_parts(struct dump_writer *w, const struct path_list *parts, struct error *e)
{
    w->number = parts->count;
    for (size_t i = 0; i < parts->count; i++) {
        unsigned number;
        int end = 0;
        const char *name = path_basename(parts->paths[i]);
        if (sscanf(name, "part-%5u.h5%n", &number, &end) == 1 && end && !name[end] && number >= w->number)
            w->number = number + 1;
    }
    char *path = part_path(w);
    int code = OK;
    if (w->number >= PARTS_MOST)
        code = error_set(e, ERR_USAGE, "%s: holds %d parts, more have no names; choose another folder", w->folder, PARTS_MOST);
    else if (parts->count && strcmp(parts->paths[parts->count - 1], path) > 0)
        code = error_set(e, ERR_USAGE, "%s: stands behind %s, which would be the next part; rename it", parts->paths[parts->count - 1],
                         path_basename(path));
    if (!code)
        file_remove_leftovers(path);
    mem_free(path);
    return code;
}

static int open_folder(struct dump_writer *w, bool resumes, size_t *n_sequences, size_t *n_positions, struct error *e)
{
    struct path_list parts = {0};
    if (path_has_suffix(w->folder, ".h5"))
        return error_set(e, ERR_USAGE, "%s: a dump is written as a folder of parts; name it without .h5", w->folder);
    int code = dir_make(w->folder, e);
    if (!code)
        code = dump_list(w->folder, &parts, e);
    if (!code && parts.count && !resumes)
        code = error_set(e, ERR_USAGE, "%s: holds %zu parts of a dump already; resume it, or choose another folder", w->folder,
                         parts.count);
    if (!code)
        code = number_parts(w, &parts, e);
    if (!code && parts.count)
        code = resume(w, n_sequences, n_positions, e);
    path_list_free(&parts);
    return code;
}

static size_t default_part(const struct dump_description *d)
{
    double bytes = d->kind == DUMP_DENSE ? 1.4 * (double)d->vocab_size : 2.6 * (double)d->most + 8;
    return (size_t)fmax(1, PART_BYTES / bytes);
}

int dump_writer_open(const struct dump_writer_options *o, const struct dump_description *description,
                     struct dump_writer **writer, size_t *n_sequences, size_t *n_positions, struct error *e)
{
    *writer = NULL;
    *n_sequences = *n_positions = 0;
    int code = check_description(description, e);
    if (code)
        return code;
    CHECK(o->compression >= 0 && o->compression <= 9);
    struct dump_writer *w = mem_zero(1, sizeof *w);
    w->folder = mem_string(o->path);
    w->compression = o->compression;
    w->description = dump_description_copy(description);
    w->positions_per_part = o->positions_per_part ? o->positions_per_part : default_part(description);
    code = dump_hash_tokenizer(&w->description, o->path, e);
    if (!code)
        code = open_folder(w, o->resume, n_sequences, n_positions, e);
    if (code)
        dump_writer_close(w);
    else
        *writer = w;
    return code;
}

/* ---- parts ---- */

static int create_columns(struct dump_writer *w, struct error *e)
{
    const struct dump_description *d = &w->description;
    bool dense = d->kind == DUMP_DENSE;
    size_t row = dense ? d->vocab_size : 1, rows = 2 * CHUNK_ELEMENTS / row;
    const struct {
        int column;
        const char *name;
        enum hdf5_type type;
        size_t width, chunk_rows;
        bool absent;
    } table[] = {
        {COLUMN_TOKENS, "tokens", small_type(d->vocab_size - 1), 0, CHUNK_ELEMENTS, false},
        {COLUMN_SEQUENCES, "sequences", HDF5_U64, 0, CHUNK_ELEMENTS / 8, false},
        {COLUMN_SUPERVISED, "supervised", HDF5_U8, 0, 2 * CHUNK_ELEMENTS, false},
        {COLUMN_COUNTS, "counts", small_type(d->most), 0, CHUNK_ELEMENTS, !counted(d)},
        {COLUMN_GAPS, "id_gaps", small_type(d->vocab_size - 1), 0, CHUNK_ELEMENTS, dense},
        {COLUMN_PROBS, "log_probs", HDF5_F16, dense ? row : 0, !dense ? CHUNK_ELEMENTS : rows ? rows : 1, false},
        {COLUMN_TAIL, "log_tail", HDF5_F16, 0, CHUNK_ELEMENTS, dense},
    };
    int code = OK;
    for (size_t i = 0; i < sizeof table / sizeof *table && !code; i++)
        if (!table[i].absent)
            code = hdf5_column_create(w->file, table[i].name, table[i].type, table[i].width, table[i].chunk_rows,
                                      w->compression, &w->columns[table[i].column], e);
    return code;
}

static int begin_part(struct dump_writer *w, struct error *e)
{
    if (w->number >= PARTS_MOST)
        return error_set(e, ERR_USAGE, "%s: holds %d parts, more have no names; choose another folder", w->folder, PARTS_MOST);
    char *path = part_path(w);
    int code = hdf5_create(path, &w->file, e);
    mem_free(path);
    if (!code)
        code = dump_write_description(w->file, &w->description, e);
    if (!code)
        code = create_columns(w, e);
    if (!code)
        code = hdf5_column_append(w->columns[COLUMN_SEQUENCES], &(uint64_t){0}, 1, e);
    w->n_tokens = w->n_positions = 0;
    return code;
}

static int complete_part(struct dump_writer *w, struct error *e)
{
    int code = OK;
    for (int i = 0; i < WRITTEN_COLUMNS; i++) {
        int finished = hdf5_column_finish(w->columns[i], code ? NULL : e);
        w->columns[i] = NULL;
        code = code ? code : finished;
    }
    struct hdf5_file *file = w->file;
    w->file = NULL;
    if (code)
        hdf5_close(file);
    else
        code = hdf5_commit(file, e);
    w->number++;
    w->has_parts = w->has_parts || !code;
    return code;
}

/* ---- rows ---- */

static int bad_row(size_t row, const char *what, double value, struct error *e)
{
    return error_set(e, ERR_USAGE, "a teacher's distribution at target %zu of a sequence: %s (%g)", row, what, value);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void append_half(struct buffer *out, float value)
{
    uint16_t half;
    value = value > 0 ? 0 : value < f16_lowest && isfinite(value) ? f16_lowest : value;
    f16_from_f32(&value, &half, 1);
    buffer_append(out, &half, sizeof half);
}

static void append_whole(struct buffer *out, enum hdf5_type type, uint32_t value)
{
    uint16_t narrow = (uint16_t)value;
    if (type == HDF5_U16)
        buffer_append(out, &narrow, sizeof narrow);
    else
        buffer_append(out, &value, sizeof value);
}

/* The n entries of a row by id, each id in the upper half of a key, its place in the lower one. */
static uint64_t *sort_entries(struct dump_writer *w, const int32_t *ids, size_t n)
{
    buffer_clear(&w->work);
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)(uint32_t)ids[i] << 32 | i;
        buffer_append(&w->work, &key, sizeof key);
        sorted = sorted && (i == 0 || ids[i] > ids[i - 1]);
    }
    if (!sorted)
        qsort(w->work.data, n, sizeof(uint64_t), compare_keys);
    return (uint64_t *)(void *)w->work.data;
}

static int add_entries(struct dump_writer *w, const struct soft_targets *t, size_t row, struct error *e)
{
    const struct dump_description *d = &w->description;
    enum hdf5_type type = small_type(d->vocab_size - 1);
    size_t first = t->begin[row], n = t->begin[row + 1] - first;
    double sum = exp((double)t->log_tail[row]);
    if (n == 0 || n > d->most || (!counted(d) && n != d->most))
        return bad_row(row, "number of entries", (double)n, e);
    const uint64_t *keys = sort_entries(w, t->ids + first, n);
    uint32_t last = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)(keys[i] >> 32);
        float log_prob = t->log_probs[first + (keys[i] & UINT32_MAX)];
        if (id >= d->vocab_size || (i && id == last))
            return bad_row(row, "an id that is beyond the vocabulary or there twice", (double)(int32_t)id, e);
        if (!(log_prob <= 1e-3f) || !isfinite(log_prob))
            return bad_row(row, "a log-probability", (double)log_prob, e);
        sum += exp((double)log_prob);
        append_whole(&w->gaps, type, id - last);
        append_half(&w->log_probs, log_prob);
        last = id;
    }
    if (!(sum >= 0) || (d->kind == DUMP_TOP && fabs(sum - 1) > 0.01))
        return bad_row(row, "the sum of its probabilities and the tail's", sum, e);
    append_whole(&w->counts, small_type(d->most), (uint32_t)n);
    return OK;
}

static int write_sparse(struct dump_writer *w, const struct soft_targets *t, size_t n, struct error *e)
{
    size_t gap_bytes = small_type(w->description.vocab_size - 1) == HDF5_U16 ? 2 : 4;
    buffer_clear(&w->gaps);
    buffer_clear(&w->log_probs);
    buffer_clear(&w->counts);
    int code = OK;
    for (size_t i = 0; i < n && !code; i++)
        code = add_entries(w, t, i, e);
    if (!code && counted(&w->description))
        code = hdf5_column_append(w->columns[COLUMN_COUNTS], w->counts.data, n, e);
    if (!code)
        code = hdf5_column_append(w->columns[COLUMN_GAPS], w->gaps.data, w->gaps.size / gap_bytes, e);
    if (!code)
        code = hdf5_column_append(w->columns[COLUMN_PROBS], w->log_probs.data, w->log_probs.size / 2, e);
    buffer_clear(&w->work);
    for (size_t i = 0; i < n; i++)
        append_half(&w->work, t->log_tail[i]);
    return code ? code : hdf5_column_append(w->columns[COLUMN_TAIL], w->work.data, n, e);
}

/* log softmax(logits / temperature) as halves; false where there is none. */
static bool normalise(const float *logits, size_t v, float temperature, uint16_t *out)
{
    float most = -INFINITY;
    double sum = 0;
    bool good = true;
    for (size_t i = 0; i < v; i++) {
        good = good && logits[i] < INFINITY; /* a NaN is not */
        most = logits[i] > most ? logits[i] : most;
    }
    if (!good || most == -INFINITY)
        return false;
    for (size_t i = 0; i < v; i++)
        sum += (double)expf((logits[i] - most) / temperature);
    float log_sum = (float)log(sum), block[256];
    for (size_t i = 0; i < v; i += 256) {
        size_t n = v - i < 256 ? v - i : 256;
        for (size_t j = 0; j < n; j++) {
            float x = (logits[i + j] - most) / temperature - log_sum;
            block[j] = x > 0 ? 0 : x < f16_lowest && x > -INFINITY ? f16_lowest : x;
        }
        f16_from_f32(block, out + i, n);
    }
    return true;
}

static int write_dense(struct dump_writer *w, const struct soft_targets *t, size_t n, struct error *e)
{
    enum { ROWS = 64 };
    size_t v = w->description.vocab_size;
    float temperature = (float)w->description.temperature;
    uint16_t *halves = mem_alloc(n < ROWS ? n : ROWS, v * sizeof *halves);
    int code = OK;
    for (size_t i = 0; i < n && !code; i += ROWS) {
        size_t rows = n - i < ROWS ? n - i : ROWS, bad = SIZE_MAX;
#pragma omp parallel for schedule(dynamic, 1) reduction(min : bad)
        for (size_t j = 0; j < rows; j++)
            if (!normalise(t->logits + (i + j) * v, v, temperature, halves + j * v))
                bad = j < bad ? j : bad;
        code = bad != SIZE_MAX ? bad_row(i + bad, "a logit that is infinite or no number", NAN, e)
                               : hdf5_column_append(w->columns[COLUMN_PROBS], halves, rows, e);
    }
    mem_free(halves);
    return code;
}

/* ---- sequences ---- */

static int check_sequence(const struct dump_writer *w, const int32_t *ids, const uint8_t *supervised, size_t n,
                          const struct soft_targets *rows, size_t *n_rows, struct error *e)
{
    const struct dump_description *d = &w->description;
    if (n == 0 || supervised[0])
        return error_set(e, ERR_USAGE, n ? "the first token of a sequence is supervised, but nothing stands before it"
                                         : "a sequence without tokens");
    *n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= d->vocab_size)
            return error_set(e, ERR_USAGE, "token %zu of a sequence is %d, but the vocabulary has %zu", i, (int)ids[i],
                             d->vocab_size);
        *n_rows += supervised[i] != 0;
    }
    if (*n_rows == 0)
        return OK;
    CHECK((rows->logits != NULL) == (d->kind == DUMP_DENSE));
    if (rows->v != d->vocab_size || (!rows->logits && fabs((double)rows->source_temperature - d->temperature) > 1e-6 * d->temperature) ||
        (!rows->logits && rows->sampled != (d->kind == DUMP_SAMPLED)))
        return error_set(e, ERR_USAGE, "distributions over %zu tokens at temperature %g do not fit a dump of kind %s over %zu at %g",
                         rows->v, (double)rows->source_temperature, dump_kind_names[d->kind], d->vocab_size, d->temperature);
    return OK;
}

static int write_tokens(struct dump_writer *w, const int32_t *ids, const uint8_t *supervised, size_t n, struct error *e)
{
    enum hdf5_type type = small_type(w->description.vocab_size - 1);
    buffer_clear(&w->gaps);
    buffer_clear(&w->work);
    for (size_t i = 0; i < n; i++) {
        append_whole(&w->gaps, type, (uint32_t)ids[i]);
        buffer_byte(&w->work, supervised[i] != 0);
    }
    w->n_tokens += n;
    uint64_t end = w->n_tokens;
    int code = hdf5_column_append(w->columns[COLUMN_TOKENS], w->gaps.data, n, e);
    if (!code)
        code = hdf5_column_append(w->columns[COLUMN_SUPERVISED], w->work.data, n, e);
    return code ? code : hdf5_column_append(w->columns[COLUMN_SEQUENCES], &end, 1, e);
}

static int add_sequence(struct dump_writer *w, const int32_t *ids, const uint8_t *supervised, size_t n,
                        const struct soft_targets *rows, struct error *e)
{
    size_t n_rows = 0;
    int code = check_sequence(w, ids, supervised, n, rows, &n_rows, e);
    if (!code && !w->file)
        code = begin_part(w, e);
    if (!code && n_rows)
        code = rows->logits ? write_dense(w, rows, n_rows, e) : write_sparse(w, rows, n_rows, e);
    if (!code)
        code = write_tokens(w, ids, supervised, n, e);
    w->n_positions += n_rows;
    if (!code && w->n_positions >= w->positions_per_part)
        code = complete_part(w, e);
    return code;
}

int dump_writer_add(struct dump_writer *w, const int32_t *ids, const uint8_t *supervised, size_t n,
                    const struct soft_targets *rows, struct error *e)
{
    struct error own = {0};
    if (!w->failure.code && add_sequence(w, ids, supervised, n, rows, &own))
        w->failure = own;
    if (w->failure.code && e)
        *e = w->failure;
    return w->failure.code;
}

int dump_writer_finish(struct dump_writer *w, struct error *e)
{
    if (w->failure.code) {
        if (e)
            *e = w->failure;
        return w->failure.code;
    }
    if (w->file && !w->has_parts && w->n_positions == 0)
        return error_set(e, ERR_USAGE, "%s: no token of any sequence is supervised, there is nothing to write", w->folder);
    if (w->file)
        return complete_part(w, e);
    return w->has_parts ? OK : error_set(e, ERR_USAGE, "%s: no sequence was added, there is nothing to write", w->folder);
}

void dump_writer_close(struct dump_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < WRITTEN_COLUMNS; i++)
        hdf5_column_finish(w->columns[i], NULL); /* of a file that is given up */
    hdf5_close(w->file);
    dump_description_free(&w->description);
    buffer_free(&w->gaps);
    buffer_free(&w->log_probs);
    buffer_free(&w->counts);
    buffer_free(&w->work);
    mem_free(w->folder);
    mem_free(w);
}
