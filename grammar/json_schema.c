#include "grammar/json_schema_private.h"

#include "base/memory.h"
#include "grammar/grammar.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* --- Errors, places, names -------------------------------------------------------------------------------- */

int schema_cut(const char *text, size_t most)
{
    size_t n = strlen(text);
    for (n = n < most ? n : most; n > 0 && (text[n] & 0xC0) == 0x80;)
        n--;
    return (int)n;
}

int schema_error(struct schema_writer *w, const char *format, ...)
{
    char what[700];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(w->e, ERR_FORMAT, "JSON schema: %.*s: %.*s", schema_cut(w->path.data, 200), w->path.data,
                     schema_cut(what, sizeof what - 5), what);
}

size_t schema_enter(struct schema_writer *w, const char *keyword, const char *member)
{
    size_t mark = w->path.size;
    buffer_printf(&w->path, member ? "/%s/%s" : "/%s", keyword, member);
    return mark;
}

void schema_leave(struct schema_writer *w, size_t mark)
{
    w->path.size = mark;
    w->path.data[mark] = 0;
}

static int take_steps(struct schema_writer *w, size_t n)
{
    w->steps += n < SCHEMA_MOST_STEPS ? n : SCHEMA_MOST_STEPS;
    if (w->steps > SCHEMA_MOST_STEPS || w->rules.size > GRAMMAR_MOST_BYTES)
        return schema_error(w, "the schema grows too large here");
    return OK;
}

int schema_step(struct schema_writer *w)
{
    return take_steps(w, 1);
}

int schema_steps_for(struct schema_writer *w, size_t n)
{
    return take_steps(w, n / SCHEMA_STEP_ITEMS);
}

/* Rules that any grammar may need, and which others these need. */
static const struct { const char *name, *body, *needs[5]; } shared[] = {
    {"space", "(\" \" | \"\\n\"{1,2} [ \\t]{0,20})?", {NULL}},
    {"hex", "[0-9a-fA-F]", {NULL}},
    {"char", "[^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" unit)", {"unit"}},
    {"unit", "[0-9abcefABCEF] hex{3} | [dD] [0-7] hex{2} | [dD] [89abAB] hex{2} \"\\\\u\" [dD] [c-fC-F] hex{2}", {"hex"}},
    {"string", "\"\\\"\" char* \"\\\"\"", {"char"}},
    {"integer", "\"-\"? natural", {"natural"}},
    {"natural", "\"0\" | [1-9] [0-9]{0,15}", {NULL}},
    {"number", "\"-\"? positive", {"positive"}},
    {"positive", "natural (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?", {"natural"}},
    {"boolean", "\"true\" | \"false\"", {NULL}},
    {"null", "\"null\"", {NULL}},
    {"value", "object | array | string | number | boolean | null", {"object", "array", "number", "boolean", "null"}},
    {"object", "\"{\" space (string space \":\" space value (space \",\" space string space \":\" space value)* space)? \"}\"",
     {"string", "space", "value"}},
    {"array", "\"[\" space (value (space \",\" space value)* space)? \"]\"", {"space", "value"}},
    {"date", "year-any \"-\" (month-31 \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | month-30 \"-\" (\"0\" [1-9] | [12] [0-9] | "
             "\"30\") | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])) | year-leap \"-02-29\"",
     {"year-any", "year-leap", "month-31", "month-30"}},
    {"year-any", "[0-9]{4}", {NULL}},
    {"year-leap", "[0-9]{2} (\"0\" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) \"00\"", {NULL}},
    {"month-31", "\"0\" [13578] | \"1\" [02]", {NULL}},
    {"month-30", "\"0\" [469] | \"11\"", {NULL}},
    {"time", "hour \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? (\"Z\" | [-+] hour \":\" [0-5] [0-9])", {"hour"}},
    {"hour", "[01] [0-9] | \"2\" [0-3]", {NULL}},
    {"date-time", "date \"T\" time", {"date", "time"}},
    {"uuid", "hex{8} (\"-\" hex{4}){3} \"-\" hex{12}", {"hex"}},
};
enum { N_SHARED = sizeof shared / sizeof *shared };

