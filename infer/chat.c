#include "infer/chat.h"

#include <string.h>

int chat_session_init(struct chat_session *s, struct model *m, const struct tokenizer *t,
                      const char *template_text, const struct generator_options *o, struct error *e)
{
    *s = (struct chat_session){0};
    int code = chat_template_open(t, template_text, &s->template, e);
    if (!code)
        code = generator_init(&s->generator, m, t, o, e);
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

static const char *role_of(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role ? role : "";
}

void chat_session_set_system(struct chat_session *s, const char *text)
{
    if (strcmp(role_of(json_array_get(s->messages, 0)), "system") == 0)
        json_array_remove(s->messages, 0);
    if (!text)
        return;
    chat_session_say(s, "system", text, strlen(text));
    size_t last = json_array_size(s->messages) - 1;
    json_t *message = json_incref(json_array_get(s->messages, last));
    json_array_remove(s->messages, last);
    json_array_insert_new(s->messages, 0, message);
}

bool chat_session_undo(struct chat_session *s)
{
    size_t n = json_array_size(s->messages);
    while (n > 0 && strcmp(role_of(json_array_get(s->messages, n - 1)), "user") != 0)
        n--;
    for (size_t i = json_array_size(s->messages); n > 0 && i >= n; i--)
        json_array_remove(s->messages, i - 1);
    return n > 0;
}

int chat_session_set_messages(struct chat_session *s, const json_t *messages, struct error *e)
{
    size_t i;
    json_t *message;
    if (!json_is_array(messages))
        return error_set(e, ERR_FORMAT, "not a list of messages");
    json_array_foreach(messages, i, message)
        if (!*role_of(message) || !json_is_string(json_object_get(message, "content")))
            return error_set(e, ERR_FORMAT, "message %zu is no {\"role\": \"...\", \"content\": \"...\"}", i);
    json_t *copy = json_deep_copy(messages);
    json_decref(s->messages);
    s->messages = copy;
    return OK;
}

void chat_session_recompute(struct chat_session *s)
{
    generator_reset(&s->generator);
    s->fed.count = 0;
}

/* Back to what the sequence and the tokens have in common; one token at least is left to feed. Of a shifted sequence
 * only what follows the dropped tokens can be gone back. Returns how many of the tokens need not be fed. */
static size_t keep_common(struct chat_session *s, const struct tokens *wanted)
{
    struct generator *g = &s->generator;
    size_t n = 0, gone = g->n_discarded;
    while (n < s->fed.count && n + 1 < wanted->count && s->fed.ids[n] == wanted->ids[n])
        n++;
    size_t left = gone == 0 || n >= g->n_kept + gone ? generator_rewind(g, n - gone) : generator_rewind(g, 0);
    s->fed.count = left == 0 ? 0 : left + gone;
    return s->fed.count;
}

/* What the generator holds now, the tokens that shifts dropped among it, is what was fed before and the first of
 * these. It holds less than before where a pass was interrupted and could not go back. */
static void note_fed(struct chat_session *s, const int32_t *ids, size_t n)
{
    size_t held = s->generator.cache.length + s->generator.n_discarded;
    s->fed.count = s->fed.count < held ? s->fed.count : held;
    for (size_t i = 0; i < n && s->fed.count < held; i++)
        tokens_push(&s->fed, ids[i]);
}

/* Where all of the tokens from `kept` on do not fit, however much a shift would drop: the sequence begins anew as one that
 * was shifted, with the first tokens that a shift keeps and the last that fill half of the rest. Returns how many of the
 * tokens need not be fed then; `kept`, and nothing changed, where there is no need to. */
static size_t leave_out(struct chat_session *s, const struct tokens *wanted, size_t kept,
                        const struct generate_options *o)
{
    struct generator *g = &s->generator;
    size_t keep = generator_keep(g, o);
    struct error e;
    if (generator_make_room(g, wanted->count - kept, keep) || keep + 1 >= g->capacity)
        return kept;
    chat_session_recompute(s);
    if (wanted->count <= g->capacity || (keep > 0 && generator_feed(g, wanted->ids, keep, NULL, &e) != OK))
        return 0;
    size_t from = wanted->count - (g->capacity - keep) / 2;
    g->n_discarded = from - keep;
    g->n_kept = keep;
    for (size_t i = 0; i < from; i++)
        tokens_push(&s->fed, wanted->ids[i]);
    return from;
}

int chat_session_reply(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                       void *context, struct generation *r, struct error *e)
{
    struct tokens wanted = {0};
    int code = chat_prompt_tokens(s->template, s->generator.tokenizer, s->messages, NULL, s->variables, &wanted, e);
    if (!code) {
        size_t kept = keep_common(s, &wanted);
        if (o->context_shift) /* where even that does not do, generate says what is missing */
            kept = leave_out(s, &wanted, kept, o);
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

int chat_session_reply_again(struct chat_session *s, const struct generate_options *o, generate_emit *emit,
                             void *context, struct generation *r, struct error *e)
{
    json_t *before = json_copy(s->messages);
    size_t n = json_array_size(s->messages);
    if (n > 0 && strcmp(role_of(json_array_get(s->messages, n - 1)), "assistant") == 0)
        json_array_remove(s->messages, --n);
    int code = n > 0 && strcmp(role_of(json_array_get(s->messages, n - 1)), "user") == 0
                   ? chat_session_reply(s, o, emit, context, r, e)
                   : error_set(e, ERR_USAGE, "there is no message to answer yet");
    if (code || json_array_size(s->messages) <= n) { /* unanswered */
        json_decref(s->messages);
        s->messages = before;
    } else {
        json_decref(before);
    }
    return code;
}
