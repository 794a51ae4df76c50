#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "formats/gguf_private.h"

#include <stdlib.h>
#include <string.h>

/* Values are handed out as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "linnet needs a little-endian machine");

/* Bounds on what a sane file holds; the same ones as Ollama's reader where it has them. */
enum {
    MAX_KV = 100000,
    MAX_TENSORS = GGUF_MAX_TENSORS,
    MAX_ITEMS = 64 << 20,
    MAX_STRING = 16 << 20,
    MAX_KEY = 65535,
    MAX_NAME = 63, /* ggml's GGML_MAX_NAME without the NUL */
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 1 << 20,
    MIN_KV_BYTES = 8 + 1 + 4 + 1,             /* key length, key, type, value */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* name length, name, n_dims, dim, type, offset */
};

static const size_t type_size[] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2,  [GGUF_I16] = 2,    [GGUF_U32] = 4,
    [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_STRING] = 0, [GGUF_ARRAY] = 0,
    [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

/* ---- hash of names: open addressing, at most half full; a slot holds an index plus one ---- */

struct names {
    uint32_t *slots;
    size_t mask;
};

struct gguf_index {
    struct names keys, tensors;
    uint64_t *offsets; /* of the tensors, only while parsing */
};

static void names_init(struct names *h, size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    h->slots = mem_zero(size, sizeof *h->slots);
    h->mask = size - 1;
}

/* The slot of the item with this name, or the empty slot where it belongs. `items` are structs of
 * `stride` bytes that start with their name. */
static uint32_t *names_slot(const struct names *h, const void *items, size_t stride,
                            struct gguf_string name)
{
    for (size_t i = hash64(name.data, name.size, 0);; i++) {
        uint32_t *slot = &h->slots[i & h->mask];
        if (!*slot)
            return slot;
        const struct gguf_string *other =
            (const void *)((const char *)items + (*slot - 1) * stride);
        if (other->size == name.size && memcmp(other->data, name.data, name.size) == 0)
            return slot;
    }
}

_Static_assert(offsetof(struct gguf_kv, key) == 0 && offsetof(struct gguf_tensor, name) == 0,
               "names_slot wants the name first");

/* ---- reading values ---- */

struct reader {
    const unsigned char *bytes;
    size_t size, pos;
    struct error *e;
};

/* A name from a file as one printable line. */
static const char *printable(struct gguf_string s, char text[80])
{
    size_t n = s.size < 76 ? s.size : 76;
    for (size_t i = 0; i < n; i++)
        text[i] = s.data[i] >= 32 && s.data[i] < 127 && s.data[i] != '"' ? s.data[i] : '?';
    memcpy(text + n, n < s.size ? "..." : "", n < s.size ? 4 : 1);
    return text;
}

/* The next n bytes, or NULL with the error set. */
static const unsigned char *take(struct reader *r, size_t n, const char *what)
{
    if (n > r->size - r->pos) {
        error_set(r->e, ERR_FORMAT,
                  "offset %zu: %s needs %zu bytes but the file ends after %zu: it is cut short or "
                  "damaged",
                  r->pos, what, n, r->size - r->pos);
        return NULL;
    }
    const unsigned char *p = r->bytes + r->pos;
    r->pos += n;
    return p;
}

static int take_u32(struct reader *r, const char *what, uint32_t *value)
{
    const unsigned char *p = take(r, sizeof *value, what);
    if (p)
        memcpy(value, p, sizeof *value);
    return p ? OK : ERR_FORMAT;
}

static int take_u64(struct reader *r, const char *what, uint64_t *value)
{
    const unsigned char *p = take(r, sizeof *value, what);
    if (p)
        memcpy(value, p, sizeof *value);
    return p ? OK : ERR_FORMAT;
}

static int take_string(struct reader *r, const char *what, size_t limit, struct gguf_string *s)
{
    uint64_t n = 0;
    size_t at = r->pos;
    int code = take_u64(r, what, &n);
    if (code)
        return code;
    if (n > limit)
        return error_set(r->e, ERR_FORMAT,
                         "offset %zu: %s is %llu bytes long, at most %zu are allowed", at, what,
                         (unsigned long long)n, limit);
    const unsigned char *p = take(r, (size_t)n, what);
    *s = (struct gguf_string){(const char *)p, (size_t)n};
    return p ? OK : ERR_FORMAT;
}

/* The items of kv, whose item type and count are known. */
static int take_items(struct reader *r, enum gguf_type type, const char *what, struct gguf_kv *kv)
{
    if (type != GGUF_STRING) {
        size_t bytes;
        if (!size_mul(kv->count, type_size[type], &bytes))
            bytes = SIZE_MAX;
        kv->data = take(r, bytes, what);
        return kv->data ? OK : ERR_FORMAT;
    }
    if (kv->count > (r->size - r->pos) / 8)
        return error_set(r->e, ERR_FORMAT,
                         "offset %zu: %s: %zu strings do not fit the rest of the file, it is cut "
                         "short or damaged",
                         r->pos, what, kv->count);
    struct gguf_string *strings = mem_alloc(kv->count, sizeof *strings);
    kv->strings = strings;
    kv->data = r->bytes + r->pos;
    int code = OK;
    for (size_t i = 0; !code && i < kv->count; i++)
        code = take_string(r, what, MAX_STRING, &strings[i]);
    return code;
}

static int take_value(struct reader *r, const char *what, struct gguf_kv *kv)
{
    size_t at = r->pos;
    uint32_t type;
    int code = take_u32(r, what, &type);
    if (code)
        return code;
    if (type > GGUF_F64)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s: unknown value type %u", at, what, type);
    kv->type = kv->item_type = (enum gguf_type)type;
    kv->count = 1;
    if (kv->type != GGUF_ARRAY)
        return take_items(r, kv->type, what, kv);

    uint64_t count = 0;
    code = take_u32(r, what, &type);
    if (!code)
        code = take_u64(r, what, &count);
    if (code)
        return code;
    if (type > GGUF_F64 || type == GGUF_ARRAY)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s: %s", at, what,
                         type == GGUF_ARRAY ? "arrays of arrays are not supported"
                                            : "unknown type of array items");
    if (count > MAX_ITEMS)
        return error_set(r->e, ERR_FORMAT,
                         "offset %zu: %s: an array of %llu items, at most %d are allowed", at, what,
                         (unsigned long long)count, MAX_ITEMS);
    kv->item_type = (enum gguf_type)type;
    kv->count = (size_t)count;
    return take_items(r, kv->item_type, what, kv);
}

