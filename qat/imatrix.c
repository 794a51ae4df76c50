/* Reading importance matrices. What the numbers mean follows llama.cpp: tools/imatrix/imatrix.cpp writes them,
 * tools/quantize/quantize.cpp reads them. */
#include "qat/imatrix.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A name with ".in_sum2" behind it must still be one that ggml allows. */
enum { MAX_NAME = 63 - 8, MAX_DATASET = 1 << 16 };

void imatrix_free(struct imatrix *im)
{
    for (size_t i = 0; i < im->n_entries; i++) {
        mem_free(im->entries[i].name);
        mem_free(im->entries[i].values);
        mem_free(im->entries[i].counts);
    }
    mem_free(im->entries);
    mem_free(im->dataset);
    *im = (struct imatrix){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct imatrix_entry *)a)->name, ((const struct imatrix_entry *)b)->name);
}

const struct imatrix_entry *imatrix_find(const struct imatrix *im, const char *name)
{
    struct imatrix_entry key = {.name = (char *)name};
    return im->n_entries ? bsearch(&key, im->entries, im->n_entries, sizeof key, by_name) : NULL;
}

/* Sorted, and no name twice. */
int imatrix_put_in_order(struct imatrix *im, struct error *e)
{
    qsort(im->entries, im->n_entries, sizeof *im->entries, by_name);
    for (size_t i = 1; i < im->n_entries; i++)
        if (by_name(&im->entries[i - 1], &im->entries[i]) == 0)
            return error_set(e, ERR_FORMAT, "\"%s\" is there twice", im->entries[i].name);
    return OK;
}

static bool is_name(const void *bytes, size_t n)
{
    const unsigned char *name = bytes;
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] >= 127)
            return false;
    return n > 0 && n <= MAX_NAME;
}

/* values[i] = sums[i] / count, in f32 as llama.cpp divides. The sums lie at any address. */
static int divide_sums(const struct imatrix_entry *entry, float *values, const unsigned char *sums, size_t n,
                       float count, struct error *e)
{
    for (size_t i = 0; i < n; i++) {
        float sum;
        memcpy(&sum, sums + i * sizeof sum, sizeof sum);
        if (!isfinite(sum) || sum < 0)
            return error_set(e, ERR_FORMAT, "\"%s\": %g is no sum of squares", entry->name, (double)sum);
        values[i] = count > 0 ? sum / count : 1;
    }
    return OK;
}

/* --- the old form --- */

struct reader {
    const unsigned char *bytes;
    size_t size, pos;
    struct error *e;
};

/* The next n bytes, or NULL with the error set. */
static const unsigned char *take(struct reader *r, size_t n, const char *what)
{
    if (n > r->size - r->pos) {
        error_set(r->e, ERR_FORMAT, "offset %zu: %s needs %zu bytes and there are %zu: the file is cut "
                  "short, or no importance matrix", r->pos, what, n, r->size - r->pos);
        return NULL;
    }
    r->pos += n;
    return r->bytes + r->pos - n;
}

/* A number from `least` to what can follow of `unit` bytes each. */
static int take_count(struct reader *r, const char *what, int32_t least, size_t unit, size_t *value)
{
    int32_t v;
    size_t at = r->pos;
    const unsigned char *p = take(r, sizeof v, what);
    if (!p)
        return ERR_FORMAT;
    memcpy(&v, p, sizeof v);
    if (v < least)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s is %d; at least %d is possible", at, what, (int)v,
                         (int)least);
    *value = (size_t)v;
    if (unit && *value > (r->size - r->pos) / unit)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s is %d, more than the rest of the file can hold: "
                         "it is cut short, or no importance matrix", at, what, (int)v);
    return OK;
}

static int take_entry(struct reader *r, struct imatrix *im)
{
    size_t name_size = 0, count = 0, n = 0, at = r->pos;
    struct imatrix_entry *entry = &im->entries[im->n_entries];
    int code = take_count(r, "the length of a name", 1, 1, &name_size);
    if (code)
        return code;
    const unsigned char *name = take(r, name_size, "a name");
    if (!name || !is_name(name, name_size))
        return error_set(r->e, ERR_FORMAT, "offset %zu: no tensor's name: at most %d printable characters", at,
                         MAX_NAME);
    if ((code = take_count(r, "the number of calls", 1, 0, &count)) ||
        (code = take_count(r, "the number of values", 1, sizeof(float), &n)))
        return code;
    *entry = (struct imatrix_entry){.name = mem_string_n((const char *)name, name_size), .n = n, .count = count,
                                    .n_experts = 1, .values = mem_alloc(n, sizeof *entry->values),
                                    .counts = mem_alloc(1, sizeof *entry->counts)};
    im->n_entries++;
    entry->counts[0] = count;
    const unsigned char *sums = take(r, n * sizeof(float), "the values");
    return sums ? divide_sums(entry, entry->values, sums, n, (float)count, r->e) : ERR_FORMAT;
}

