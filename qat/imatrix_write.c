/* Writing importance matrices as llama.cpp's tools/imatrix/imatrix.cpp does. */
#include "qat/imatrix.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/gguf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- GGUF --- */

static int fill_sums(void *context, void *bytes, struct error *e)
{
    const struct imatrix_entry *entry = context;
    size_t cols = entry->n / entry->n_experts;
    float *sums = bytes;
    (void)e;
    for (size_t i = 0; i < entry->n; i++)
        sums[i] = (float)((double)entry->values[i] * (double)entry->counts[i / cols]);
    return OK;
}

static int fill_counts(void *context, void *bytes, struct error *e)
{
    const struct imatrix_entry *entry = context;
    float *counts = bytes;
    (void)e;
    for (size_t i = 0; i < entry->n_experts; i++)
        counts[i] = (float)entry->counts[i];
    return OK;
}

/* (n_experts, cols) of f32; a first dimension of 1 is left out, as ggml does. */
static void put(struct gguf_writer *w, struct imatrix_entry *entry, const char *suffix, size_t cols,
                gguf_source *source)
{
    char *name = mem_printf("%s%s", entry->name, suffix);
    int n_dims = entry->n_experts > 1 ? 2 : 1;
    gguf_put_tensor(w, name, DTYPE_F32, n_dims, (size_t[]){cols, entry->n_experts}, source, entry);
    mem_free(name);
}

static int write_gguf(const struct imatrix *im, const char *path, struct error *e)
{
    struct gguf_writer *w = gguf_writer_new();
    struct gguf_string dataset = {im->dataset, im->dataset ? strlen(im->dataset) : 0};
    gguf_put_string(w, "general.type", "imatrix");
    gguf_put_strings(w, "imatrix.datasets", &dataset, im->dataset ? 1 : 0);
    gguf_put_u32(w, "imatrix.chunk_count", (uint32_t)im->n_chunks);
    gguf_put_u32(w, "imatrix.chunk_size", (uint32_t)im->chunk_size);
    for (size_t i = 0; i < im->n_entries; i++) {
        struct imatrix_entry *entry = &im->entries[i];
        put(w, entry, ".in_sum2", entry->n / entry->n_experts, fill_sums);
        put(w, entry, ".counts", 1, fill_counts);
    }
    int code = gguf_writer_finish(w, path, e);
    gguf_writer_free(w);
    return code;
}

/* --- the old form --- */

static void append_i32(struct buffer *b, size_t value)
{
    CHECK(value <= INT32_MAX);
    buffer_append(b, &(int32_t){(int32_t)value}, sizeof(int32_t));
}

static void append_text(struct buffer *b, const char *text)
{
    append_i32(b, strlen(text));
    buffer_string(b, text);
}

/* Chunks that the expert which saw most was seen in at least. */
static size_t count_calls(const struct imatrix *im, const struct imatrix_entry *entry)
{
    size_t chunk = im->chunk_size ? im->chunk_size : 1;
    return entry->count / chunk + (entry->count % chunk != 0);
}

static bool fits_old(const struct imatrix *im)
{
    bool fits = im->n_entries <= INT32_MAX && im->n_chunks <= INT32_MAX;
    for (size_t i = 0; i < im->n_entries; i++)
        fits = fits && im->entries[i].n <= INT32_MAX && count_calls(im, &im->entries[i]) <= INT32_MAX;
    return fits;
}

/* Values times a number of calls, which a reader divides by again. */
static void append_entry(struct buffer *b, const struct imatrix_entry *entry, size_t calls)
{
    append_text(b, entry->name);
    append_i32(b, calls);
    append_i32(b, entry->n);
    for (size_t i = 0; i < entry->n; i++)
        buffer_append(b, &(float){entry->values[i] * (float)calls}, sizeof(float));
}

static int write_old(const struct imatrix *im, const char *path, struct error *e)
{
    struct file_writer out = {0};
    struct buffer b = {0};
    if (!fits_old(im))
        return error_set(e, ERR_USAGE, "%s: more entries, values or calls than the old form can count", path);
    int code = file_writer_open(&out, path, e);
    append_i32(&b, im->n_entries);
    for (size_t i = 0; i < im->n_entries && !code; i++) {
        append_entry(&b, &im->entries[i], count_calls(im, &im->entries[i]));
        if (fwrite(b.data, 1, b.size, out.stream) != b.size)
            code = error_set_errno(e, "%s: cannot write", path);
        buffer_clear(&b);
    }
    append_i32(&b, im->n_chunks);
    append_text(&b, im->dataset ? im->dataset : "");
    if (!code && fwrite(b.data, 1, b.size, out.stream) != b.size)
        code = error_set_errno(e, "%s: cannot write", path);
    if (!code)
        code = file_writer_commit(&out, e);
    file_writer_abandon(&out);
    buffer_free(&b);
    return code;
}

int imatrix_write(const struct imatrix *im, const char *path, bool legacy, struct error *e)
{
    CHECK(im->n_entries > 0);
    return legacy ? write_old(im, path, e) : write_gguf(im, path, e);
}
