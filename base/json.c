#include "base/json.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/utf8.h"

#include <string.h>

static const size_t parse_flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;

int json_parse_line(const char *text, size_t n, json_t **root, struct error *e)
{
    json_error_t why;
    *root = json_loadb(text, n, parse_flags, &why);
    if (!*root)
        return error_set(e, ERR_FORMAT, "column %d: not valid JSON: %s", why.column, why.text);
    return OK;
}

int json_parse(const char *text, size_t n, json_t **root, struct error *e)
{
    json_error_t why;
    *root = json_loadb(text, n, parse_flags, &why);
    if (!*root)
        return error_set(e, ERR_FORMAT, "line %d, column %d: not valid JSON: %s", why.line,
                         why.column, why.text);
    return OK;
}

int json_read(const char *path, json_t **root, struct error *e)
{
    struct buffer text = {0};
    int code = file_read(path, &text, (size_t)1 << 30, e);
    if (!code) {
        code = json_parse(text.data, text.size, root, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    buffer_free(&text);
    return code;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return v && !json_is_null(v) ? v : NULL;
}

int json_get_size(const json_t *object, const char *key, size_t *value, struct error *e)
{
    const json_t *v = member(object, key);
    if (!v)
        return OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) > (json_int_t)1 << 53)
        return error_set(e, ERR_FORMAT, "\"%s\" must be a whole number from 0 to 2^53", key);
    *value = (size_t)json_integer_value(v);
    return OK;
}

int json_get_double(const json_t *object, const char *key, double *value, struct error *e)
{
    const json_t *v = member(object, key);
    if (!v)
        return OK;
    if (!json_is_number(v))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a number", key);
    *value = json_number_value(v);
    return OK;
}

int json_get_bool(const json_t *object, const char *key, bool *value, struct error *e)
{
    const json_t *v = member(object, key);
    if (!v)
        return OK;
    if (!json_is_boolean(v))
        return error_set(e, ERR_FORMAT, "\"%s\" must be true or false", key);
    *value = json_is_true(v);
    return OK;
}

int json_get_string(const json_t *object, const char *key, const char **value, struct error *e)
{
    const json_t *v = member(object, key);
    if (!v)
        return OK;
    if (!json_is_string(v))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string", key);
    *value = json_string_value(v);
    return OK;
}

json_t *json_text(const char *text, size_t n)
{
    struct buffer clean = {0};
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t size = utf8_decode(text + i, n - i, &code);
        if (size)
            buffer_append(&clean, text + i, size);
        else
            buffer_string(&clean, "\xEF\xBF\xBD");
        i += size ? size : 1;
    }
    json_t *value = json_stringn(clean.data ? clean.data : "", clean.size);
    buffer_free(&clean);
    return value;
}
