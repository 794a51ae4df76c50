#include "qat/qat.h"

#include "base/check.h"
#include "base/hash.h"
#include "kernels/profile.h"
#include "kernels/quantize_scaled.h"
#include "kernels/quantized.h"
#include "kernels/relevel.h"
#include "lora/merge.h"
#include "model/load.h"
#include "qat/learned.h"
#include "qat/rounding.h"

#include <stdio.h>
#include <string.h>

/* --- which matrices --- */

static bool is_among(const struct param_list *l, const struct param *p)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i] == p)
            return true;
    return false;
}

static size_t matrix_bytes(const struct qat_matrix *x)
{
    size_t bytes;
    CHECK(dtype_bytes(x->type, x->param->count, &bytes));
    return bytes;
}

static int add_matrix(struct qat *q, const struct tensor *t, const struct planned_type *planned, size_t piece,
                      const struct param_list *trains, struct error *e)
{
    struct param *p = t->pieces[piece].param;
    struct qat_matrix *x = &q->matrices[q->n_matrices];
    if (planned->type == DTYPE_F32 || (p->type == planned->type && !lora_merges(q->adapter, q->adapter ? 1 : 0, p)))
        return OK; /* it stays what it is */
    const size_t expert = t->n_dims == 3 ? piece : 0;
    *x = (struct qat_matrix){.qat = q, .param = p, .type = planned->type, .tensor = t->name,
                             .importance = planned->importance ? planned->importance + expert * t->cols : NULL,
                             .merges = lora_merges(q->adapter, q->adapter ? 1 : 0, p)};
    x->frozen = !x->merges && !is_among(trains, p);
    if (x->merges && p == q->model->token_embd)
        return error_set(e, ERR_USAGE,
                         "the output layer is the embedding: with an adapter the two are no longer one matrix, and --qat "
                         "rounds it as one: leave lm_head out of --target-modules");
    if (is_among(trains, p) && p->type != DTYPE_F32)
        return error_set(e, ERR_USAGE, "%s is of %s and cannot be trained as such", t->name, dtype_info(p->type)->name);
    q->n_matrices++;
    return OK;
}

static int check_adapter(const struct lora_adapter *a, const struct model *m, struct error *e)
{
    if (a && m->head.weight == m->token_embd && model_architecture(&m->config)->head_in_gguf)
        return error_set(e, ERR_USAGE,
                         "files of this model's family have an output layer of their own even where it is the embedding, and "
                         "its type may be another: --qat rounds both as one, which linnet merge would not: train with "
                         "--method full");
    for (size_t i = 0; a && i < a->n_pairs; i++)
        if (a->pairs[i].magnitude)
            return error_set(e, ERR_USAGE,
                             "--qat rounds the weight with the adapter merged into it, and magnitudes are not trained "
                             "through that: leave --dora out");
    if (a && a->dropout > 0)
        return error_set(e, ERR_USAGE,
                         "--qat rounds the weight with the adapter merged into it, which is the same for every input: "
                         "leave --lora-dropout out");
    return OK;
}

/* Whether blocks keep their scales from one step to another. */
static bool holds_scales(const struct qat *q)
{
    return q->options->scale_interval != 1;
}

static int check_scales(const struct qat *q, struct error *e)
{
    if (holds_scales(q) && q->options->learned_scales)
        return error_set(e, ERR_USAGE, "--qat-scale-interval and --qat-learned-scales are two ways for the same scales: leave "
                         "one out");
    if (holds_scales(q) && q->adapter)
        return error_set(e, ERR_USAGE,
                         "--qat-scale-interval needs checkpoints that hold the blocks, and those of an adapter's run do not: "
                         "leave it out, or train with --method full");
    return OK;
}

/* Blocks are kept of matrices that never change, and of the others while they fit: in the memory, `keeping`, in which
 * they are mixed with the values while they come in; beside it where blocks are more than that they are made. */
