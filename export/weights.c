#include "export/weights.h"

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/rounding.h"

#include <dirent.h>
#include <string.h>

static bool directory_is_empty(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return false; /* what cannot be looked into is not known to be empty */
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(d));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(d);
    return empty;
}

int export_check_target(const char *path, bool directory, bool force, struct error *e)
{
    if (!file_exists(path))
        return directory ? OK : file_check_target(path, e);
    if (file_is_directory(path) != directory)
        return error_set(e, ERR_USAGE, "%s: there is a %s of this name; choose another", path,
                         directory ? "file" : "directory");
    if (force || (directory && directory_is_empty(path)))
        return directory ? OK : file_check_target(path, e);
    return error_set(e, ERR_USAGE, "%s: already there%s; choose another name, or --force to replace it",
                     path, directory ? " and not empty" : "");
}

static bool is_plain(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

enum dtype export_type(const struct model *m, const struct export_options *o)
{
    if (!o->keep_types)
        return o->type;
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].layer >= 0 && m->params[i].matrix)
            return is_plain(m->params[i].type) || o->keep_blocks ? m->params[i].type : DTYPE_F16;
    return DTYPE_F32;
}

/* Whether the parameter's numbers, of f32, are numbers of `type` too. */
static bool fits(const struct param *p, enum dtype type)
{
    const float *value = param_matrix(p).data;
    for (size_t i = 0; i < p->count; i++) {
        uint16_t rounded;
        float back;
        if (!dtype_from_f32(type, value + i, &rounded, 1) ||
            !dtype_to_f32(type, &rounded, &back, 1) || back != value[i])
            return false;
    }
    return true;
}

/* Vectors are f32 in GGUF files. In the other container they have the matrices' type, unless types are kept
 * and they are f32 and would lose by it. */
static enum dtype tensor_type(const struct model *m, const struct tensor *t, enum container container,
                              const struct export_options *o)
{
    enum dtype usual = export_type(m, o);
    const struct param *p = t->pieces->param;
    if (t->vector && container == CONTAINER_GGUF)
        return DTYPE_F32;
    if (!o->keep_types)
        return o->type;
    for (size_t i = 1; i < t->n_pieces; i++)
        if (t->pieces[i].param->type != p->type)
            return DTYPE_F32; /* which holds them all */
    if (!t->vector || p->type != DTYPE_F32)
        return is_plain(p->type) || o->keep_blocks ? p->type : usual;
    return usual == DTYPE_F32 || fits(p, usual) ? usual : DTYPE_F32;
}

/* Places for what becomes of the matrices that something is merged into. */
static void follow_merge(struct weight_sources *w, const struct model *m, struct merge *g)
{
    merge_free(g);
    g->matrices = mem_zero(w->list.n_tensors, sizeof *g->matrices);
    for (size_t i = 0; i < w->list.n_tensors; i++) {
        const struct tensor *t = &w->list.tensors[i];
        bool changes = false;
        for (size_t j = 0; j < t->n_pieces && !changes; j++)
            changes = merge_changes(g, m, t, j);
        if (!changes)
            continue;
        w->sources[i].merged = &g->matrices[g->n_matrices++];
        memcpy(w->sources[i].merged->name, t->name, sizeof t->name);
    }
}

void weight_sources_init(struct weight_sources *w, const struct model *m, enum container container,
                         bool head, const struct export_options *o)
{
    enum rope_style style = container == CONTAINER_GGUF
                                ? model_architecture(&m->config)->gguf_rope_style : ROPE_HALF;
    tensor_list_init(&w->list, m, container, head || merge_unties(o->merge, m));
    w->sources = mem_zero(w->list.n_tensors, sizeof *w->sources);
    for (size_t i = 0; i < w->list.n_tensors; i++) {
        const struct tensor *t = &w->list.tensors[i];
        w->sources[i] = (struct weight_source){.model = m, .tensor = t, .type = tensor_type(m, t, container, o),
                                               .style = style, .progress = o->progress, .merge = o->merge};
    }
    if (o->merge)
        follow_merge(w, m, o->merge);
}

void weight_sources_free(struct weight_sources *w)
{
    tensor_list_free(&w->list);
    mem_free(w->sources);
    *w = (struct weight_sources){0};
}

