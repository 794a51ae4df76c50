#include "grammar/json_schema_private.h"

#include "base/memory.h"

#include <string.h>

/* --- Arrays
 * --------------------------------------------------------------------------------------------------- */

/* What may follow the first items: rule `items` (NULL: nothing), so often that there are low to high in all.
 * Each item of the beginning that may be missing has what follows it in a rule of its own. */
static int put_prefix(struct schema_writer *w, const json_t *prefix, const char *items, size_t low, size_t high,
                      const char *name, struct buffer *out)
{
    size_t n = json_array_size(prefix) < high ? json_array_size(prefix) : high;
    const char *tail = NULL; /* what comes behind item i */
    const char *space = schema_shared(w, "space");
    struct buffer body = {0};
    int code = OK;
    if (items && high > n) {
        tail = schema_name(w, name, "more");
        buffer_printf(&body, "(%s \",\" %s %s)", space, space, items);
        gbnf_counts(&body, low > n ? low - n : 0, high == SIZE_MAX ? high : high - n);
        schema_rule(w, tail, &body);
    }
    for (size_t i = n; !code && i-- > 0;) {
        const char *item;
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        code = schema_step(w);
        if (!code)
            code = schema_visit_part(w, json_array_get(prefix, i), name, number, "prefixItems", number, &item);
        if (code)
            break;
        buffer_clear(&body);
        buffer_printf(&body, i >= low ? "(" : "");
        if (i > 0)
            buffer_printf(&body, "%s \",\" %s ", space, space);
        buffer_printf(&body, "%s %s", item, tail ? tail : i == 0 ? space : "");
        if (tail && i == 0)
            buffer_printf(&body, " %s", space);
        buffer_string(&body, i >= low ? ")?" : "");
        tail = schema_name(w, name, "from");
        schema_rule(w, tail, &body);
    }
    if (!code && low > n && !(items && high > n))
        code = schema_error(w, "minItems asks for more items than prefixItems and items allow");
    if (!code)
        buffer_printf(out, "\"[\" %s %s \"]\"", space, tail ? tail : "");
    buffer_free(&body);
    return code;
}

int schema_put_array(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out)
{
    const json_t *items = json_object_get(schema, "items"), *prefix = json_object_get(schema, "prefixItems");
    size_t low, high;
    const char *rule = NULL;
    int code = schema_counts(w, schema, "minItems", "maxItems", &low, &high);
    if (!code && json_object_get(schema, "uniqueItems") && !json_is_false(json_object_get(schema, "uniqueItems")))
        code = schema_error(w, "uniqueItems is not supported");
    if (!code && prefix && !json_is_array(prefix))
        code = schema_error(w, "prefixItems: expected a list of schemas");
    if (!code && json_is_array(items) && !prefix) { /* older drafts */
        prefix = items;
        items = NULL;
    }
    if (!code && (items || !prefix) && !json_is_false(items))
        code = schema_visit_part(w, items ? items : json_true(), name, "item", "items", NULL, &rule);
    if (code)
        return code;
    const char *space = schema_shared(w, "space");
    if (json_array_size(prefix) > 0)
        return put_prefix(w, prefix, rule, low, high, name, out);
    if (!rule)
        high = 0;
    if (low > high)
        return schema_error(w, "minItems: items that are not allowed");
    if (high == 0) {
        buffer_printf(out, "\"[\" %s \"]\"", space);
        return OK;
    }
    buffer_printf(out, "\"[\" %s %s%s", space, low == 0 ? "(" : "", rule);
    if (high > 1) {
        buffer_printf(out, " (%s \",\" %s %s)", space, space, rule);
        gbnf_counts(out, low ? low - 1 : 0, high == SIZE_MAX ? high : high - 1);
    }
    buffer_printf(out, " %s%s \"]\"", space, low == 0 ? ")?" : "");
    return OK;
}

/* --- Objects
 * -------------------------------------------------------------------------------------------------- */

struct member {
    const char *name;     /* of the member */
    const json_t *schema;
    const char *rule;     /* name and value */
    bool required, listed;
};

struct members {
    struct member *items; /* in the order of `properties`, then what is required beside them */
    size_t count, capacity;
    const json_t *additional; /* schema of others; NULL: there are none */
    const char *other;        /* rule of one of them */
};

static void add_member(struct members *m, struct member one)
{
    mem_grow((void **)&m->items, &m->capacity, m->count, sizeof *m->items);
    m->items[m->count++] = one;
}

static int take_required(struct schema_writer *w, const json_t *schema, const json_t *properties,
                         struct members *m)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *additional = json_object_get(schema, "additionalProperties");
    if (required && !json_is_array(required))
        return schema_error(w, "required: expected a list of names");
    json_t *asked = json_object(); /* as a set */
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        bool known = name && (json_object_get(properties, name) || json_object_get(asked, name));
        if (!name)
            code = schema_error(w, "required: expected a list of names");
        else if (!known && json_is_false(additional))
            code = schema_error(w, "required: \"%s\" is not among the properties, and others are not allowed", name);
        else if (!known)
            add_member(m, (struct member){.name = name, .schema = additional ? additional : json_true()});
        if (!code)
            json_object_set_new(asked, name, json_true());
    }
    for (size_t i = 0; i < m->count; i++)
        m->items[i].required |= json_object_get(asked, m->items[i].name) != NULL;
    json_decref(asked);
    return code;
}

