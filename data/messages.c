#include "data/messages.h"

#include "base/buffer.h"
#include "base/options.h"
#include "data/dataset_row.h"

#include <string.h>

/* ---- roles ---- */

enum role { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_CALL };
static const char *const role_names[] = {"system", "developer", "user", "assistant", "tool", "assistant"};

static const struct {
    const char *written;
    enum role role;
} roles[] = {
    {"system", ROLE_SYSTEM},     {"developer", ROLE_DEVELOPER}, {"user", ROLE_USER},   {"human", ROLE_USER},
    {"assistant", ROLE_ASSISTANT}, {"gpt", ROLE_ASSISTANT},     {"chatgpt", ROLE_ASSISTANT},
    {"model", ROLE_ASSISTANT},   {"tool", ROLE_TOOL},           {"observation", ROLE_TOOL},
    {"function", ROLE_TOOL},     {"function_call", ROLE_CALL},
};
enum { N_ROLES = sizeof roles / sizeof *roles };

static int read_role(const json_t *given, enum role *role, const char **written, struct error *e)
{
    const json_t *value = json_object_get(given, "role"), *from = json_object_get(given, "from");
    const char *member = json_is_string(value) || !from ? "role" : "from";
    *written = json_string_value(json_object_get(given, member));
    if (!*written)
        return error_set(e, ERR_FORMAT, value || from ? "\"%s\" must be a string" : "no \"role\" and no \"from\"",
                         value ? "role" : "from");
    const char *names[N_ROLES];
    for (size_t i = 0; i < N_ROLES; i++) {
        names[i] = roles[i].written;
        if (strcmp(*written, names[i]) == 0) {
            *role = roles[i].role;
            return OK;
        }
    }
    const char *near = strlen(*written) < 40 ? nearest_name(*written, names, N_ROLES) : NULL;
    if (near)
        return error_set(e, ERR_FORMAT, "unknown %s \"%.60s\"; did you mean \"%s\"?", member, *written, near);
    return error_set(e, ERR_FORMAT, "unknown %s \"%.60s\"; known are system, developer, user, assistant and tool, human, "
                     "gpt, chatgpt, model, observation, function and function_call", member, *written);
}

/* ---- content ---- */

/* A member that is there and not null. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int join_parts(const json_t *parts, json_t **content, struct error *e)
{
    struct buffer text = {0};
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *s = member(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type && strcmp(type, "text") == 0 && json_is_string(s))
            buffer_append(&text, json_string_value(s), json_string_length(s));
        else if (type && strcmp(type, "text") != 0)
            code = error_set(e, ERR_FORMAT, "part %zu of the content is of the type \"%.40s\"; only text can be learned",
                             i + 1, type);
        else
            code = error_set(e, ERR_FORMAT,
                             "part %zu of the content must be {\"type\": \"text\", \"text\": \"...\"}", i + 1);
    }
    if (!code)
        *content = json_stringn(text.data ? text.data : "", text.size);
    buffer_free(&text);
    return code;
}

/* A new string of "content" or "value"; NULL where there is none. */
static int read_content(const json_t *given, json_t **content, struct error *e)
{
    const char *name = member(given, "content") || !member(given, "value") ? "content" : "value";
    json_t *value = member(given, name);
    *content = NULL;
    if (json_is_array(value))
        return join_parts(value, content, e);
    if (value && !json_is_string(value))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string or a list of parts", name);
    *content = json_incref(value);
    return OK;
}

/* ---- tool calls ---- */

/* A new object from an object or the text of one; nothing at all is an object without members. */
static int read_arguments(const json_t *value, json_t **arguments, struct error *e)
{
    struct error why;
    if (!value || (json_is_string(value) && json_string_length(value) == 0))
        *arguments = json_object();
    else if (json_is_object(value))
        *arguments = json_incref((json_t *)value);
    else if (!json_is_string(value))
        return error_set(e, ERR_FORMAT, "\"arguments\" must be an object or a string that holds one");
    else if (json_parse_line(json_string_value(value), json_string_length(value), arguments, &why))
        return error_set(e, ERR_FORMAT, "\"arguments\" is a string: %s", why.message);
    if (json_is_object(*arguments))
        return OK;
    json_decref(*arguments);
    *arguments = NULL;
    return error_set(e, ERR_FORMAT, "\"arguments\" is a string that holds no JSON object");
}

