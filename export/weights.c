#include "export/weights.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <math.h>
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
            return is_plain(m->params[i].type) ? m->params[i].type : DTYPE_F16;
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
        return is_plain(p->type) ? p->type : usual;
    return usual == DTYPE_F32 || fits(p, usual) ? usual : DTYPE_F32;
}

void weight_sources_init(struct weight_sources *w, const struct model *m, enum container container,
                         bool head, const struct export_options *o)
{
    enum rope_style style = container == CONTAINER_GGUF
                                ? model_architecture(&m->config)->gguf_rope_style : ROPE_HALF;
    tensor_list_init(&w->list, m, container, head);
    w->sources = mem_zero(w->list.n_tensors, sizeof *w->sources);
    for (size_t i = 0; i < w->list.n_tensors; i++) {
        const struct tensor *t = &w->list.tensors[i];
        w->sources[i] = (struct weight_source){m, t, tensor_type(m, t, container, o), style};
    }
}

void weight_sources_free(struct weight_sources *w)
{
    tensor_list_free(&w->list);
    mem_free(w->sources);
    *w = (struct weight_sources){0};
}

static int check_row(const struct weight_source *s, const float *row, size_t n, struct error *e)
{
    const float limit = s->type == DTYPE_F16 ? 65504.0f : INFINITY;
    bool finite = true, in_range = true;
    for (size_t i = 0; i < n; i++) {
        finite &= isfinite(row[i]) != 0;
        in_range &= !(fabsf(row[i]) > limit);
    }
    if (!finite)
        return error_set(e, ERR_FORMAT,
                         "%s holds a weight that is not a number; the training diverged, or the "
                         "model's file is damaged", s->tensor->name);
    if (!in_range)
        return error_set(e, ERR_FORMAT,
                         "%s holds a weight beyond the range of f16 (65504); export as bf16 or f32",
                         s->tensor->name);
    return OK;
}

/* Row `row` of a parameter in the file's order, as f32 and with the offset it has there. */
static void read_row(const struct weight_source *s, const struct param *p, size_t row, float *out)
{
    struct matrix stored = param_matrix(p);
    const struct dtype_info *info = dtype_info(stored.type);
    size_t head_dim = s->model->config.head_dim;
    enum rope_style memory = s->model->config.rope_style;
    bool rotated = param_is_rotated(p) && memory != s->style;
    if (rotated && p->n_dims == 2)
        row = rope_row(row, head_dim, memory, s->style);
    CHECK(dtype_to_f32(stored.type,
                       (const char *)stored.data + row * (stored.ld / info->block * info->block_bytes),
                       out, p->cols));
    if (rotated && p->n_dims == 1)
        for (size_t i = 0; i < p->cols; i++)
            out[i] = p->value[rope_row(i, head_dim, memory, s->style)];
    for (size_t i = 0; i < p->cols && s->tensor->offset != 0; i++)
        out[i] += s->tensor->offset;
}

int weight_source_fill(void *context, void *bytes, struct error *e)
{
    const struct weight_source *s = context;
    const struct tensor *t = s->tensor;
    size_t row_bytes;
    int code = OK;
    CHECK(dtype_bytes(s->type, t->cols, &row_bytes));
    float *row = mem_alloc(t->cols, sizeof *row);
    for (size_t i = 0; i < t->n_pieces && !code; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        for (size_t j = 0; j < piece->rows && !code; j++) {
            read_row(s, piece->param, piece->param_row + j, row);
            code = check_row(s, row, t->cols, e);
            CHECK(dtype_from_f32(s->type, row, (char *)bytes + (piece->row + j) * row_bytes, t->cols));
        }
    }
    mem_free(row);
    return code;
}
