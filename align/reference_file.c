#include "align/reference_file.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "formats/hdf5_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCE_FAMILY "linnet-reference-"
#define REFERENCE_FORMAT REFERENCE_FAMILY "1"

/* ---- the table ---- */

void reference_table_add(struct reference_table *t, uint64_t key, double logp, size_t n_targets)
{
    CHECK(n_targets > 0 && n_targets <= UINT32_MAX);
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 256;
        t->keys = mem_resize(t->keys, t->capacity, sizeof *t->keys);
        t->logps = mem_resize(t->logps, t->capacity, sizeof *t->logps);
        t->n_targets = mem_resize(t->n_targets, t->capacity, sizeof *t->n_targets);
    }
    t->keys[t->count] = key;
    t->logps[t->count] = logp > 0 && logp < 1e-3 ? 0 : logp;
    t->n_targets[t->count++] = (uint32_t)n_targets;
}

struct place {
    uint64_t key;
    size_t at; /* in the table before it was sorted */
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->at > y->at) - (x->at < y->at);
}

void reference_table_sort(struct reference_table *t)
{
    struct reference_table sorted = {0};
    struct place *places = mem_alloc(t->count, sizeof *places);
    for (size_t i = 0; i < t->count; i++)
        places[i] = (struct place){t->keys[i], i};
    qsort(places, t->count, sizeof *places, compare_places);
    for (size_t i = 0; i < t->count; i++)
        if (i == 0 || places[i].key != places[i - 1].key)
            reference_table_add(&sorted, places[i].key, t->logps[places[i].at], t->n_targets[places[i].at]);
    mem_free(places);
    reference_table_free(t);
    *t = sorted;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

size_t reference_table_find(const struct reference_table *t, uint64_t key)
{
    const uint64_t *found = t->count ? bsearch(&key, t->keys, t->count, sizeof *t->keys, compare_keys) : NULL;
    return found ? (size_t)(found - t->keys) : SIZE_MAX;
}

void reference_table_free(struct reference_table *t)
{
    mem_free(t->keys);
    mem_free(t->logps);
    mem_free(t->n_targets);
    *t = (struct reference_table){0};
}

void reference_description_free(struct reference_description *d)
{
    mem_free(d->model);
    mem_free(d->products);
    mem_free(d->producer);
    *d = (struct reference_description){0};
}

uint64_t reference_hash(const struct reference_table *t, const struct reference_description *d)
{
    const struct {
        const void *bytes;
        size_t n;
    } parts[] = {{t->keys, t->count * sizeof *t->keys},
                 {t->logps, t->count * sizeof *t->logps},
                 {t->n_targets, t->count * sizeof *t->n_targets},
                 {&d->model_hash, sizeof d->model_hash},
                 {&d->tokenizer_hash, sizeof d->tokenizer_hash},
                 {d->model, strlen(d->model) + 1},
                 {d->products, strlen(d->products) + 1}};
    struct hash64_state state;
    hash64_begin(&state, 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        hash64_update(&state, parts[i].bytes, parts[i].n);
    return hash64_end(&state);
}

/* ---- rows ---- */

/* What is wrong with the sums, as the error says it behind the file's name. */
static int check_logps(const struct reference_table *t, const char *path, struct error *e)
{
    for (size_t i = 0; i < t->count; i++)
        if (!(t->logps[i] <= 0 && isfinite(t->logps[i])))
            return error_set(e, ERR_FORMAT, "%s: dataset \"logps\": that of answer %zu is %g; a log-probability is a finite "
                                            "number, at most 0", path, i, t->logps[i]);
    return OK;
}

static int check_rows(const struct reference_table *t, const char *path, struct error *e)
{
    for (size_t i = 1; i < t->count; i++)
        if (t->keys[i] <= t->keys[i - 1])
            return error_set(e, ERR_FORMAT, "%s: dataset \"keys\": key %zu %s; keys must ascend", path, i,
                             t->keys[i] == t->keys[i - 1] ? "is there twice" : "is less than the one before it");
    for (size_t i = 0; i < t->count; i++)
        if (t->n_targets[i] == 0)
            return error_set(e, ERR_FORMAT, "%s: dataset \"n_targets\": answer %zu has 0 targets", path, i);
    return check_logps(t, path, e);
}

/* ---- writing ---- */

static int write_all(struct hdf5_file *f, const struct reference_table *t, const struct reference_description *d,
                     struct error *e)
{
    const struct {
        const char *name, *value;
    } strings[] = {{"format", REFERENCE_FORMAT}, {"model", d->model}, {"products", d->products},
                   {"producer", d->producer ? d->producer : "linnet"}};
    const struct {
        const char *name;
        uint64_t value;
    } hashes[] = {{"model_hash", d->model_hash}, {"tokenizer_hash", d->tokenizer_hash}, {"content_hash", reference_hash(t, d)}};
    int code = OK;
    for (size_t i = 0; i < sizeof strings / sizeof *strings && !code; i++)
        code = hdf5_put_string(f, strings[i].name, strings[i].value, e);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes && !code; i++)
        code = hdf5_put_u64(f, hashes[i].name, hashes[i].value, e);
    if (!code)
        code = hdf5_write(f, "keys", HDF5_U64, 1, &t->count, t->keys, e);
    if (!code)
        code = hdf5_write(f, "logps", HDF5_F64, 1, &t->count, t->logps, e);
    if (!code)
        code = hdf5_write(f, "n_targets", HDF5_U32, 1, &t->count, t->n_targets, e);
    return code;
}

int reference_file_write(const char *path, const struct reference_table *t, const struct reference_description *d,
                         struct error *e)
{
    struct hdf5_file *f;
    CHECK(t->count > 0);
    for (size_t i = 1; i < t->count; i++)
        CHECK(t->keys[i] > t->keys[i - 1]);
    int code = check_logps(t, path, e);
    if (!code)
        code = hdf5_create(path, &f, e);
    if (code)
        return code;
    code = write_all(f, t, d, e);
    if (code) {
        hdf5_close(f);
        return code;
    }
    return hdf5_commit(f, e);
}

/* ---- reading ---- */

static int check_format(struct hdf5_file *f, const char *path, struct error *e)
{
    char *format = NULL;
    if (!hdf5_has_attribute(f, "format") || hdf5_get_string(f, "format", &format, NULL) != OK)
        return error_set(e, ERR_FORMAT, "%s: is an HDF5 file, but holds no log-probabilities of a reference", path);
    int code = OK;
    bool family = strncmp(format, REFERENCE_FAMILY, strlen(REFERENCE_FAMILY)) == 0;
    if (strcmp(format, REFERENCE_FORMAT) != 0)
        code = error_set(e, ERR_FORMAT, "%s: has the format \"%s\", \"%s\" is needed%s", path, format, REFERENCE_FORMAT,
                         family ? ": make the file anew with this linnet, or use the one that made it" : "");
    mem_free(format);
    return code;
}

static int read_description(struct hdf5_file *f, const char *path, struct reference_description *d, struct error *e)
{
    int code = check_format(f, path, e);
    if (!code)
        code = hdf5_get_string(f, "model", &d->model, e);
    if (!code)
        code = hdf5_get_u64(f, "model_hash", &d->model_hash, e);
    if (!code)
        code = hdf5_get_u64(f, "tokenizer_hash", &d->tokenizer_hash, e);
    if (!code)
        code = hdf5_get_string(f, "products", &d->products, e);
    if (!code)
        code = hdf5_get_string(f, "producer", &d->producer, e);
    return code;
}

/* How many there are, where the dataset is what it must be. hdf5_column_open has held its size against the file's. */
static int check_column(struct hdf5_file *f, const char *path, const char *name, enum hdf5_type type, const char *type_name,
                        size_t *rows, struct error *e)
{
    struct hdf5_column *c;
    int code = hdf5_column_open(f, name, &c, e);
    if (code)
        return code;
    const struct hdf5_column_info *info = hdf5_column_info(c);
    if (info->type != type || info->width != 1)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" must have one dimension, of type %s", path, name, type_name);
    *rows = info->rows;
    hdf5_column_close(c);
    return code;
}