/* ---- the header ---- */

static int take_magic(struct reader *r, struct gguf *g)
{
    if (r->size < 4 || memcmp(r->bytes, "GGUF", 4) != 0) {
        static const char *const old[] = {"lmgg", "fmgg", "tjgg", "algg"};
        for (size_t i = 0; i < 4; i++)
            if (r->size >= 4 && memcmp(r->bytes, old[i], 4) == 0)
                return error_set(r->e, ERR_FORMAT,
                                 "a GGML file from before GGUF; convert the original model anew");
        return error_set(r->e, ERR_FORMAT,
                         r->size ? "not a GGUF file (it does not start with \"GGUF\")"
                                 : "not a GGUF file, it is empty");
    }
    r->pos = 4;
    uint32_t version = 0;
    int code = take_u32(r, "the version", &version);
    if (code)
        return code;
    if (version == 1)
        return error_set(r->e, ERR_FORMAT,
                         "GGUF version 1 is not supported; convert the original model anew "
                         "(versions 2 and 3 are read)");
    if (version != 0 && (version & 0xffff) == 0)
        return error_set(r->e, ERR_FORMAT,
                         "a big-endian GGUF file; only little-endian ones are supported");
    if (version != 2 && version != 3)
        return error_set(r->e, ERR_FORMAT, "GGUF version %u is not supported (2 and 3 are)",
                         version);
    g->version = version;
    return OK;
}

/* A count from the header, bounded by what could follow. */
static int take_count(struct reader *r, const char *what, size_t limit, size_t min_bytes,
                      size_t *count)
{
    uint64_t n = 0;
    int code = take_u64(r, what, &n);
    if (code)
        return code;
    if (n > limit)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s is %llu, at most %zu is allowed",
                         r->pos - 8, what, (unsigned long long)n, limit);
    if (n > (r->size - r->pos) / min_bytes)
        return error_set(
            r->e, ERR_FORMAT,
            "offset %zu: %s is %llu, but only %zu bytes follow: the file is cut short or damaged",
            r->pos - 8, what, (unsigned long long)n, r->size - r->pos);
    *count = (size_t)n;
    return OK;
}

static int parse_kv(struct reader *r, struct gguf *g, struct gguf_index *index, size_t i)
{
    char what[128], text[80];
    size_t at = r->pos;
    struct gguf_kv *kv = &g->kv[i];
    int code = take_string(r, "a key", MAX_KEY, &kv->key);
    if (code)
        return code;
    if (kv->key.size == 0)
        return error_set(r->e, ERR_FORMAT, "offset %zu: an empty key", at);
    uint32_t *slot = names_slot(&index->keys, g->kv, sizeof *kv, kv->key);
    if (*slot)
        return error_set(r->e, ERR_FORMAT, "offset %zu: key \"%s\" appears twice", at,
                         printable(kv->key, text));
    *slot = (uint32_t)i + 1;
    snprintf(what, sizeof what, "key \"%s\"", printable(kv->key, text));
    return take_value(r, what, kv);
}