/* Appends one call: {"type": "function", "function": {...}} or what is in there. */
static int add_call(const json_t *given, size_t number, json_t *calls, struct error *e)
{
    const json_t *inner = member(given, "function");
    const json_t *body = inner ? inner : given;
    json_t *arguments = NULL, *name = member(body, "name");
    if (!json_is_object(given) || !json_is_object(body))
        return error_set(e, ERR_FORMAT, "tool call %zu must be an object", number);
    if (!json_is_string(name) || json_string_length(name) == 0)
        return error_set(e, ERR_FORMAT, "tool call %zu has no \"name\" of a function", number);
    int code = read_arguments(member(body, "arguments"), &arguments, e);
    if (code)
        return error_prefix(e, "tool call %zu", number);
    json_t *call = inner ? json_copy((json_t *)given) : json_object();
    json_t *function = inner ? json_copy((json_t *)inner) : json_object();
    json_object_set(function, "name", name);
    json_object_set_new(function, "arguments", arguments);
    if (!json_is_string(json_object_get(call, "type")))
        json_object_set_new(call, "type", json_string("function"));
    json_object_set_new(call, "function", function);
    json_array_append_new(calls, call);
    return OK;
}

static int add_calls(const json_t *given, json_t *calls, struct error *e)
{
    if (!json_is_array(given))
        return add_call(given, 1, calls, e);
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(given); i++)
        code = add_call(json_array_get(given, i), i + 1, calls, e);
    return code;
}

/* The text of ShareGPT's function_call: one call or a list of them. */
static int parse_calls(const json_t *text, json_t *calls, struct error *e)
{
    json_t *given = NULL;
    if (!text)
        return error_set(e, ERR_FORMAT, "a function_call without a \"value\"");
    int code = json_parse_line(json_string_value(text), json_string_length(text), &given, e);
    if (!code)
        code = add_calls(given, calls, e);
    if (code)
        error_prefix(e, "the function_call");
    json_decref(given);
    return code;
}

static int read_calls(const json_t *given, enum role role, const json_t *content, json_t *calls, struct error *e)
{
    const json_t *list = member(given, "tool_calls"), *old = member(given, "function_call");
    if (list && !json_is_array(list))
        return error_set(e, ERR_FORMAT, "\"tool_calls\" must be a list");
    if (role == ROLE_CALL)
        return parse_calls(content, calls, e);
    if (json_array_size(list) == 0 && !old)
        return OK;
    if (role != ROLE_ASSISTANT)
        return error_set(e, ERR_FORMAT, "only the assistant calls tools");
    int code = list ? add_calls(list, calls, e) : OK;
    return !code && old ? add_calls(old, calls, e) : code;
}

/* ---- messages ---- */

/* Everything that the message has besides what is read here: name, reasoning_content, weight, ... */
static json_t *other_members(const json_t *given)
{
    static const char *const read[] = {"role", "from", "content", "value", "tool_calls", "function_call"};
    json_t *message = json_copy((json_t *)given);
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        json_object_del(message, read[i]);
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(message, next, key, value)
        if (json_is_null(value)) /* tables write every column in every row */
            json_object_del(message, key);
    return message;
}

static int check_weight(const json_t *given, struct error *e)
{
    const json_t *weight = member(given, "weight");
    if (!weight || (json_is_number(weight) && (json_number_value(weight) == 0 || json_number_value(weight) == 1)))
        return OK;
    return error_set(e, ERR_FORMAT, "\"weight\" must be 0 or 1");
}

/* Content and calls become the message's; a turn without anything is refused. */
static int add_body(json_t *message, enum role role, json_t *content, json_t *calls, struct error *e)
{
    bool called = json_array_size(calls) > 0;
    bool reasoned = json_string_length(json_object_get(message, "reasoning_content")) > 0;
    if (!content && !called)
        return error_set(e, ERR_FORMAT, "the message of the %s has no content", role_names[role]);
    if (!called && !reasoned && (role == ROLE_USER || role == ROLE_ASSISTANT) && json_string_length(content) == 0)
        return error_set(e, ERR_FORMAT, "the message of the %s is empty", role_names[role]);
    /* A null would be printed as "None" by templates that do not look. */
    json_object_set_new(message, "role", json_string(role_names[role]));
    json_object_set_new(message, "content", content && role != ROLE_CALL ? json_incref(content) : json_string(""));
    if (called)
        json_object_set(message, "tool_calls", calls);
    return OK;
}

