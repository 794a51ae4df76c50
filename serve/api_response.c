#include "serve/api.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

static const char *error_type(int status)
{
    static const struct {
        int status;
        const char *type;
    } types[] = {{401, "authentication_error"}, {403, "permission_error"}, {429, "rate_limit_error"},
                 {404, "not_found_error"},      {501, "not_supported_error"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].status == status)
            return types[i].type;
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static json_t *string_or_null(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

json_t *api_error_json(const struct api_error *e)
{
    return json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message", json_text(e->message, strlen(e->message)),
                     "type", error_type(e->status), "param", string_or_null(e->param), "code",
                     string_or_null(e->code));
}

static json_t *model_json(const char *name, int64_t created, size_t context)
{
    return json_pack("{s:o, s:s, s:I, s:s, s:I}", "id", json_text(name, strlen(name)), "object", "model", "created",
                     (json_int_t)created, "owned_by", "linnet", "context_length", (json_int_t)context);
}

json_t *api_models_json(const char *model, const struct api_adapter *adapters, size_t n_adapters, int64_t created,
                        size_t context)
{
    json_t *list = json_array();
    json_array_append_new(list, model_json(model, created, context));
    for (size_t i = 0; i < n_adapters; i++) {
        json_t *adapter = model_json(adapters[i].name, created, context);
        json_object_set_new(adapter, "parent", json_text(model, strlen(model)));
        json_array_append_new(list, adapter);
    }
    return json_pack("{s:s, s:o}", "object", "list", "data", list);
}

json_t *api_usage_json(size_t prompt_tokens, size_t completion_tokens, size_t cached_tokens)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)prompt_tokens, "completion_tokens",
                     (json_int_t)completion_tokens, "total_tokens",
                     (json_int_t)(prompt_tokens + completion_tokens), "prompt_tokens_details", "cached_tokens",
                     (json_int_t)cached_tokens);
}

const char *api_finish_reason(enum stop_reason reason)
{
    return reason == STOPPED_END || reason == STOPPED_STRING ? "stop" : "length";
}

json_t *api_answer_json(const struct api_head *h, bool chunk, json_t *choices)
{
    const char *object = h->kind == API_COMPLETION ? "text_completion"
                         : chunk                   ? "chat.completion.chunk"
                                                   : "chat.completion";
    return json_pack("{s:s, s:s, s:I, s:o, s:o}", "id", h->id, "object", object, "created", (json_int_t)h->created,
                     "model", json_text(h->model, strlen(h->model)), "choices", choices);
}

static json_t *finish_choice(json_t *choice, json_t *logprobs, const char *finish_reason)
{
    json_object_set_new(choice, "logprobs", logprobs ? logprobs : json_null());
    json_object_set_new(choice, "finish_reason", finish_reason ? json_string(finish_reason) : json_null());
    return choice;
}

json_t *api_choice_json(enum api_kind kind, size_t index, const char *text, size_t n, json_t *logprobs,
                        const char *finish_reason)
{
    json_t *content = json_text(text, n);
    json_t *choice =
        kind == API_CHAT ? json_pack("{s:I, s:{s:s, s:o, s:n}}", "index", (json_int_t)index, "message", "role",
                                     "assistant", "content", content, "refusal")
                         : json_pack("{s:o, s:I}", "text", content, "index", (json_int_t)index);
    return finish_choice(choice, logprobs, finish_reason);
}

json_t *api_chunk_choice_json(enum api_kind kind, size_t index, bool first, const char *text, size_t n,
                              json_t *logprobs, const char *finish_reason)
{
    if (kind == API_COMPLETION)
        return api_choice_json(kind, index, text ? text : "", n, logprobs, finish_reason);
    json_t *delta = json_object();
    if (first)
        json_object_set_new(delta, "role", json_string("assistant"));
    if (text)
        json_object_set_new(delta, "content", json_text(text, n));
    return finish_choice(json_pack("{s:I, s:o}", "index", (json_int_t)index, "delta", delta), logprobs,
                         finish_reason);
}

