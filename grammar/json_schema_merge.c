#include "grammar/json_schema_private.h"

#include <string.h>

#define NUMBERS (TYPE_INTEGER | TYPE_NUMBER)

enum { LARGE_VALUE = 1 << 14 }; /* items that a list or an object is taken to have, however deep, where two are compared */

const struct schema_keyword *schema_keyword(const char *name)
{
    static const struct schema_keyword keywords[] = {
        {"$schema", 0, MERGE_FIRST},
        {"$id", 0, MERGE_FIRST},
        {"$comment", 0, MERGE_FIRST},
        {"title", 0, MERGE_FIRST},
        {"description", 0, MERGE_FIRST},
        {"default", 0, MERGE_FIRST},
        {"examples", 0, MERGE_FIRST},
        {"deprecated", 0, MERGE_FIRST},
        {"readOnly", 0, MERGE_FIRST},
        {"writeOnly", 0, MERGE_FIRST},
        {"$defs", 0, MERGE_FIRST},
        {"definitions", 0, MERGE_FIRST},
        {"type", TYPE_ALL, MERGE_TYPES},
        {"enum", TYPE_ALL, MERGE_COMMON},
        {"const", TYPE_ALL, MERGE_SAME},
        {"$ref", TYPE_ALL, MERGE_SAME},
        {"allOf", TYPE_ALL, MERGE_UNION},
        {"anyOf", TYPE_ALL, MERGE_SAME},
        {"oneOf", TYPE_ALL, MERGE_SAME},
        {"properties", TYPE_OBJECT, MERGE_SCHEMAS},
        {"required", TYPE_OBJECT, MERGE_UNION},
        {"additionalProperties", TYPE_OBJECT, MERGE_ADDITIONAL},
        {"items", TYPE_ARRAY, MERGE_SCHEMA},
        {"prefixItems", TYPE_ARRAY, MERGE_SAME},
        {"minItems", TYPE_ARRAY, MERGE_MOST},
        {"maxItems", TYPE_ARRAY, MERGE_LEAST},
        {"uniqueItems", TYPE_ARRAY, MERGE_SAME},
        {"minLength", TYPE_STRING, MERGE_MOST},
        {"maxLength", TYPE_STRING, MERGE_LEAST},
        {"pattern", TYPE_STRING, MERGE_SAME},
        {"format", TYPE_STRING, MERGE_SAME},
        {"minimum", NUMBERS, MERGE_MOST},
        {"exclusiveMinimum", NUMBERS, MERGE_MOST},
        {"maximum", NUMBERS, MERGE_LEAST},
        {"exclusiveMaximum", NUMBERS, MERGE_LEAST},
    };
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

bool schema_constrains(const json_t *schema)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        const struct schema_keyword *k = schema_keyword(key);
        if (!k || k->types)
            return true;
    }
    return json_is_false(schema);
}

/* What of `a` is in `b`, or both, without repetition. */
static int combine(struct schema_writer *w, const json_t *a, const json_t *b, bool common, json_t **both)
{
    int code = schema_steps_for(w, (json_array_size(a) + 1) * (json_array_size(b) + 1));
    if (code)
        return code;
    json_t *all = common ? json_array() : json_copy((json_t *)a);
    for (size_t i = 0; i < json_array_size(b); i++) {
        json_t *item = json_array_get(b, i);
        bool found = false;
        for (size_t k = 0; k < json_array_size(a) && !found; k++)
            found = json_equal(json_array_get(a, k), item);
        if (found == common)
            json_array_append(all, item);
    }
    *both = all;
    return OK;
}

static int merge_types(struct schema_writer *w, const json_t *a, const json_t *b, json_t **both)
{
    static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
    unsigned x, y;
    json_t *first = json_pack("{s:O}", "type", a), *second = json_pack("{s:O}", "type", b);
    int code = schema_types(w, first, &x);
    if (!code)
        code = schema_types(w, second, &y);
    json_decref(first), json_decref(second);
    if (code)
        return code;
    if ((x & TYPE_NUMBER && y & TYPE_INTEGER) || (y & TYPE_NUMBER && x & TYPE_INTEGER))
        x |= TYPE_INTEGER, y |= TYPE_INTEGER;
    if (!(x & y))
        return schema_error(w, "no value has both of these types");
    *both = json_array();
    for (size_t i = 0; i < 7; i++)
        if (x & y & 1u << i)
            json_array_append_new(*both, json_string(names[i]));
    return OK;
}

static int merge_schemas(struct schema_writer *w, const json_t *a, const json_t *b, json_t **both)
{
    const char *key;
    json_t *value;
    if (!json_is_object(a) || !json_is_object(b))
        return schema_error(w, "expected an object of schemas");
    int steps = schema_steps_for(w, json_object_size(a) + json_object_size(b));
    if (steps)
        return steps;
    *both = json_copy((json_t *)a);
    json_object_foreach((json_t *)b, key, value) {
        json_t *known = json_object_get(a, key), *one;
        int code = OK;
        size_t mark = schema_enter(w, key, NULL);
        if (!known)
            json_object_set(*both, key, value);
        else if (!(code = schema_merge(w, known, value, &one)))
            json_object_set_new(*both, key, one);
        schema_leave(w, mark);
        if (code) {
            json_decref(*both);
            *both = NULL;
            return code;
        }
    }
    return OK;
}

