#include "infer/generate.h"

#include "base/check.h"
#include "base/log.h"
#include "infer/stop.h"

#include <string.h>

int prompt_tokens(const struct tokenizer *t, const char *text, size_t n, bool parse_special,
                  struct tokens *out, struct error *e)
{
    int32_t bos = tokenizer_bos(t), eos = tokenizer_eos(t);
    size_t before = out->count;
    if (tokenizer_adds_bos(t) && bos != TOKEN_NONE)
        tokens_push(out, bos);
    tokenizer_encode(t, text, n, parse_special, out);
    if (out->count > before)
        return OK;
    if (bos == TOKEN_NONE && eos == TOKEN_NONE)
        return error_set(e, ERR_USAGE,
                         "the prompt is empty, and the vocabulary has no token that begins a text; "
                         "give at least one character");
    tokens_push(out, bos != TOKEN_NONE ? bos : eos);
    return OK;
}

static void take_memory(struct generator *g)
{
    activations_init(&g->activations, g->model, DTYPE_F32, 1, g->chunk, KEEP_NOTHING, &g->arena);
    batch_init(&g->batch, 1, g->chunk, &g->arena);
    g->logits = arena_alloc(&g->arena, g->model->config.vocab_size, sizeof(float));
}

int generator_init(struct generator *g, struct model *m, const struct tokenizer *t, size_t capacity,
                   size_t chunk, struct error *e)
{
    CHECK(capacity > 0 && chunk > 0);
    *g = (struct generator){.model = m, .tokenizer = t, .capacity = capacity,
                            .chunk = chunk < capacity ? chunk : capacity,
                            .n_choices = m->config.vocab_size};
    if (t && tokenizer_vocab_size(t) < g->n_choices)
        g->n_choices = tokenizer_vocab_size(t);
    take_memory(g);
    size_t size = g->arena.used;
    activations_free(&g->activations);
    int code = arena_init(&g->arena, size, "the activations of a prompt", e);
    if (!code) {
        take_memory(g);
        code = kv_cache_init(&g->cache, m, capacity, e);
    }
    if (code) {
        generator_free(g);
        return code;
    }
    model_reserve_positions(m, capacity);
    return OK;
}

void generator_free(struct generator *g)
{
    activations_free(&g->activations);
    kv_cache_free(&g->cache);
    arena_free(&g->arena);
    *g = (struct generator){0};
}

void generator_reset(struct generator *g)
{
    g->cache.length = 0;
}

void generator_rewind(struct generator *g, size_t n)
{
    CHECK(n <= g->cache.length);
    g->cache.length = n;
}

static void feed_chunk(struct generator *g, const int32_t *ids, size_t n, bool last)
{
    struct batch b = g->batch;
    b.seq_len = n;
    b.first_key = NULL;
    memcpy(b.input_ids, ids, n * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        b.positions[i] = (int32_t)(g->cache.length + i);
    const float *hidden = decoder_forward(g->model, &g->activations, &b, &g->cache, 0);
    if (last) {
        struct output_layer layer = decoder_output_layer(g->model, DTYPE_F32);
        output_logits(&layer, DTYPE_F32, hidden + (n - 1) * layer.c, g->logits, 1);
    }
}

int generator_feed(struct generator *g, const int32_t *ids, size_t n, bool (*interrupted)(void),
                   struct error *e)
{
    CHECK(n > 0);
    size_t before = g->cache.length, room = g->capacity - before;
    if (n > room)
        return error_set(e, ERR_USAGE,
                         "%zu tokens do not fit: the context is %zu tokens, of which %zu are taken",
                         n, g->capacity, before);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= g->model->config.vocab_size)
            return error_set(e, ERR_USAGE, "token %d is none of the model's %zu", (int)ids[i],
                             g->model->config.vocab_size);
    for (size_t done = 0; done < n;) {
        size_t now = n - done < g->chunk ? n - done : g->chunk;
        if (done > 0 && interrupted && interrupted()) {
            generator_rewind(g, before);
            return error_set(e, ERR_INTERRUPTED, "interrupted");
        }
        feed_chunk(g, ids + done, now, done + now == n);
        done += now;
    }
    return OK;
}

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

/* Tokens to text: whole characters first, then what cannot be part of a stop string. */
struct text_output {
    const struct generator *g;
    const struct generate_options *o;
    struct decode_stream stream;
    struct stop_filter filter;
    struct buffer characters;
    generate_emit *emit;
    void *context;
    struct generation *r;
};

/* Lets the text since `before` go to the caller. */
static void pass_on(struct text_output *out, size_t before)
{
    const struct buffer *text = &out->r->text;
    if (out->emit && text->size > before)
        out->emit(out->context, text->data + before, text->size - before);
}