const char *schema_shared(struct schema_writer *w, const char *name)
{
    for (size_t i = 0; i < N_SHARED; i++) {
        if (strcmp(shared[i].name, name) != 0)
            continue;
        if (!(w->used & 1u << i)) {
            w->used |= 1u << i;
            for (size_t k = 0; k < 5 && shared[i].needs[k]; k++)
                schema_shared(w, shared[i].needs[k]);
        }
        return shared[i].name;
    }
    return NULL;
}

const char *schema_name(struct schema_writer *w, const char *parent, const char *hint)
{
    char name[96];
    size_t n = 0;
    for (const char *part = parent; part; part = part == parent ? hint : NULL) {
        if (n > 0 && n < 60)
            name[n++] = '-';
        for (const char *c = part; *c && n < 60; c++) {
            bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
            name[n++] = plain ? *c : '-';
        }
    }
    name[n] = 0;
    json_t *taken = json_object_get(w->names, name);
    if (taken) {
        json_int_t next = json_integer_value(taken);
        char base[96];
        memcpy(base, name, n + 1);
        do
            snprintf(name + n, sizeof name - n, "-%lld", (long long)next++);
        while (json_object_get(w->names, name));
        json_object_set_new(w->names, base, json_integer(next));
    }
    json_object_set_new(w->names, name, json_integer(2));
    return json_object_iter_key(json_object_iter_at(w->names, name));
}

void schema_rule(struct schema_writer *w, const char *name, const struct buffer *body)
{
    buffer_printf(&w->rules, "%s ::= %s\n", name, body->data);
}

/* --- What a schema says ------------------------------------------------------------------------------------- */

/* RFC 6901, within the same document. */
int schema_resolve(struct schema_writer *w, const char *ref, const json_t **schema)
{
    const char *at = ref + 1;
    *schema = w->root;
    if (*ref != '#' || (*at && *at != '/'))
        return schema_error(w, "$ref \"%.*s\": only places in the same document (#/$defs/...) are supported",
                            schema_cut(ref, 100), ref);
    while (*at == '/' && *schema) {
        struct buffer part = {0};
        for (at++; *at && *at != '/'; at++)
            if (*at == '~' && (at[1] == '0' || at[1] == '1'))
                buffer_byte(&part, *++at == '0' ? '~' : '/');
            else
                buffer_byte(&part, *at);
        const char *key = part.data ? part.data : "";
        if (json_is_array(*schema) && *key && strlen(key) < 10 && strspn(key, "0123456789") == strlen(key))
            *schema = json_array_get(*schema, (size_t)strtoul(key, NULL, 10));
        else
            *schema = json_object_get(*schema, key);
        buffer_free(&part);
    }
    return *schema ? OK : schema_error(w, "$ref \"%.*s\": there is nothing there", schema_cut(ref, 100), ref);
}

static int add_type(struct schema_writer *w, const json_t *name, unsigned *types)
{
    static const struct { const char *name; unsigned bits; } known[] = {
        {"null", TYPE_NULL}, {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER},
        {"string", TYPE_STRING}, {"array", TYPE_ARRAY}, {"object", TYPE_OBJECT}};
    const char *text = json_string_value(name);
    for (size_t i = 0; text && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, text) == 0) {
            *types |= known[i].bits;
            return OK;
        }
    return schema_error(
        w, "type: expected null, boolean, integer, number, string, array, object or a list of them");
}

int schema_types(struct schema_writer *w, const json_t *schema, unsigned *types)
{
    const json_t *type = json_object_get(schema, "type");
    *types = type ? 0 : TYPE_ALL;
    if (!type)
        return OK;
    if (!json_is_array(type))
        return add_type(w, type, types);
    int code = json_array_size(type) ? schema_steps_for(w, json_array_size(type))
                                     : schema_error(w, "type: an empty list");
    for (size_t i = 0; !code && i < json_array_size(type); i++)
        code = add_type(w, json_array_get(type, i), types);
    return code;
}

