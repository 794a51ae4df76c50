/* Opening a dump: all that is small is read and checked, distributions stay in the files. */
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "distill/dump_private.h"

#include <string.h>

const char *const dump_column_names[] = {[COLUMN_COUNTS] = "counts", [COLUMN_GAPS] = "id_gaps",
                                         [COLUMN_PROBS] = "log_probs", [COLUMN_TAIL] = "log_tail"};

int dump_list(const char *path, struct path_list *list, struct error *e)
{
    size_t kept = 0, length = strlen(path) + (path_has_suffix(path, "/") ? 0 : 1);
    bool folder = file_is_directory(path);
    int code = dir_list(path, list, e);
    if (code || !folder)
        return code;
    for (size_t i = 0; i < list->count; i++)
        if (path_has_suffix(list->paths[i], ".h5") && !strchr(list->paths[i] + length, '/'))
            list->paths[kept++] = list->paths[i];
        else
            mem_free(list->paths[i]);
    list->count = kept;
    return OK;
}

bool dump_is(const char *path)
{
    struct path_list files = {0};
    struct hdf5_file *f = NULL;
    char *format = NULL;
    bool is = dump_list(path, &files, NULL) == OK && files.count &&
              hdf5_open(files.paths[0], &f, NULL) == OK && hdf5_get_string(f, "format", &format, NULL) == OK &&
              strcmp(format, DUMP_FORMAT) == 0;
    mem_free(format);
    hdf5_close(f);
    path_list_free(&files);
    return is;
}

/* ---- columns ---- */

void dump_close_part(struct dump_part *p)
{
    for (int i = 0; i < DUMP_COLUMNS; i++)
        hdf5_column_close(p->columns[i]);
    memset(p->columns, 0, sizeof p->columns);
    hdf5_close(p->file);
    p->file = NULL;
}

/* A column's type and length; `rows` SIZE_MAX: any. */
static int check_column(const struct dump_part *p, int column, size_t rows, size_t width, struct error *e)
{
    const struct hdf5_column_info *info = hdf5_column_info(p->columns[column]);
    const char *name = dump_column_names[column];
    bool whole = column == COLUMN_COUNTS || column == COLUMN_GAPS;
    bool is_float = info->type == HDF5_F16 || info->type == HDF5_F32 || info->type == HDF5_F64;
    if (whole == is_float)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" must be of %s", p->path, name,
                         whole ? "whole numbers" : "type f16, f32 or f64");
    if (info->width != width)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has rows of %zu, expected %zu", p->path, name, info->width, width);
    if (rows != SIZE_MAX && info->rows != rows)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %zu rows, expected %zu: this part is incomplete; write it again",
                         p->path, name, info->rows, rows);
    return OK;
}

static int open_columns(const struct dump_description *d, struct dump_part *p, struct error *e)
{
    int code = OK;
    for (int i = 0; i < DUMP_COLUMNS && !code; i++)
        if (i == COLUMN_PROBS || (d->kind != DUMP_DENSE && (i != COLUMN_COUNTS || p->counted)))
            code = hdf5_column_open(p->file, dump_column_names[i], &p->columns[i], e);
    if (!code && p->counted)
        code = check_column(p, COLUMN_COUNTS, p->n_positions, 1, e);
    if (!code && p->columns[COLUMN_TAIL])
        code = check_column(p, COLUMN_TAIL, p->n_positions, 1, e);
    return code;
}

static int check_entries(const struct dump_description *d, const struct dump_part *p, struct error *e)
{
    if (d->kind == DUMP_DENSE)
        return check_column(p, COLUMN_PROBS, p->n_positions, d->vocab_size, e);
    int code = check_column(p, COLUMN_GAPS, p->n_entries, 1, e);
    return code ? code : check_column(p, COLUMN_PROBS, p->n_entries, 1, e);
}

