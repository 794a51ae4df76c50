#include "model/tensors.h"

#include "base/check.h"
#include "model/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the list --- */

static bool is_norm(const struct param *p)
{
    switch (p->role) {
    case PARAM_ATTN_NORM:
    case PARAM_ATTN_Q_NORM:
    case PARAM_ATTN_K_NORM:
    case PARAM_ATTN_POST_NORM:
    case PARAM_FFN_NORM:
    case PARAM_FFN_POST_NORM:
    case PARAM_OUTPUT_NORM:
        return true;
    default:
        return false;
    }
}

static bool is_expert(const struct param *p)
{
    return p->expert >= 0;
}

/* The last tensor, if it is the one of that name: parameters that share one follow each other. */
static struct tensor *find_shared(struct tensor_list *list, const char *name)
{
    struct tensor *last = list->n_tensors ? &list->tensors[list->n_tensors - 1] : NULL;
    return last && strcmp(last->name, name) == 0 ? last : NULL;
}

struct list_builder {
    struct tensor_list *list;
    const struct architecture *architecture;
    enum container container;
    size_t n_pieces;
};

/* Rows of a parameter become the next rows of the tensor of that name. */
static void add_rows(struct list_builder *b, struct param *p, const char *name, size_t param_row,
                     size_t rows)
{
    struct tensor_list *list = b->list;
    struct tensor *t = find_shared(list, name);
    struct tensor_piece *piece = &list->pieces[b->n_pieces++];
    *piece = (struct tensor_piece){.param = p, .param_row = param_row, .rows = rows};
    if (t) {
        CHECK(t->cols == p->cols && piece == t->pieces + t->n_pieces);
        piece->row = t->rows;
        t->rows += rows;
        t->n_pieces++;
        t->shape[0] = t->n_dims == 3 ? t->n_pieces : t->rows;
        return;
    }
    bool gguf = b->container == CONTAINER_GGUF;
    t = &list->tensors[list->n_tensors++];
    *t = (struct tensor){.rows = rows, .cols = p->cols, .pieces = piece, .n_pieces = 1,
                         .vector = !p->matrix || p->role == PARAM_ROUTER ||
                                   p->role == PARAM_SHARED_ROUTER,
                         .offset = gguf && is_norm(p) ? b->architecture->norm_offset : 0};
    memcpy(t->name, name, strlen(name) + 1);
    if (gguf && is_expert(p)) {
        t->n_dims = 3;
        t->shape[0] = 1, t->shape[1] = rows, t->shape[2] = p->cols;
    } else if (p->n_dims == 1 || rows < p->rows || (gguf && p->role == PARAM_SHARED_ROUTER)) {
        t->n_dims = 1;
        t->shape[0] = p->cols;
    } else {
        t->n_dims = 2;
        t->shape[0] = rows, t->shape[1] = p->cols;
    }
}

/* The same with the role's name, which may ask for one tensor a row (of a head). */
static void add_param(struct list_builder *b, struct param *p, enum param_role role)
{
    const char *pattern = role_name(b->architecture, role, b->container == CONTAINER_GGUF);
    char name[PARAM_NAME_SIZE];
    if (strstr(pattern, "%e") && !is_expert(p)) {
        for (size_t i = 0; i < p->rows; i++) {
            param_name(name, pattern, p->layer, (int)i);
            add_rows(b, p, name, i, 1);
        }
        return;
    }
    param_name(name, pattern, p->layer, p->expert);
    add_rows(b, p, name, 0, p->rows);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct tensor *const *)a)->name, (*(const struct tensor *const *)b)->name);
}