/* The keywords are known ones; without a type, those that belong to one say which. */
static int check_keywords(struct schema_writer *w, const json_t *schema, unsigned *types)
{
    const char *key;
    json_t *value;
    unsigned implied = 0;
    json_object_foreach((json_t *)schema, key, value) {
        const struct schema_keyword *k = schema_keyword(key);
        if (!k)
            return schema_error(w, "the keyword \"%s\" is not supported", key);
        if (k->types && k->types != TYPE_ALL)
            implied |= k->types;
    }
    int code = schema_types(w, schema, types);
    if (!code && !json_object_get(schema, "type") && implied)
        *types = implied;
    if (*types & TYPE_NUMBER)
        *types &= ~(unsigned)TYPE_INTEGER; /* numbers are integers too */
    return code;
}

static int get_count(struct schema_writer *w, const json_t *schema, const char *key, size_t otherwise,
                     size_t *count)
{
    const json_t *value = json_object_get(schema, key);
    *count = otherwise;
    if (!value)
        return OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number != floor(number))
        return schema_error(w, "%s: expected a count", key);
    if (number > GRAMMAR_MOST_REPEATS)
        return schema_error(w, "%s is more than %d", key, GRAMMAR_MOST_REPEATS);
    *count = (size_t)number;
    return OK;
}

void gbnf_counts(struct buffer *out, size_t low, size_t high)
{
    if (high == SIZE_MAX && low <= 1)
        buffer_byte(out, low ? '+' : '*');
    else if (high == SIZE_MAX)
        buffer_printf(out, "{%zu,}", low);
    else
        buffer_printf(out, "{%zu,%zu}", low, high);
}

int schema_counts(struct schema_writer *w, const json_t *schema, const char *least, const char *most, size_t *low,
                      size_t *high)
{
    int code = get_count(w, schema, least, 0, low);
    if (!code)
        code = get_count(w, schema, most, SIZE_MAX, high);
    if (!code && *low > *high)
        code = schema_error(w, "%s is more than %s: nothing is allowed", least, most);
    return code;
}

static int put_schema(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out);

/* --- Schemas
 * ---------------------------------------------------------------------------------------------------- */

static int put_type(struct schema_writer *w, const json_t *schema, enum schema_type type, const char *name,
                    struct buffer *out)
{
    switch (type) {
    case TYPE_NULL:
        buffer_string(out, schema_shared(w, "null"));
        return OK;
    case TYPE_BOOLEAN:
        buffer_string(out, schema_shared(w, "boolean"));
        return OK;
    case TYPE_INTEGER:
        return schema_put_integer(w, schema, out);
    case TYPE_NUMBER:
        return schema_put_number(w, schema, out);
    case TYPE_STRING:
        return schema_put_string(w, schema, out);
    case TYPE_ARRAY:
        return schema_put_array(w, schema, name, out);
    default:
        return schema_put_object(w, schema, name, out);
    }
}

static int put_types(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out)
{
    unsigned types;
    bool some = false;
    int code = check_keywords(w, schema, &types);
    if (!code && types == (TYPE_ALL & ~(unsigned)TYPE_INTEGER) && !json_object_get(schema, "type")) {
        buffer_string(out, schema_shared(w, "value"));
        return OK;
    }
    for (unsigned bit = 1; !code && bit < TYPE_ALL; bit <<= 1) {
        if (!(types & bit))
            continue;
        buffer_string(out, some ? " | " : "");
        some = true;
        code = put_type(w, schema, (enum schema_type)bit, name, out);
    }
    return code;
}

static unsigned type_of(const json_t *value)
{
    static const unsigned types[] = {
        [JSON_OBJECT] = TYPE_OBJECT, [JSON_ARRAY] = TYPE_ARRAY, [JSON_STRING] = TYPE_STRING,
        [JSON_INTEGER] = TYPE_INTEGER | TYPE_NUMBER, [JSON_REAL] = TYPE_NUMBER, [JSON_TRUE] = TYPE_BOOLEAN,
        [JSON_FALSE] = TYPE_BOOLEAN, [JSON_NULL] = TYPE_NULL};
    double number = json_number_value(value);
    return json_is_real(value) && number == floor(number) ? TYPE_INTEGER | TYPE_NUMBER
                                                          : types[json_typeof(value)];
}

