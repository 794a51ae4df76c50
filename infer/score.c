#include "infer/score.h"

#include "base/check.h"
#include "infer/runner.h"
#include "kernels/cross_entropy.h"

#include <math.h>
#include <string.h>

double score_perplexity(const struct score *s)
{
    return exp(s->nats / (double)s->n_targets);
}

double score_bits_per_byte(const struct score *s, size_t n_bytes)
{
    return s->nats / log(2) / (double)n_bytes;
}

static void take_memory(struct scorer *s)
{
    const struct scorer_options *o = &s->options;
    const struct model_config *c = &s->model->config;
    activations_init(&s->activations, s->model, DTYPE_F32, o->n_rows, o->context, KEEP_NOTHING, &s->arena);
    batch_init(&s->batch, o->n_rows, o->context, &s->arena);
    s->scratch = arena_alloc(
        &s->arena, linear_loss_scratch(o->n_rows * o->context, c->hidden_size, c->vocab_size),
        sizeof(float));
}

/* The rest of the rows from (row, column) on: tokens that are not counted and see only themselves. */
static void clear_rest(struct scorer *s)
{
    struct batch *b = &s->batch;
    for (size_t i = s->row * b->seq_len + s->column; i < b->n_rows * b->seq_len; i++) {
        b->input_ids[i] = b->positions[i] = 0;
        b->targets[i] = TARGET_IGNORED;
        b->first_key[i] = (int32_t)(i % b->seq_len);
    }
}

static void start_batch(struct scorer *s)
{
    s->row = s->column = 0;
    s->batch.n_targets = 0;
    clear_rest(s);
}

int scorer_init(struct scorer *s, struct model *m, const struct scorer_options *o, struct error *e)
{
    CHECK(o->context > 0 && o->n_rows > 0);
    *s = (struct scorer){.model = m, .options = *o};
    if (o->stride == 0)
        s->options.stride = o->context;
    if (o->stride > o->context)
        return error_set(e, ERR_USAGE,
                         "the stride (%zu) is longer than the context (%zu): tokens between the "
                         "windows would not be scored", o->stride, o->context);
    take_memory(s);
    size_t size = s->arena.used;
    activations_free(&s->activations);
    int code = arena_init(&s->arena, size, "the activations of a batch", e);
    if (code)
        return code;
    take_memory(s);
    model_reserve_positions(m, o->context);
    start_batch(s);
    return OK;
}

void scorer_free(struct scorer *s)
{
    activations_free(&s->activations);
    arena_free(&s->arena);
    *s = (struct scorer){0};
}

double score_rows(const struct model *m, const float *hidden, const int32_t *targets, size_t n,
                  float *scratch)
{
    struct output_layer layer = decoder_output_layer(m);
    return linear_cross_entropy(&layer, DTYPE_F32, hidden, targets, 1, NULL, NULL, n, scratch);
}

static void run_batch(struct scorer *s)
{
    struct batch b = s->batch;
    if (b.n_targets > 0) {
        b.n_rows = s->row + (s->column > 0); /* the last batch may be short */
        const float *hidden = decoder_forward(s->model, &s->activations, &b, NULL, 0);
        s->score.nats += score_rows(s->model, hidden, b.targets, b.n_rows * b.seq_len, s->scratch);
        s->score.n_targets += b.n_targets;
    }
    start_batch(s);
}

/* n inputs and the n tokens that follow them, the last n_counted of which count. */
static void add_window(struct scorer *s, const int32_t *ids, size_t n, size_t n_counted)
{
    struct batch *b = &s->batch;
    if (s->column + n > b->seq_len) {
        s->row++;
        s->column = 0;
    }
    if (s->row == b->n_rows)
        run_batch(s);
    size_t at = s->row * b->seq_len + s->column;
    for (size_t i = 0; i < n; i++) {
        b->input_ids[at + i] = ids[i];
        b->targets[at + i] = i >= n - n_counted ? ids[i + 1] : TARGET_IGNORED;
        b->positions[at + i] = (int32_t)i;
        b->first_key[at + i] = (int32_t)s->column;
    }
    b->n_targets += n_counted;
    s->column += n;
}

void scorer_add(struct scorer *s, const int32_t *ids, size_t n)
{
    size_t context = s->options.context, stride = s->options.stride;
    for (size_t i = 0; i < n; i++)
        CHECK(ids[i] >= 0 && (size_t)ids[i] < s->model->config.vocab_size);
    /* `reached`: tokens that are context of a counted one or counted already */
    for (size_t from = 0, reached = 1; reached < n; from += stride) {
        size_t inputs = n - 1 - from < context ? n - 1 - from : context;
        add_window(s, ids + from, inputs, from + inputs + 1 - reached);
        reached = from + inputs + 1;
    }
}

struct score scorer_finish(struct scorer *s)
{
    run_batch(s);
    struct score score = s->score;
    s->score = (struct score){0};
    return score;
}

/* The `top` likeliest by repeated insertion into a short sorted list; the list's last entry is
 * rarely beaten, so this is one comparison a token. */
static void top_logits(const float *logits, size_t n, size_t top, struct token_probability *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == top && logits[i] <= out[top - 1].p)
            continue;
        size_t at = kept < top ? kept++ : top - 1;
        for (; at > 0 && out[at - 1].p < logits[i]; at--)
            out[at] = out[at - 1];
        out[at] = (struct token_probability){(int32_t)i, logits[i]};
    }
}

/* False when the row is not numbers. */
static bool distribution(const float *logits, size_t n, size_t top, struct token_probability *out)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - max);
    if (!isfinite(sum))
        return false;
    top_logits(logits, n, top, out);
    for (size_t i = 0; i < top; i++)
        out[i].p = exp(out[i].p - max) / sum;
    return true;
}

/* Tokens at a time: logits of a chunk are chunk * vocabulary floats. */
enum { CHUNK = 64 };

struct distribution_pass {
    struct runner runner;
    struct kv_cache cache;
    float *logits;
};

static int pass_init(struct distribution_pass *p, struct model *m, size_t n, struct error *e)
{
    *p = (struct distribution_pass){0};
    size_t chunk = n < CHUNK ? n : CHUNK;
    int code = runner_init(&p->runner, m, chunk, e);
    if (!code)
        code = kv_cache_init(&p->cache, m, DTYPE_F32, n, chunk, e);
    if (!code)
        p->logits = mem_alloc(chunk * m->config.vocab_size, sizeof *p->logits);
    return code;
}

static void pass_free(struct distribution_pass *p)
{
    runner_free(&p->runner);
    kv_cache_free(&p->cache);
    mem_free(p->logits);
}

int score_distributions(struct model *m, const int32_t *ids, size_t n, size_t top,
                        struct token_probability *out, struct error *e)
{
    struct distribution_pass p;
    size_t vocab = m->config.vocab_size;
    CHECK(n > 0 && top > 0 && top <= vocab);
    int code = pass_init(&p, m, n, e);
    if (!code)
        model_reserve_positions(m, n);
    for (size_t from = 0, now; from < n && !code; from += now) {
        now = n - from < p.runner.chunk ? n - from : p.runner.chunk;
        const float *hidden =
            runner_forward(&p.runner, &(struct runner_tokens){&p.cache, ids + from, now}, 1);
        runner_logits(&p.runner, hidden, now, p.logits);
        for (size_t i = 0; i < now && !code; i++)
            if (!distribution(p.logits + i * vocab, vocab, top, out + (from + i) * top))
                code = error_set(e, ERR_FORMAT,
                                 "the model's output at position %zu is not a number", from + i);
    }
    pass_free(&p);
    return code;
}