/* True when a stop string is complete. */
static bool put_token(struct text_output *out, int32_t id)
{
    size_t before = out->r->text.size;
    buffer_clear(&out->characters);
    decode_stream_push(&out->stream, out->g->tokenizer, id, out->o->show_special, &out->characters);
    bool found =
        stop_filter_push(&out->filter, out->characters.data, out->characters.size, &out->r->text);
    pass_on(out, before);
    return found;
}

/* The end of the text; true when its very last bytes complete a stop string. */
static bool put_end(struct text_output *out)
{
    size_t before = out->r->text.size;
    buffer_clear(&out->characters);
    decode_stream_flush(&out->stream, &out->characters);
    bool found =
        stop_filter_push(&out->filter, out->characters.data, out->characters.size, &out->r->text);
    if (!found)
        stop_filter_flush(&out->filter, &out->r->text);
    pass_on(out, before);
    return found;
}

/* Draws, puts and feeds until there is a reason to stop. */
static int decode_loop(struct generator *g, struct sampler *s, struct text_output *out,
                       struct error *e)
{
    const struct generate_options *o = out->o;
    struct generation *r = out->r;
    for (;;) {
        int32_t id = sampler_pick(s, g->logits);
        if (id < 0)
            return error_set(e, ERR_FORMAT,
                             "the model's output is not a number (NaN or infinite) after %zu tokens; "
                             "its weights are damaged or the training diverged", g->cache.length);
        tokens_push(&r->tokens, id);
        if (!o->ignore_end && tokenizer_is_end(g->tokenizer, id)) {
            r->reason = STOPPED_END;
            return OK;
        }
        if (put_token(out, id)) {
            r->reason = STOPPED_STRING;
            return OK;
        }
        bool interrupted = o->interrupted && o->interrupted(),
             enough = o->max_tokens && r->tokens.count >= o->max_tokens;
        if (interrupted || enough || g->cache.length == g->capacity) {
            r->reason = interrupted ? STOPPED_INTERRUPTED
                        : enough    ? STOPPED_LENGTH
                                    : STOPPED_CONTEXT;
            return OK;
        }
        sampler_accept(s, id);
        feed_chunk(g, &id, 1, true);
        r->n_decoded++;
    }
}

static int check_prompt(const struct generator *g, size_t n, struct error *e)
{
    size_t room = g->capacity - g->cache.length;
    if (n == 0)
        return error_set(e, ERR_USAGE, "the prompt has no tokens");
    if (n > room)
        return error_set(e, ERR_USAGE,
                         "the prompt is %zu tokens long, %zu more than the context of %zu tokens has "
                         "room for; shorten the prompt or raise the context", n, n - room,
                         g->capacity);
    return OK;
}

/* SentencePiece drops the space in front of a text's first word; after a prompt it is none. */
static bool any_text(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!tokenizer_is_special(t, ids[i]))
            return true;
    return false;
}

static int prefill(struct generator *g, struct sampler *s, const int32_t *prompt, size_t n,
                   const struct generate_options *o, struct generation *r, struct error *e)
{
    double start = clock_seconds();
    int code = generator_feed(g, prompt, n, o->interrupted, e);
    for (size_t i = 0; i < n && !code; i++)
        sampler_accept(s, prompt[i]);
    r->prefill_seconds = clock_seconds() - start;
    return code;
}

int generate(struct generator *g, const int32_t *prompt, size_t n,
             const struct generate_options *o, generate_emit *emit, void *context,
             struct generation *r, struct error *e)
{
    struct sampler sampler;
    struct text_output out = {.g = g, .o = o, .filter = {.stops = o->stops, .n_stops = o->n_stops},
                              .emit = emit, .context = context, .r = r};
    r->tokens.count = 0;
    buffer_clear(&r->text);
    r->n_prompt = n;
    r->n_decoded = 0;
    r->prefill_seconds = r->decode_seconds = 0;
    int code = sampler_init(&sampler, &o->sampler, g->n_choices, e);
    if (!code)
        code = check_prompt(g, n, e);
    if (code)
        goto done;
    out.stream.started = g->cache.length > 0 || any_text(g->tokenizer, prompt, n);
    code = prefill(g, &sampler, prompt, n, o, r, e);
    if (code == ERR_INTERRUPTED) {
        r->reason = STOPPED_INTERRUPTED;
        code = OK;
        goto done;
    }
    if (code)
        goto done;
    double start = clock_seconds();
    code = decode_loop(g, &sampler, &out, e);
    r->decode_seconds = clock_seconds() - start;
    if (!code && r->reason != STOPPED_STRING && put_end(&out))
        r->reason = STOPPED_STRING;
done:
    buffer_free(&out.characters);
    stop_filter_free(&out.filter);
    sampler_free(&sampler);
    return code;
}