static int merge_values(struct schema_writer *w, const struct schema_keyword *k, json_t *a, json_t *b,
                        json_t **both)
{
    bool numbers = json_is_number(a) && json_is_number(b), lists = json_is_array(a) && json_is_array(b), less;
    switch (k->merge) {
    case MERGE_FIRST:
        *both = json_incref(a);
        return OK;
    case MERGE_MOST:
    case MERGE_LEAST:
        if (!numbers)
            return schema_error(w, "%s: expected a number", k->name);
        less = json_number_value(a) < json_number_value(b);
        *both = json_incref(less == (k->merge == MERGE_LEAST) ? a : b);
        return OK;
    case MERGE_SCHEMA:
        return schema_merge(w, a, b, both);
    case MERGE_SCHEMAS:
        return merge_schemas(w, a, b, both);
    case MERGE_UNION:
    case MERGE_COMMON:
        if (!lists)
            return schema_error(w, "%s: expected a list", k->name);
        return combine(w, a, b, k->merge == MERGE_COMMON, both);
    case MERGE_TYPES:
        return merge_types(w, a, b, both);
    case MERGE_ADDITIONAL:
        if (json_is_false(a) || json_is_false(b))
            *both = json_false();
        else
            return schema_merge(w, a, b, both);
        return OK;
    case MERGE_SAME:
        break;
    }
    int code = json_is_array(a) || json_is_object(a) ? schema_steps_for(w, LARGE_VALUE) : OK;
    if (code)
        return code;
    if (!json_equal(a, b))
        return schema_error(w, "%s: two schemas must hold here, and each has another one", k->name);
    *both = json_incref(a);
    return OK;
}

/* additionalProperties speaks of the properties beside it alone; one that forbids what the other schema has
 * cannot be said in a merged one. */
static int check_additional(struct schema_writer *w, const json_t *a, const json_t *b)
{
    const json_t *additional = json_object_get(a, "additionalProperties");
    const json_t *known = json_object_get(a, "properties");
    const char *key;
    json_t *value;
    if (!additional || json_is_true(additional))
        return OK;
    json_object_foreach(
        json_object_get(b, "properties"), key,
        value) if (!json_object_get(known,
                                    key)) return schema_error(w,
                                                              "additionalProperties concerns the property "
                                                              "\"%s\" of another schema that must "
                                                              "hold too; that is not supported",
                                                              key);
    return OK;
}

/* With a $ref followed, unless the schema is nothing but one that the other one has too. */
static int follow(struct schema_writer *w, const json_t *schema, json_t **out)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (!ref) {
        *out = json_incref((json_t *)schema);
        return OK;
    }
    const json_t *target;
    int code = schema_step(w);
    if (!code)
        code = schema_steps_for(w, json_object_size(schema));
    if (!code)
        code = schema_resolve(w, ref, &target);
    if (code)
        return code;
    json_t *rest = json_copy((json_t *)schema);
    json_object_del(rest, "$ref");
    if (++w->depth > SCHEMA_MOST_DEPTH)
        code = schema_error(w, "$ref: it leads to too many others");
    else
        code = schema_merge(w, rest, target, out);
    w->depth--;
    json_decref(rest);
    return code;
}

static int merge_objects(struct schema_writer *w, const json_t *a, const json_t *b, json_t **both)
{
    const char *key;
    json_t *value;
    int code = schema_steps_for(w, json_object_size(a));
    if (!code)
        code = check_additional(w, a, b);
    if (!code)
        code = check_additional(w, b, a);
    if (code)
        return code;
    *both = json_copy((json_t *)a);
    json_object_foreach((json_t *)b, key, value) {
        json_t *known = json_object_get(a, key), *one = NULL;
        const struct schema_keyword *k = schema_keyword(key);
        code = schema_step(w);
        if (!code && !k)
            code = schema_error(w, "the keyword \"%s\" is not supported", key);
        if (!code && known)
            code = merge_values(w, k, known, value, &one);
        if (code) {
            json_decref(*both);
            *both = NULL;
            return code;
        }
        json_object_set_new(*both, key, known ? one : json_incref(value));
    }
    return OK;
}

int schema_merge(struct schema_writer *w, const json_t *a, const json_t *b, json_t **both)
{
    json_t *x = NULL, *y = NULL;
    *both = NULL;
    if (json_is_false(a) || json_is_false(b))
        return schema_error(w, "the schema false allows nothing");
    if (json_is_true(a) || json_is_true(b)) {
        *both = json_incref((json_t *)(json_is_true(a) ? b : a));
        return OK;
    }
    if (!json_is_object(a) || !json_is_object(b))
        return schema_error(w, "a schema is an object, true or false");
    int code = ++w->depth > SCHEMA_MOST_DEPTH ? schema_error(w, "schemas nest too deep") : follow(w, a, &x);
    if (!code)
        code = follow(w, b, &y);
    if (!code && (json_is_true(x) || json_is_true(y)))
        *both = json_incref(json_is_true(x) ? y : x);
    else if (!code)
        code = merge_objects(w, x, y, both);
    w->depth--;
    json_decref(x), json_decref(y);
    return code;
}
