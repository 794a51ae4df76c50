#include "export/compensate.h"

#include "base/check.h"
#include "base/log.h"
#include "kernels/compensate.h"
#include "kernels/quantize.h"
#include "kernels/relevel.h"
#include "kernels/rounding.h"
#include "model/decoder.h"

#include <string.h>

/* --- which matrices --- */

static struct matrix view_blocks(void *context, const struct param *p)
{
    const struct compensated *x = context;
    return (struct matrix){.data = x->blocks, .ld = p->cols, .type = x->type};
}

static bool may_be_wanted(const struct model *m, const struct param *p, enum dtype type)
{
    const bool product = p->layer >= 0 || (p == m->head.weight && p != m->token_embd);
    return product && relevel_supports(type);
}

static void find_matrix(struct compensation *c, const struct tensor *t, const struct planned_type *planned, size_t piece)
{
    struct param *p = t->pieces[piece].param;
    struct compensated *x = &c->matrices[p - c->model->params];
    const size_t expert = t->n_dims == 3 ? t->pieces[piece].row / (t->rows / t->shape[0]) : 0;
    if (t->vector || !p->matrix || t->offset != 0 || !quantize_supports(planned->type) || p->type == planned->type)
        return;
    if (x->param) /* an embedding that is written once more, as the output layer: not always in the same type */
        return;
    CHECK(!p->view && t->pieces[piece].rows == p->rows);
    *x = (struct compensated){.param = p, .tensor = t->name, .type = planned->type, .view = {x, view_blocks},
                              .importance = planned->importance ? planned->importance + expert * t->cols : NULL,
                              .wanted = may_be_wanted(c->model, p, planned->type)};
}

static int find_matrices(struct compensation *c, const struct type_plan *plan, struct error *e)
{
    size_t n_wanted = 0;
    for (size_t i = 0; i < plan->list->n_tensors; i++)
        for (size_t j = 0; j < plan->list->tensors[i].n_pieces; j++)
            find_matrix(c, &plan->list->tensors[i], &plan->types[i], j);
    for (size_t i = 0; i < c->model->n_params; i++)
        n_wanted += c->matrices[i].wanted;
    if (n_wanted == 0)
        return error_set(e, ERR_USAGE, "there is nothing to calibrate: errors can be compensated for in Q4_0 to Q8_0, Q2_K to "
                                       "Q6_K, IQ4_NL, IQ4_XS and MXFP4, and no matrix gets one of these");
    return OK;
}

/* --- blocks --- */

enum { ROWS = 512 }; /* of f32 at a time */

/* From here on the model computes with the blocks. g: of its inputs, factored; NULL: rounds plainly. */
static int make_blocks(struct compensated *x, const struct input_gram *g, struct error *e)
{
    struct param *p = x->param;
    const struct rounding r = {.type = x->type, .cols = p->cols, .importance = x->importance, .tensor = x->tensor,
                               .advice = "choose bf16 for it"};
    size_t row_bytes;
    int code = OK;
    CHECK(dtype_bytes(x->type, p->cols, &row_bytes));
    float *rows = mem_alloc(ROWS, p->cols * sizeof *rows);
    x->blocks = mem_alloc(p->rows, row_bytes);
    for (size_t at = 0; at < p->rows && !code; at += ROWS) {
        const size_t n = p->rows - at < ROWS ? p->rows - at : ROWS;
        char *to = (char *)x->blocks + at * row_bytes;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            param_row(p, at + i, rows + i * p->cols);
        code = rounding_check_weights(&r, rows, n, e);
        if (code)
            break;
        if (g)
            compensate_rows(x->type, rows, n, g, to);
        else
            rounding_store(&r, rows, n, to);
        code = rounding_check_stored(&r, to, n, rows, e);
    }
    mem_free(rows);
    p->view = &x->view;
    return code;
}

/* --- inputs --- */

/* Linear layers that read the same input. */
struct group {
    struct linear *layers[3];
    size_t n;
    bool expert;
    struct input_gram gram;
    struct linear_hook hook; /* on the first */
};

/* Groups whose inputs no matrix of another changes. */
struct step {
    struct group *groups;
    size_t n, capacity;
};

static void see_input(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type,
                      size_t n)
{
    struct group *g = context;
    (void)l, (void)y, (void)y_type;
    CHECK(type == DTYPE_F32);
    gram_add(&g->gram, x, n);
}

/* Those of the layers that are wanted. */
static void step_add(struct step *s, const struct compensation *c, struct linear *const *layers, size_t n, bool expert)
{
    struct group g = {.expert = expert};
    for (size_t i = 0; i < n; i++)
        if (layers[i]->weight && c->matrices[layers[i]->weight - c->model->params].wanted)
            g.layers[g.n++] = layers[i];
    if (g.n == 0)
        return;
    mem_grow((void **)&s->groups, &s->capacity, s->n, sizeof *s->groups);
    s->groups[s->n++] = g;
}