static void lay_out(struct qat *q, struct arena *arena)
{
    size_t used = 0, shared = 0, columns = 0;
    for (size_t i = 0; i < q->n_matrices; i++) {
        const struct qat_matrix *x = &q->matrices[i];
        const size_t bytes = arena_aligned(matrix_bytes(x));
        columns = size_larger(columns, x->param->cols);
        shared = size_larger(shared, matrix_bytes(x) / x->param->rows * TILE_ROWS);
        if (!x->frozen && used + bytes <= q->budget)
            used += bytes;
        else if (!x->frozen)
            shared = size_larger(shared, bytes);
    }
    const bool mixes = q->options->ramp > 0, mixed_there = mixes && !holds_scales(q);
    char *keeping = arena_alloc(arena, mixed_there ? size_larger(used, q->largest_matrix) : used, 1);
    q->mixed = mixed_there ? (float *)keeping : arena_alloc(arena, mixes ? q->largest_matrix : 0, 1);
    q->shared = arena_alloc(arena, shared, 1);
    q->tile = arena_alloc(arena, TILE_ROWS * columns, sizeof(float));
    used = 0;
    for (size_t i = 0; i < q->n_matrices; i++) {
        struct qat_matrix *x = &q->matrices[i];
        const size_t bytes = arena_aligned(matrix_bytes(x));
        if (x->frozen) {
            x->kept = arena_alloc(arena, bytes, 1);
        } else if (used + bytes <= q->budget) {
            x->kept = keeping ? keeping + used : NULL;
            used += bytes;
        }
    }
}

size_t qat_bytes(const struct qat *q)
{
    struct qat copy = *q;
    struct arena plan = {0};
    copy.matrices = mem_alloc(q->n_matrices + 1, sizeof *copy.matrices);
    memcpy(copy.matrices, q->matrices, q->n_matrices * sizeof *copy.matrices);
    lay_out(&copy, &plan);
    mem_free(copy.matrices);
    return plan.used;
}

/* All that changes with the weights should be no larger than the largest matrix is in f32, unless the user says more. */
static void settle_budget(struct qat *q)
{
    size_t frozen = 0;
    for (size_t i = 0; i < q->n_matrices; i++)
        frozen += q->matrices[i].frozen ? arena_aligned(matrix_bytes(&q->matrices[i])) : 0;
    if (holds_scales(q)) {
        q->budget = SIZE_MAX / 2;
        return;
    }
    q->budget = q->options->memory ? q->options->memory : q->largest_matrix;
    while (!q->options->memory && q->budget > 0 && qat_bytes(q) > frozen + q->largest_matrix) {
        const size_t excess = qat_bytes(q) - frozen - q->largest_matrix;
        q->budget -= excess < q->budget ? excess : q->budget;
        if (q->options->ramp > 0)
            break; /* which takes one such matrix by itself */
    }
}

int qat_init(struct qat *q, const struct qat_options *o, struct model *m, const struct param_list *trains,
             struct lora_adapter *adapter, struct error *e)
{
    *q = (struct qat){.options = o, .model = m, .adapter = adapter, .trains = trains};
    tensor_list_init(&q->list, m, CONTAINER_GGUF, false);
    int code = check_adapter(adapter, m, e);
    if (!code)
        code = type_wishes_parse(&o->types, "--qat", "--qat-", &q->wishes, e);
    if (!code)
        code = type_plan_init(&q->plan, m, &q->list, &q->wishes.wishes, e);
    if (!code)
        code = check_scales(q, e);
    if (code)
        return code;
    q->matrices = mem_zero(m->n_params, sizeof *q->matrices);
    for (size_t i = 0; i < q->list.n_tensors && !code; i++)
        for (size_t j = 0; j < q->list.tensors[i].n_pieces && !code; j++)
            code = add_matrix(q, &q->list.tensors[i], &q->plan.types[i], j, trains, e);
    for (size_t i = 0; i < q->n_matrices; i++) {
        const struct qat_matrix *x = &q->matrices[i];
        const size_t bytes = x->param->count * sizeof(float);
        q->largest_matrix = bytes > q->largest_matrix ? bytes : q->largest_matrix;
    }
    settle_budget(q);
    return code ? code : learned_init(q, e);
}