void tensor_list_init(struct tensor_list *list, const struct model *m, enum container container,
                      bool head)
{
    size_t most = m->n_params + 1;
    for (size_t i = 0; i < m->n_params; i++)
        most += m->params[i].matrix ? 0 : m->params[i].rows;
    *list = (struct tensor_list){.tensors = mem_zero(most, sizeof *list->tensors),
                                 .pieces = mem_zero(most, sizeof *list->pieces),
                                 .by_name = mem_alloc(most, sizeof *list->by_name)};
    struct list_builder b = {list, model_architecture(&m->config), container, 0};
    for (size_t i = 0; i < m->n_params; i++)
        add_param(&b, &m->params[i], m->params[i].role);
    if (head && m->config.tie_word_embeddings) {
        add_param(&b, m->token_embd, PARAM_OUTPUT);
        list->tensors[list->n_tensors - 1].tied_head = true;
    }
    for (size_t i = 0; i < list->n_tensors; i++)
        list->by_name[i] = &list->tensors[i];
    qsort(list->by_name, list->n_tensors, sizeof *list->by_name, by_name);
}

void tensor_list_free(struct tensor_list *list)
{
    mem_free(list->tensors);
    mem_free(list->pieces);
    mem_free(list->by_name);
    *list = (struct tensor_list){0};
}

const struct tensor *tensor_list_find(const struct tensor_list *list, const char *name)
{
    size_t low = 0, high = list->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, list->by_name[middle]->name);
        if (order == 0)
            return list->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Component j * d/2 + i of a head in halves is component 2i + j of it interleaved. */
size_t rope_row(size_t row, size_t head_dim, enum rope_style from, enum rope_style to)
{
    if (from == to)
        return row;
    size_t half = head_dim / 2, at = row % head_dim, head = row - at;
    if (from == ROPE_HALF)
        return head + at % 2 * half + at / 2;
    return head + at % half * 2 + at / half;
}

bool param_is_rotated(const struct param *p)
{
    return p->role == PARAM_ATTN_Q || p->role == PARAM_ATTN_K || p->role == PARAM_ATTN_Q_BIAS ||
           p->role == PARAM_ATTN_K_BIAS;
}

/* --- reading --- */

static void print_shape(char out[96], int n_dims, const size_t *shape)
{
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < n_dims && n < 70; i++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%zu", i ? " x " : "", shape[i]);
}

/* Dimensions of 1 in front say nothing, and some writers leave them out. */
static bool same_shape(const struct tensor *t, const struct stored_tensor *s)
{
    int i = 0, j = 0;
    while (i < t->n_dims && t->shape[i] == 1)
        i++;
    while (j < s->n_dims && s->shape[j] == 1)
        j++;
    if (t->n_dims - i != s->n_dims - j)
        return false;
    for (; i < t->n_dims; i++, j++)
        if (t->shape[i] != s->shape[j])
            return false;
    return true;
}

int tensor_check(const struct tensor *t, const struct stored_tensor *s, struct error *e)
{
    size_t row_bytes;
    if (!same_shape(t, s)) {
        char there[96], wanted[96];
        print_shape(there, s->n_dims, s->shape);
        print_shape(wanted, t->n_dims, t->shape);
        return error_set(e, ERR_FORMAT, "tensor %s is %s; the configuration says %s", t->name, there,
                         wanted);
    }
    if (!s->supported)
        return error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", t->name, s->type_name);
    if (!dtype_bytes(s->type, t->cols, &row_bytes))
        return error_set(e, ERR_FORMAT,
                         "tensor %s: rows of %zu elements are no whole blocks of type %s", t->name,
                         t->cols, s->type_name);
    return OK;
}

static int check_tensor(const struct tensor *t, const struct tensor_source *source, struct error *e)
{
    struct stored_tensor s;
    if (!source->find(source->file, t->name, &s))
        return error_set(e, ERR_FORMAT, "tensor %s is missing", t->name);
    return tensor_check(t, &s, e);
}