/* Log probabilities: {"content": [...]} of a chat, and the four lists of a completion. */

static const char *const lists[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};

json_t *api_logprobs_new(enum api_kind kind)
{
    json_t *o = json_object();
    if (kind == API_CHAT)
        json_object_set_new(o, "content", json_array());
    for (size_t i = 0; kind == API_COMPLETION && i < 4; i++)
        json_object_set_new(o, lists[i], json_array());
    return o;
}

void api_logprobs_move(json_t *to, json_t *from)
{
    const char *key;
    json_t *list;
    json_object_foreach(from, key, list) {
        json_array_extend(json_object_get(to, key), list);
        json_array_clear(list);
    }
}

/* A first token may lose the space in front of it, a second keeps it. Ids beyond the vocabulary have no text. */
static void token_bytes(const struct tokenizer *t, int32_t id, struct buffer *out)
{
    struct buffer twice = {0};
    const int32_t pair[] = {id, id};
    tokenizer_decode(t, pair, 1, true, &twice);
    size_t first = twice.size;
    buffer_clear(&twice);
    tokenizer_decode(t, pair, 2, true, &twice);
    if (twice.size > first)
        buffer_append(out, twice.data + first, twice.size - first);
    buffer_free(&twice);
}

/* JSON has no infinity; OpenAI writes this number. */
static json_t *logprob_json(double logprob)
{
    return isnan(logprob) ? json_null() : json_real(logprob < -9999 ? -9999.0 : logprob);
}

static json_t *chat_entry(const struct tokenizer *t, int32_t id, double logprob)
{
    struct buffer text = {0};
    token_bytes(t, id, &text);
    json_t *bytes = json_array();
    for (size_t i = 0; i < text.size; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text.data[i]));
    json_t *entry = json_pack("{s:o, s:o, s:o}", "token", json_text(text.data ? text.data : "", text.size), "logprob",
                              logprob_json(logprob), "bytes", bytes);
    buffer_free(&text);
    return entry;
}

static void add_chat(json_t *list, const struct tokenizer *t, const struct progress_step *step)
{
    json_t *top = json_array(), *entry = chat_entry(t, step->id, step->logprob);
    for (size_t i = 0; i < step->n_top; i++)
        json_array_append_new(top, chat_entry(t, step->top[i].id, step->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    json_array_append_new(json_object_get(list, "content"), entry);
}

static json_t *text_of(const struct tokenizer *t, int32_t id)
{
    struct buffer text = {0};
    token_bytes(t, id, &text);
    json_t *s = json_text(text.data ? text.data : "", text.size);
    buffer_free(&text);
    return s;
}

/* Of tokens that are written alike, as parts of characters are, the likeliest. */
static json_t *top_by_text(const struct tokenizer *t, const struct progress_step *step)
{
    json_t *top = json_object();
    for (size_t i = 0; i < step->n_top; i++) {
        json_t *key = text_of(t, step->top[i].id);
        const char *s = json_string_value(key);
        if (!json_object_get(top, s))
            json_object_set_new(top, s, logprob_json(step->top[i].logprob));
        json_decref(key);
    }
    return top;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void api_logprobs_add(json_t *list, enum api_kind kind, const struct tokenizer *t, const struct progress_step *step,
                      size_t *offset)
{
    CHECK(step->has_token);
    if (kind == API_CHAT) {
        add_chat(list, t, step);
        return;
    }
    json_t *token = text_of(t, step->id);
    size_t length = characters(json_string_value(token));
    json_t *values[] = {token, logprob_json(step->logprob),
                        isnan(step->logprob) ? json_null() : top_by_text(t, step), json_integer((json_int_t)*offset)};
    for (size_t i = 0; i < 4; i++)
        json_array_append_new(json_object_get(list, lists[i]), values[i]);
    *offset += length;
}