static int read_table(struct hdf5_file *f, const char *path, struct reference_table *t, struct error *e)
{
    static const struct {
        const char *name, *type_name;
        enum hdf5_type type;
        size_t size;
    } columns[] = {{"keys", "u64", HDF5_U64, 8}, {"logps", "f64", HDF5_F64, 8}, {"n_targets", "u32", HDF5_U32, 4}};
    enum { N = sizeof columns / sizeof *columns };
    void *data[N] = {NULL};
    size_t count = 0, rows;
    int code = OK;
    for (size_t i = 0; i < N && !code; i++) {
        code = check_column(f, path, columns[i].name, columns[i].type, columns[i].type_name, &rows, e);
        if (!code && i == 0)
            count = rows;
        if (!code && count == 0)
            code = error_set(e, ERR_FORMAT, "%s: holds no answer", path);
        if (!code && rows != count)
            code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %zu elements, but \"keys\" has %zu", path,
                             columns[i].name, rows, count);
        if (!code) {
            data[i] = mem_alloc(count, columns[i].size);
            code = hdf5_read(f, columns[i].name, columns[i].type, count, data[i], e);
        }
    }
    *t = (struct reference_table){count, count, data[0], data[1], data[2]};
    return code;
}

int reference_file_read(const char *path, struct reference_table *t, struct reference_description *d, struct error *e)
{
    struct hdf5_file *f;
    uint64_t expected = 0;
    *t = (struct reference_table){0};
    *d = (struct reference_description){0};
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = read_description(f, path, d, e);
    if (!code)
        code = hdf5_get_u64(f, "content_hash", &expected, e);
    if (!code)
        code = read_table(f, path, t, e);
    if (!code)
        code = check_rows(t, path, e);
    if (!code && reference_hash(t, d) != expected)
        code = error_set(e, ERR_FORMAT, "%s: damaged: what it holds does not match its content_hash; take another copy, or "
                                        "make it anew", path);
    hdf5_close(f);
    if (code) {
        reference_table_free(t);
        reference_description_free(d);
    }
    return code;
}

bool reference_file_is(const char *path)
{
    struct hdf5_file *f = NULL;
    char *format = NULL;
    bool is = hdf5_open(path, &f, NULL) == OK && hdf5_get_string(f, "format", &format, NULL) == OK &&
              strncmp(format, REFERENCE_FAMILY, strlen(REFERENCE_FAMILY)) == 0;
    mem_free(format);
    hdf5_close(f);
    return is;
}

int reference_check(const struct reference_description *d, uint64_t model_hash, uint64_t tokenizer_hash, const char *path,
                    struct error *e)
{
    bool model = d->model_hash != model_hash, tokenizer = d->tokenizer_hash != tokenizer_hash;
    if (!model && !tokenizer)
        return OK;
    return error_set(e, ERR_FORMAT, "%s: made with another %s: %s (model %016" PRIx64 ", tokenizer %016" PRIx64 "; here they "
                                    "are %016" PRIx64 " and %016" PRIx64 "); make one for this with linnet reference, with the same --method",
                     path, model && tokenizer ? "model and tokenizer" : model ? "model" : "tokenizer", d->model, d->model_hash,
                     d->tokenizer_hash, model_hash, tokenizer_hash);
}