void weight_sources_report(const struct weight_sources *w, struct export_report *r)
{
    *r = (struct export_report){0};
    for (size_t i = 0; i < w->list.n_tensors; i++) {
        const struct tensor *t = &w->list.tensors[i];
        const enum dtype type = w->sources[i].type;
        const size_t n = t->rows * t->cols;
        size_t bytes, k = 0;
        for (size_t j = 0; j < t->n_pieces; j++) {
            CHECK(dtype_bytes(t->pieces[j].param->type, t->pieces[j].rows * t->cols, &bytes));
            r->bytes_before += bytes;
        }
        CHECK(dtype_bytes(type, n, &bytes));
        r->bytes_after += bytes;
        r->n_weights += n;
        while (k < r->n_types && r->types[k].type != type)
            k++;
        CHECK(k < sizeof r->types / sizeof *r->types);
        r->n_types = k < r->n_types ? r->n_types : k + 1;
        r->types[k].type = type;
        r->types[k].n_tensors++;
        r->types[k].n_weights += n;
    }
}

/* The row of a matrix in the model's memory that is row `row` in the file's order. */
static size_t model_row(const struct weight_source *s, const struct param *p, size_t row)
{
    const enum rope_style memory = s->model->config.rope_style;
    return param_is_rotated(p) && memory != s->style && p->n_dims == 2
               ? rope_row(row, s->model->config.head_dim, memory, s->style) : row;
}

static struct matrix source_matrix(const struct weight_source *s, const struct param *p)
{
    return s->computed ? param_computed(p) : param_matrix(p);
}

/* Where row `row` of a matrix, counted in the file's order, is stored. */
static const void *stored_row(const struct weight_source *s, const struct param *p, size_t row)
{
    const struct matrix stored = source_matrix(s, p);
    const struct dtype_info *info = dtype_info(stored.type);
    return (const char *)stored.data + model_row(s, p, row) * (stored.ld / info->block * info->block_bytes);
}

/* Row `row` of a parameter in the file's order, as f32 and with the offset it has there. */
static void read_row(const struct weight_source *s, const struct param *p, size_t row, float *out)
{
    const enum rope_style memory = s->model->config.rope_style;
    CHECK(dtype_to_f32(source_matrix(s, p).type, stored_row(s, p, row), out, p->cols));
    if (param_is_rotated(p) && memory != s->style && p->n_dims == 1)
        for (size_t i = 0; i < p->cols; i++)
            out[i] = p->value[rope_row(i, s->model->config.head_dim, memory, s->style)];
    for (size_t i = 0; i < p->cols && s->tensor->offset != 0; i++)
        out[i] += s->tensor->offset;
}

/* Importance of the columns of the tensor's row `row`: that of its expert. */
static const float *row_importance(const struct weight_source *s, size_t row)
{
    const struct tensor *t = s->tensor;
    const size_t expert = t->n_dims == 3 ? row / (t->rows / t->shape[0]) : 0;
    return s->importance ? s->importance + expert * t->cols : NULL;
}

/* Room for some rows: in f32, each (n, cols) of one allocation, and in the file's type. */
struct scratch {
    float *rows;                            /* what is written */
    float *base, *stored_base, *stored;     /* NULL where nothing is merged */
    char *bytes;
    size_t *which;
};

static void scratch_init(struct scratch *x, const struct weight_source *s, size_t n, size_t row_bytes)
{
    const size_t count = n * s->tensor->cols;
    *x = (struct scratch){.rows = mem_alloc(s->merged ? 4 * count : count, sizeof *x->rows)};
    if (!s->merged)
        return;
    x->base = x->rows + count;
    x->stored_base = x->base + count;
    x->stored = x->stored_base + count;
    x->bytes = mem_alloc(n, row_bytes);
    x->which = mem_alloc(n, sizeof *x->which);
}

static void scratch_free(struct scratch *x)
{
    mem_free(x->rows);
    mem_free(x->bytes);
    mem_free(x->which);
}

/* n rows of f32 in the file's type, the first being row `at` of the tensor. They are looked at in `back`, of f32, which
 * may be the rows themselves. */