/* enum and const: those values that the other of the two and the type allow. */
static int put_values(struct schema_writer *w, const json_t *schema, struct buffer *out)
{
    const json_t *list = json_object_get(schema, "enum"), *only = json_object_get(schema, "const");
    const char *key;
    json_t *value;
    unsigned types;
    bool some = false;
    if (list && !json_is_array(list))
        return schema_error(w, "enum: expected a list of values");
    json_object_foreach((json_t *)schema, key, value) {
        const struct schema_keyword *k = schema_keyword(key);
        if (!k || (k->types && k->types != TYPE_ALL))
            return schema_error(w, "the keyword \"%s\" is not supported beside enum or const", key);
    }
    int code = schema_types(w, schema, &types);
    for (size_t i = 0; !code && i < (list ? json_array_size(list) : 1); i++) {
        const json_t *item = list ? json_array_get(list, i) : only;
        if (!(type_of(item) & types) || (only && !json_equal(item, only)))
            continue;
        buffer_string(out, some ? " | " : "");
        gbnf_json(out, item);
        some = true;
    }
    return code || some ? code : schema_error(w, "none of the values of enum or const is allowed");
}

static json_t *without(const json_t *schema, const char *key)
{
    json_t *rest = json_copy((json_t *)schema);
    json_object_del(rest, key);
    return rest;
}

/* anyOf or oneOf: each with what stands beside them. */
static int put_choice(struct schema_writer *w, const json_t *schema, const char *key, const char *name,
                      struct buffer *out)
{
    const json_t *list = json_object_get(schema, key);
    if (json_array_size(list) == 0)
        return schema_error(w, "%s: expected a list of schemas", key);
    json_t *rest = without(schema, key);
    bool more = schema_constrains(rest);
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(list); i++) {
        json_t *one = json_incref(json_array_get(list, i));
        const char *rule;
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        size_t mark = schema_enter(w, key, number);
        if (more) {
            json_t *both;
            code = schema_merge(w, rest, one, &both);
            json_decref(one);
            one = both;
        }
        if (!code)
            code = schema_visit(w, one, name, number, &rule);
        if (!code)
            buffer_printf(out, "%s%s", i ? " | " : "", rule);
        schema_leave(w, mark);
        json_decref(one);
    }
    json_decref(rest);
    return code;
}

/* allOf, or a $ref with something beside it: one schema for all. */
static int put_merged(struct schema_writer *w, const json_t *schema, const char *key, const char *name,
                      struct buffer *out)
{
    const json_t *list = json_object_get(schema, key);
    json_t *all = without(schema, key);
    int code = OK;
    if (strcmp(key, "$ref") == 0) { /* schema_merge follows it */
        json_t *ref = json_pack("{s:O}", key, list), *both;
        code = schema_merge(w, all, ref, &both);
        json_decref(all), json_decref(ref);
        all = both;
    } else if (json_array_size(list) == 0) {
        code = schema_error(w, "allOf: expected a list of schemas");
    }
    for (size_t i = 0; !code && json_is_array(list) && i < json_array_size(list); i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        size_t mark = schema_enter(w, key, number);
        json_t *both;
        code = schema_merge(w, all, json_array_get(list, i), &both);
        schema_leave(w, mark);
        json_decref(all);
        all = both;
    }
    if (!code)
        code = put_schema(w, all, name, out);
    json_decref(all);
    return code;
}

/* A $ref alone: one rule for each place that is referred to, so that schemas may contain themselves. */
static int put_ref(struct schema_writer *w, const char *ref, struct buffer *out)
{
    const json_t *target;
    const char *known = json_string_value(json_object_get(w->refs, ref));
    if (known) {
        buffer_string(out, known);
        return OK;
    }
    int code = schema_resolve(w, ref, &target);
    if (code)
        return code;
    const char *last = strrchr(ref, '/'), *name = schema_name(w, last && last[1] ? last + 1 : "whole", NULL);
    json_object_set_new(w->refs, ref, json_string(name));
    struct buffer body = {0}, path = w->path;
    w->path = (struct buffer){0};
    buffer_string(&w->path, ref);
    code = put_schema(w, target, name, &body);
    buffer_free(&w->path);
    w->path = path;
    if (!code) {
        schema_rule(w, name, &body);
        buffer_string(out, name);
    }
    buffer_free(&body);
    return code;
}

