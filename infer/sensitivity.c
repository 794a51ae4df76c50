#include "infer/sensitivity.h"

#include "base/check.h"
#include "kernels/rounding.h"

#include <math.h>
#include <string.h>

enum {
    CHUNK = 64,      /* rows of changed logits at a time */
    TILE_ROWS = 256, /* of a matrix that is no f32 in memory */
    LOGIT_BYTES = 1 << 28,
    TOKENS_AT_ONCE = 2048,
};

struct sensitivity_row {
    double kl, nats;
};

/* --- memory --- */

static size_t block_bytes(const struct rounded_matrix *x)
{
    size_t bytes;
    CHECK(dtype_bytes(x->type, x->param->cols, &bytes)); /* a row is whole blocks */
    CHECK(size_mul(bytes, x->param->rows, &bytes));
    return bytes;
}

size_t sensitivity_rows(const struct model *m, size_t context)
{
    const size_t row_bytes = context * m->config.vocab_size * 2 * sizeof(float);
    const size_t by_memory = LOGIT_BYTES / row_bytes, by_tokens = TOKENS_AT_ONCE / context;
    return size_larger(by_memory < by_tokens ? by_memory : by_tokens, 1);
}

static void measure_cases(struct sensitivity *s, const struct sensitivity_case *cases, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++) {
        size_t bytes = 0;
        for (size_t j = 0; j < cases[i].n_matrices; j++) {
            const struct rounded_matrix *x = &cases[i].matrices[j];
            CHECK(!x->param->view);
            bytes += arena_aligned(block_bytes(x));
            s->columns = size_larger(s->columns, x->param->cols);
        }
        s->most_bytes = size_larger(s->most_bytes, bytes);
        s->most_matrices = size_larger(s->most_matrices, cases[i].n_matrices);
    }
}

static void take_memory(struct sensitivity *s)
{
    const size_t n = s->n_rows * s->context, vocab = s->m->config.vocab_size, width = s->m->config.hidden_size;
    const size_t n_layers = s->m->config.num_hidden_layers;
    struct arena *a = &s->arena;
    activations_init(&s->activations, s->m, DTYPE_F32, s->n_rows, s->context, KEEP_NOTHING, a);
    batch_init(&s->batch, s->n_rows, s->context, a);
    s->streams = arena_alloc(a, n_layers * n, width * sizeof(float));
    s->logits = arena_alloc(a, n, vocab * sizeof(float));
    s->p = arena_alloc(a, n, vocab * sizeof(float));
    s->p_sum = arena_alloc(a, n, sizeof(double));
    s->changed = arena_alloc(a, CHUNK, vocab * sizeof(float));
    s->rows = arena_alloc(a, n, sizeof *s->rows);
    s->tile = arena_alloc(a, TILE_ROWS, s->columns * sizeof(float));
    s->blocks = arena_alloc(a, s->most_bytes, 1);
    s->views = arena_alloc(a, s->most_matrices, sizeof *s->views);
    s->matrices = arena_alloc(a, s->most_matrices, sizeof *s->matrices);
}

int sensitivity_init(struct sensitivity *s, struct model *m, const struct sensitivity_options *o,
                     const struct sensitivity_case *cases, size_t n_cases, struct error *e)
{
    CHECK(o->context > 0 && o->n_rows > 0);
    *s = (struct sensitivity){.m = m, .context = o->context, .n_rows = o->n_rows};
    measure_cases(s, cases, n_cases);
    take_memory(s);
    const size_t size = s->arena.used;
    activations_free(&s->activations);
    s->arena = (struct arena){0};
    int code = arena_init(&s->arena, size, "a batch of text and what the model makes of it", e);
    if (code)
        return code;
    take_memory(s);
    model_reserve_positions(m, o->context);
    return OK;
}

void sensitivity_free(struct sensitivity *s)
{
    activations_free(&s->activations);
    arena_free(&s->arena);
    *s = (struct sensitivity){0};
}

/* --- the model as it is --- */

