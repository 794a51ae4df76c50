#include "lora/blocks.h"

#include "base/check.h"
#include "kernels/update.h"
#include "lora/pair.h"
#include "model/names.h"

#include <math.h>
#include <string.h>

static const struct lora_pair *find_pair(const struct lora_adapter *a, const struct linear *l)
{
    for (size_t i = 0; i < a->n_pairs; i++)
        if (a->pairs[i].linear == l)
            return &a->pairs[i];
    return NULL;
}

/* The linear layer that a piece of the tensor is the weight of; the embedding's own tensor is none's. */
static const struct linear *piece_linear(const struct blocks *b, const struct tensor *t, size_t i)
{
    struct model *m = b->adapter->model;
    const char *embedding = role_name(model_architecture(&m->config), PARAM_TOKEN_EMBD,
                                      b->container == CONTAINER_GGUF);
    return strcmp(t->name, embedding) == 0 ? NULL : lora_linear(m, t->pieces[i].param);
}

/* In the file: what a PiSSA adapter began as is taken away by a second half. */
static size_t file_rank(const struct lora_pair *p)
{
    return p->start_a ? 2 * p->rank : p->rank;
}

/* False when no piece of the tensor has a pair. */
static bool make_block(const struct blocks *b, const struct tensor *t, struct block *block)
{
    bool any = false;
    *block = (struct block){.base = t, .pairs = mem_zero(t->n_pieces, sizeof *block->pairs),
                            .first = mem_zero(t->n_pieces, sizeof *block->first)};
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct linear *l = piece_linear(b, t, i);
        const struct lora_pair *p = l ? find_pair(b->adapter, l) : NULL, *last = i ? block->pairs[i - 1] : NULL;
        block->pairs[i] = p;
        if (!p)
            continue;
        bool shared = last && last->a == p->a;
        block->first[i] = shared ? block->first[i - 1] : block->rank;
        block->rank += shared ? 0 : file_rank(p);
        block->scale = block->scale != 0 ? block->scale : fabs((double)p->scale);
        any = true;
    }
    if (block->scale == 0) /* what B is divided by */
        block->scale = 1;
    return any;
}

static void free_block(struct block *b)
{
    mem_free(b->pairs);
    mem_free(b->first);
}

/* Every piece's parameter is one that the adapter has values of. */
static bool is_whole(const struct lora_adapter *a, const struct tensor *t)
{
    for (size_t i = 0; i < t->n_pieces; i++)
        if (!lora_whole_values(a, t->pieces[i].param))
            return false;
    return true;
}

void blocks_init(struct blocks *b, const struct lora_adapter *a, enum container container)
{
    *b = (struct blocks){.adapter = a, .container = container};
    tensor_list_init(&b->list, a->model, container, true);
    b->items = mem_zero(b->list.n_tensors, sizeof *b->items);
    b->wholes = mem_zero(b->list.n_tensors, sizeof *b->wholes);
    for (size_t i = 0; i < b->list.n_tensors; i++) {
        const struct tensor *t = &b->list.tensors[i];
        struct block block;
        if (make_block(b, t, &block))
            b->items[b->n++] = block;
        else
            free_block(&block);
        if (is_whole(a, t))
            b->wholes[b->n_wholes++] = (struct block){.base = t};
    }
    for (size_t i = 0; i < a->n_pairs; i++)
        b->magnitudes |= a->pairs[i].magnitude != NULL;
}

void blocks_free(struct blocks *b)
{
    for (size_t i = 0; i < b->n; i++)
        free_block(&b->items[i]);
    mem_free(b->items);
    mem_free(b->wholes);
    tensor_list_free(&b->list);
}

/* --- numbers --- */

static void fill_a(const struct block *b, float *out)
{
    size_t cols = b->base->cols;
    for (size_t i = 0; i < b->base->n_pieces; i++) {
        const struct lora_pair *p = b->pairs[i];
        float *to = out + b->first[i] * cols;
        if (p)
            memcpy(to, p->a->value, p->rank * cols * sizeof *out);
        if (p && p->start_a)
            memcpy(to + p->rank * cols, p->start_a, p->rank * cols * sizeof *out);
    }
}

static enum rope_style file_style(const struct source *s)
{
    const struct model_config *c = &s->blocks->adapter->model->config;
    return s->blocks->container == CONTAINER_GGUF ? model_architecture(c)->gguf_rope_style : ROPE_HALF;
}

