#include "data/example.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "data/messages.h"

#include <string.h>
#include <time.h>

void example_free(struct example *x)
{
    tokens_free(&x->tokens);
    mem_free(x->learned);
    *x = (struct example){0};
}

/* No token is learned of as many as there are. */
static void learn_nothing(struct example *x)
{
    void *learned = x->learned;
    mem_grow(&learned, &x->learned_capacity, x->tokens.count, 1);
    x->learned = learned;
    memset(x->learned, 0, x->tokens.count);
    x->n_learned = x->n_turns = x->n_unfinished = 0;
}

/* Tokens [begin, end) are a turn that is learned. */
static void learn(const struct tokenizer *t, struct example *x, size_t begin, size_t end)
{
    if (begin >= end)
        return;
    memset(x->learned + begin, 1, end - begin);
    x->n_turns++;
    x->n_unfinished += !tokenizer_is_end(t, x->tokens.ids[end - 1]);
}

static int finish(struct example *x, struct error *e)
{
    if (x->tokens.count)
        x->learned[0] = 0;
    for (size_t i = 0; i < x->tokens.count; i++)
        x->n_learned += x->learned[i];
    return x->n_learned ? OK : error_set(e, ERR_FORMAT, "no token of it is learned");
}

bool example_truncate(struct example *x, size_t max_tokens)
{
    if (x->tokens.count > max_tokens)
        x->tokens.count = max_tokens;
    x->n_learned = 0;
    for (size_t i = 0; i < x->tokens.count; i++)
        x->n_learned += x->learned[i];
    return x->n_learned > 0;
}

/* ---- text and the places of its tokens ---- */

struct rendering {
    const struct example_settings *s;
    struct buffer text;
    struct tokens *tokens;
    size_t *begins; /* of the tokens in the text; NULL: only what encoding its beginning says is known */
};

static void tokenise(struct rendering *r, bool parse_special, struct example *x)
{
    r->tokens = &x->tokens;
    x->tokens.count = 0;
    tokenizer_encode(r->s->tokenizer, r->text.data ? r->text.data : "", r->text.size, parse_special, r->tokens);
}

static void find_begins(struct rendering *r)
{
    r->begins = mem_alloc(r->tokens->count, sizeof *r->begins);
    if (!tokenizer_align(r->s->tokenizer, r->text.data, r->text.size, r->tokens->ids, r->tokens->count, r->begins)) {
        mem_free(r->begins);
        r->begins = NULL;
    }
}

static void rendering_free(struct rendering *r)
{
    buffer_free(&r->text);
    mem_free(r->begins);
}

/* The first token that begins at byte `at` or after it. Where tokens do not spell the text (it was normalised), the
 * tokens of text[0 .. at) must be the first ones of the whole, which then go on at that byte. */