int dump_use_part(struct dump *d, struct dump_part *p, struct error *e)
{
    p->used = ++d->uses;
    if (p->file)
        return OK;
    struct dump_part *oldest = NULL;
    size_t n_open = 0;
    for (size_t i = 0; i < d->n_parts; i++)
        if (d->parts[i].file) {
            n_open++;
            oldest = !oldest || d->parts[i].used < oldest->used ? &d->parts[i] : oldest;
        }
    if (n_open >= DUMP_OPEN_MOST)
        dump_close_part(oldest);
    int code = hdf5_open(p->path, &p->file, e);
    if (!code)
        code = open_columns(&d->description, p, e);
    if (!code)
        code = check_entries(&d->description, p, e);
    if (code)
        dump_close_part(p);
    return code;
}

/* ---- faults ---- */

/* The position that holds entry i of the part; as near as its index tells when counts cannot be read. */
static size_t position_of_entry(struct dump_part *p, size_t entry)
{
    if (!p->counted)
        return entry / p->most;
    size_t block = 0, n_blocks = (p->n_positions + DUMP_BLOCK - 1) / DUMP_BLOCK;
    while (block + 1 < n_blocks && p->blocks[block + 1] <= entry)
        block++;
    size_t position = block * DUMP_BLOCK, at = p->blocks[block];
    size_t n = p->n_positions - position < DUMP_BLOCK ? p->n_positions - position : DUMP_BLOCK;
    uint32_t counts[DUMP_BLOCK];
    if (hdf5_column_read(p->columns[COLUMN_COUNTS], HDF5_U32, position, n, counts, NULL, NULL))
        return position;
    for (size_t i = 0; i < n && at + counts[i] <= entry; i++)
        at += counts[i], position++;
    return position;
}

int dump_chunk_error(struct dump_part *p, const char *name, const struct hdf5_fault *fault, struct error *e)
{
    bool entries = strcmp(name, dump_column_names[COLUMN_GAPS]) == 0 ||
                   (strcmp(name, dump_column_names[COLUMN_PROBS]) == 0 && p->columns[COLUMN_GAPS]);
    size_t first = entries ? position_of_entry(p, fault->begin) : fault->begin;
    size_t last = entries ? position_of_entry(p, fault->end - 1) : fault->end - 1;
    return error_set(e, ERR_FORMAT,
                     "%s: dataset \"%s\", chunk %zu (positions %zu to %zu): %s: the file is damaged; write this part again",
                     p->path, name, fault->chunk, first, last, fault->what);
}

/* ---- tokens ---- */

/* A dataset read whole: into `at` what it holds beyond `count` elements already there. */
static int read_whole(struct hdf5_file *f, const char *path, const char *name, enum hdf5_type type, size_t size,
                      size_t count, size_t expected, void **items, size_t *n, struct error *e)
{
    struct hdf5_column *c;
    int code = hdf5_column_open(f, name, &c, e);
    if (code)
        return code;
    const struct hdf5_column_info *info = hdf5_column_info(c);
    *n = info->rows;
    if (info->width != 1)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has two dimensions, expected 1", path, name);
    else if (expected != SIZE_MAX && *n != expected)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %zu elements, expected %zu", path, name, *n, expected);
    if (!code) {
        *items = mem_resize(*items, count + *n + 1, size);
        code = hdf5_column_read(c, type, 0, *n, (char *)*items + count * size, NULL, e);
    }
    hdf5_column_close(c);
    return code;
}

static int read_tokens(struct dump *d, struct dump_part *p, size_t before, size_t *n, struct error *e)
{
    struct examples *x = &d->examples;
    void *ids = x->ids;
    int code = read_whole(p->file, p->path, "tokens", HDF5_I32, sizeof *x->ids, before, SIZE_MAX, &ids, n, e);
    x->ids = ids;
    for (size_t i = 0; i < *n && !code; i++)
        if ((size_t)x->ids[before + i] >= d->description.vocab_size)
            code = error_set(e, ERR_FORMAT, "%s: dataset \"tokens\": token %zu is %d, but the vocabulary has %zu", p->path, i,
                             (int)x->ids[before + i], d->description.vocab_size);
    return code;
}

