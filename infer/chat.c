#include "infer/chat.h"

int chat_session_init(struct chat_session *s, struct model *m, const struct tokenizer *t,
                      const char *template_text, size_t capacity, struct error *e)
{
    *s = (struct chat_session){0};
    int code = chat_template_open(t, template_text, &s->template, e);
    if (!code)
        code = generator_init(&s->generator, m, t, capacity, RUNNER_CHUNK, e);
    s->messages = json_array();
    if (code)
        chat_session_free(s);
    return code;
}

void chat_session_free(struct chat_session *s)
{
    generator_free(&s->generator);
    chat_template_free(s->template);
    json_decref(s->messages);
    tokens_free(&s->fed);
    *s = (struct chat_session){0};
}

void chat_session_clear(struct chat_session *s)
{
    json_array_clear(s->messages);
}

void chat_session_say(struct chat_session *s, const char *role, const char *text, size_t n)
{
    json_t *message = json_object();
    json_object_set_new(message, "role", json_string(role));
    json_object_set_new(message, "content", json_text(text, n));
    json_array_append_new(s->messages, message);
}

/* Back to what the sequence and the tokens have in common; one token at least is left to feed. */
static size_t keep_common(struct chat_session *s, const struct tokens *wanted)
{
    size_t n = 0;
    while (n < s->fed.count && n + 1 < wanted->count && s->fed.ids[n] == wanted->ids[n])
        n++;
    s->fed.count = generator_rewind(&s->generator, n);
    return s->fed.count;
}

static void note_fed(struct chat_session *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n && s->fed.count < s->generator.cache.length; i++)
        tokens_push(&s->fed, ids[i]);
}

int chat_session_reply(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                       void *context, struct generation *r, struct error *e)
{
    struct tokens wanted = {0};
    int code = chat_prompt_tokens(s->template, s->generator.tokenizer, s->messages, NULL, s->variables, &wanted, e);
    if (!code) {
        size_t kept = keep_common(s, &wanted);
        code = generate(&s->generator, wanted.ids + kept, wanted.count - kept, o, emit, context, r, e);
        note_fed(s, wanted.ids + kept, wanted.count - kept);
        if (!code)
            note_fed(s, r->tokens.ids, r->tokens.count);
    }
    tokens_free(&wanted);
    bool unanswered = code || (r->reason == STOPPED_INTERRUPTED && r->tokens.count == 0);
    if (!unanswered)
        chat_session_say(s, "assistant", r->text.data ? r->text.data : "", r->text.size);
    else if (json_array_size(s->messages) > 0) /* as if it had not been said */
        json_array_remove(s->messages, json_array_size(s->messages) - 1);
    return code;
}
