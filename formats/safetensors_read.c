#include "base/json.h"
#include "base/memory.h"
#include "formats/safetensors_private.h"

#include <stdlib.h>
#include <string.h>

const struct safetensors_type safetensors_types[SAFETENSORS_TYPES] = {
    {"BOOL", 8, false, 0},          {"F4", 4, false, 0},          {"F6_E2M3", 6, false, 0},
    {"F6_E3M2", 6, false, 0},       {"U8", 8, false, 0},          {"I8", 8, false, 0},
    {"F8_E5M2", 8, false, 0},       {"F8_E4M3", 8, false, 0},     {"F8_E8M0", 8, false, 0},
    {"I16", 16, false, 0},          {"U16", 16, false, 0},        {"F16", 16, true, DTYPE_F16},
    {"BF16", 16, true, DTYPE_BF16}, {"I32", 32, true, DTYPE_I32}, {"U32", 32, false, 0},
    {"F32", 32, true, DTYPE_F32},   {"C64", 64, false, 0},        {"F64", 64, false, 0},
    {"I64", 64, true, DTYPE_I64},   {"U64", 64, false, 0},
};

/* What a file that is no safetensors file may be instead. */
static int wrong_file(const unsigned char *bytes, size_t n, struct error *e)
{
    static const char lfs[] = "version https://git-lfs";
    if (n == 0)
        return error_set(e, ERR_FORMAT, "not a safetensors file, it is empty");
    if ((n >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) ||
        (n >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5))
        return error_set(e, ERR_FORMAT,
                         "a PyTorch checkpoint (pickle), which can run code when it is loaded; "
                         "only safetensors are read, convert it first");
    if (n >= 4 && memcmp(bytes, "GGUF", 4) == 0)
        return error_set(e, ERR_FORMAT, "a GGUF file, not a safetensors file");
    if (n >= sizeof lfs - 1 && memcmp(bytes, lfs, sizeof lfs - 1) == 0)
        return error_set(e, ERR_FORMAT,
                         "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`");
    return OK;
}

/* The JSON text's length, checked against the file. */
static int header_size(const unsigned char *bytes, size_t n, size_t *size, struct error *e)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0 && n >= 8; i--)
        length = length << 8 | bytes[i];
    bool fits = n >= 8 && length <= SAFETENSORS_MAX_HEADER && length <= n - 8;
    if (fits && length > 0 && bytes[8] == '{') {
        *size = (size_t)length;
        return OK;
    }
    int code = wrong_file(bytes, n, e);
    if (code)
        return code;
    if (n >= 9 && bytes[8] == '{')
        return error_set(e, ERR_FORMAT,
                         "the header should be %llu bytes long but the file has only %zu (at most "
                         "%d are allowed): it is cut short or damaged",
                         (unsigned long long)length, n - 8, SAFETENSORS_MAX_HEADER);
    return error_set(e, ERR_FORMAT, "not a safetensors file (no JSON header)");
}

/* An integer of at most 2^53, the range JSON carries exactly. */
static bool exact_size(const json_t *v, size_t *value)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > (json_int_t)1 << 53)
        return false;
    *value = (size_t)json_integer_value(v);
    return true;
}

static int read_type(const json_t *info, struct safetensors_tensor *t, size_t *bits,
                     struct error *e)
{
    const char *name = json_string_value(json_object_get(info, "dtype"));
    if (!name)
        return error_set(e, ERR_FORMAT, "tensor \"%.80s\": \"dtype\" must be a string", t->name);
    for (size_t i = 0; i < SAFETENSORS_TYPES; i++) {
        const struct safetensors_type *type = &safetensors_types[i];
        if (strcmp(name, type->name) != 0)
            continue;
        t->type = type->type;
        t->type_name = type->name;
        t->supported = type->supported;
        *bits = type->bits;
        return OK;
    }
    return error_set(e, ERR_FORMAT, "tensor \"%.80s\": unknown dtype \"%.40s\"", t->name, name);
}

static int read_shape(const json_t *info, struct safetensors_tensor *t, struct error *e)
{
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return error_set(e, ERR_FORMAT,
                         "tensor \"%.80s\": \"shape\" must be an array of at most %d sizes",
                         t->name, SAFETENSORS_MAX_DIMS);
    t->n_dims = (int)json_array_size(shape);
    t->n_elements = 1;
    for (int i = 0; i < t->n_dims; i++) {
        if (!exact_size(json_array_get(shape, (size_t)i), &t->shape[i]))
            return error_set(e, ERR_FORMAT,
                             "tensor \"%.80s\": dimension %d must be a whole number from 0 to 2^53",
                             t->name, i);
        if (!size_mul(t->n_elements, t->shape[i], &t->n_elements))
            return error_set(e, ERR_FORMAT, "tensor \"%.80s\": its shape is too large", t->name);
    }
    return OK;
}

