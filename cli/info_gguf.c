#include "cli/info.h"

#include "cli/shared.h"
#include "formats/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An integer JSON can hold exactly stays one; the others are written out. */
static json_t *json_unsigned(uint64_t v)
{
    return v <= INT64_MAX ? json_integer((json_int_t)v)
                          : json_sprintf("%llu", (unsigned long long)v);
}

static json_t *json_number(double v)
{
    return isfinite(v) ? json_real(v) : json_string(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

/* The double nearest to the shortest decimal that means this float: 1e-05, not 9.99999975e-06. */
static double shortest(float v)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == v)
            break;
    }
    return strtod(text, NULL);
}

#define LOAD(type)                                                                                 \
    type v;                                                                                        \
    memcpy(&v, data + i * sizeof v, sizeof v)

static json_t *item_to_json(const struct gguf_kv *kv, enum gguf_type type, size_t i)
{
    const unsigned char *data = kv->data;
    switch (type) {
    case GGUF_U8:
        return json_integer(data[i]);
    case GGUF_I8:
        return json_integer((int8_t)data[i]);
    case GGUF_BOOL:
        return json_boolean(data[i]);
    case GGUF_U16: {
        LOAD(uint16_t);
        return json_integer(v);
    }
    case GGUF_I16: {
        LOAD(int16_t);
        return json_integer(v);
    }
    case GGUF_U32: {
        LOAD(uint32_t);
        return json_integer(v);
    }
    case GGUF_I32: {
        LOAD(int32_t);
        return json_integer(v);
    }
    case GGUF_U64: {
        LOAD(uint64_t);
        return json_unsigned(v);
    }
    case GGUF_I64: {
        LOAD(int64_t);
        return json_integer(v);
    }
    case GGUF_F32: {
        LOAD(float);
        return json_number(shortest(v));
    }
    case GGUF_F64: {
        LOAD(double);
        return json_number(v);
    }
    case GGUF_STRING:
        return json_text(kv->strings[i].data, kv->strings[i].size);
    case GGUF_ARRAY:
        break;
    }
    return json_null();
}

static json_t *value_to_json(const struct gguf_kv *kv)
{
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    enum { SHOWN = 8 };
    if (kv->type != GGUF_ARRAY)
        return item_to_json(kv, kv->type, 0);
    json_t *first = json_array();
    for (size_t i = 0; i < kv->count && i < SHOWN; i++)
        json_array_append_new(first, item_to_json(kv, kv->item_type, i));
    return json_pack("{s:s, s:I, s:o}", "type", names[kv->item_type], "count",
                     (json_int_t)kv->count, "first", first);
}

int info_describe_gguf(const char *path, json_t *file, struct error *e)
{
    struct gguf g;
    int code = gguf_open(path, &g, e);
    if (code)
        return code;
    json_object_set_new(file, "kind", json_sprintf("GGUF version %u", (unsigned)g.version));
    if (g.n_maps > 1)
        info_set_files(file, g.n_maps, g.maps);
    for (size_t i = 0; i < g.n_kv; i++) {
        json_t *key = json_text(g.kv[i].key.data, g.kv[i].key.size);
        info_add(file, json_string_value(key), value_to_json(&g.kv[i]));
        json_decref(key);
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        const struct gguf_tensor *t = &g.tensors[i];
        size_t dims[4];
        for (int d = 0; d < t->n_dims; d++)
            dims[d] = t->dims[t->n_dims - 1 - d];
        info_add_tensor(file, t->name.data, t->name.size, dtype_info((int)t->type)->name, t->n_dims,
                        dims, t->n_bytes);
    }
    gguf_close(&g);
    return OK;
}