/* The parameter's row that row j of a piece is. */
static size_t piece_row(const struct source *s, const struct tensor_piece *piece, size_t j)
{
    const struct model_config *c = &s->blocks->adapter->model->config;
    enum rope_style style = file_style(s);
    bool reordered = param_is_rotated(piece->param) && style != c->rope_style;
    return piece->param_row + (reordered ? rope_row(j, c->head_dim, c->rope_style, style) : j);
}

/* Rows of each piece, in the file's order, in the columns of its own A. */
static void fill_b(const struct source *s, float *out)
{
    const struct block *b = s->block;
    memset(out, 0, b->base->rows * b->rank * sizeof *out);
    for (size_t i = 0; i < b->base->n_pieces; i++) {
        const struct tensor_piece *piece = &b->base->pieces[i];
        const struct lora_pair *p = b->pairs[i];
        double factor = p ? p->scale / s->scale : 0;
        for (size_t j = 0; p && j < piece->rows; j++) {
            size_t row = piece_row(s, piece, j);
            float *to = out + (piece->row + j) * b->rank + b->first[i];
            for (size_t k = 0; k < p->rank; k++)
                to[k] = (float)(p->b->value[row * p->rank + k] * factor);
            for (size_t k = 0; p->start_b && k < p->rank; k++)
                to[p->rank + k] = (float)(-p->start_b[row * p->rank + k] * factor);
        }
    }
}

/* Where there are none, those that change nothing: what the row has. */
static void fill_magnitude(const struct source *s, float *out)
{
    const struct block *b = s->block;
    size_t cols = b->base->cols;
    float *values = mem_alloc(cols, sizeof *values);
    for (size_t i = 0; i < b->base->n_pieces; i++) {
        const struct tensor_piece *piece = &b->base->pieces[i];
        const struct lora_pair *p = b->pairs[i];
        struct matrix m = param_matrix(piece->param);
        for (size_t j = 0; j < piece->rows; j++) {
            size_t row = piece_row(s, piece, j);
            if (p && p->magnitude) {
                out[piece->row + j] = p->magnitude->value[row];
                continue;
            }
            CHECK(m.data);
            matrix_row(&m, piece->param, row, values);
            if (p)
                lora_pair_product(p, NULL, row, 1, p->scale, values);
            out[piece->row + j] = (float)sqrt(sum_of_squares(values, DTYPE_F32, cols));
        }
    }
    mem_free(values);
}

/* All of a tensor, from the adapter's own values of its parameters. */
static void fill_whole(const struct source *s, float *out)
{
    const struct tensor *t = s->block->base;
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        const struct param *p = piece->param;
        const float *values = lora_whole_values(s->blocks->adapter, p);
        if (p->n_dims == 1) { /* a norm, or a bias, whose components are in the order of rows */
            for (size_t j = 0; j < p->cols; j++)
                out[piece->row * t->cols + j] = values[piece_row(s, piece, j)];
            continue;
        }
        for (size_t j = 0; j < piece->rows; j++)
            memcpy(out + (piece->row + j) * t->cols, values + piece_row(s, piece, j) * t->cols, t->cols * sizeof *out);
    }
}

void source_shape(const struct source *s, size_t shape[2])
{
    const struct block *b = s->block;
    shape[0] = s->part == LORA_A ? b->rank : b->base->rows;
    shape[1] = s->part == LORA_B ? b->rank : s->part == LORA_MAGNITUDE ? 1 : b->base->cols;
}

int source_fill(void *context, void *bytes, struct error *e)
{
    const struct source *s = context;
    size_t shape[2];
    float *out = bytes;
    bool finite = true;
    source_shape(s, shape);
    if (s->part == LORA_A)
        fill_a(s->block, out);
    else if (s->part == LORA_B)
        fill_b(s, out);
    else if (s->part == LORA_MAGNITUDE)
        fill_magnitude(s, out);
    else
        fill_whole(s, out);
    for (size_t i = 0; i < shape[0] * shape[1]; i++)
        finite &= isfinite(out[i]) != 0;
    return finite ? OK : error_set(e, ERR_FORMAT, "the adapter of %s holds a value that is not a number",
                                   s->block->base->name);
}