void qat_free(struct qat *q)
{
    if (q->attached)
        qat_detach(q);
    arena_free(&q->arena);
    learned_free(q);
    mem_free(q->matrices);
    type_plan_free(&q->plan);
    tensor_list_free(&q->list);
    type_wishes_free(&q->wishes);
    *q = (struct qat){0};
}

/* --- rounding --- */

struct rounding plain_rounding(const struct qat_matrix *x)
{
    return (struct rounding){.type = x->type, .cols = x->param->cols, .importance = x->importance, .tensor = x->tensor};
}

void round_rows(const struct qat_matrix *x, const float *rows, size_t first, size_t n, void *to)
{
    if (x->scaled) {
        const size_t row_bytes = matrix_bytes(x) / x->param->rows;
        const char *own = (const char *)x->kept + first * row_bytes;
        if (to != own)
            memcpy(to, own, n * row_bytes);
        relevel_rows(x->type, rows, to, n, x->param->cols);
    } else if (x->scale && !x->qat->scales_wait) {
        quantize_rows_scaled(x->type, rows, x->scale->value + first * x->scale->cols, to, n, x->param->cols);
    } else {
        const struct rounding r = plain_rounding(x);
        rounding_store(&r, rows, n, to);
    }
}

/* 0 where the weight is the model's own: also while the adapter is off. */
static float merged_strength(const struct qat_matrix *x)
{
    const struct lora_adapter *a = x->qat->adapter;
    return x->merges && a->attached ? a->strength : 0;
}

const float *rows_to_round(const struct qat_matrix *x, size_t first, size_t n)
{
    const struct qat *q = x->qat;
    const struct param *p = x->param;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        param_row(p, first + i, q->tile + i * p->cols);
    if (merged_strength(x) != 0) {
        size_t which[TILE_ROWS];
        for (size_t i = 0; i < n; i++)
            which[i] = first + i;
        lora_merge_rows(q->adapter, 1, p, which, n, q->tile);
    }
    return q->tile;
}

static void make(const struct qat_matrix *x, void *to)
{
    const enum profile_kind before = profile_enter(PROFILE_ROUNDING);
    const struct param *p = x->param;
    size_t row_bytes;
    CHECK(dtype_bytes(x->type, p->cols, &row_bytes));
    if (p->value && !p->halves && merged_strength(x) == 0) {
        round_rows(x, p->value, 0, p->rows, to);
        profile_leave(before);
        return;
    }
    for (size_t at = 0; at < p->rows; at += TILE_ROWS) {
        const size_t n = tile_of(p, at);
        round_rows(x, rows_to_round(x, at, n), at, n, (char *)to + at * row_bytes);
    }
    profile_leave(before);
}

static const void *blocks(struct qat_matrix *x)
{
    const float strength = merged_strength(x);
    if (!x->kept) {
        make(x, x->qat->shared);
        return x->qat->shared;
    }
    if (!x->made || x->made_of != x->param->data || x->strength != strength)
        make(x, x->kept);
    x->made = true;
    x->scaled = holds_scales(x->qat) && relevel_supports(x->type);
    x->made_of = x->param->data;
    x->strength = strength;
    return x->kept;
}

static void mix_rows(const struct qat_matrix *x, const float *rows, size_t first, size_t n, float *to)
{
    const struct qat *q = x->qat;
    const size_t cols = x->param->cols, row_bytes = matrix_bytes(x) / x->param->rows;
    round_rows(x, rows, first, n, q->shared);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        CHECK(dtype_to_f32(x->type, (const char *)q->shared + i * row_bytes, to + i * cols, cols));
        for (size_t j = i * cols; j < (i + 1) * cols; j++)
            to[j] = rows[j] + q->share * (to[j] - rows[j]);
    }
}