static int take_members(struct schema_writer *w, const json_t *schema, struct members *m)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *additional = json_object_get(schema, "additionalProperties");
    const char *key;
    json_t *value;
    if (properties && !json_is_object(properties))
        return schema_error(w, "properties: expected an object of schemas");
    json_object_foreach((json_t *)properties, key, value)
        add_member(m, (struct member){.name = key, .schema = value, .listed = true});
    if (additional && !json_is_boolean(additional) && !json_is_object(additional))
        return schema_error(w, "additionalProperties: a schema is an object, true or false");
    m->additional = !additional                 ? (properties ? NULL : json_true())
                    : json_is_false(additional) ? NULL
                                                : additional;
    return take_required(w, schema, properties, m);
}

/* "name": value */
static int put_member_rule(struct schema_writer *w, const char *name, struct member *m)
{
    const char *value;
    int code = schema_step(w);
    if (!code)
        code = m->listed ? schema_visit_part(w, m->schema, name, m->name, "properties", m->name, &value)
                         : schema_visit_part(w, m->schema, name, m->name, "additionalProperties", NULL, &value);
    if (code)
        return code;
    struct buffer body = {0};
    json_t *text = json_string(m->name);
    gbnf_json(&body, text);
    json_decref(text);
    const char *space = schema_shared(w, "space");
    buffer_printf(&body, " %s \":\" %s %s", space, space, value);
    m->rule = schema_name(w, name, "member");
    schema_rule(w, m->rule, &body);
    buffer_free(&body);
    return OK;
}

static int put_other_rule(struct schema_writer *w, const char *name, struct members *m)
{
    const char *value, *space = schema_shared(w, "space");
    struct buffer body = {0};
    const char **names = mem_alloc(m->count + 1, sizeof *names);
    for (size_t i = 0; i < m->count; i++)
        names[i] = m->items[i].name;
    int code = schema_visit_part(w, m->additional, name, "other-value", "additionalProperties", NULL, &value);
    if (!code) {
        if (m->count)
            gbnf_other_names(&body, names, m->count);
        else
            buffer_string(&body, schema_shared(w, "string"));
        buffer_printf(&body, " %s \":\" %s %s", space, space, value);
        m->other = schema_name(w, name, "other");
        schema_rule(w, m->other, &body);
    }
    mem_free(names);
    buffer_free(&body);
    return code;
}

/* Members from any beginning on: first those that may be missing, and the first that may not. Each alternative
 * is one that comes first, and a rule for what may follow it. */
static void put_members(struct schema_writer *w, const char *name, const struct members *m, struct buffer *out)
{
    const char *space = schema_shared(w, "space");
    const char **tails = mem_zero(m->count + 1, sizeof *tails); /* what follows once i members are done */
    struct buffer body = {0};
    size_t needed = 0; /* members that may come first: this many, and others where they may be missing all */
    while (needed < m->count && !m->items[needed].required)
        needed++;
    bool all_optional = needed == m->count;
    needed += !all_optional;
    for (size_t i = m->count + 1; i-- > 1;) {
        if (i == m->count && !m->other)
            continue;
        buffer_clear(&body);
        if (i == m->count)
            buffer_printf(&body, "(%s \",\" %s %s)*", space, space, m->other);
        else
            buffer_printf(&body, m->items[i].required ? "%s \",\" %s %s %s" : "(%s \",\" %s %s)? %s", space,
                          space, m->items[i].rule, tails[i + 1] ? tails[i + 1] : "");
        tails[i] = schema_name(w, name, "rest");
        schema_rule(w, tails[i], &body);
    }
    bool some = needed > 0 || m->other, choice = needed > 1 || all_optional;
    buffer_printf(out, "\"{\" %s %s", space, some && choice ? "((" : "");
    for (size_t i = 0; i < needed; i++)
        buffer_printf(out, "%s%s %s", i ? " | " : "", m->items[i].rule, tails[i + 1] ? tails[i + 1] : "");
    if (all_optional && m->other)
        buffer_printf(out, "%s%s (%s \",\" %s %s)*", needed ? " | " : "", m->other, space, space, m->other);
    if (some)
        buffer_printf(out, choice ? ") %s)%s" : " %s%s", space, all_optional ? "?" : "");
    buffer_string(out, " \"}\"");
    mem_free(tails);
    buffer_free(&body);
}

int schema_put_object(struct schema_writer *w, const json_t *schema, const char *name, struct buffer *out)
{
    struct members m = {0};
    int code = take_members(w, schema, &m);
    if (!code && m.count == 0 && json_is_true(m.additional)) {
        buffer_string(out, schema_shared(w, "object"));
        goto done;
    }
    for (size_t i = 0; !code && i < m.count; i++)
        code = put_member_rule(w, name, &m.items[i]);
    if (!code && m.additional)
        code = put_other_rule(w, name, &m);
    if (!code)
        put_members(w, name, &m, out);
done:
    mem_free(m.items);
    return code;
}
