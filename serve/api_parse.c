#include "serve/api.h"

#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What is quoted may have been cut within a character. */
static void keep_characters(char *text)
{
    uint32_t code;
    for (size_t n = strlen(text), length; n > 0; text += length, n -= length) {
        length = utf8_decode(text, n, &code);
        if (length == 0) {
            *text = '?';
            length = 1;
        }
    }
}

int api_refuse(struct api_error *e, int status, const char *param, const char *code, const char *format, ...)
{
    if (!e)
        return ERR_USAGE;
    struct error line;
    char text[sizeof line.message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_characters(text);
    error_set(&line, ERR_USAGE, "%s", text); /* one line of whole characters, whatever it quotes */
    *e = (struct api_error){.status = status, .code = code};
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    memcpy(e->message, line.message, sizeof e->message);
    return ERR_USAGE;
}

static int wrong(struct api_error *e, const char *field, const char *wanted)
{
    return api_refuse(e, 400, field, "invalid_value", "\"%s\" must be %s", field, wanted);
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return v && !json_is_null(v) ? v : NULL;
}

/* Fields that are one number or one truth */

enum field_type { FIELD_NUMBER, FIELD_SIZE, FIELD_BOOL };
enum { IN_COMPLETION = 1 << API_COMPLETION, IN_CHAT = 1 << API_CHAT, IN_BOTH = IN_COMPLETION | IN_CHAT };

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    double least, most;
    int where;
};

#define AT(member) offsetof(struct api_request, member)
#define MANY 9007199254740992.0 /* 2^53 */

static const struct field fields[] = {
    {"max_tokens", FIELD_SIZE, AT(max_tokens), 0, MANY, IN_BOTH},
    {"max_completion_tokens", FIELD_SIZE, AT(max_tokens), 0, MANY, IN_CHAT},
    {"temperature", FIELD_NUMBER, AT(options.sampler.temperature), 0, 100, IN_BOTH},
    {"top_p", FIELD_NUMBER, AT(options.sampler.top_p), 0, 1, IN_BOTH},
    {"top_k", FIELD_SIZE, AT(options.sampler.top_k), 0, MANY, IN_BOTH},
    {"min_p", FIELD_NUMBER, AT(options.sampler.min_p), 0, 1, IN_BOTH},
    {"typical_p", FIELD_NUMBER, AT(options.sampler.typical_p), 1e-9, 1, IN_BOTH},
    {"top_n_sigma", FIELD_NUMBER, AT(options.sampler.top_n_sigma), 0, 1e6, IN_BOTH},
    {"presence_penalty", FIELD_NUMBER, AT(options.sampler.presence_penalty), -2, 2, IN_BOTH},
    {"frequency_penalty", FIELD_NUMBER, AT(options.sampler.frequency_penalty), -2, 2, IN_BOTH},
    {"repetition_penalty", FIELD_NUMBER, AT(options.sampler.repetition_penalty), 0.01, 100, IN_BOTH},
    {"repeat_penalty", FIELD_NUMBER, AT(options.sampler.repetition_penalty), 0.01, 100, IN_BOTH},
    {"repetition_window", FIELD_SIZE, AT(options.sampler.repetition_window), 0, 1 << 20, IN_BOTH},
    {"repeat_last_n", FIELD_SIZE, AT(options.sampler.repetition_window), 0, 1 << 20, IN_BOTH},
    {"n", FIELD_SIZE, AT(n), 1, API_TEXTS_MOST, IN_BOTH},
    {"stream", FIELD_BOOL, AT(stream), 0, 0, IN_BOTH},
    {"echo", FIELD_BOOL, AT(echo), 0, 0, IN_COMPLETION},
    {"ignore_eos", FIELD_BOOL, AT(options.ignore_end), 0, 0, IN_BOTH},
    {"logprobs", FIELD_BOOL, AT(logprobs), 0, 0, IN_CHAT},
    {"top_logprobs", FIELD_SIZE, AT(n_top), 0, LOGPROBS_MOST, IN_CHAT},
    {"logprobs", FIELD_SIZE, AT(n_top), 0, LOGPROBS_MOST, IN_COMPLETION},
};

static int read_field(const struct field *f, const json_t *v, void *object, struct api_error *e)
{
    char wanted[96];
    bool number = f->type == FIELD_NUMBER ? json_is_number(v) : json_is_integer(v);
    if (f->type == FIELD_BOOL) {
        if (!json_is_boolean(v))
            return wrong(e, f->name, "true or false");
        *(bool *)object = json_is_true(v);
        return OK;
    }
    double value = number ? json_number_value(v) : 0;
    if (!number || !(value >= f->least && value <= f->most)) {
        const char *kind = f->type == FIELD_NUMBER ? "number" : "whole number";
        if (f->most == MANY)
            snprintf(wanted, sizeof wanted, "a %s of %g or more", kind, f->least);
        else
            snprintf(wanted, sizeof wanted, "a %s from %g to %g", kind, f->least, f->most);
        return wrong(e, f->name, wanted);
    }
    if (f->type == FIELD_NUMBER)
        *(double *)object = value;
    else
        *(size_t *)object = (size_t)json_integer_value(v);
    return OK;
}