/* values + share (rounded - values) */
static const float *mix(struct qat_matrix *x)
{
    if (holds_scales(x->qat))
        blocks(x);
    const struct qat *q = x->qat;
    const struct param *p = x->param;
    const enum profile_kind before = profile_enter(PROFILE_ROUNDING);
    for (size_t at = 0; at < p->rows; at += TILE_ROWS) {
        const size_t n = tile_of(p, at);
        mix_rows(x, rows_to_round(x, at, n), at, n, q->mixed + at * p->cols);
    }
    profile_leave(before);
    return q->mixed;
}

/* How much of the rounded weight the model computes with. While that is nothing, adapters have their own products, as without
 * any rounding; else the weight has them in it. */
static void set_share(struct qat *q, float share)
{
    q->share = share;
    for (size_t i = 0; i < q->n_matrices; i++)
        for (size_t j = 0; q->matrices[i].merges && j < q->adapter->n_pairs; j++)
            if (q->adapter->pairs[j].linear->weight == q->matrices[i].param)
                q->adapter->pairs[j].in_weight = share > 0;
}

static struct matrix computed(void *context, const struct param *p)
{
    struct qat_matrix *x = context;
    const struct qat *q = x->qat;
    CHECK(x->param == p);
    if (q->share == 0 || (merged_strength(x) == 0 && p->type == x->type))
        return param_matrix(p); /* also blocks that are those already, of a base whose adapter is off */
    if (q->share < 1)
        return (struct matrix){mix(x), p->cols, DTYPE_F32, false, false};
    const bool in_integers = q->options->activations == QAT_INT8 && quantized_supports(x->type);
    return (struct matrix){blocks(x), p->cols, x->type, in_integers, false};
}

/* --- at work --- */

/* A scale that is no number would make all of its block none. */
static int check_matrix(const struct qat_matrix *x, struct error *e)
{
    const struct param *p = x->param;
    struct rounding r = plain_rounding(x);
    char advice[PARAM_NAME_SIZE + 64];
    int code = OK;
    const char *wider = x->type == DTYPE_BF16 ? "f32" : "bf16";
    snprintf(advice, sizeof advice, "choose %s for it: --qat-tensor-type %s=%s", wider, x->tensor, wider);
    r.advice = advice;
    for (size_t at = 0; at < p->rows && !code; at += TILE_ROWS) {
        const size_t n = tile_of(p, at);
        code = rounding_store_checked(&r, rows_to_round(x, at, n), n, x->qat->shared, x->qat->tile, e);
    }
    return code;
}

/* Matrices that stay in the blocks they are in, and those whose adapter may be off, multiply as the others do. */
static void use_integers(const struct qat *q)
{
    const bool wanted = q->options->activations == QAT_INT8;
    for (size_t i = 0; i < q->model->n_params; i++) {
        struct param *p = &q->model->params[i];
        p->in_integers = wanted && p->matrix && quantized_supports(p->type);
    }
}

int qat_attach(struct qat *q, struct error *e)
{
    int code = arena_init(&q->arena, qat_bytes(q), "the rounded weights", e);
    if (code)
        return code;
    lay_out(q, &q->arena);
    for (size_t i = 0; i < q->n_matrices && !code; i++)
        code = check_matrix(&q->matrices[i], e);
    if (code)
        return code;
    learned_start(q, true);
    for (size_t i = 0; i < q->n_matrices; i++) {
        struct qat_matrix *x = &q->matrices[i];
        CHECK(!x->param->view);
        x->view = (struct param_view){x, computed};
        x->param->view = &x->view;
    }
    set_share(q, 1);
    use_integers(q);
    q->attached = true;
    return OK;
}

void qat_detach(struct qat *q)
{
    CHECK(q->attached);
    for (size_t i = 0; i < q->n_matrices; i++)
        q->matrices[i].param->view = NULL;
    set_share(q, 0);
    q->attached = false;
}

static void search_scales(struct qat *q)
{
    for (size_t i = 0; i < q->n_matrices; i++)
        if (!q->matrices[i].frozen)
            q->matrices[i].made = q->matrices[i].scaled = false;
}

static void forget(struct qat *q)
{
    for (size_t i = 0; i < q->n_matrices; i++)
        if (!q->matrices[i].frozen)
            q->matrices[i].made = false;
}