static void step_begin(struct step *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct group *g = &s->groups[i];
        gram_init(&g->gram, g->layers[0]->weight->cols);
        g->hook = (struct linear_hook){.context = g, .forward = see_input};
        CHECK(!g->layers[0]->hook);
        g->layers[0]->hook = &g->hook;
    }
}

static void step_end(struct step *s)
{
    for (size_t i = 0; i < s->n; i++) {
        gram_free(&s->groups[i].gram);
        s->groups[i].layers[0]->hook = NULL;
    }
    mem_free(s->groups);
    *s = (struct step){0};
}

enum { N_STEPS = 4 };

static void find_step(struct step *s, const struct compensation *c, size_t layer, int number)
{
    struct layer *l = &c->model->layers[layer];
    struct linear *attention[] = {&l->q, &l->k, &l->v}, *output[] = {&l->output};
    struct linear **of_attention[] = {attention, output};
    const size_t n_experts = l->moe.router.weight ? c->model->config.num_experts : 0;
    if (number < 2) {
        step_add(s, c, of_attention[number], number == 0 ? 3 : 1, false);
        return;
    }
    for (size_t i = 0; i <= n_experts; i++) {
        struct feed_forward *f = i == 0 ? &l->ffn : &l->moe.experts[i - 1];
        struct linear *inputs[] = {&f->gate, &f->up}, *down[] = {&f->down};
        step_add(s, c, number == 2 ? inputs : down, number == 2 ? 2 : 1, i > 0);
    }
}

/* --- the text on its way through the model --- */

struct text {
    struct model *model;
    const struct compensate_options *options;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    size_t n_rows;     /* chunks at a time */
    float *stream;     /* (n_chunks * context, hidden): the residual stream in front of the block whose turn it is */
    struct progress progress; /* in weights */
};

static void take_memory(struct text *t)
{
    const struct compensate_options *o = t->options;
    activations_init(&t->activations, t->model, DTYPE_F32, t->n_rows, o->context, KEEP_NOTHING, &t->arena);
    batch_init(&t->batch, t->n_rows, o->context, &t->arena);
    t->stream = arena_alloc(&t->arena, o->n_chunks * o->context, t->model->config.hidden_size * sizeof *t->stream);
}

static int text_init(struct text *t, struct model *m, const struct compensate_options *o, struct error *e)
{
    enum { TOKENS = 2048 };
    *t = (struct text){.model = m, .options = o, .n_rows = o->context < TOKENS ? TOKENS / o->context : 1};
    t->n_rows = t->n_rows < o->n_chunks ? t->n_rows : o->n_chunks;
    take_memory(t);
    const size_t size = t->arena.used;
    activations_free(&t->activations);
    int code = arena_init(&t->arena, size, "the calibration text on its way through the model: fewer chunks take less", e);
    if (code)
        return code;
    take_memory(t);
    model_reserve_positions(m, o->context);
    for (size_t i = 0; i < t->n_rows * o->context; i++) {
        t->batch.positions[i] = (int32_t)(i % o->context);
        t->batch.first_key[i] = 0;
    }
    return OK;
}

static void text_free(struct text *t)
{
    activations_free(&t->activations);
    arena_free(&t->arena);
}

/* Sets the batch to the chunks from `chunk` on; returns where their stream is. */
static float *take_chunks(struct text *t, size_t chunk)
{
    const size_t left = t->options->n_chunks - chunk, context = t->options->context;
    t->batch.n_rows = left < t->n_rows ? left : t->n_rows;
    for (size_t i = 0; i < t->batch.n_rows * context; i++) {
        const int32_t id = t->options->ids[chunk * context + i];
        CHECK(id >= 0 && (size_t)id < t->model->config.vocab_size);
        t->batch.input_ids[i] = id;
    }
    return t->stream + chunk * context * t->model->config.hidden_size;
}

static size_t stream_bytes(const struct text *t)
{
    return t->batch.n_rows * t->options->context * t->model->config.hidden_size * sizeof *t->stream;
}

static void embed_text(struct text *t)
{
    for (size_t chunk = 0; chunk < t->options->n_chunks; chunk += t->batch.n_rows) {
        float *stream = take_chunks(t, chunk);
        decoder_embed(t->model, &t->activations, &t->batch);
        memcpy(stream, t->activations.layers[0].input, stream_bytes(t));
    }
}

/* Runs block i over the whole text. With `advance` its output is the stream from now on. */
static void run_block(struct text *t, size_t i, bool advance)
{
    const struct activations *a = &t->activations;
    for (size_t chunk = 0; chunk < t->options->n_chunks; chunk += t->batch.n_rows) {
        float *stream = take_chunks(t, chunk);
        memcpy(a->layers[i].input, stream, stream_bytes(t));
        decoder_block(t->model, &t->activations, &t->batch, i);
        if (advance)
            memcpy(stream, activations_stream(a, i, t->model->config.num_hidden_layers), stream_bytes(t));
    }
}

/* What the output layer reads. */
static void run_last_norm(struct text *t, struct input_gram *g)
{
    for (size_t chunk = 0; chunk < t->options->n_chunks; chunk += t->batch.n_rows) {
        const float *stream = take_chunks(t, chunk);
        memcpy(t->activations.last, stream, stream_bytes(t));
        const float *hidden = decoder_last_norm(t->model, &t->activations, &t->batch);
        gram_add(g, hidden, t->batch.n_rows * t->options->context);
    }
}