static int find_alignment(struct gguf *g, struct error *e)
{
    g->alignment = 32;
    const struct gguf_kv *kv = gguf_find(g, "general.alignment");
    if (!kv)
        return OK;
    uint32_t a = 0;
    if (kv->type == GGUF_U32)
        memcpy(&a, kv->data, 4);
    if (a < MIN_ALIGNMENT || a > MAX_ALIGNMENT || (a & (a - 1)))
        return error_set(e, ERR_FORMAT,
                         "key \"general.alignment\" must be a u32 power of two from %d to %d",
                         MIN_ALIGNMENT, MAX_ALIGNMENT);
    g->alignment = a;
    return OK;
}

static int parse_dims(struct reader *r, const char *what, struct gguf_tensor *t)
{
    uint32_t n_dims = 0;
    size_t at = r->pos;
    int code = take_u32(r, what, &n_dims);
    if (code)
        return code;
    if (n_dims < 1 || n_dims > 4)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s has %u dimensions, 1 to 4 are allowed",
                         at, what, n_dims);
    t->n_dims = (int)n_dims;
    t->n_elements = 1;
    for (int i = 0; i < 4; i++)
        t->dims[i] = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        uint64_t dim = 0;
        code = take_u64(r, what, &dim);
        if (code)
            return code;
        if (dim < 1 || dim > SIZE_MAX || !size_mul(t->n_elements, (size_t)dim, &t->n_elements))
            return error_set(r->e, ERR_FORMAT, "offset %zu: %s: dimension %u is %llu", r->pos - 8,
                             what, i, (unsigned long long)dim);
        t->dims[i] = (size_t)dim;
    }
    return OK;
}

static int parse_tensor(struct reader *r, struct gguf *g, struct gguf_index *index, size_t i)
{
    char what[128], text[80];
    size_t at = r->pos;
    struct gguf_tensor *t = &g->tensors[i];
    int code = take_string(r, "a tensor's name", MAX_NAME, &t->name);
    if (code)
        return code;
    if (t->name.size == 0)
        return error_set(r->e, ERR_FORMAT, "offset %zu: a tensor without a name", at);
    snprintf(what, sizeof what, "tensor \"%s\"", printable(t->name, text));
    uint32_t *slot = names_slot(&index->tensors, g->tensors, sizeof *t, t->name);
    if (*slot)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s appears twice", at, what);
    *slot = (uint32_t)i + 1;

    uint32_t type = 0;
    code = parse_dims(r, what, t);
    if (!code)
        code = take_u32(r, what, &type);
    if (!code)
        code = take_u64(r, what, &index->offsets[i]);
    if (code)
        return code;
    const struct dtype_info *info = type <= 1000 ? dtype_info((int)type) : NULL;
    if (!info)
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s has type %u, which linnet does not know",
                         at, what, type);
    t->type = info->type;
    if (t->dims[0] % info->block != 0)
        return error_set(
            r->e, ERR_FORMAT,
            "offset %zu: %s: its rows of %zu are no multiple of the %zu elements in a block of %s",
            at, what, t->dims[0], info->block, info->name);
    if (!dtype_bytes(info->type, t->n_elements, &t->n_bytes))
        return error_set(r->e, ERR_FORMAT, "offset %zu: %s: its size does not fit memory", at,
                         what);
    return OK;
}

/* ---- the data ---- */

struct extent {
    uint64_t offset;
    const struct gguf_tensor *tensor;
};

static int compare_extents(const void *a, const void *b)
{
    uint64_t x = ((const struct extent *)a)->offset, y = ((const struct extent *)b)->offset;
    return (x > y) - (x < y);
}

static int check_overlap(const struct gguf *g, const uint64_t *offsets, struct error *e)
{
    struct extent *order = mem_alloc(g->n_tensors, sizeof *order);
    for (size_t i = 0; i < g->n_tensors; i++)
        order[i] = (struct extent){offsets[i], &g->tensors[i]};
    qsort(order, g->n_tensors, sizeof *order, compare_extents);
    int code = OK;
    for (size_t i = 1; !code && i < g->n_tensors; i++) {
        char a[80], b[80];
        if (order[i].offset - order[i - 1].offset < order[i - 1].tensor->n_bytes)
            code = error_set(e, ERR_FORMAT, "tensors \"%s\" and \"%s\" overlap",
                             printable(order[i - 1].tensor->name, a),
                             printable(order[i].tensor->name, b));
    }
    mem_free(order);
    return code;
}