static void keep_stream(void *context, const struct stream *stream)
{
    struct sensitivity *s = context;
    const size_t capacity = s->n_rows * s->context * s->m->config.hidden_size;
    const size_t n = stream->batch->n_rows * stream->batch->seq_len * s->m->config.hidden_size;
    memcpy(s->streams + stream->layer * capacity, stream->x, n * sizeof(float));
}

static void fill_batch(struct sensitivity *s, const int32_t *ids, size_t n_rows)
{
    struct batch *b = &s->batch;
    b->n_rows = n_rows;
    b->first_key = NULL; /* all of the row before it */
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < s->context; j++) {
            const size_t at = i * s->context + j;
            const int32_t *id = ids + i * (s->context + 1) + j;
            CHECK(id[0] >= 0 && (size_t)id[0] < s->m->config.vocab_size);
            CHECK(id[1] >= 0 && (size_t)id[1] < s->m->config.vocab_size);
            b->input_ids[at] = id[0];
            b->targets[at] = id[1];
            b->positions[at] = (int32_t)j;
        }
}

/* Probabilities from logits; the row's nats are those of the target. */
static void find_probabilities(struct sensitivity *s, size_t row)
{
    const size_t vocab = s->m->config.vocab_size;
    const float *x = s->logits + row * vocab;
    float *p = s->p + row * vocab, most = x[0];
    double sum = 0, p_sum = 0;
    for (size_t i = 1; i < vocab; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < vocab; i++)
        sum += exp((double)x[i] - (double)most);
    const double log_sum = (double)most + log(sum);
    for (size_t i = 0; i < vocab; i++) {
        p[i] = (float)exp((double)x[i] - log_sum);
        p_sum += (double)p[i];
    }
    s->p_sum[row] = p_sum;
    s->rows[row] = (struct sensitivity_row){.nats = log_sum - (double)x[s->batch.targets[row]]};
}

int sensitivity_set_text(struct sensitivity *s, const int32_t *ids, size_t n_rows, struct error *e)
{
    const size_t n = n_rows * s->context;
    CHECK(n_rows > 0 && n_rows <= s->n_rows);
    fill_batch(s, ids, n_rows);
    s->hook = (struct stream_hook){.context = s, .see = keep_stream};
    s->activations.stream_hook = &s->hook;
    const float *hidden = decoder_forward(s->m, &s->activations, &s->batch, NULL, 0);
    s->activations.stream_hook = NULL;
    const struct output_layer layer = decoder_output_layer(s->m);
    output_logits(&layer, DTYPE_F32, hidden, s->logits, n);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++)
        find_probabilities(s, i);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(s->rows[i].nats) || !isfinite(s->p_sum[i]))
            return error_set(e, ERR_FORMAT, "the output of the model is not a number; its file is damaged, or its "
                                            "training diverged");
        s->nats += s->rows[i].nats;
    }
    s->n_tokens += n;
    return OK;
}

/* --- rounding --- */

static int round_matrix(struct sensitivity *s, const struct rounded_matrix *x, char *to, struct error *e)
{
    const struct param *p = x->param;
    const struct rounding r = {.type = x->type, .cols = p->cols, .importance = x->importance, .tensor = x->tensor,
                               .advice = "leave that type out of --types"};
    const size_t row_bytes = block_bytes(x) / p->rows;
    int code = OK;
    for (size_t at = 0; at < p->rows && !code; at += TILE_ROWS) {
        const size_t n = p->rows - at < TILE_ROWS ? p->rows - at : TILE_ROWS;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            param_row(p, at + i, s->tile + i * p->cols);
        code = rounding_store_checked(&r, s->tile, n, to + at * row_bytes, s->tile, e);
    }
    return code;
}

static struct matrix rounded(void *context, const struct param *p)
{
    (void)p;
    return *(const struct matrix *)context;
}

