#include "base/buffer.h"
#include "base/check.h"
#include "base/json.h"
#include "base/memory.h"
#include "formats/safetensors_private.h"

#include <stdlib.h>
#include <string.h>

struct safetensors_writer *safetensors_writer_new(void)
{
    return mem_zero(1, sizeof(struct safetensors_writer));
}

void safetensors_writer_free(struct safetensors_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_tensors; i++)
        mem_free(w->tensors[i].name);
    mem_free(w->tensors);
    mem_free(w);
}

void safetensors_put(struct safetensors_writer *w, const char *name, enum dtype type, int n_dims,
                     const size_t shape[], safetensors_source *source, void *context)
{
    CHECK(n_dims >= 0 && n_dims <= SAFETENSORS_MAX_DIMS && strcmp(name, "__metadata__") != 0);
    for (size_t i = 0; i < w->n_tensors; i++)
        CHECK(strcmp(w->tensors[i].name, name) != 0);
    struct safetensors_declared t = {.n_dims = n_dims, .source = source, .context = context};
    while (t.type < SAFETENSORS_TYPES &&
           !(safetensors_types[t.type].supported && safetensors_types[t.type].type == type))
        t.type++;
    CHECK(t.type < SAFETENSORS_TYPES);
    t.n_bytes = safetensors_types[t.type].bits / 8;
    for (int i = 0; i < n_dims; i++) {
        t.shape[i] = shape[i];
        CHECK(size_mul(t.n_bytes, shape[i], &t.n_bytes));
    }
    t.name = mem_string(name);
    void *tensors = w->tensors;
    mem_grow(&tensors, &w->capacity, w->n_tensors, sizeof t);
    w->tensors = tensors;
    w->tensors[w->n_tensors++] = t;
}

/* Wide types first keeps every element aligned. */
static int by_type_then_name(const void *a, const void *b)
{
    const struct safetensors_declared *x = a, *y = b;
    if (x->type != y->type)
        return x->type > y->type ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void append_header(struct buffer *b, const struct safetensors_declared *tensors, size_t n)
{
    size_t offset = 0;
    buffer_string(b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const struct safetensors_declared *t = &tensors[i];
        json_t *name = json_string(t->name);
        char *quoted = json_dumps(name, JSON_ENCODE_ANY);
        CHECK(quoted); /* names are UTF-8 */
        buffer_printf(b, ",%s:{\"dtype\":\"%s\",\"shape\":[", quoted,
                      safetensors_types[t->type].name);
        free(quoted);
        json_decref(name);
        for (int k = 0; k < t->n_dims; k++)
            buffer_printf(b, "%s%zu", k ? "," : "", t->shape[k]);
        buffer_printf(b, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t->n_bytes);
        offset += t->n_bytes;
    }
    buffer_byte(b, '}');
    while (b->size % 8)
        buffer_byte(b, ' ');
}

static int write_bytes(FILE *out, const char *path, const void *bytes, size_t n, struct error *e)
{
    return fwrite(bytes, 1, n, out) == n ? OK : error_set_errno(e, "%s: cannot write", path);
}

static int write_data(FILE *out, const char *path, const struct safetensors_declared *tensors,
                      size_t n, struct error *e)
{
    size_t largest = 0;
    for (size_t i = 0; i < n; i++)
        if (tensors[i].n_bytes > largest)
            largest = tensors[i].n_bytes;
    void *bytes = mem_alloc(largest, 1);
    int code = OK;
    for (size_t i = 0; i < n && !code; i++) {
        const struct safetensors_declared *t = &tensors[i];
        if (t->n_bytes == 0)
            continue;
        code = t->source(t->context, bytes, e);
        if (!code)
            code = write_bytes(out, path, bytes, t->n_bytes, e);
    }
    mem_free(bytes);
    return code;
}

int safetensors_write(FILE *out, const char *path, const struct safetensors_declared *tensors,
                      size_t n, struct error *e)
{
    struct safetensors_declared *sorted = mem_alloc(n, sizeof *sorted);
    struct buffer header = {0};
    unsigned char length[8];
    if (n) {
        memcpy(sorted, tensors, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_type_then_name);
    }
    append_header(&header, sorted, n);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header.size >> 8 * i);
    int code = write_bytes(out, path, length, sizeof length, e);
    if (!code)
        code = write_bytes(out, path, header.data, header.size, e);
    if (!code)
        code = write_data(out, path, sorted, n, e);
    buffer_free(&header);
    mem_free(sorted);
    return code;
}

int safetensors_writer_finish(struct safetensors_writer *w, const char *path, struct error *e)
{
    struct file_writer out = {0};
    int code = file_writer_open(&out, path, e);
    if (code)
        return code;
    code = safetensors_write(out.stream, path, w->tensors, w->n_tensors, e);
    if (!code)
        code = file_writer_commit(&out, e);
    file_writer_abandon(&out);
    return code;
}
