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

struct weight_source *weight_sources(const struct model *m, enum dtype type, enum dtype vector_type,
                                     enum rope_style style)
{
    struct weight_source *sources = mem_zero(m->n_params, sizeof *sources);
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        bool rotated = p->role == PARAM_ATTN_Q || p->role == PARAM_ATTN_K;
        sources[i] = (struct weight_source){
            .param = p,
            .type = p->n_dims == 1 ? vector_type : type,
            .head_dim = rotated ? m->config.head_dim : 0,
            .from = m->config.rope_style,
            .to = style,
        };
    }
    return sources;
}

/* Component j * d/2 + i of a head in halves is component 2i + j of it interleaved. */
size_t weight_source_row(const struct weight_source *s, size_t row)
{
    if (s->head_dim == 0 || s->from == s->to)
        return row;
    size_t half = s->head_dim / 2, at = row % s->head_dim, head = row - at;
    if (s->from == ROPE_HALF)
        return head + at % 2 * half + at / 2;
    return head + at % half * 2 + at / half;
}

static int check_row(const struct weight_source *s, const float *row, struct error *e)
{
    const float limit = s->type == DTYPE_F16 ? 65504.0f : INFINITY;
    bool finite = true, fits = true;
    for (size_t i = 0; i < s->param->cols; i++) {
        finite &= isfinite(row[i]) != 0;
        fits &= !(fabsf(row[i]) > limit);
    }
    if (!finite)
        return error_set(e, ERR_FORMAT,
                         "%s holds a weight that is not a number; the training diverged, or the "
                         "model's file is damaged", s->param->name);
    if (!fits)
        return error_set(e, ERR_FORMAT,
                         "%s holds a weight beyond the range of f16 (65504); export as bf16 or f32",
                         s->param->name);
    return OK;
}

int weight_source_fill(void *context, void *bytes, struct error *e)
{
    const struct weight_source *s = context;
    const struct param *p = s->param;
    size_t row_bytes;
    CHECK(dtype_bytes(s->type, p->cols, &row_bytes));
    for (size_t i = 0; i < p->rows; i++) {
        const float *row = p->value + weight_source_row(s, i) * p->cols;
        int code = check_row(s, row, e);
        if (code)
            return code;
        CHECK(dtype_from_f32(s->type, row, (char *)bytes + i * row_bytes, p->cols));
    }
    return OK;
}
