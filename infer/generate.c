#include "infer/generate.h"

#include "base/check.h"
#include "base/log.h"

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

int generator_init(struct generator *g, struct model *m, const struct tokenizer *t,
                   const struct generator_options *o, struct error *e)
{
    size_t capacity = o->capacity, chunk = o->chunk ? o->chunk : RUNNER_CHUNK;
    CHECK(capacity > 0);
    *g = (struct generator){.model = m, .tokenizer = t, .capacity = capacity,
                            .n_choices = m->config.vocab_size};
    if (t && tokenizer_vocab_size(t) < g->n_choices)
        g->n_choices = tokenizer_vocab_size(t);
    if (chunk > capacity)
        chunk = capacity;
    int code = runner_init(&g->runner, m, chunk, e);
    if (!code)
        code = kv_cache_init(&g->cache, m, o->cache_type, capacity, chunk, e);
    if (code) {
        generator_free(g);
        return code;
    }
    g->logits = mem_alloc(m->config.vocab_size, sizeof *g->logits);
    model_reserve_positions(m, capacity);
    return OK;
}

void generator_free(struct generator *g)
{
    runner_free(&g->runner);
    kv_cache_free(&g->cache);
    mem_free(g->logits);
    *g = (struct generator){0};
}

void generator_reset(struct generator *g)
{
    generator_rewind(g, 0);
}

size_t generator_rewind(struct generator *g, size_t n)
{
    size_t left = kv_cache_rewind(&g->cache, n);
    if (left == 0)
        g->n_discarded = g->n_kept = 0;
    return left;
}

bool generator_make_room(struct generator *g, size_t n, size_t keep)
{
    size_t length = g->cache.length, room = g->capacity - length;
    if (n <= room)
        return true;
    if (keep >= length || n - room > length - keep)
        return false;
    size_t half = (length - keep + 1) / 2, discard = half > n - room ? half : n - room;
    if (!kv_cache_shift(&g->cache, g->model, keep, discard))
        return false;
    g->n_discarded += discard;
    g->n_kept = keep > g->n_kept ? keep : g->n_kept;
    return true;
}

size_t generator_keep(const struct generator *g, const struct generate_options *o)
{
    bool begins = g->tokenizer && tokenizer_adds_bos(g->tokenizer) && tokenizer_bos(g->tokenizer) != TOKEN_NONE;
    return o->keep > 0 ? o->keep : begins;
}

static void feed_chunk(struct generator *g, const int32_t *ids, size_t n, bool last)
{
    const float *hidden = runner_forward(&g->runner, &(struct runner_tokens){&g->cache, ids, n}, 1);
    if (last)
        runner_logits(&g->runner, hidden + (n - 1) * g->model->config.hidden_size, 1, g->logits);
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
    int code = runner_check_tokens(g->model, ids, n, e);
    if (code)
        return code;
    for (size_t done = 0; done < n;) {
        size_t now = n - done < g->runner.chunk ? n - done : g->runner.chunk;
        if (done > 0 && interrupted && interrupted()) {
            generator_rewind(g, before);
            return error_set(e, ERR_INTERRUPTED, "interrupted");
        }
        feed_chunk(g, ids + done, now, done + now == n);
        done += now;
    }
    return OK;
}

/* Draws and feeds until there is a reason to stop. */
static int decode_loop(struct generator *g, struct completion *c, struct error *e)
{
    const struct generate_options *o = c->options;
    while (!c->done) {
        int32_t id;
        int code = completion_next(c, g->logits, &id, e);
        if (code)
            return code;
        if (!c->done && g->cache.length == g->capacity &&
            !(o->context_shift && generator_make_room(g, 1, generator_keep(g, o))))
            completion_stop(c, STOPPED_CONTEXT);
        if (c->done)
            return OK;
        feed_chunk(g, &id, 1, true);
        c->r->n_decoded++;
    }
    return OK;
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

int generate(struct generator *g, const int32_t *prompt, size_t n,
             const struct generate_options *o, generate_emit *emit, void *context,
             struct generation *r, struct error *e)
{
    struct completion c;
    bool continues = g->cache.length > 0;
    int code = completion_init(&c, g->tokenizer, g->n_choices, o, emit, context, r, e);
    if (!code)
        code = check_prompt(g, n, e);
    if (code)
        goto done;
    completion_begin(&c, prompt, n, continues);
    double start = clock_seconds();
    code = generator_feed(g, prompt, n, o->interrupted, e);
    double fed = clock_seconds();
    r->prefill_seconds = fed - start;
    if (code == ERR_INTERRUPTED) {
        completion_stop(&c, STOPPED_INTERRUPTED);
        code = OK;
    } else if (!code) {
        code = decode_loop(g, &c, e);
        r->decode_seconds = clock_seconds() - fed;
    }
done:
    completion_free(&c);
    return code;
}
