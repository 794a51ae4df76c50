#include "infer/completion.h"

#include "base/check.h"
#include "base/memory.h"

#include <math.h>

const char *stop_reason_name(enum stop_reason r)
{
    static const char *const names[] = {
        [STOPPED_END] = "end",         [STOPPED_STRING] = "stop",
        [STOPPED_LENGTH] = "length",   [STOPPED_CONTEXT] = "context",
        [STOPPED_INTERRUPTED] = "interrupted",
    };
    return names[r];
}

void generation_free(struct generation *r)
{
    tokens_free(&r->tokens);
    buffer_free(&r->text);
    *r = (struct generation){0};
}

int completion_init(struct completion *c, const struct tokenizer *t, size_t n_choices,
                    const struct generate_options *o, generate_emit *emit, void *context,
                    struct generation *r, struct error *e)
{
    *c = (struct completion){.tokenizer = t, .options = o,
                             .filter = {.stops = o->stops, .n_stops = o->n_stops},
                             .emit = emit, .emit_context = context, .r = r};
    r->tokens.count = 0;
    buffer_clear(&r->text);
    r->n_prompt = r->n_decoded = 0;
    r->prefill_seconds = r->decode_seconds = 0;
    int code = sampler_init(&c->sampler, &o->sampler, n_choices, e);
    if (!code && o->grammar) {
        CHECK(o->trie && o->trie->n_tokens >= n_choices);
        grammar_state_init(&c->grammar, o->grammar);
        c->sampler.allowed = c->allowed = mem_zero(token_trie_words(o->trie), sizeof *c->allowed);
    }
    return code;
}

void completion_free(struct completion *c)
{
    buffer_free(&c->characters);
    stop_filter_free(&c->filter);
    sampler_free(&c->sampler);
    grammar_state_free(&c->grammar);
    mem_free(c->allowed);
    *c = (struct completion){0};
}

/* SentencePiece drops the space in front of a text's first word; after a prompt it is none. */
static bool any_text(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!tokenizer_is_special(t, ids[i]))
            return true;
    return false;
}

void completion_begin(struct completion *c, const int32_t *prompt, size_t n, bool continues)
{
    c->r->n_prompt = n;
    c->stream.started = continues || any_text(c->tokenizer, prompt, n);
    for (size_t i = 0; i < n; i++)
        sampler_accept(&c->sampler, prompt[i]);
}

/* Lets the text since `before` go to the caller. */
static void pass_on(struct completion *c, size_t before)
{
    const struct buffer *text = &c->r->text;
    if (c->emit && text->size > before)
        c->emit(c->emit_context, text->data + before, text->size - before);
}

/* Tokens to text: whole characters first, then what cannot be part of a stop string. True when one is complete. */
static bool put_token(struct completion *c, int32_t id)
{
    size_t before = c->r->text.size;
    buffer_clear(&c->characters);
    decode_stream_push(&c->stream, c->tokenizer, id, c->options->show_special, &c->characters);
    bool found = stop_filter_push(&c->filter, c->characters.data, c->characters.size, &c->r->text);
    pass_on(c, before);
    return found;
}

/* The end of the text; true when its very last bytes complete a stop string. */
static bool put_end(struct completion *c)
{
    size_t before = c->r->text.size;
    buffer_clear(&c->characters);
    decode_stream_flush(&c->stream, &c->characters);
    bool found = stop_filter_push(&c->filter, c->characters.data, c->characters.size, &c->r->text);
    if (!found)
        stop_filter_flush(&c->filter, &c->r->text);
    pass_on(c, before);
    return found;
}

void completion_stop(struct completion *c, enum stop_reason reason)
{
    if (c->done)
        return;
    c->done = true;
    c->r->reason = reason;
    if (reason != STOPPED_STRING && put_end(c))
        c->r->reason = STOPPED_STRING;
}

/* Why there is nothing to draw. */
static int report_nothing(const struct completion *c, const float *logits, struct error *e)
{
    bool numbers = true, some = false;
    for (size_t i = 0; i < c->sampler.vocab_size; i++) {
        numbers &= !isnan(logits[i]) && logits[i] < INFINITY;
        some |= logits[i] > -INFINITY;
    }
    size_t n = c->r->n_prompt + c->r->tokens.count;
    if (numbers && some)
        return error_set(e, ERR_USAGE, "after %zu tokens none is left to draw: logit biases forbid all%s", n,
                         c->options->grammar ? " that the grammar allows" : "");
    return error_set(e, ERR_FORMAT,
                     "the model's output is not a number (NaN or infinite) after %zu tokens; "
                     "its weights are damaged or the training diverged", n);
}

int completion_next(struct completion *c, const float *logits, int32_t *id, struct error *e)
{
    const struct generate_options *o = c->options;
    int code = o->grammar ? grammar_mask(&c->grammar, o->trie, c->allowed, e) : OK;
    if (code)
        return code;
    *id = sampler_pick(&c->sampler, logits);
    if (*id < 0)
        return report_nothing(c, logits, e);
    tokens_push(&c->r->tokens, *id);
    if (o->grammar)
        code = grammar_accept_token(&c->grammar, o->trie, *id, e);
    if (code)
        return code;
    if (!o->ignore_end && tokenizer_is_end(c->tokenizer, *id))
        completion_stop(c, STOPPED_END);
    else if (put_token(c, *id))
        completion_stop(c, STOPPED_STRING);
    else if (o->grammar && grammar_must_end(&c->grammar))
        completion_stop(c, STOPPED_END);
    else if (o->interrupted && o->interrupted())
        completion_stop(c, STOPPED_INTERRUPTED);
    else if (o->max_tokens && c->r->tokens.count >= o->max_tokens)
        completion_stop(c, STOPPED_LENGTH);
    else
        sampler_accept(&c->sampler, *id);
    return OK;
}