static int store_rows(const struct weight_source *s, const float *rows, size_t at, size_t n, char *to, float *back,
                      struct error *e)
{
    const struct rounding r = {.type = s->type, .cols = s->tensor->cols, .importance = row_importance(s, at),
                               .tensor = s->tensor->name,
                               .advice = s->type == DTYPE_F16    ? "export as bf16 or f32"
                                         : s->type == DTYPE_BF16 ? "export as f32"
                                                                 : "choose bf16 for it"};
    return rounding_store_checked(&r, rows, n, to, back, e);
}

/* What the file would have held without the adapters, and what it holds: `from`, of n rows. */
static int measure(const struct weight_source *s, const struct param *p, const struct scratch *x, size_t at, size_t n,
                   const char *from, struct error *e)
{
    const size_t count = n * s->tensor->cols;
    const bool same = p->type == s->type;
    int code = same ? OK : store_rows(s, x->base, at, n, x->bytes, x->stored_base, e);
    if (code)
        return code;
    if (!same)
        CHECK(dtype_to_f32(s->type, x->bytes, x->stored_base, count));
    CHECK(dtype_to_f32(s->type, from, x->stored, count));
    merged_matrix_add(s->merged, x->base, x->rows, same ? x->base : x->stored_base, x->stored, n, s->tensor->cols);
    return OK;
}

/* Rows [first, first + n) of a piece into `to`. */
static int fill_rows(const struct weight_source *s, size_t piece, size_t first, size_t n, const struct scratch *x,
                     char *to, struct error *e)
{
    const struct tensor_piece *at = &s->tensor->pieces[piece];
    const size_t cols = s->tensor->cols, row = at->param_row + first;
#pragma omp parallel for if (n * cols > 65536)
    for (size_t i = 0; i < n; i++)
        read_row(s, at->param, row + i, x->rows + i * cols);
    if (!s->merged || !merge_changes(s->merge, s->model, s->tensor, piece))
        return store_rows(s, x->rows, at->row + first, n, to, x->rows, e);
    for (size_t i = 0; i < n; i++)
        x->which[i] = model_row(s, at->param, row + i);
    memcpy(x->base, x->rows, n * cols * sizeof *x->base);
    lora_merge_rows(s->merge->adapters, s->merge->n_adapters, at->param, x->which, n, x->rows);
    int code = store_rows(s, x->rows, at->row + first, n, to, x->stored, e);
    return code ? code : measure(s, at->param, x, at->row + first, n, to, e);
}

static void copy_rows(const struct weight_source *s, const struct tensor_piece *piece, size_t row_bytes, char *to)
{
    for (size_t i = 0; i < piece->rows; i++)
        memcpy(to + i * row_bytes, stored_row(s, piece->param, piece->param_row + i), row_bytes);
}

enum { BATCH_WEIGHTS = 1 << 18 }; /* in f32 at a time, or one row */

int weight_source_fill(void *context, void *bytes, struct error *e)
{
    const struct weight_source *s = context;
    const struct tensor *t = s->tensor;
    size_t row_bytes, batch = t->cols < BATCH_WEIGHTS ? BATCH_WEIGHTS / t->cols : 1;
    struct scratch x;
    int code = OK;
    CHECK(dtype_bytes(s->type, t->cols, &row_bytes));
    if (s->merged)
        s->merged->type = s->type;
    batch = batch < t->rows ? batch : t->rows;
    scratch_init(&x, s, batch, row_bytes);
    for (size_t i = 0; i < t->n_pieces && !code; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        char *to = (char *)bytes + piece->row * row_bytes;
        const bool same = !is_plain(s->type) && source_matrix(s, piece->param).type == s->type && t->offset == 0 &&
                          !merge_changes(s->merge, s->model, t, i);
        if (same)
            copy_rows(s, piece, row_bytes, to);
        for (size_t j = 0; !same && j < piece->rows && !code; j += batch)
            code = fill_rows(s, i, j, piece->rows - j < batch ? piece->rows - j : batch, &x, to + j * row_bytes, e);
        if (s->progress)
            progress_update(s->progress, s->progress->done + (double)(piece->rows * t->cols), t->name);
    }
    scratch_free(&x);
    return code;
}