/* Sequences of the part: ascending from 0 to its n tokens, none empty. They go on behind those that are there. */
static int read_sequences(struct dump *d, struct dump_part *p, size_t before, size_t n, struct error *e)
{
    struct examples *x = &d->examples;
    uint64_t *offsets = NULL;
    size_t n_offsets = 0;
    void *items = NULL;
    int code = read_whole(p->file, p->path, "sequences", HDF5_U64, sizeof *offsets, 0, SIZE_MAX, &items, &n_offsets, e);
    offsets = items;
    if (!code && (n_offsets == 0 || offsets[0] != 0 || offsets[n_offsets - 1] != n))
        code = error_set(e, ERR_FORMAT, "%s: dataset \"sequences\" must begin with 0 and end with %zu, the number of tokens",
                         p->path, n);
    for (size_t i = 1; i < n_offsets && !code; i++)
        if (offsets[i] <= offsets[i - 1])
            code = error_set(e, ERR_FORMAT, "%s: dataset \"sequences\": sequence %zu ends at %llu, but begins at %llu", p->path,
                             i - 1, (unsigned long long)offsets[i], (unsigned long long)offsets[i - 1]);
    if (!code) {
        x->begin = mem_resize(x->begin, x->count + n_offsets, sizeof *x->begin);
        for (size_t i = 0; i < n_offsets; i++)
            x->begin[x->count + i] = before + offsets[i];
        x->count += n_offsets - 1;
    }
    mem_free(offsets);
    return code;
}

static int read_supervised(struct dump *d, struct dump_part *p, size_t first_sequence, size_t before, size_t n,
                           struct error *e)
{
    struct examples *x = &d->examples;
    void *learned = x->learned;
    size_t length;
    int code = read_whole(p->file, p->path, "supervised", HDF5_U8, 1, before, n, &learned, &length, e);
    x->learned = learned;
    for (size_t i = before; i < before + n && !code; i++) {
        if (x->learned[i] > 1)
            code = error_set(e, ERR_FORMAT, "%s: dataset \"supervised\": token %zu has %u; 0 and 1 are allowed", p->path,
                             i - before, x->learned[i]);
        p->n_positions += x->learned[i];
    }
    for (size_t i = first_sequence; i < x->count && !code; i++)
        if (x->learned[x->begin[i]])
            code = error_set(e, ERR_FORMAT,
                             "%s: dataset \"supervised\": the first token of sequence %zu is supervised, but nothing stands "
                             "before it",
                             p->path, i - first_sequence);
    return code;
}

/* ---- parts ---- */

/* Entries before each block of positions. */
static int index_counts(struct dump_part *p, struct error *e)
{
    struct hdf5_column *c = p->columns[COLUMN_COUNTS];
    size_t n = p->n_positions, n_blocks = (n + DUMP_BLOCK - 1) / DUMP_BLOCK;
    uint32_t counts[DUMP_BLOCK];
    uint64_t sum = 0;
    p->blocks = mem_alloc(n_blocks + 1, sizeof *p->blocks);
    for (size_t block = 0; block < n_blocks; block++) {
        size_t first = block * DUMP_BLOCK, length = n - first < DUMP_BLOCK ? n - first : DUMP_BLOCK;
        struct hdf5_fault fault = {0};
        p->blocks[block] = sum;
        int code = hdf5_column_read(c, HDF5_U32, first, length, counts, &fault, e);
        if (code)
            return fault.what ? dump_chunk_error(p, dump_column_names[COLUMN_COUNTS], &fault, e) : code;
        for (size_t i = 0; i < length; i++) {
            if (counts[i] == 0 || counts[i] > p->most)
                return error_set(e, ERR_FORMAT, "%s: dataset \"counts\": position %zu has %u entries; 1 to %zu (k) are allowed",
                                 p->path, first + i, counts[i], p->most);
            sum += counts[i];
        }
    }
    p->blocks[n_blocks] = sum;
    p->n_entries = sum;
    return OK;
}