static int read_fields(struct api_request *q, struct api_error *e)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const json_t *v = fields[i].where >> q->kind & 1 ? member(q->body, fields[i].name) : NULL;
        int code = v ? read_field(&fields[i], v, (char *)q + fields[i].offset, e) : OK;
        if (code)
            return code;
    }
    return OK;
}

/* Fields of other shapes */

static int read_stream_options(struct api_request *q, struct api_error *e)
{
    const json_t *o = member(q->body, "stream_options"), *v;
    if (!o)
        return OK;
    if (!json_is_object(o))
        return wrong(e, "stream_options", "an object");
    if (!q->stream)
        return api_refuse(e, 400, "stream_options", "invalid_value", "\"stream_options\" is for \"stream\": true");
    v = member(o, "include_usage");
    if (v && !json_is_boolean(v))
        return wrong(e, "stream_options.include_usage", "true or false");
    q->include_usage = json_is_true(v);
    return OK;
}

static int add_stop(struct api_request *q, const json_t *v, struct api_error *e)
{
    if (!json_is_string(v) || json_string_length(v) == 0 || strlen(json_string_value(v)) != json_string_length(v))
        return wrong(e, "stop", "a string that is not empty and has no NUL, or a list of such");
    q->stops[q->options.n_stops++] = json_string_value(v);
    return OK;
}

static int read_stop(struct api_request *q, struct api_error *e)
{
    const json_t *v = member(q->body, "stop");
    q->options.stops = q->stops;
    if (!v)
        return OK;
    if (!json_is_array(v))
        return add_stop(q, v, e);
    if (json_array_size(v) > API_STOPS_MOST)
        return api_refuse(e, 400, "stop", "invalid_value", "\"stop\" has %zu strings; at most %d are taken",
                          json_array_size(v), API_STOPS_MOST);
    for (size_t i = 0; i < json_array_size(v); i++) {
        int code = add_stop(q, json_array_get(v, i), e);
        if (code)
            return code;
    }
    return OK;
}

/* {"token id": -100 to 100}; as OpenAI has it, -100 bans. */
static int read_logit_bias(struct api_request *q, struct api_error *e)
{
    static const char wanted[] = "an object of token ids and numbers from -100 to 100";
    json_t *o = json_object_get(q->body, "logit_bias"), *v;
    const char *key;
    if (!o || json_is_null(o))
        return OK;
    if (!json_is_object(o))
        return wrong(e, "logit_bias", wanted);
    if (json_object_size(o) > API_BIASES_MOST)
        return api_refuse(e, 400, "logit_bias", "invalid_value", "\"logit_bias\" has %zu tokens; at most %d are taken",
                          json_object_size(o), API_BIASES_MOST);
    q->biases = mem_zero(json_object_size(o) + 1, sizeof *q->biases);
    json_object_foreach(o, key, v) {
        size_t digits = strspn(key, "0123456789");
        double bias = json_number_value(v);
        if (digits == 0 || digits > 9 || key[digits] || !json_is_number(v) || !(fabs(bias) <= 100))
            return wrong(e, "logit_bias", wanted);
        struct logit_bias *b = &q->biases[q->options.sampler.n_biases++];
        b->bias = bias == -100 ? -INFINITY : (float)bias;
        b->id = 0;
        for (size_t i = 0; i < digits; i++)
            b->id = b->id * 10 + key[i] - '0';
    }
    q->options.sampler.biases = q->biases;
    return OK;
}

static int read_seed(struct api_request *q, struct api_error *e)
{
    const json_t *v = member(q->body, "seed");
    if (v && !json_is_integer(v))
        return wrong(e, "seed", "a whole number");
    q->has_seed = v != NULL;
    q->options.sampler.seed = v ? (size_t)json_integer_value(v) : 0;
    return OK;
}

