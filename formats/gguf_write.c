#include "base/buffer.h"
#include "base/check.h"
#include "base/memory.h"
#include "formats/gguf.h"

#include <string.h>

enum { ALIGNMENT = 32, MAX_NAME = 63 };

struct declared {
    char *name;
    enum dtype type;
    int n_dims;
    size_t dims[4];
    size_t n_bytes;
    gguf_source *source;
    void *context;
};

struct gguf_writer {
    struct buffer kv; /* as in the file */
    char **keys;
    size_t n_kv, kv_capacity;
    struct declared *tensors;
    size_t n_tensors, tensor_capacity;
    void **kept;
    size_t n_kept, kept_capacity;
};

struct gguf_writer *gguf_writer_new(void)
{
    return mem_zero(1, sizeof(struct gguf_writer));
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_kv; i++)
        mem_free(w->keys[i]);
    for (size_t i = 0; i < w->n_tensors; i++)
        mem_free(w->tensors[i].name);
    for (size_t i = 0; i < w->n_kept; i++)
        mem_free(w->kept[i]);
    mem_free(w->kept);
    mem_free(w->keys);
    mem_free(w->tensors);
    buffer_free(&w->kv);
    mem_free(w);
}

static void append_u32(struct buffer *b, uint32_t v)
{
    buffer_append(b, &v, sizeof v);
}

static void append_u64(struct buffer *b, uint64_t v)
{
    buffer_append(b, &v, sizeof v);
}

static void append_string(struct buffer *b, const char *s, size_t n)
{
    append_u64(b, n);
    buffer_append(b, s, n);
}

/* llama.cpp refuses a file with the same key twice. */
static void start_value(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    for (size_t i = 0; i < w->n_kv; i++)
        CHECK(strcmp(w->keys[i], key) != 0);
    CHECK(key[0]);
    void *keys = w->keys;
    mem_grow(&keys, &w->kv_capacity, w->n_kv, sizeof *w->keys);
    w->keys = keys;
    w->keys[w->n_kv++] = mem_string(key);
    append_string(&w->kv, key, strlen(key));
    append_u32(&w->kv, type);
}

static void put_scalar(struct gguf_writer *w, const char *key, enum gguf_type type, const void *v,
                       size_t size)
{
    start_value(w, key, type);
    buffer_append(&w->kv, v, size);
}

static void put_array(struct gguf_writer *w, const char *key, enum gguf_type type, size_t n)
{
    start_value(w, key, GGUF_ARRAY);
    append_u32(&w->kv, type);
    append_u64(&w->kv, n);
}

void gguf_put_u16(struct gguf_writer *w, const char *key, uint16_t v)
{
    put_scalar(w, key, GGUF_U16, &v, sizeof v);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_scalar(w, key, GGUF_U32, &v, sizeof v);
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    put_scalar(w, key, GGUF_U64, &v, sizeof v);
}

void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v)
{
    put_scalar(w, key, GGUF_I32, &v, sizeof v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    put_scalar(w, key, GGUF_F32, &v, sizeof v);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    put_scalar(w, key, GGUF_BOOL, &(unsigned char){v}, 1);
}

void gguf_put_string(struct gguf_writer *w, const char *key, const char *v)
{
    start_value(w, key, GGUF_STRING);
    append_string(&w->kv, v, strlen(v));
}

void gguf_put_strings(struct gguf_writer *w, const char *key, const struct gguf_string *v, size_t n)
{
    put_array(w, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        append_string(&w->kv, v[i].data, v[i].size);
}

void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    put_array(w, key, GGUF_I32, n);
    buffer_append(&w->kv, v, n * sizeof *v);
}

void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n)
{
    put_array(w, key, GGUF_F32, n);
    buffer_append(&w->kv, v, n * sizeof *v);
}

void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype type, int n_dims,
                     const size_t dims[], gguf_source *source, void *context)
{
    CHECK(name[0] && strlen(name) <= MAX_NAME && n_dims >= 1 && n_dims <= 4);
    for (size_t i = 0; i < w->n_tensors; i++)
        CHECK(strcmp(w->tensors[i].name, name) != 0);
    struct declared t = {.name = mem_string(name),
                         .type = type,
                         .n_dims = n_dims,
                         .source = source,
                         .context = context};
    size_t elements = 1;
    for (int i = 0; i < n_dims; i++) {
        t.dims[i] = dims[i];
        CHECK(dims[i] > 0 && size_mul(elements, dims[i], &elements));
    }
    const struct dtype_info *info = dtype_info(type);
    CHECK(info && dims[0] % info->block == 0 && dtype_bytes(type, elements, &t.n_bytes));
    void *tensors = w->tensors;
    mem_grow(&tensors, &w->tensor_capacity, w->n_tensors, sizeof t);
    w->tensors = tensors;
    w->tensors[w->n_tensors++] = t;
}

void *gguf_writer_keep(struct gguf_writer *w, const void *bytes, size_t n)
{
    void *kept = w->kept;
    mem_grow(&kept, &w->kept_capacity, w->n_kept, sizeof *w->kept);
    w->kept = kept;
    return w->kept[w->n_kept++] = memcpy(mem_alloc(n, 1), bytes, n);
}

static size_t padding(uint64_t at)
{
    return (size_t)(-at % ALIGNMENT);
}

static void append_header(struct buffer *b, const struct gguf_writer *w)
{
    buffer_string(b, "GGUF");
    append_u32(b, 3);
    append_u64(b, w->n_tensors);
    append_u64(b, w->n_kv);
    buffer_append(b, w->kv.data, w->kv.size);
    uint64_t offset = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct declared *t = &w->tensors[i];
        append_string(b, t->name, strlen(t->name));
        append_u32(b, (uint32_t)t->n_dims);
        for (int k = 0; k < t->n_dims; k++)
            append_u64(b, t->dims[k]);
        append_u32(b, t->type);
        append_u64(b, offset);
        offset += t->n_bytes + padding(t->n_bytes);
    }
    for (size_t n = padding(b->size); n > 0; n--)
        buffer_byte(b, 0);
}

int gguf_writer_finish(struct gguf_writer *w, const char *path, struct error *e)
{
    static const char zeros[ALIGNMENT];
    struct file_writer out = {0};
    struct buffer header = {0};
    size_t largest = 0;
    for (size_t i = 0; i < w->n_tensors; i++)
        if (w->tensors[i].n_bytes > largest)
            largest = w->tensors[i].n_bytes;
    unsigned char *bytes = mem_alloc(largest, 1);
    int code = file_writer_open(&out, path, e);
    if (code)
        goto done;
    append_header(&header, w);
    if (fwrite(header.data, 1, header.size, out.stream) != header.size)
        code = error_set_errno(e, "%s: cannot write", path);
    for (size_t i = 0; !code && i < w->n_tensors; i++) {
        const struct declared *t = &w->tensors[i];
        code = t->source(t->context, bytes, e);
        size_t pad = padding(t->n_bytes);
        if (!code && (fwrite(bytes, 1, t->n_bytes, out.stream) != t->n_bytes ||
                      fwrite(zeros, 1, pad, out.stream) != pad))
            code = error_set_errno(e, "%s: cannot write", path);
    }
    if (!code)
        code = file_writer_commit(&out, e);
done:
    file_writer_abandon(&out);
    mem_free(bytes);
    buffer_free(&header);
    return code;
}