/* What is in the file and not in the model would be lost without a word. */
static int check_extra(const struct tensor_list *list, const struct model *m,
                       const struct tensor_source *source, struct error *e)
{
    char buffer[PARAM_NAME_SIZE];
    for (size_t i = 0; i < source->count(source->file); i++) {
        const char *name = source->name(source->file, i, buffer);
        if (!tensor_list_find(list, name) && !source->may_skip(m, name))
            return error_set(e, ERR_FORMAT, "tensor %s is no part of a %s model", name,
                             model_architecture(&m->config)->name);
    }
    return OK;
}

/* Types whose rows products read where they lie. */
static bool can_be_mapped(enum dtype type)
{
    return type != DTYPE_F64;
}

static void map_tensor(const struct tensor *t, const struct stored_tensor *s)
{
    const struct dtype_info *info = dtype_info(s->type);
    size_t row_bytes = t->cols / info->block * info->block_bytes;
    size_t align = info->block > 1 ? 2 : info->block_bytes;
    if (!can_be_mapped(s->type) || (uintptr_t)s->data % align != 0)
        return;
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        struct param *p = piece->param;
        if (!p->matrix || piece->rows != p->rows)
            continue;
        p->data = (const char *)s->data + piece->row * row_bytes;
        p->type = s->type;
    }
}

void tensor_piece_read(const struct model *m, const struct tensor *t, const struct tensor_piece *piece,
                       const struct stored_tensor *s, enum rope_style style, float *values)
{
    const struct dtype_info *info = dtype_info(s->type);
    const struct param *p = piece->param;
    size_t row_bytes = t->cols / info->block * info->block_bytes, head_dim = m->config.head_dim;
    const char *from = (const char *)s->data + piece->row * row_bytes;
    bool reordered = param_is_rotated(p) && style != m->config.rope_style;
    float *to = values + piece->param_row * p->cols;
#pragma omp parallel for schedule(static) if (p->count > 65536)
    for (size_t j = 0; j < piece->rows; j++) {
        size_t row = reordered && p->n_dims == 2 ? rope_row(j, head_dim, style, m->config.rope_style) : j;
        CHECK(dtype_to_f32(s->type, from + row * row_bytes, to + j * p->cols, p->cols));
    }
    if (reordered && p->n_dims == 1) {
        float *saved = mem_alloc(p->cols, sizeof *saved);
        memcpy(saved, to, p->cols * sizeof *saved);
        for (size_t j = 0; j < p->cols; j++)
            to[j] = saved[rope_row(j, head_dim, style, m->config.rope_style)];
        mem_free(saved);
    }
    for (size_t j = 0; t->offset != 0 && j < piece->rows * p->cols; j++)
        to[j] -= t->offset;
}

/* Rows of the file into own memory, in the model's order. */
static void copy_tensor(const struct model *m, const struct tensor *t, const struct stored_tensor *s,
                        enum rope_style style)
{
    for (size_t i = 0; i < t->n_pieces; i++)
        if (t->pieces[i].param->value)
            tensor_piece_read(m, t, &t->pieces[i], s, style, t->pieces[i].param->value);
}

int model_read_tensors(struct model *m, const struct tensor_source *source, enum rope_style style,
                       enum weights weights, struct error *e)
{
    struct tensor_list list;
    struct stored_tensor s;
    int code = OK;
    m->config.rope_style = weights == WEIGHTS_MAPPED ? style : ROPE_HALF;
    tensor_list_init(&list, m, source->container, false);
    for (size_t i = 0; i < list.n_tensors && !code; i++)
        code = check_tensor(&list.tensors[i], source, e);
    if (!code)
        code = check_extra(&list, m, source, e);
    for (size_t i = 0; i < list.n_tensors && !code && weights == WEIGHTS_MAPPED; i++)
        if (source->find(source->file, list.tensors[i].name, &s))
            map_tensor(&list.tensors[i], &s);
    if (!code)
        code = model_allocate(m, e);
    for (size_t i = 0; i < list.n_tensors && !code; i++)
        if (source->find(source->file, list.tensors[i].name, &s))
            copy_tensor(m, &list.tensors[i], &s, style);
    tensor_list_free(&list);
    return code;
}