static int show_rounded(struct sensitivity *s, const struct sensitivity_case *c, struct error *e)
{
    char *to = s->blocks;
    int code = OK;
    CHECK(c->n_matrices <= s->most_matrices);
    for (size_t i = 0; i < c->n_matrices && !code; i++) {
        const struct rounded_matrix *x = &c->matrices[i];
        CHECK(to + arena_aligned(block_bytes(x)) <= (char *)s->blocks + s->most_bytes && x->param->cols <= s->columns);
        code = round_matrix(s, x, to, e);
        s->matrices[i] = (struct matrix){to, x->param->cols, x->type, false, false};
        s->views[i] = (struct param_view){&s->matrices[i], rounded};
        to += arena_aligned(block_bytes(x));
    }
    for (size_t i = 0; i < c->n_matrices && !code; i++) {
        CHECK(!c->matrices[i].param->view);
        c->matrices[i].param->view = &s->views[i];
    }
    return code;
}

static void hide_rounded(const struct sensitivity_case *c)
{
    for (size_t i = 0; i < c->n_matrices; i++)
        c->matrices[i].param->view = NULL;
}

/* --- the changed model --- */

size_t sensitivity_first_block(const struct model *m, const struct sensitivity_case *c)
{
    size_t first = m->config.num_hidden_layers;
    for (size_t i = 0; i < c->n_matrices; i++) {
        const struct param *p = c->matrices[i].param;
        if (p->layer >= 0)
            first = (size_t)p->layer < first ? (size_t)p->layer : first;
        else if (p == m->token_embd || p != m->head.weight)
            first = 0;
    }
    return first;
}

/* With d the change of the logits: ln of the sum of p e^d is that of the logarithm of their sum, so that the divergence is
 * that less the mean of d. By p as it is, and its own sum, it is not negative but for the last bits (Jensen). */
static struct sensitivity_row compare(const float *logits, const float *p, double p_sum, const float *changed,
                                      size_t n, int32_t target)
{
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)changed[i] - (double)logits[i], p_i = (double)p[i];
        mean += p_i * d;
        sum += p_i * exp(d);
    }
    const double rise = log(sum / p_sum), kl = rise - mean / p_sum;
    return (struct sensitivity_row){.kl = kl < 0 ? 0 : kl, /* what is no number stays none */
                                    .nats = rise - ((double)changed[target] - (double)logits[target])};
}

static void compare_rows(struct sensitivity *s, const float *hidden, size_t from, size_t n)
{
    const size_t vocab = s->m->config.vocab_size;
    const struct output_layer layer = decoder_output_layer(s->m);
    output_logits(&layer, DTYPE_F32, hidden + from * s->m->config.hidden_size, s->changed, n);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) {
        const size_t row = from + i;
        s->rows[row] = compare(s->logits + row * vocab, s->p + row * vocab, s->p_sum[row], s->changed + i * vocab,
                               vocab, s->batch.targets[row]);
    }
}

static const float *run_changed(struct sensitivity *s, const struct sensitivity_case *c)
{
    const size_t first = sensitivity_first_block(s->m, c);
    const size_t capacity = s->n_rows * s->context * s->m->config.hidden_size;
    if (first == 0)
        return decoder_forward(s->m, &s->activations, &s->batch, NULL, 0);
    return decoder_forward_from(s->m, &s->activations, &s->batch, first, s->streams + (first - 1) * capacity);
}

int sensitivity_measure(struct sensitivity *s, struct sensitivity_case *c, struct error *e)
{
    const size_t n = s->batch.n_rows * s->context;
    double kl = 0, nats = 0;
    int code = show_rounded(s, c, e);
    if (code)
        return code;
    const float *hidden = run_changed(s, c);
    for (size_t from = 0; from < n; from += CHUNK)
        compare_rows(s, hidden, from, n - from < CHUNK ? n - from : CHUNK);
    hide_rounded(c);
    for (size_t i = 0; i < n; i++) { /* one after another: the same sum with any number of threads */
        kl += s->rows[i].kl;
        nats += s->rows[i].nats;
    }
    if (!isfinite(kl) || !isfinite(nats))
        return error_set(e, ERR_FORMAT, "with %s in %s the output of the model is not a number", c->matrices[0].tensor,
                         dtype_info(c->matrices[0].type)->name);
    c->kl += kl;
    c->nats += nats;
    return OK;
}