void qat_begin_step(struct qat *q, uint64_t step)
{
    const struct qat_options *o = q->options;
    if (step < o->start)
        set_share(q, 0);
    else if (step - o->start < o->ramp)
        set_share(q, (float)((double)(step - o->start + 1) / ((double)o->ramp + 1)));
    else
        set_share(q, 1);
    q->scales_wait = step < o->start;
    if (q->n_scales && o->start > 0 && step == o->start) {
        learned_start(q, false); /* for what the weights have become by now */
        forget(q);
    }
    const bool due = step <= o->start || (o->scale_interval > 0 && (step - o->start) % o->scale_interval == 0);
    if (holds_scales(q) && due)
        search_scales(q);
    if (q->share < 1 && !holds_scales(q))
        forget(q); /* mixing takes their memory */
}

void qat_changed(struct qat *q)
{
    set_share(q, 1);
    forget(q);
}

int qat_write(struct qat *q, struct hdf5_file *f, struct error *e)
{
    int code = OK;
    CHECK(q->share == 1);
    for (size_t i = 0; i < q->n_matrices && !code && !q->adapter; i++) {
        const struct param *p = q->matrices[i].param;
        const struct matrix m = param_computed(p);
        code = param_write_computed(p, &m, f, e);
    }
    return code;
}

int qat_read(struct qat *q, struct hdf5_file *f, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < q->n_matrices && !code && holds_scales(q); i++) {
        struct qat_matrix *x = &q->matrices[i];
        bool found = false;
        if (x->frozen || !relevel_supports(x->type))
            continue;
        code = param_read_computed(x->param, x->type, f, x->kept, &found, e);
        x->scaled = found;
    }
    return code;
}

size_t qat_written_bytes(const struct qat *q)
{
    size_t total = 0;
    for (size_t i = 0; i < q->n_matrices && !q->adapter; i++)
        total += matrix_bytes(&q->matrices[i]);
    return total;
}

uint64_t qat_hash(const struct qat *q, uint64_t h)
{
    for (size_t i = 0; i < q->n_matrices; i++) {
        const struct qat_matrix *x = &q->matrices[i];
        h = hash64(&x->type, sizeof x->type, h);
        if (x->importance)
            h = hash64(x->importance, x->param->cols * sizeof *x->importance, h);
    }
    return h;
}

void qat_describe(const struct qat *q, struct buffer *out)
{
    size_t counts[DTYPE_MOST] = {0};
    const char *separator = "";
    for (size_t i = 0; i < q->n_matrices; i++)
        counts[q->matrices[i].type]++;
    for (int type = 0; type < DTYPE_MOST; type++) {
        if (counts[type] == 0)
            continue;
        buffer_printf(out, "%s%zu %s in %s", separator, counts[type], counts[type] == 1 ? "matrix" : "matrices",
                      dtype_info(type)->name);
        separator = ", ";
    }
}

/* --- for a trainer --- */

static size_t view_bytes(const void *context)
{
    return qat_bytes(context);
}

static uint64_t view_hash(const void *context)
{
    return qat_hash(context, 0);
}

static int view_attach(void *context, struct error *e)
{
    return qat_attach(context, e);
}

static void view_begin_step(void *context, uint64_t step)
{
    qat_begin_step(context, step);
}

static void view_gradients(void *context)
{
    qat_gradients(context);
}

static void view_changed(void *context)
{
    qat_changed(context);
}

static int view_write(void *context, struct hdf5_file *f, struct error *e)
{
    return qat_write(context, f, e);
}

static int view_read(void *context, struct hdf5_file *f, struct error *e)
{
    return qat_read(context, f, e);
}

static size_t view_written_bytes(const void *context)
{
    return qat_written_bytes(context);
}

struct weight_view qat_view(struct qat *q)
{
    return (struct weight_view){.context = q, .bytes = view_bytes, .hash = view_hash, .attach = view_attach,
                                .begin_step = view_begin_step, .gradients = view_gradients, .changed = view_changed,
                                .write = view_write, .read = view_read, .written_bytes = view_written_bytes};
}
