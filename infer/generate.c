#include "infer/generate.h"

#include "base/check.h"
#include "base/log.h"

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
    tokens_free(&g->text);
    mem_free(g->logits);
    mem_free(g->drafted);
    *g = (struct generator){0};
}

void generator_reset(struct generator *g)
{
    generator_rewind(g, 0);
}

size_t generator_rewind(struct generator *g, size_t n)
{
    size_t left = kv_cache_rewind(&g->cache, n);
    g->text.count = left;
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
    g->text.count -= discard;
    memmove(g->text.ids + keep, g->text.ids + keep + discard, (g->text.count - keep) * sizeof *g->text.ids);
    g->n_discarded += discard;
    g->n_kept = keep > g->n_kept ? keep : g->n_kept;
    return true;
}

size_t generator_keep(const struct generator *g, const struct generate_options *o)
{
    bool begins = g->tokenizer && tokenizer_adds_bos(g->tokenizer) && tokenizer_bos(g->tokenizer) != TOKEN_NONE;
    return o->keep > 0 ? o->keep : begins;
}

/* Returns the hidden states of the n tokens. */
static const float *append(struct generator *g, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tokens_push(&g->text, ids[i]);
    return runner_forward(&g->runner, &(struct runner_tokens){&g->cache, ids, n}, 1);
}

static void feed_chunk(struct generator *g, const int32_t *ids, size_t n, bool last)
{
    const float *hidden = append(g, ids, n);
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

/* Guesses of what follows the token `id`, which was drawn and is not fed yet. */
static size_t propose(struct generator *g, const struct generate_options *o, const struct generation *r, int32_t id,
                      int32_t *out)
{
    size_t room = g->capacity - g->cache.length - 1;
    if (!g->drafter || g->n_discarded > 0) /* a shifted cache may not be able to take guesses back */
        return 0;
    if (room > DRAFT_MOST)
        room = DRAFT_MOST;
    if (room >= g->runner.chunk)
        room = g->runner.chunk - 1;
    if (o->max_tokens && room >= o->max_tokens - r->tokens.count) /* one more is drawn than is guessed */
        room = o->max_tokens - r->tokens.count - 1;
    tokens_push(&g->text, id);
    size_t n = drafter_propose(g->drafter, &g->text, room, out);
    g->text.count--;
    return n;
}

/* Feeds a drawn token and n guesses of what follows it, ids[0] and ids[1] to ids[n], and draws what does, as far as
 * the guesses are right. Those that are not are taken back. *next: what was drawn last and is not fed. */
static int check_guesses(struct generator *g, struct completion *c, const int32_t *ids, size_t n, int32_t *next,
                         struct error *e)
{
    size_t before = g->cache.length, vocab = g->model->config.vocab_size, right = 0;
    const float *hidden = append(g, ids, n + 1);
    if (!g->drafted)
        g->drafted = mem_alloc((DRAFT_MOST + 1) * vocab, sizeof *g->drafted);
    runner_logits(&g->runner, hidden, n + 1, g->drafted);
    int code = completion_next(c, g->drafted, next, e);
    while (!code && !c->done && right < n && *next == ids[right + 1]) {
        right++;
        code = completion_next(c, g->drafted + right * vocab, next, e);
    }
    c->r->n_decoded += right + 1;
    drafter_learn(g->drafter, n, right);
    generator_rewind(g, before + 1 + right);
    return code;
}

/* Draws and feeds until there is a reason to stop. */
static int decode_loop(struct generator *g, struct completion *c, struct error *e)
{
    const struct generate_options *o = c->options;
    int32_t ids[DRAFT_MOST + 1];
    int code = completion_next(c, g->logits, &ids[0], e);
    while (!code && !c->done) {
        if (g->cache.length == g->capacity &&
            !(o->context_shift && generator_make_room(g, 1, generator_keep(g, o)))) {
            completion_stop(c, STOPPED_CONTEXT);
            break;
        }
        size_t n = propose(g, o, c->r, ids[0], ids + 1);
        if (n > 0) {
            code = check_guesses(g, c, ids, n, &ids[0], e);
        } else {
            feed_chunk(g, &ids[0], 1, true);
            c->r->n_decoded++;
            code = completion_next(c, g->logits, &ids[0], e);
        }
    }
    return code;
}

static int check_prompt(const struct generator *g, size_t n, struct error *e)
{
    size_t room = g->capacity - g->cache.length;
    if (n == 0)
        return error_set(e, ERR_USAGE, "the prompt has no tokens");
    if (n > room && g->cache.length > 0)
        return error_set(e, ERR_USAGE,
                         "%zu tokens are to follow the %zu that are there, %zu more than the context of %zu tokens has "
                         "room for; shorten the text or raise the context", n, g->cache.length, n - room,
                         g->capacity);
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