static int open_distributions(const struct dump_description *d, struct dump_part *p, struct error *e)
{
    p->counted = d->kind != DUMP_DENSE && hdf5_has(p->file, dump_column_names[COLUMN_COUNTS]);
    int code = open_columns(d, p, e);
    if (!code && p->counted)
        code = index_counts(p, e);
    else if (!code && !size_mul(p->n_positions, p->most, &p->n_entries))
        code = error_set(e, ERR_FORMAT, "%s: more entries than can be counted", p->path);
    if (!code && p->counted && hdf5_column_info(p->columns[COLUMN_GAPS])->rows != p->n_entries)
        return error_set(e, ERR_FORMAT, "%s: dataset \"id_gaps\" has %zu entries, but \"counts\" adds up to %zu", p->path,
                         hdf5_column_info(p->columns[COLUMN_GAPS])->rows, p->n_entries);
    return code ? code : check_entries(d, p, e);
}

/* The part's own description against the first one's. */
static int take_description(struct dump *d, struct dump_part *p, struct error *e)
{
    struct dump_description own, *first = &d->description;
    int code = dump_read_description(p->file, p->path, &own, e);
    if (!code && p == d->parts) {
        code = dump_hash_tokenizer(&own, p->path, e);
        p->most = own.most;
        *first = own;
        return code;
    }
    if (!code && own.tokenizer_json.size && own.tokenizer_json.size == first->tokenizer_json.size && !own.tokenizer_hash &&
        memcmp(own.tokenizer_json.data, first->tokenizer_json.data, own.tokenizer_json.size) == 0)
        own.tokenizer_hash = first->tokenizer_hash;
    if (!code)
        code = dump_hash_tokenizer(&own, p->path, e);
    if (!code)
        code = dump_check_same(first, d->parts->path, &own, p->path, e);
    first->most = first->most > own.most ? first->most : own.most;
    p->most = own.most;
    dump_description_free(&own);
    return code;
}

static int open_part(struct dump *d, struct dump_part *p, struct error *e)
{
    struct examples *x = &d->examples;
    size_t before = x->count ? x->begin[x->count] : 0, first_sequence = x->count, n = 0;
    uint64_t bytes = 0;
    p->used = ++d->uses;
    p->first_position = d->n_positions;
    int code = hdf5_open(p->path, &p->file, e);
    if (!code)
        code = file_size(p->path, &bytes, e);
    if (!code)
        code = take_description(d, p, e);
    if (!code)
        code = read_tokens(d, p, before, &n, e);
    if (!code)
        code = read_sequences(d, p, before, n, e);
    if (!code)
        code = read_supervised(d, p, first_sequence, before, n, e);
    if (!code)
        code = open_distributions(&d->description, p, e);
    d->n_positions += p->n_positions;
    d->n_entries += p->n_entries;
    d->n_bytes += bytes;
    return code;
}

int dump_open(const char *path, struct dump *d, struct error *e)
{
    struct path_list files = {0};
    *d = (struct dump){0};
    int code = dump_list(path, &files, e);
    if (!code && files.count == 0)
        code = error_set(e, ERR_FORMAT, "%s: holds no part of a dump (*.h5)", path);
    if (code)
        goto done;
    d->parts = mem_zero(files.count, sizeof *d->parts);
    d->n_parts = files.count;
    for (size_t i = 0; i < files.count; i++)
        d->parts[i].path = mem_string(files.paths[i]);
    for (size_t i = 0; i < d->n_parts && !code; i++) {
        code = open_part(d, &d->parts[i], e);
        if (d->n_parts > DUMP_OPEN_MOST)
            dump_close_part(&d->parts[i]);
    }
    if (!code && d->examples.count == 0)
        code = error_set(e, ERR_FORMAT, "%s: holds no sequence", path);
    if (!code && d->n_positions == 0)
        code = error_set(e, ERR_FORMAT, "%s: none of its tokens is supervised, it says nothing of a teacher", path);
done:
    path_list_free(&files);
    if (code)
        dump_close(d);
    return code;
}

void dump_close(struct dump *d)
{
    for (size_t i = 0; i < d->n_parts; i++) {
        dump_close_part(&d->parts[i]);
        mem_free(d->parts[i].blocks);
        mem_free(d->parts[i].path);
    }
    mem_free(d->parts);
    examples_free(&d->examples);
    dump_description_free(&d->description);
    *d = (struct dump){0};
}
