/* GGUF containers, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md):
 * typed key-value metadata and tensors. Containers only: what the tensors mean is model/'s concern.
 *
 * Reading maps the file and validates everything before it is used: counts against the bytes that
 * remain, products with overflow checks, names unique, tensor extents inside the file. Pointers
 * handed out point into the mapping and live until gguf_close. */
#ifndef LINNET_FORMATS_GGUF_H
#define LINNET_FORMATS_GGUF_H

#include "base/error.h"
#include "base/file.h"
#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gguf_type {
    GGUF_U8 = 0, GGUF_I8 = 1, GGUF_U16 = 2, GGUF_I16 = 3, GGUF_U32 = 4, GGUF_I32 = 5,
    GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_U64 = 10, GGUF_I64 = 11,
    GGUF_F64 = 12,
};

struct gguf_string {
    const char *data; /* not NUL-terminated */
    size_t size;
};

struct gguf_kv {
    struct gguf_string key;
    enum gguf_type type;
    enum gguf_type item_type;         /* of an array */
    size_t count;                     /* items of an array; 1 otherwise */
    const unsigned char *data;        /* raw little-endian values; unaligned */
    const struct gguf_string *strings; /* for a string or an array of strings; else NULL */
};

struct gguf_tensor {
    struct gguf_string name;
    enum dtype type;
    int n_dims;
    size_t dims[4];   /* fastest-varying first; 1 beyond n_dims */
    size_t n_elements, n_bytes;
    const unsigned char *data; /* aligned to the file's alignment within the mapping */
};

struct gguf {
    uint32_t version;
    size_t alignment;
    size_t n_kv, n_tensors;
    struct gguf_kv *kv;
    struct gguf_tensor *tensors;
    size_t n_maps;
    struct file_map *maps; /* one for each file; none after gguf_parse */
    void *index;           /* hash of names, private */
};

/* Parses a GGUF image in memory, which must outlive *g. Never reads outside [bytes, bytes+n). */
int gguf_parse(const unsigned char *bytes, size_t n, struct gguf *g, struct error *e);
/* Opens a file. One that is a part of several (key split.count) stands for all of them: they lie
 * beside it as NAME-00001-of-0000n.gguf and so on, each says its number (split.no, from 0) and how
 * many tensors there are together (split.tensors.count), and no tensor is in two. The keys are
 * those of the first part, the tensors those of all, part by part. Errors name the file at fault. */
int gguf_open(const char *path, struct gguf *g, struct error *e);
void gguf_close(struct gguf *g);

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);         /* or NULL */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);

/* Typed reads. Absent: *value untouched, OK. Present with another type or out of range: ERR_FORMAT
 * naming the key. Integers of any width are accepted for size, f32 (its shortest decimal)
 * and f64 for double. The string
 * is NUL-terminated, owned by the caller (mem_free); one with an inner NUL is an error. */
int gguf_get_size(const struct gguf *g, const char *key, size_t *value, struct error *e);
int gguf_get_double(const struct gguf *g, const char *key, double *value, struct error *e);
int gguf_get_bool(const struct gguf *g, const char *key, bool *value, struct error *e);
int gguf_get_string(const struct gguf *g, const char *key, char **value, struct error *e);
/* The shortest decimal that is this f32: what was 1e-6 when it was written is 1e-6 again. */
double gguf_shortest(float x);
/* Item i of an integer array (checked by the caller through kv->item_type and count). */
int64_t gguf_array_int(const struct gguf_kv *kv, size_t i);
float gguf_array_f32(const struct gguf_kv *kv, size_t i);

/* Writing: declare everything, then gguf_writer_finish streams the file atomically (version 3,
 * alignment 32, tensors contiguous in declaration order as llama.cpp demands). Keys, names and
 * values are copied; tensor data is fetched at finish through the callback, so a model is never
 * held twice. */
struct gguf_writer;
struct gguf_writer *gguf_writer_new(void);
void gguf_writer_free(struct gguf_writer *w);
void gguf_put_u16(struct gguf_writer *w, const char *key, uint16_t v);
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_string(struct gguf_writer *w, const char *key, const char *v);
void gguf_put_strings(struct gguf_writer *w, const char *key, const struct gguf_string *v, size_t n);
void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *v, size_t n);
void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *v, size_t n);
/* dims fastest-varying first. `source(context, bytes, e)` fills the tensor's n_bytes when asked. */
typedef int gguf_source(void *context, void *bytes, struct error *e);
void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype type, int n_dims,
                     const size_t dims[], gguf_source *source, void *context);
/* A copy of n bytes that lives as long as the writer: a context for sources. */
void *gguf_writer_keep(struct gguf_writer *w, const void *bytes, size_t n);
int gguf_writer_finish(struct gguf_writer *w, const char *path, struct error *e);

#endif
