#include "serve/api.h"

#include <math.h>
#include <string.h>

static int wrong(const char *field, const char *wanted, struct api_error *e)
{
    const char *quote = field ? "\"" : "";
    return api_refuse(e, 400, field, "invalid_value", "%s%s%s must be %s", quote, field ? field : "the body", quote, wanted);
}

static int read_scale(const json_t *item, const char *field, struct api_scale *s, struct api_error *e)
{
    const json_t *id = json_object_get(item, "id"), *scale = json_object_get(item, "scale");
    if (!json_is_integer(id) || json_integer_value(id) < 0)
        return wrong(field, "a list of objects whose \"id\" is the number of an adapter", e);
    if (!json_is_number(scale) || !isfinite((float)json_number_value(scale)))
        return wrong(field, "a list of objects whose \"scale\" is a number", e);
    *s = (struct api_scale){(size_t)json_integer_value(id), (float)json_number_value(scale)};
    return OK;
}

int api_read_scales(const json_t *list, const char *field, struct api_scale **scales, size_t *n, struct api_error *e)
{
    size_t count = json_array_size(list);
    *scales = NULL;
    *n = 0;
    if (!json_is_array(list))
        return wrong(field, "a list of objects with an \"id\" and a \"scale\"", e);
    if (count > API_SCALES_MOST)
        return api_refuse(e, 400, field, "invalid_value", "%zu adapters are named; at most %d are taken", count,
                          API_SCALES_MOST);
    struct api_scale *s = mem_zero(count, sizeof *s);
    int code = OK;
    for (size_t i = 0; !code && i < count; i++) {
        code = read_scale(json_array_get(list, i), field, &s[i], e);
        for (size_t k = 0; !code && k < i; k++)
            if (s[k].id == s[i].id)
                code = api_refuse(e, 400, field, "invalid_value", "adapter %zu is named twice", s[i].id);
    }
    if (code) {
        mem_free(s);
        return code;
    }
    *scales = s;
    *n = count;
    return OK;
}

int api_parse_scales(const char *text, size_t n_text, struct api_scale **scales, size_t *n, struct api_error *e)
{
    struct error why;
    json_t *list = NULL;
    *scales = NULL;
    *n = 0;
    if (json_parse(text, n_text, &list, &why))
        return api_refuse(e, 400, NULL, "invalid_json", "%s", why.message);
    int code = api_read_scales(list, NULL, scales, n, e);
    json_decref(list);
    return code;
}

int api_set_strengths(const struct api_scale *scales, size_t n, const char *field, float *strengths, size_t n_adapters,
                      struct api_error *e)
{
    for (size_t i = 0; i < n_adapters; i++)
        strengths[i] = 0;
    for (size_t i = 0; i < n; i++) {
        if (scales[i].id >= n_adapters)
            return api_refuse(e, 400, field, "unknown_adapter", "there is no adapter %zu; /lora-adapters lists them",
                              scales[i].id);
        strengths[scales[i].id] = scales[i].scale;
    }
    return OK;
}

int api_choose_adapters(const struct api_request *q, const struct api_adapter *adapters, size_t n_adapters,
                        float **strengths, const char **model, struct api_error *e)
{
    size_t named = 0;
    *strengths = NULL;
    while (named < n_adapters && (!q->model || strcmp(adapters[named].name, q->model) != 0))
        named++;
    if (named == n_adapters && !q->has_scales)
        return OK;
    if (named < n_adapters && q->has_scales)
        return api_refuse(e, 400, "lora", "invalid_value",
                          "\"lora\" and a \"model\" that is an adapter exclude each other");
    float *s = mem_zero(n_adapters, sizeof *s);
    if (named < n_adapters) {
        s[named] = adapters[named].scale;
        *model = adapters[named].name;
    }
    int code = q->has_scales ? api_set_strengths(q->scales, q->n_scales, "lora", s, n_adapters, e) : OK;
    if (code)
        mem_free(s);
    else
        *strengths = s;
    return code;
}

json_t *api_adapters_json(const struct api_adapter *adapters, const float *strengths, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:f}", "id", (json_int_t)i, "name",
                                              json_text(adapters[i].name, strlen(adapters[i].name)), "path",
                                              json_text(adapters[i].path, strlen(adapters[i].path)), "scale",
                                              (double)strengths[i]));
    return list;
}
