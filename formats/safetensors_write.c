#include "base/buffer.h"
#include "base/check.h"
#include "base/json.h"
#include "base/memory.h"
#include "formats/safetensors_private.h"

#include <stdlib.h>
#include <string.h>

struct declared {
    char *name;
    size_t type; /* row of safetensors_types */
    int n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS];
    size_t n_bytes;
    safetensors_source *source;
    void *context;
};

struct safetensors_writer {
    struct declared *tensors;
    size_t n_tensors, capacity;
};

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
    struct declared t = {.n_dims = n_dims, .source = source, .context = context};
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
    const struct declared *x = a, *y = b;
    if (x->type != y->type)
        return x->type > y->type ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void append_header(struct buffer *b, const struct safetensors_writer *w)
{
    size_t offset = 0;
    buffer_string(b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct declared *t = &w->tensors[i];
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

static int write_all(struct file_writer *out, const struct safetensors_writer *w,
                     const struct buffer *header, void *bytes, struct error *e)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)header->size >> 8 * i);
    if (fwrite(length, 1, 8, out->stream) != 8 ||
        fwrite(header->data, 1, header->size, out->stream) != header->size)
        return error_set_errno(e, "%s: cannot write", out->path);
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct declared *t = &w->tensors[i];
        if (t->n_bytes == 0)
            continue;
        int code = t->source(t->context, bytes, e);
        if (code)
            return code;
        if (fwrite(bytes, 1, t->n_bytes, out->stream) != t->n_bytes)
            return error_set_errno(e, "%s: cannot write", out->path);
    }
    return OK;
}

int safetensors_writer_finish(struct safetensors_writer *w, const char *path, struct error *e)
{
    struct file_writer out = {0};
    struct buffer header = {0};
    size_t largest = 0;
    if (w->n_tensors)
        qsort(w->tensors, w->n_tensors, sizeof *w->tensors, by_type_then_name);
    for (size_t i = 0; i < w->n_tensors; i++)
        if (w->tensors[i].n_bytes > largest)
            largest = w->tensors[i].n_bytes;
    int code = file_writer_open(&out, path, e);
    if (code)
        return code;
    void *bytes = mem_alloc(largest, 1);
    append_header(&header, w);
    code = write_all(&out, w, &header, bytes, e);
    if (!code)
        code = file_writer_commit(&out, e);
    file_writer_abandon(&out);
    mem_free(bytes);
    buffer_free(&header);
    return code;
}