static int put_object_schema(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out)
{
    static const char *const choices[] = {"anyOf", "oneOf"};
    const json_t *ref = json_object_get(schema, "$ref");
    if (ref && !json_is_string(ref))
        return schema_error(w, "$ref: expected a string");
    if (ref) {
        json_t *rest = without(schema, "$ref");
        bool alone = !schema_constrains(rest);
        json_decref(rest);
        return alone ? put_ref(w, json_string_value(ref), out) : put_merged(w, schema, "$ref", name, out);
    }
    if (json_object_get(schema, "allOf"))
        return put_merged(w, schema, "allOf", name, out);
    for (int i = 0; i < 2; i++)
        if (json_object_get(schema, choices[i]))
            return put_choice(w, schema, choices[i], name, out);
    if (json_object_get(schema, "enum") || json_object_get(schema, "const"))
        return put_values(w, schema, out);
    return put_types(w, schema, name, out);
}

/* Appends what a schema's rule is defined as. */
static int put_schema(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out)
{
    int code = schema_step(w);
    if (code)
        return code;
    if (json_is_true(schema)) {
        buffer_string(out, schema_shared(w, "value"));
        return OK;
    }
    if (json_is_false(schema))
        return schema_error(w, "the schema false allows nothing");
    if (!json_is_object(schema))
        return schema_error(w, "a schema is an object, true or false");
    if (++w->depth > SCHEMA_MOST_DEPTH)
        code = schema_error(w, "more than %d schemas within each other", SCHEMA_MOST_DEPTH);
    else
        code = put_object_schema(w, schema, name, out);
    w->depth--;
    return code;
}

int schema_visit(struct schema_writer *w, const json_t *schema, const char *parent, const char *hint,
                 const char **rule)
{
    struct buffer body = {0};
    const char *name = schema_name(w, parent, hint);
    int code = put_schema(w, schema, name, &body);
    *rule = name;
    if (!code && json_object_get(w->names, body.data))
        *rule = json_object_iter_key(json_object_iter_at(w->names, body.data));
    else if (!code)
        schema_rule(w, name, &body);
    buffer_free(&body);
    return code;
}

int schema_visit_part(struct schema_writer *w, const json_t *schema, const char *parent, const char *hint,
                      const char *keyword, const char *member, const char **rule)
{
    size_t mark = schema_enter(w, keyword, member);
    int code = schema_visit(w, schema, parent, hint, rule);
    schema_leave(w, mark);
    return code;
}

static int put_all(struct schema_writer *w, struct buffer *gbnf)
{
    struct buffer body = {0};
    json_object_set_new(w->names, "root", json_integer(2));
    for (size_t i = 0; i < N_SHARED; i++)
        json_object_set_new(w->names, shared[i].name, json_integer(2));
    buffer_string(&w->path, "#");
    int code = put_schema(w, w->root, "root", &body);
    if (!code) {
        buffer_printf(gbnf, "root ::= %s\n", body.data);
        if (w->rules.size > 0)
            buffer_append(gbnf, w->rules.data, w->rules.size);
        for (size_t i = 0; i < N_SHARED; i++)
            if (w->used & 1u << i)
                buffer_printf(gbnf, "%s ::= %s\n", shared[i].name, shared[i].body);
    }
    buffer_free(&body);
    return code;
}

int json_schema_write(const json_t *schema, struct buffer *gbnf, struct error *e)
{
    struct schema_writer w = {.root = schema, .names = json_object(), .refs = json_object(), .e = e};
    int code = put_all(&w, gbnf);
    json_decref(w.names);
    json_decref(w.refs);
    buffer_free(&w.rules);
    buffer_free(&w.path);
    return code;
}

int json_schema_parse(const char *text, size_t n, struct buffer *gbnf, struct error *e)
{
    json_t *schema;
    int code = json_parse(text, n, &schema, e);
    if (code)
        return error_prefix(e, "JSON schema");
    code = json_schema_write(schema, gbnf, e);
    json_decref(schema);
    return code;
}