static int read_format(struct api_request *q, struct api_error *e)
{
    static const char *const types[] = {"text", "json_object", "json_schema"};
    const json_t *o = member(q->body, "response_format"), *grammar = member(q->body, "grammar");
    if (grammar && (!json_is_string(grammar) || strlen(json_string_value(grammar)) != json_string_length(grammar)))
        return wrong(e, "grammar", "a string");
    if (grammar) {
        q->format = FORMAT_GRAMMAR;
        q->grammar = json_string_value(grammar);
    }
    if (!o)
        return OK;
    const char *type = json_string_value(json_object_get(o, "type"));
    size_t i = 0;
    while (type && i < 3 && strcmp(type, types[i]) != 0)
        i++;
    if (!type || i == 3)
        return wrong(e, "response_format", "an object with the type \"text\", \"json_object\" or \"json_schema\"");
    if (grammar && i > 0)
        return api_refuse(e, 400, "grammar", "invalid_value", "\"grammar\" and \"response_format\" exclude each other");
    if (!grammar)
        q->format = (enum api_format)i;
    if (q->format == FORMAT_JSON_SCHEMA) {
        q->schema = json_object_get(json_object_get(o, "json_schema"), "schema");
        if (!json_is_object(q->schema) && !json_is_boolean(q->schema))
            return wrong(e, "response_format.json_schema.schema", "a JSON schema");
    }
    return OK;
}

/* A model may be called anything: what is no string names none. */
static int read_model(struct api_request *q, struct api_error *e)
{
    const json_t *scales = member(q->body, "lora");
    q->model = json_string_value(json_object_get(q->body, "model"));
    q->has_scales = scales != NULL;
    return scales ? api_read_scales(scales, "lora", &q->scales, &q->n_scales, e) : OK;
}

/* What would be ignored at the price of another answer than was asked for. */
static int refuse_unsupported(struct api_request *q, struct api_error *e)
{
    const json_t *best_of = member(q->body, "best_of"), *suffix = member(q->body, "suffix");
    if (q->kind == API_COMPLETION && best_of &&
        (!json_is_integer(best_of) || json_integer_value(best_of) != (json_int_t)q->n))
        return api_refuse(e, 400, "best_of", "unsupported", "\"best_of\" is not supported beyond \"n\"");
    if (q->kind == API_COMPLETION && suffix && !(json_is_string(suffix) && json_string_length(suffix) == 0))
        return api_refuse(e, 400, "suffix", "unsupported", "\"suffix\" is not supported");
    if (q->kind == API_CHAT && q->n_top > 0 && !q->logprobs)
        return api_refuse(e, 400, "top_logprobs", "invalid_value", "\"top_logprobs\" is for \"logprobs\": true");
    return OK;
}

/* Prompts */

static bool is_ids(const json_t *v)
{
    if (!json_is_array(v) || json_array_size(v) == 0)
        return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return false;
    }
    return true;
}

static int read_prompts(struct api_request *q, struct api_error *e)
{
    json_t *v = json_object_get(q->body, "prompt");
    q->prompts = json_array();
    if (json_is_string(v) || is_ids(v)) {
        json_array_append(q->prompts, v);
    } else {
        for (size_t i = 0; i < json_array_size(v); i++) {
            json_t *item = json_array_get(v, i);
            if (!json_is_string(item) && !is_ids(item))
                return wrong(e, "prompt", "a string, a list of strings, token ids, or a list of such lists");
            json_array_append(q->prompts, item);
        }
    }
    size_t n = json_array_size(q->prompts);
    if (n == 0)
        return wrong(e, "prompt", "a string, a list of strings, token ids, or a list of such lists");
    if (n > API_TEXTS_MOST / q->n)
        return api_refuse(e, 400, "prompt", "invalid_value", "%zu prompts with %zu texts each; together at most %d "
                          "texts are written for one request", n, q->n, API_TEXTS_MOST);
    return OK;
}

/* Messages */

static int bad_message(struct api_error *e, size_t i, const char *member_name, const char *wanted)
{
    char field[96];
    snprintf(field, sizeof field, "messages[%zu]%s%s", i, *member_name ? "." : "", member_name);
    return wrong(e, field, wanted);
}

/* The parts of a content, which are of type text, as one string. */
static int join_parts(const json_t *parts, size_t message, json_t **content, struct api_error *e)
{
    struct buffer text = {0};
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *s = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (json_is_string(s) && type && strcmp(type, "text") == 0)
            buffer_append(&text, json_string_value(s), json_string_length(s));
        else
            code = bad_message(e, message, "content", "text: the model reads parts of the type \"text\" alone");
    }
    if (!code)
        *content = json_stringn(text.data ? text.data : "", text.size);
    buffer_free(&text);
    return code;
}

/* Templates want a call's arguments as an object; clients send it as a string that holds one. */
static void unpack_arguments(json_t *message)
{
    json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function"), *object = NULL;
        const json_t *text = json_object_get(function, "arguments");
        if (json_is_string(text) &&
            json_parse(json_string_value(text), json_string_length(text), &object, NULL) == OK) {
            if (json_is_object(object))
                json_object_set(function, "arguments", object);
            json_decref(object);
        }
    }
}