static int add_message(const json_t *given, json_t *out, struct error *e)
{
    enum role role = ROLE_USER;
    const char *written;
    if (!json_is_object(given))
        return error_set(e, ERR_FORMAT, "must be an object");
    json_t *content = NULL, *calls = json_array(), *message = other_members(given);
    int code = read_role(given, &role, &written, e);
    if (!code)
        code = read_content(given, &content, e);
    if (!code)
        code = read_calls(given, role, content, calls, e);
    if (!code)
        code = check_weight(given, e);
    if (!code)
        code = add_body(message, role, content, calls, e);
    if (!code)
        json_array_append(out, message);
    json_decref(content);
    json_decref(calls);
    json_decref(message);
    return code;
}

int messages_normalise(const json_t *value, const char *field, json_t *out, struct error *e)
{
    if (!json_is_array(value))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a list of messages", field);
    if (json_array_size(value) == 0)
        return error_set(e, ERR_FORMAT, "\"%s\" is an empty list", field);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (add_message(json_array_get(value, i), out, e))
            return error_prefix(e, "\"%s\", message %zu", field, i + 1);
    return OK;
}

int tools_normalise(const json_t *value, const char *field, json_t **tools, struct error *e)
{
    json_t *parsed = NULL;
    int code = OK;
    *tools = NULL;
    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return OK;
    if (json_is_string(value) && json_parse_line(json_string_value(value), json_string_length(value), &parsed, e))
        return error_prefix(e, "\"%s\" is a string", field);
    const json_t *list = parsed ? parsed : value;
    if (!json_is_array(list))
        code = error_set(e, ERR_FORMAT, "\"%s\" must be a list of tools", field);
    json_t *out = json_array();
    for (size_t i = 0; !code && i < json_array_size(list); i++) {
        json_t *tool = json_array_get(list, i);
        if (!json_is_object(tool))
            code = error_set(e, ERR_FORMAT, "\"%s\", tool %zu: must be an object", field, i + 1);
        else if (json_object_get(tool, "function") || !json_object_get(tool, "name"))
            json_array_append(out, tool);
        else
            json_array_append_new(out, json_pack("{s:s, s:O}", "type", "function", "function", tool));
    }
    if (!code && json_array_size(out) > 0)
        *tools = json_incref(out);
    json_decref(out);
    json_decref(parsed);
    return code;
}

json_t *message_new(const char *role, const char *content, size_t n)
{
    json_t *message = json_object();
    json_object_set_new(message, "role", json_string(role));
    json_object_set_new(message, "content", json_stringn(content, n));
    return message;
}

/* ---- what a conversation is like ---- */

bool message_has_role(const json_t *messages, size_t i, const char *role)
{
    const char *has = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    return has && strcmp(has, role) == 0;
}

bool messages_have_assistant(const json_t *messages, size_t from)
{
    for (size_t i = from; i < json_array_size(messages); i++)
        if (message_has_role(messages, i, "assistant"))
            return true;
    return false;
}

unsigned messages_warnings(const json_t *messages)
{
    unsigned found = 0;
    size_t n = json_array_size(messages);
    for (size_t i = 1; i < n; i++) {
        if (message_has_role(messages, i, "assistant") && message_has_role(messages, i - 1, "assistant"))
            found |= ROW_TWO_ASSISTANTS;
        if (message_has_role(messages, i, "user") && message_has_role(messages, i - 1, "user"))
            found |= ROW_TWO_USERS;
        if (message_has_role(messages, i, "system") || message_has_role(messages, i, "developer"))
            found |= ROW_LATE_SYSTEM;
    }
    if (n && !message_has_role(messages, n - 1, "assistant"))
        found |= ROW_UNANSWERED;
    return found;
}