static int token_from(const struct rendering *r, size_t at, size_t *token, struct error *e)
{
    size_t low = 0, high = r->tokens->count;
    if (at >= r->text.size) {
        *token = high;
        return OK;
    }
    if (r->begins) {
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (r->begins[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        *token = low;
        return OK;
    }
    struct tokens before = {0};
    tokenizer_encode(r->s->tokenizer, r->text.data, at, true, &before);
    bool same = before.count <= r->tokens->count &&
                (!before.count || memcmp(before.ids, r->tokens->ids, before.count * sizeof *before.ids) == 0);
    *token = before.count;
    tokens_free(&before);
    return same ? OK
                : error_set(e, ERR_FORMAT,
                            "the tokenizer normalises this text across the bounds of what is learned (at byte %zu): "
                            "write it in the form that the tokenizer makes of it (Unicode NFC, mostly)", at);
}

/* ---- rows without a conversation ---- */

/* BOS and EOS come around the tokens; what is from token `from` on is learned. */
static int learn_from(const struct tokenizer *t, size_t from, struct example *x, struct error *e)
{
    int32_t bos = tokenizer_adds_bos(t) ? tokenizer_bos(t) : TOKEN_NONE, eos = tokenizer_eos(t);
    size_t n = x->tokens.count;
    if (bos != TOKEN_NONE && (n == 0 || x->tokens.ids[0] != bos)) {
        tokens_push(&x->tokens, bos);
        memmove(x->tokens.ids + 1, x->tokens.ids, n * sizeof *x->tokens.ids);
        x->tokens.ids[0] = bos;
        from += from > 0;
        n++;
    }
    if (eos != TOKEN_NONE && (n == 0 || x->tokens.ids[n - 1] != eos))
        tokens_push(&x->tokens, eos);
    learn_nothing(x);
    learn(t, x, from, x->tokens.count);
    return finish(x, e);
}

void example_add_piece(struct example *x, const struct tokens *piece)
{
    void *ids = x->tokens.ids;
    if (piece->count)
        mem_grow(&ids, &x->tokens.capacity, x->tokens.count + piece->count - 1, sizeof *x->tokens.ids);
    x->tokens.ids = ids;
    if (piece->count)
        memcpy(x->tokens.ids + x->tokens.count, piece->ids, piece->count * sizeof *piece->ids);
    x->tokens.count += piece->count;
}

int example_finish_text(struct example *x, const struct tokenizer *t, struct error *e)
{
    return learn_from(t, 0, x, e);
}

size_t example_windows(size_t n, size_t max_tokens)
{
    CHECK(n >= 2 && max_tokens >= 2);
    return (n - 1 + max_tokens - 2) / (max_tokens - 1);
}

static int make_text(const struct dataset_row *row, const struct example_settings *s, struct example *x, struct error *e)
{
    struct rendering r = {.s = s};
    size_t prompt = 0, from = 0;
    int code = OK;
    if (row->kind == ROW_TEXT) {
        buffer_string(&r.text, row->text);
    } else {
        buffer_string(&r.text, row->prompt);
        prompt = s->loss == LOSS_ALL ? 0 : r.text.size;
        buffer_string(&r.text, row->completion);
    }
    tokenise(&r, !row->plain, x);
    if (prompt) { /* a text that is learned whole may be a book: no need to know where its tokens begin */
        find_begins(&r);
        code = token_from(&r, prompt, &from, e);
    }
    x->prompt = prompt ? hash64(r.text.data, prompt, 0) : 0;
    if (!code)
        code = learn_from(s->tokenizer, from, x, e);
    rendering_free(&r);
    return code;
}

/* ---- conversations ---- */

struct chat {
    struct rendering whole;
    const json_t *messages, *tools;
    size_t n_messages, n_prompt;
    json_t *beginning; /* the first messages: a list that grows */
    struct buffer part;
};

static const char *token_text(const struct tokenizer *t, int32_t id)
{
    size_t n;
    return id == TOKEN_NONE ? NULL : tokenizer_token(t, id, &n);
}

static int render(const struct example_settings *s, const json_t *messages, const json_t *tools, bool opening,
                  struct buffer *out, struct chat_spans *spans, struct error *e)
{
    const struct tokenizer *t = s->tokenizer;
    struct chat_input in = {
        .messages = messages, .tools = tools, .add_generation_prompt = opening, .variables = s->variables,
        .bos_token = token_text(t, tokenizer_bos(t)), .eos_token = token_text(t, tokenizer_eos(t)),
        .now = s->now ? s->now : (int64_t)time(NULL),
    };
    return chat_template_render(s->chat_template, &in, out, spans, e);
}

static bool is_assistant(const struct chat *c, size_t i)
{
    return message_has_role(c->messages, i, "assistant");
}

/* The assistant's turn that message i is, counted from 1. */
static size_t turn_number(const struct chat *c, size_t i)
{
    size_t number = 1;
    while (i > 0)
        number += is_assistant(c, --i);
    return number;
}

static bool has_no_weight(const struct chat *c, size_t i)
{
    const json_t *weight = json_object_get(json_array_get(c->messages, i), "weight");
    return json_is_number(weight) && json_number_value(weight) == 0;
}

/* Whether message i is a turn that is learned. */
static bool is_learned(const struct chat *c, size_t i, size_t last_turn)
{
    return is_assistant(c, i) && !has_no_weight(c, i) &&
           (c->whole.s->loss == LOSS_LAST_TURN ? i == last_turn : i >= c->n_prompt);
}

static bool all_white(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    struct buffer text = {0};
    tokenizer_decode(t, ids, n, true, &text);
    bool white = strspn(text.data ? text.data : "", " \t\r\n") == text.size;
    buffer_free(&text);
    return white;
}

/* Learns bytes [begin, end) as one turn. What is white behind the token that closes it is left out where `trim`; a
 * closing token that stands just behind it is taken in. */
static int learn_span(struct chat *c, size_t begin, size_t end, bool trim, struct example *x, struct error *e)
{
    const struct tokenizer *t = c->whole.s->tokenizer;
    const int32_t *ids = x->tokens.ids;
    size_t from, to;
    int code = token_from(&c->whole, begin, &from, e);
    if (!code)
        code = token_from(&c->whole, end, &to, e);
    if (code)
        return code;
    if (from < to && trim) {
        size_t last = to;
        while (last > from && !tokenizer_is_end(t, ids[last - 1]) && !tokenizer_is_special(t, ids[last - 1]))
            last--;
        if (last > from && all_white(t, ids + last, to - last))
            to = last;
    }
    if (from < to && to < x->tokens.count && !tokenizer_is_end(t, ids[to - 1]) && tokenizer_is_end(t, ids[to]))
        to++;
    if (x->n_turns == 0)
        x->prompt = hash64(c->whole.text.data, begin, 0);
    learn(t, x, from, to);
    return OK;
}

/* ---- turns by {% generation %} ---- */

static int learn_marked(struct chat *c, const struct chat_spans *spans, size_t last_turn, struct example *x,
                        struct error *e)
{
    size_t n_turns = 0, n_learned = 0, span = 0;
    for (size_t i = 0; i < c->n_messages; i++) {
        n_turns += is_assistant(c, i);
        n_learned += is_learned(c, i, last_turn);
    }
    if (n_learned < n_turns && spans->count != n_turns)
        return error_set(e, ERR_FORMAT, "the chat template marks %zu stretches of text with {%% generation %%} for %zu "
                         "turns of the assistant, so it is not clear which ones are to be learned; --loss completions "
                         "without a prompt or weights learns them all", spans->count, n_turns);
    int code = OK;
    if (n_learned == n_turns) {
        for (size_t i = 0; i < spans->count && !code; i++)
            code = learn_span(c, spans->items[i].begin, spans->items[i].end, false, x, e);
        return code;
    }
    for (size_t i = 0; i < c->n_messages && !code; i++) {
        if (is_learned(c, i, last_turn))
            code = learn_span(c, spans->items[span].begin, spans->items[span].end, false, x, e);
        span += is_assistant(c, i);
    }
    return code;
}

/* ---- turns by what each message adds ---- */

/* Renders the first n messages into c->part, which must be what the whole begins with. */
static int render_beginning(struct chat *c, size_t n, bool opening, size_t turn, struct error *e)
{
    while (json_array_size(c->beginning) < n)
        json_array_append(c->beginning, json_array_get(c->messages, json_array_size(c->beginning)));
    buffer_clear(&c->part);
    int code = render(c->whole.s, c->beginning, c->tools, opening, &c->part, NULL, e);
    if (code)
        return error_prefix(e, "finding turn %zu of the assistant", turn);
    if (c->part.size <= c->whole.text.size &&
        (!c->part.size || memcmp(c->part.data, c->whole.text.data, c->part.size) == 0))
        return OK;
    const char *advice = c->whole.s->loss == LOSS_LAST_TURN
                             ? "--loss all learns the whole text, and a template with {% generation %} says where "
                               "turns are"
                             : "--loss last-turn learns the last turn alone, and a template with {% generation %} says "
                               "where turns are";
    return error_set(e, ERR_FORMAT,
                     "the chat template writes turn %zu of the assistant, or what is before it, differently once the "
                     "conversation goes on (some take out earlier reasoning), so where it is cannot be known: %s",
                     turn, advice);
}

static int learn_turn(struct chat *c, size_t i, struct example *x, struct error *e)
{
    size_t turn = turn_number(c, i), begin, end = c->whole.text.size;
    int code = render_beginning(c, i, true, turn, e);
    if (code)
        return code;
    begin = c->part.size;
    if (i + 1 < c->n_messages) {
        code = render_beginning(c, i + 1, false, turn, e);
        if (code)
            return code;
        end = c->part.size;
    }
    if (end <= begin)
        return error_set(e, ERR_FORMAT, "the chat template shows nothing of turn %zu of the assistant", turn);
    return learn_span(c, begin, end, true, x, e);
}

/* ---- */

static int learn_conversation(struct chat *c, const struct chat_spans *spans, struct example *x, struct error *e)
{
    const struct example_settings *s = c->whole.s;
    size_t last_turn = c->n_messages;
    if (s->loss == LOSS_ALL) {
        learn(s->tokenizer, x, 0, x->tokens.count);
        return OK;
    }
    for (size_t i = 0; i < c->n_messages; i++)
        if (is_assistant(c, i))
            last_turn = i;
    if (chat_template_has_generation(s->chat_template))
        return learn_marked(c, spans, last_turn, x, e);
    c->beginning = json_array();
    int code = OK;
    for (size_t i = 0; i < c->n_messages && !code; i++)
        if (is_learned(c, i, last_turn))
            code = learn_turn(c, i, x, e);
    json_decref(c->beginning);
    buffer_free(&c->part);
    return code;
}

int example_make_chat(const json_t *messages, size_t n_prompt, const json_t *tools, const struct example_settings *s,
                      struct example *x, struct error *e)
{
    if (!s->chat_template)
        return error_set(e, ERR_FORMAT, "a conversation, and there is no chat template to write it with; "
                                        "--chat-template gives one: a file, chatml or plain");
    struct example_settings fixed = *s;
    if (!fixed.now) /* one time for all that is rendered */
        fixed.now = (int64_t)time(NULL);
    struct chat c = {.whole = {.s = &fixed}, .messages = messages, .tools = tools,
                     .n_messages = json_array_size(messages), .n_prompt = n_prompt};
    struct chat_spans spans = {0};
    int code = render(&fixed, messages, tools, false, &c.whole.text, &spans, e);
    if (!code) {
        tokenise(&c.whole, true, x);
        find_begins(&c.whole);
        learn_nothing(x);
        x->prompt = 0;
        code = learn_conversation(&c, &spans, x, e);
    }
    if (!code)
        code = finish(x, e);
    chat_spans_free(&spans);
    rendering_free(&c.whole);
    return code;
}

int example_make(const struct dataset_row *row, const struct example_settings *s, struct example *x, struct error *e)
{
    if (row->kind == ROW_TEXT || (row->completion && !s->chat_template))
        return make_text(row, s, x, e);
    return example_make_chat(row->messages, row->n_prompt, row->tools, s, x, e);
}

/* ---- prompts ---- */

int example_make_prompt(const struct dataset_row *row, const struct example_settings *s, struct tokens *out, struct error *e)
{
    const struct tokenizer *t = s->tokenizer;
    int32_t bos = tokenizer_adds_bos(t) ? tokenizer_bos(t) : TOKEN_NONE;
    struct buffer text = {0};
    int code = OK;
    out->count = 0;
    if (s->chat_template) {
        code = render(s, row->messages, row->tools, true, &text, NULL, e);
        bos = TOKEN_NONE; /* a template writes it itself */
    } else if (row->prompt) {
        buffer_string(&text, row->prompt);
    } else {
        code = error_set(e, ERR_FORMAT, "a conversation, and there is no chat template to write it with; --chat-template "
                                        "gives one: a file, chatml or plain");
    }
    if (!code) {
        tokenizer_encode(t, text.data ? text.data : "", text.size, true, out);
        if (bos != TOKEN_NONE && (out->count == 0 || out->ids[0] != bos)) {
            tokens_push(out, bos);
            memmove(out->ids + 1, out->ids, (out->count - 1) * sizeof *out->ids);
            out->ids[0] = bos;
        }
        if (out->count == 0)
            code = error_set(e, ERR_FORMAT, "the prompt has no token");
    }
    buffer_free(&text);
    return code;
}

void example_answer_lead(const struct dataset_row *row, const struct example_settings *s, struct buffer *out)
{
    static const char probe[] = "linnet"; /* an answer that no template changes, or finds anything in */
    struct buffer before = {0}, whole = {0};
    if (!s->chat_template)
        return;
    json_t *messages = json_copy(row->messages);
    json_array_append_new(messages, message_new("assistant", probe, strlen(probe)));
    if (!render(s, row->messages, row->tools, true, &before, NULL, NULL) &&
        !render(s, messages, row->tools, false, &whole, NULL, NULL) && whole.size > before.size &&
        memcmp(before.data ? before.data : "", whole.data, before.size) == 0) {
        const char *rest = whole.data + before.size, *answer = strstr(rest, probe);
        buffer_append(out, rest, answer ? (size_t)(answer - rest) : 0);
    }
    json_decref(messages);
    buffer_free(&before);
    buffer_free(&whole);
}