static int add_message(struct api_request *q, size_t i, const json_t *given, struct api_error *e)
{
    if (!json_is_object(given))
        return bad_message(e, i, "", "an object");
    if (!json_is_string(json_object_get(given, "role")))
        return bad_message(e, i, "role", "a string");
    const json_t *content = member(given, "content"), *calls = member(given, "tool_calls");
    if (content && !json_is_string(content) && !json_is_array(content))
        return bad_message(e, i, "content", "a string or a list of parts");
    if (calls && !json_is_array(calls))
        return bad_message(e, i, "tool_calls", "a list");
    json_t *message = json_deep_copy(given), *joined = NULL;
    json_array_append_new(q->messages, message);
    if (json_is_array(content)) {
        int code = join_parts(content, i, &joined, e);
        if (code)
            return code;
        json_object_set_new(message, "content", joined);
    }
    unpack_arguments(message);
    return OK;
}

static int read_messages(struct api_request *q, struct api_error *e)
{
    const json_t *v = member(q->body, "messages");
    q->messages = json_array();
    if (!json_is_array(v) || json_array_size(v) == 0)
        return wrong(e, "messages", "a list of messages, and not empty");
    for (size_t i = 0; i < json_array_size(v); i++) {
        int code = add_message(q, i, json_array_get(v, i), e);
        if (code)
            return code;
    }
    return OK;
}

/* The model is shown the tools; what it makes of them comes as text. So "required" cannot be promised. */
static int read_tools(struct api_request *q, struct api_error *e)
{
    const json_t *tools = member(q->body, "tools"), *choice = member(q->body, "tool_choice");
    const char *word = json_string_value(choice);
    q->variables = member(q->body, "chat_template_kwargs");
    if (q->variables && !json_is_object(q->variables))
        return wrong(e, "chat_template_kwargs", "an object");
    if (tools && !json_is_array(tools))
        return wrong(e, "tools", "a list of objects");
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!json_is_object(json_array_get(tools, i)))
            return wrong(e, "tools", "a list of objects");
    if (choice && !(word && (strcmp(word, "auto") == 0 || strcmp(word, "none") == 0)))
        return api_refuse(e, 400, "tool_choice", "unsupported", "\"tool_choice\" can be \"auto\" or \"none\" here");
    bool shown = json_array_size(tools) > 0 && !(word && strcmp(word, "none") == 0);
    q->tools = shown ? tools : NULL;
    return OK;
}

typedef int read_part(struct api_request *q, struct api_error *e);

static int read_all(struct api_request *q, struct api_error *e)
{
    static const struct {
        read_part *read;
        int where;
    } parts[] = {
        {read_fields, IN_BOTH}, {read_stream_options, IN_BOTH}, {read_stop, IN_BOTH}, {read_logit_bias, IN_BOTH},
        {read_seed, IN_BOTH}, {read_format, IN_BOTH}, {read_model, IN_BOTH}, {refuse_unsupported, IN_BOTH},
        {read_prompts, IN_COMPLETION}, {read_messages, IN_CHAT}, {read_tools, IN_CHAT},
    };
    if (!json_is_object(q->body))
        return api_refuse(e, 400, NULL, "invalid_json", "the body must be a JSON object");
    int code = OK;
    for (size_t i = 0; !code && i < sizeof parts / sizeof *parts; i++)
        if (parts[i].where >> q->kind & 1)
            code = parts[i].read(q, e);
    return code;
}

int api_parse(enum api_kind kind, const char *text, size_t n, struct api_request *q, struct api_error *e)
{
    struct error why;
    *q = (struct api_request){.kind = kind, .n = 1, .max_tokens = API_NOT_GIVEN,
                              .n_top = kind == API_CHAT ? 0 : API_NOT_GIVEN,
                              .options.sampler = sampler_defaults()};
    q->options.sampler.repetition_window = API_NOT_GIVEN;
    int code = json_parse(text, n, &q->body, &why);
    if (code)
        return api_refuse(e, 400, NULL, "invalid_json", "%s", why.message);
    code = read_all(q, e);
    if (kind == API_COMPLETION) { /* a number of alternatives there asks for probabilities at once */
        q->logprobs = q->n_top != API_NOT_GIVEN;
        q->n_top = q->logprobs ? q->n_top : 0;
    }
    if (q->options.sampler.top_p == 0) /* the likeliest alone */
        q->options.sampler.top_p = 1e-9;
    if (code)
        api_request_free(q);
    return code;
}

void api_request_free(struct api_request *q)
{
    json_decref(q->body);
    json_decref(q->prompts);
    json_decref(q->messages);
    mem_free(q->biases);
    mem_free(q->scales);
    *q = (struct api_request){0};
}
