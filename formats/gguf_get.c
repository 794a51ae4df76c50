/* Typed reads of GGUF values. */
#include "base/check.h"
#include "base/memory.h"
#include "formats/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_integer(enum gguf_type type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

#define READ(type, at)                                                                             \
    do {                                                                                           \
        type v;                                                                                    \
        memcpy(&v, (at), sizeof v);                                                                \
        return (int64_t)v;                                                                         \
    } while (0)

static int64_t integer_at(enum gguf_type type, const unsigned char *data, size_t i)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return data[i];
    case GGUF_I8:
        return (int8_t)data[i];
    case GGUF_U16:
        READ(uint16_t, data + 2 * i);
    case GGUF_I16:
        READ(int16_t, data + 2 * i);
    case GGUF_U32:
        READ(uint32_t, data + 4 * i);
    case GGUF_I32:
        READ(int32_t, data + 4 * i);
    case GGUF_U64:
    case GGUF_I64:
        READ(int64_t, data + 8 * i);
    default:
        CHECK(is_integer(type));
        return 0;
    }
}

int64_t gguf_array_int(const struct gguf_kv *kv, size_t i)
{
    CHECK(i < kv->count);
    return integer_at(kv->item_type, kv->data, i);
}

float gguf_array_f32(const struct gguf_kv *kv, size_t i)
{
    CHECK(i < kv->count && kv->item_type == GGUF_F32);
    float v;
    memcpy(&v, kv->data + 4 * i, sizeof v);
    return v;
}

int gguf_get_size(const struct gguf *g, const char *key, size_t *value, struct error *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return OK;
    if (!is_integer(kv->type))
        return error_set(e, ERR_FORMAT, "key \"%s\" must be a whole number", key);
    int64_t v = integer_at(kv->type, kv->data, 0);
    if (v < 0) /* negative, or a u64 beyond 2^63 */
        return error_set(e, ERR_FORMAT, "key \"%s\" is out of range", key);
    *value = (size_t)v;
    return OK;
}

double gguf_shortest(float x)
{
    char text[40];
    if (!isfinite(x))
        return (double)x;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return strtod(text, NULL);
}

int gguf_get_double(const struct gguf *g, const char *key, double *value, struct error *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return OK;
    if (kv->type == GGUF_F32)
        *value = gguf_shortest(gguf_array_f32(kv, 0));
    else if (kv->type == GGUF_F64)
        memcpy(value, kv->data, sizeof *value);
    else
        return error_set(e, ERR_FORMAT, "key \"%s\" must be a floating-point number", key);
    return OK;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *value, struct error *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return OK;
    if (kv->type != GGUF_BOOL || kv->data[0] > 1)
        return error_set(e, ERR_FORMAT, "key \"%s\" must be true or false", key);
    *value = kv->data[0];
    return OK;
}

int gguf_get_string(const struct gguf *g, const char *key, char **value, struct error *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return OK;
    if (kv->type != GGUF_STRING)
        return error_set(e, ERR_FORMAT, "key \"%s\" must be a string", key);
    struct gguf_string s = kv->strings[0];
    if (s.size && memchr(s.data, 0, s.size))
        return error_set(e, ERR_FORMAT, "key \"%s\": the string contains a NUL byte", key);
    *value = mem_string_n(s.data, s.size);
    return OK;
}