/* One entry; `data` is where offset 0 lies, `available` the bytes from there to the end of file. */
static int read_tensor(const json_t *info, const unsigned char *data, size_t available,
                       struct safetensors_tensor *t, struct error *e)
{
    size_t bits = 0, total_bits, begin, end;
    if (!json_is_object(info))
        return error_set(e, ERR_FORMAT, "tensor \"%.80s\" must be an object", t->name);
    int code = read_type(info, t, &bits, e);
    if (!code)
        code = read_shape(info, t, e);
    if (code)
        return code;
    const json_t *offsets = json_object_get(info, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !exact_size(json_array_get(offsets, 0), &begin) ||
        !exact_size(json_array_get(offsets, 1), &end) || begin > end)
        return error_set(
            e, ERR_FORMAT,
            "tensor \"%.80s\": \"data_offsets\" must be two whole numbers, the smaller one first",
            t->name);
    if (!size_mul(t->n_elements, bits, &total_bits) || total_bits % 8 != 0 ||
        end - begin != total_bits / 8)
        return error_set(
            e, ERR_FORMAT,
            "tensor \"%.80s\": %zu elements of %s do not take the %zu bytes its offsets span",
            t->name, t->n_elements, t->type_name, end - begin);
    if (end > available)
        return error_set(e, ERR_FORMAT,
                         "tensor \"%.80s\" ends at byte %zu of the data, but the file holds only "
                         "%zu: it is cut short or damaged",
                         t->name, end, available);
    t->n_bytes = end - begin;
    t->data = data + begin;
    return OK;
}

static int check_metadata(json_t *metadata, struct error *e)
{
    if (!json_is_object(metadata))
        return error_set(e, ERR_FORMAT, "\"__metadata__\" must be an object");
    for (void *i = json_object_iter(metadata); i; i = json_object_iter_next(metadata, i))
        if (!json_is_string(json_object_iter_value(i)))
            return error_set(e, ERR_FORMAT, "\"__metadata__\": \"%.80s\" must be a string",
                             json_object_iter_key(i));
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

int safetensors_compare_names(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_tensor *)a)->name,
                  ((const struct safetensors_tensor *)b)->name);
}

/* The tensors must cover the data from end to end: no gap, no overlap, nothing behind. */
static int check_coverage(struct safetensors *s, const unsigned char *data, size_t available,
                          struct error *e)
{
    size_t at = 0;
    if (s->n_tensors)
        qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_place);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct safetensors_tensor *t = &s->tensors[i];
        size_t begin = (size_t)(t->data - data);
        if (begin != at)
            return error_set(e, ERR_FORMAT, "tensor \"%.80s\" starts at byte %zu of the data, %s",
                             t->name, begin, begin < at ? "inside another tensor" : "after a gap");
        at = begin + t->n_bytes;
    }
    if (at != available)
        return error_set(e, ERR_FORMAT, "%zu bytes follow the last tensor", available - at);
    if (s->n_tensors)
        qsort(s->tensors, s->n_tensors, sizeof *s->tensors, safetensors_compare_names);
    return OK;
}

static int read_header(json_t *root, const unsigned char *data, size_t available,
                       struct safetensors *s, struct error *e)
{
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "the header must be a JSON object");
    s->tensors = mem_zero(json_object_size(root), sizeof *s->tensors);
    int code = OK;
    for (void *i = json_object_iter(root); i; i = json_object_iter_next(root, i)) {
        const char *name = json_object_iter_key(i);
        json_t *value = json_object_iter_value(i);
        if (strcmp(name, "__metadata__") == 0) {
            code = check_metadata(value, e);
        } else {
            struct safetensors_tensor *t = &s->tensors[s->n_tensors++];
            t->name = mem_string(name);
            code = read_tensor(value, data, available, t, e);
        }
        if (code)
            return code;
    }
    return check_coverage(s, data, available, e);
}

int safetensors_parse(const unsigned char *bytes, size_t n, struct safetensors *s, struct error *e)
{
    *s = (struct safetensors){0};
    json_t *root = NULL;
    size_t size = 0;
    int code = header_size(bytes, n, &size, e);
    if (!code) {
        code = json_parse((const char *)bytes + 8, size, &root, e);
        if (code)
            error_prefix(e, "header");
    }
    if (!code)
        code = read_header(root, bytes + 8 + size, n - 8 - size, s, e);
    json_decref(root);
    if (code)
        safetensors_close(s);
    return code;
}

int safetensors_open(const char *path, struct safetensors *s, struct error *e)
{
    *s = (struct safetensors){0};
    struct file_map map;
    int code = file_map(path, &map, e);
    if (code)
        return code;
    code = safetensors_parse(map.data, map.size, s, e);
    if (code) {
        file_unmap(&map);
        return error_prefix(e, "%s", path);
    }
    s->maps = mem_alloc(1, sizeof *s->maps);
    s->maps[s->n_maps++] = map;
    return OK;
}

void safetensors_close(struct safetensors *s)
{
    for (size_t i = 0; i < s->n_tensors; i++)
        mem_free(s->tensors[i].name);
    mem_free(s->tensors);
    for (size_t i = 0; i < s->n_maps; i++)
        file_unmap(&s->maps[i]);
    mem_free(s->maps);
    *s = (struct safetensors){0};
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct safetensors_tensor key = {.name = (char *)name};
    if (s->n_tensors == 0)
        return NULL;
    return bsearch(&key, s->tensors, s->n_tensors, sizeof key, safetensors_compare_names);
}