/* --- all of it --- */

/* Whether there were too few inputs to compensate for what others would do. With as many as columns the result fits them alone,
 * and other text worse than plain rounding: docs/quantisation.md has figures. */
static bool is_starved(const struct input_gram *g)
{
    return g->rows < 2 * g->n;
}

static bool is_zero(const struct input_gram *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->h[i * g->n + i] != 0)
            return false;
    return true;
}

static int finish_group(struct compensation *c, struct group *g, struct text *t, struct error *e)
{
    const bool plain = is_starved(&g->gram) || is_zero(&g->gram);
    double damping = t->options->damping;
    if (!gram_is_finite(&g->gram))
        return error_set(e, ERR_FORMAT, "the inputs of %s are not finite numbers: the model is damaged",
                         c->matrices[g->layers[0]->weight - c->model->params].tensor);
    if (!plain)
        damping = gram_factor(&g->gram, damping);
    for (size_t i = 0; i < g->n; i++) {
        struct compensated *x = &c->matrices[g->layers[i]->weight - c->model->params];
        int code = make_blocks(x, plain ? NULL : &g->gram, e);
        if (code)
            return code;
        c->n_compensated += !plain;
        c->n_starved += plain;
        c->n_damped += damping > t->options->damping;
        progress_update(&t->progress, t->progress.done + (double)x->param->count, x->tensor);
    }
    return OK;
}

static int finish_step(struct compensation *c, struct step *s, struct text *t, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < s->n && !code; i++)
        code = finish_group(c, &s->groups[i], t, e);
    return code;
}

static int compensate_block(struct compensation *c, struct text *t, size_t layer, struct error *e)
{
    int code = OK;
    for (int i = 0; i < N_STEPS && !code; i++) {
        struct step s = {0};
        find_step(&s, c, layer, i);
        step_begin(&s);
        if (s.n)
            run_block(t, layer, false);
        code = finish_step(c, &s, t, e);
        step_end(&s);
    }
    if (!code)
        run_block(t, layer, true);
    return code;
}

/* The output layer has no hook: its inputs are the last norm's. */
static int compensate_head(struct compensation *c, struct text *t, struct error *e)
{
    struct linear *head[] = {&c->model->head};
    struct step s = {0};
    int code = OK;
    step_add(&s, c, head, 1, false);
    if (s.n) {
        gram_init(&s.groups[0].gram, head[0]->weight->cols);
        run_last_norm(t, &s.groups[0].gram);
        code = finish_step(c, &s, t, e);
    }
    step_end(&s);
    return code;
}

/* The matrices that are not wanted: the embedding, and what has types of its own. */
static int round_others(struct compensation *c, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < c->model->n_params && !code; i++)
        if (c->matrices[i].param && !c->matrices[i].wanted)
            code = make_blocks(&c->matrices[i], NULL, e);
    return code;
}

static void report(const struct compensation *c)
{
    if (c->n_starved)
        log_warn("%zu of %zu matrices had fewer inputs than two for each column (a short text, or experts that few tokens went "
                 "to): they are rounded without compensation; more text helps", c->n_starved,
                 c->n_starved + c->n_compensated);
    if (c->n_damped)
        log_warn("%zu matrices have inputs so nearly dependent on each other that they took more damping than was asked for",
                 c->n_damped);
}

static double wanted_weights(const struct compensation *c)
{
    double n = 0;
    for (size_t i = 0; i < c->model->n_params; i++)
        n += c->matrices[i].wanted ? (double)c->matrices[i].param->count : 0;
    return n;
}

int compensate_model(struct compensation *c, struct model *m, const struct type_plan *plan,
                     const struct compensate_options *o, struct error *e)
{
    struct text t = {0};
    CHECK(o->n_chunks > 0 && o->context > 0 && o->damping > 0);
    *c = (struct compensation){.model = m, .matrices = mem_zero(m->n_params, sizeof *c->matrices)};
    int code = find_matrices(c, plan, e);
    if (!code)
        code = text_init(&t, m, o, e);
    if (!code)
        code = round_others(c, e);
    if (!code) {
        progress_start(&t.progress, "compensate", wanted_weights(c));
        embed_text(&t);
    }
    for (size_t i = 0; i < m->config.num_hidden_layers && !code; i++)
        code = compensate_block(c, &t, i, e);
    if (!code)
        code = compensate_head(c, &t, e);
    if (!code) {
        progress_finish(&t.progress, "");
        report(c);
    }
    text_free(&t);
    return code;
}

void compensation_free(struct compensation *c)
{
    for (size_t i = 0; c->matrices && i < c->model->n_params; i++) {
        if (c->matrices[i].blocks)
            c->matrices[i].param->view = NULL;
        mem_free(c->matrices[i].blocks);
    }
    mem_free(c->matrices);
    *c = (struct compensation){0};
}