/* Behind the entries, since 2024: the number of chunks, and what was read. */
static int take_origin(struct reader *r, struct imatrix *im)
{
    size_t size = 0;
    if (r->pos == r->size)
        return OK;
    int code = take_count(r, "the number of chunks", 0, 0, &im->n_chunks);
    if (code || r->pos == r->size)
        return code;
    if ((code = take_count(r, "the length of the dataset's name", 0, 1, &size)))
        return code;
    const unsigned char *dataset = take(r, size, "the dataset's name");
    if (size > MAX_DATASET || (size && memchr(dataset, 0, size)))
        return error_set(r->e, ERR_FORMAT, "the dataset's name is no text");
    if (size)
        im->dataset = mem_string_n((const char *)dataset, size);
    if (r->pos != r->size)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %zu bytes follow where the file should end", r->pos,
                         r->size - r->pos);
    return OK;
}

static int parse_old(const unsigned char *bytes, size_t n, struct imatrix *im, struct error *e)
{
    enum { MIN_ENTRY = 4 + 1 + 4 + 4 + 4 };
    struct reader r = {bytes, n, 0, e};
    size_t n_entries = 0;
    int code = take_count(&r, "the number of entries", 1, MIN_ENTRY, &n_entries);
    if (code)
        return code;
    im->entries = mem_zero(n_entries, sizeof *im->entries);
    for (size_t i = 0; i < n_entries && !code; i++)
        code = take_entry(&r, im);
    return code ? code : take_origin(&r, im);
}

/* --- GGUF --- */

static const char sums_suffix[] = ".in_sum2", counts_suffix[] = ".counts";

/* Length of the name before the suffix; 0: the tensor has no such name. */
static size_t stem(const struct gguf_tensor *t, const char *suffix)
{
    size_t n = strlen(suffix);
    bool has = t->name.size > n && memcmp(t->name.data + t->name.size - n, suffix, n) == 0;
    return has ? t->name.size - n : 0;
}

static const struct gguf_tensor *find_partner(const struct gguf *g, const struct gguf_tensor *t, size_t n,
                                              const char *suffix)
{
    char name[2 * MAX_NAME];
    if (n > MAX_NAME)
        return NULL;
    memcpy(name, t->name.data, n);
    memcpy(name + n, suffix, strlen(suffix) + 1);
    return gguf_find_tensor(g, name);
}

static int read_counts(struct imatrix_entry *entry, const struct gguf_tensor *counts, struct error *e)
{
    for (size_t i = 0; i < entry->n_experts; i++) {
        float count;
        memcpy(&count, counts->data + i * sizeof count, sizeof count);
        if (!(count >= 0 && count < 1e18F) || count != floorf(count))
            return error_set(e, ERR_FORMAT, "\"%s\": %g is no number of tokens", entry->name, (double)count);
        entry->counts[i] = (size_t)count;
        if (entry->counts[i] > entry->count)
            entry->count = entry->counts[i];
    }
    if (entry->count == 0)
        return error_set(e, ERR_FORMAT, "\"%s\" has seen no token", entry->name);
    return OK;
}

static int read_entry(struct imatrix *im, const struct gguf_tensor *sums, size_t name_size,
                      const struct gguf_tensor *counts, struct error *e)
{
    struct imatrix_entry *entry = &im->entries[im->n_entries++];
    entry->name = mem_string_n(sums->name.data, name_size);
    if (!is_name(sums->name.data, name_size))
        return error_set(e, ERR_FORMAT, "\"%s\" is no tensor's name", entry->name);
    if (!counts)
        return error_set(e, ERR_FORMAT, "\"%s\" has no counts", entry->name);
    if (sums->type != DTYPE_F32 || counts->type != DTYPE_F32)
        return error_set(e, ERR_FORMAT, "\"%s\": its sums and counts must be f32", entry->name);
    if (counts->n_elements == 0 || sums->n_elements == 0 || sums->n_elements % counts->n_elements != 0)
        return error_set(e, ERR_FORMAT, "\"%s\": %zu sums cannot be those of %zu counts", entry->name,
                         sums->n_elements, counts->n_elements);
    entry->n = sums->n_elements;
    entry->n_experts = counts->n_elements;
    entry->values = mem_alloc(entry->n, sizeof *entry->values);
    entry->counts = mem_zero(entry->n_experts, sizeof *entry->counts);
    int code = read_counts(entry, counts, e);
    size_t cols = entry->n / entry->n_experts;
    for (size_t i = 0; i < entry->n_experts && !code; i++)
        code = divide_sums(entry, entry->values + i * cols, sums->data + i * cols * sizeof(float), cols,
                           (float)entry->counts[i], e);
    return code;
}