static int place_tensors(struct reader *r, struct gguf *g, const uint64_t *offsets)
{
    size_t rest = r->pos % g->alignment, pad = rest ? g->alignment - rest : 0;
    if (g->n_tensors == 0)
        return OK;
    if (!take(r, pad, "the tensor data"))
        return ERR_FORMAT;
    size_t available = r->size - r->pos;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        char text[80];
        if (offsets[i] % g->alignment != 0)
            return error_set(
                r->e, ERR_FORMAT,
                "tensor \"%s\": its data offset %llu is no multiple of the alignment %zu",
                printable(t->name, text), (unsigned long long)offsets[i], g->alignment);
        if (offsets[i] > available || t->n_bytes > available - offsets[i])
            return error_set(r->e, ERR_FORMAT,
                             "tensor \"%s\": its %zu bytes at data offset %llu reach past the end "
                             "of the file (%zu bytes of data): it is cut short or damaged",
                             printable(t->name, text), t->n_bytes, (unsigned long long)offsets[i],
                             available);
        t->data = r->bytes + r->pos + (size_t)offsets[i];
    }
    return check_overlap(g, offsets, r->e);
}

int gguf_parse(const unsigned char *bytes, size_t n, struct gguf *g, struct error *e)
{
    *g = (struct gguf){0};
    struct reader r = {bytes, n, 0, e};
    struct gguf_index *index = g->index = mem_zero(1, sizeof *index);
    size_t n_tensors = 0, n_kv = 0;
    int code = take_magic(&r, g);
    if (!code)
        code = take_count(&r, "the number of tensors", MAX_TENSORS, MIN_TENSOR_BYTES, &n_tensors);
    if (!code)
        code = take_count(&r, "the number of keys", MAX_KV, MIN_KV_BYTES, &n_kv);
    if (code)
        goto done;
    g->kv = mem_zero(n_kv, sizeof *g->kv);
    names_init(&index->keys, n_kv);
    for (; !code && g->n_kv < n_kv; g->n_kv++)
        code = parse_kv(&r, g, index, g->n_kv);
    if (!code)
        code = find_alignment(g, e);
    if (code)
        goto done;
    g->tensors = mem_zero(n_tensors, sizeof *g->tensors);
    index->offsets = mem_zero(n_tensors, sizeof *index->offsets);
    names_init(&index->tensors, n_tensors);
    for (; !code && g->n_tensors < n_tensors; g->n_tensors++)
        code = parse_tensor(&r, g, index, g->n_tensors);
    if (!code)
        code = place_tensors(&r, g, index->offsets);
done:
    mem_free(index->offsets);
    index->offsets = NULL;
    if (code)
        gguf_close(g);
    return code;
}

int gguf_open_file(const char *path, struct gguf *g, struct error *e)
{
    *g = (struct gguf){0};
    struct file_map map;
    int code = file_map(path, &map, e);
    if (code)
        return code;
    code = gguf_parse(map.data, map.size, g, e);
    if (code) {
        file_unmap(&map);
        return error_prefix(e, "%s", path);
    }
    g->maps = mem_alloc(1, sizeof *g->maps);
    g->maps[g->n_maps++] = map;
    return OK;
}

int gguf_index_tensors(struct gguf *g, struct error *e)
{
    struct gguf_index *index = g->index;
    mem_free(index->tensors.slots);
    names_init(&index->tensors, g->n_tensors);
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint32_t *slot = names_slot(&index->tensors, g->tensors, sizeof *t, t->name);
        char text[80];
        if (*slot)
            return error_set(e, ERR_FORMAT, "tensor \"%s\" is in two parts",
                             printable(t->name, text));
        *slot = (uint32_t)i + 1;
    }
    return OK;
}

void gguf_close(struct gguf *g)
{
    struct gguf_index *index = g->index;
    if (index) {
        mem_free(index->keys.slots);
        mem_free(index->tensors.slots);
        mem_free(index);
    }
    for (size_t i = 0; g->kv && i < g->n_kv; i++)
        mem_free((void *)g->kv[i].strings);
    mem_free(g->kv);
    mem_free(g->tensors);
    for (size_t i = 0; i < g->n_maps; i++)
        file_unmap(&g->maps[i]);
    mem_free(g->maps);
    *g = (struct gguf){0};
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
    const struct gguf_index *index = g->index;
    struct gguf_string name = {key, strlen(key)};
    uint32_t slot = *names_slot(&index->keys, g->kv, sizeof *g->kv, name);
    return slot ? &g->kv[slot - 1] : NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    const struct gguf_index *index = g->index;
    struct gguf_string wanted = {name, strlen(name)};
    uint32_t slot = *names_slot(&index->tensors, g->tensors, sizeof *g->tensors, wanted);
    return slot ? &g->tensors[slot - 1] : NULL;
}