static int read_origin(const struct gguf *g, struct imatrix *im, struct error *e)
{
    char *type = NULL;
    int code = gguf_get_string(g, "general.type", &type, e);
    if (!code && type && strcmp(type, "imatrix") != 0)
        code = error_set(e, ERR_FORMAT, "a GGUF file of type \"%s\", not an importance matrix", type);
    mem_free(type);
    if (!code)
        code = gguf_get_size(g, "imatrix.chunk_count", &im->n_chunks, e);
    if (!code)
        code = gguf_get_size(g, "imatrix.chunk_size", &im->chunk_size, e);
    if (!code && (im->n_chunks > INT32_MAX || im->chunk_size > INT32_MAX))
        code = error_set(e, ERR_FORMAT, "%zu chunks of %zu tokens are more than any text has", im->n_chunks,
                         im->chunk_size);
    const struct gguf_kv *datasets = code ? NULL : gguf_find(g, "imatrix.datasets");
    if (!datasets)
        return code;
    if (datasets->type != GGUF_ARRAY || datasets->item_type != GGUF_STRING)
        return error_set(e, ERR_FORMAT, "key \"imatrix.datasets\" must be a list of strings");
    struct gguf_string first = datasets->count ? datasets->strings[0] : (struct gguf_string){0};
    if (first.size > MAX_DATASET || (first.size && memchr(first.data, 0, first.size)))
        return error_set(e, ERR_FORMAT, "the dataset's name is no text");
    if (first.size)
        im->dataset = mem_string_n(first.data, first.size);
    return OK;
}

static int parse_gguf(const unsigned char *bytes, size_t n, struct imatrix *im, struct error *e)
{
    struct gguf g;
    size_t name_size;
    int code = gguf_parse(bytes, n, &g, e);
    if (code)
        return code;
    code = read_origin(&g, im, e);
    im->entries = mem_zero(g.n_tensors, sizeof *im->entries);
    for (size_t i = 0; i < g.n_tensors && !code; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        if ((name_size = stem(t, sums_suffix)))
            code = read_entry(im, t, name_size, find_partner(&g, t, name_size, counts_suffix), e);
        else if ((name_size = stem(t, counts_suffix)) && !find_partner(&g, t, name_size, sums_suffix))
            code = error_set(e, ERR_FORMAT, "tensor \"%.*s\": there are no sums beside it", (int)t->name.size,
                             t->name.data);
    }
    if (!code && im->n_entries == 0)
        code = error_set(e, ERR_FORMAT, "there are no entries: no tensor is called NAME%s", sums_suffix);
    gguf_close(&g);
    return code;
}

/* --- either --- */

/* Four letters that the old form would have to mean as more entries than any file has room for. */
static bool is_gguf(const unsigned char *bytes, size_t n)
{
    return n >= 4 && memcmp(bytes, "GGUF", 4) == 0;
}

int imatrix_parse(const unsigned char *bytes, size_t n, struct imatrix *im, struct error *e)
{
    *im = (struct imatrix){0};
    int code = is_gguf(bytes, n) ? parse_gguf(bytes, n, im, e) : parse_old(bytes, n, im, e);
    if (!code)
        code = imatrix_put_in_order(im, e);
    if (code)
        imatrix_free(im);
    return code;
}

int imatrix_read(const char *path, struct imatrix *im, struct error *e)
{
    struct file_map map;
    *im = (struct imatrix){0};
    int code = file_map(path, &map, e);
    if (code)
        return code;
    code = imatrix_parse(map.data, map.size, im, e);
    file_unmap(&map);
    return code ? error_prefix(e, "%s", path) : OK;
}
