#include "lora/reader.h"

#include "base/check.h"
#include "model/names.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void lora_reader_init(struct lora_reader *r, struct model *m, enum container container)
{
    *r = (struct lora_reader){.model = m, .container = container};
    tensor_list_init(&r->base, m, container, true);
    r->deltas = mem_zero(r->base.n_tensors, sizeof *r->deltas);
}

void lora_reader_free(struct lora_reader *r)
{
    tensor_list_free(&r->base);
    mem_free(r->deltas);
    *r = (struct lora_reader){0};
}

static const struct architecture *architecture(const struct lora_reader *r)
{
    return model_architecture(&r->model->config);
}

/* Whether an adapter can be of this tensor: of a matrix, and of linear layers alone. */
static int check_base(const struct lora_reader *r, const char *name, const struct tensor *base, struct error *e)
{
    bool gguf = r->container == CONTAINER_GGUF;
    if (strcmp(base->name, role_name(architecture(r), PARAM_TOKEN_EMBD, gguf)) == 0)
        return error_set(e, ERR_FORMAT, "tensor %s: adapters of the embedding are not supported; merge it into the model "
                                        "where it was trained", name);
    if (base->n_dims == 3)
        return error_set(e, ERR_FORMAT, "tensor %s: adapters of all experts in one tensor are not supported; merge it "
                                        "into the model where it was trained", name);
    return OK;
}

static int check_linear(const struct lora_reader *r, const char *name, const struct tensor *base, struct error *e)
{
    for (size_t i = 0; i < base->n_pieces; i++)
        if (!lora_linear(r->model, base->pieces[i].param))
            return error_set(e, ERR_FORMAT, "tensor %s: %s is no linear layer's", name, base->name);
    return OK;
}

/* A is (rank, in), B is (out, rank). */
static int check_half(const char *name, const struct tensor *base, enum lora_part half, const struct stored_tensor *t,
                       struct error *e)
{
    size_t wanted = half == LORA_A ? base->cols : base->rows;
    bool fits = t->n_dims == 2 && t->shape[half == LORA_A ? 1 : 0] == wanted;
    size_t rank = fits ? t->shape[half == LORA_A ? 0 : 1] : 0;
    char found[64] = "";
    for (int i = 0; i < t->n_dims && strlen(found) < 40; i++)
        snprintf(found + strlen(found), 24, "%s%zu", i ? " x " : "", t->shape[i]);
    if (!fits)
        return error_set(e, ERR_FORMAT,
                         half == LORA_A ? "tensor %s is %s; of the model's %s (%zu x %zu) it would be rank x %zu"
                                        : "tensor %s is %s; of the model's %s (%zu x %zu) it would be %zu x rank",
                         name, found, base->name, base->rows, base->cols, wanted);
    if (rank == 0)
        return error_set(e, ERR_FORMAT, "tensor %s is empty: rank 0", name);
    if (!t->supported)
        return error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", name, t->type_name);
    size_t bytes, cols = t->shape[1];
    if (!dtype_bytes(t->type, cols, &bytes))
        return error_set(e, ERR_FORMAT, "tensor %s: rows of %zu elements are no whole blocks of type %s", name, cols,
                         t->type_name);
    return OK;
}

/* One number for each row, of whatever shape. */
static int check_magnitude(const char *name, const struct tensor *base, const struct stored_tensor *t, struct error *e)
{
    size_t count = 1;
    bool fits = true;
    for (int i = 0; i < t->n_dims; i++) {
        fits &= t->shape[i] == 1 || count == 1;
        count *= fits ? t->shape[i] : 1;
    }
    if (!fits || count != base->rows)
        return error_set(e, ERR_FORMAT, "tensor %s: the model's %s has %zu rows, and this another number of magnitudes", name,
                         base->name, base->rows);
    size_t bytes;
    if (!t->supported || !dtype_bytes(t->type, count, &bytes))
        return error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", name, t->type_name);
    return OK;
}

static int check_part(const struct lora_reader *r, const char *name, const struct tensor *base, enum lora_part part,
                      const struct stored_tensor *t, struct error *e)
{
    int code = part == LORA_WHOLE ? OK : check_base(r, name, base, e);
    if (code)
        return code;
    if (part == LORA_WHOLE) {
        code = tensor_check(base, t, e);
        if (code)
            error_prefix(e, "in the adapter");
        return code;
    }
    code = check_linear(r, name, base, e);
    if (code)
        return code;
    return part == LORA_MAGNITUDE ? check_magnitude(name, base, t, e) : check_half(name, base, part, t, e);
}

int lora_reader_add(struct lora_reader *r, const char *name, const char *base_name, enum lora_part part,
                    const struct stored_tensor *t, struct error *e)
{
    const struct tensor *base = tensor_list_find(&r->base, base_name);
    if (!base)
        return error_set(e, ERR_FORMAT, "tensor %s: the model (%s, %zu layers) has no %s; the adapter is of another model",
                         name, architecture(r)->name, r->model->config.num_hidden_layers, base_name);
    int code = check_part(r, name, base, part, t, e);
    if (code)
        return code;
    struct stored_tensor *own = &r->deltas[base - r->base.tensors].part[part];
    if (own->type_name)
        return error_set(e, ERR_FORMAT, "tensor %s: a second one of %s", name, base_name);
    *own = *t;
    r->n_deltas++;
    return OK;
}

/* --- making it --- */

static bool has(const struct lora_delta *d, enum lora_part part)
{
    return d->part[part].type_name != NULL;
}

static bool is_pair(const struct lora_delta *d)
{
    return has(d, LORA_A) || has(d, LORA_B) || has(d, LORA_MAGNITUDE);
}

static int check_parts(const struct lora_reader *r, const struct tensor *base, const struct lora_delta *d, struct error *e)
{
    const struct stored_tensor *a = &d->part[LORA_A], *b = &d->part[LORA_B];
    if (has(d, LORA_WHOLE))
        return error_set(e, ERR_FORMAT, "of %s there is all of it and an adapter too", base->name);
    if (!has(d, LORA_A) || !has(d, LORA_B))
        return error_set(e, ERR_FORMAT, "of %s there is only %s: the adapter is incomplete", base->name,
                         has(d, LORA_A) ? "A and no B" : has(d, LORA_B) ? "B and no A" : "a magnitude vector");
    if (a->shape[0] != b->shape[1])
        return error_set(e, ERR_FORMAT, "of %s A has rank %zu and B rank %zu", base->name, a->shape[0], b->shape[1]);
    if (has(d, LORA_MAGNITUDE) != r->magnitudes)
        return error_set(e, ERR_FORMAT, r->magnitudes ? "%s has no magnitude vector, although \"use_dora\" is true"
                                                      : "%s has a magnitude vector, although \"use_dora\" is not true",
                         base->name);
    return OK;
}

/* One pair for each parameter that lies in the tensor. */
static int want_pairs(const struct lora_reader *r, size_t i, lora_scale *scale, void *context, struct lora_want *wants,
                      size_t *n, struct error *e)
{
    const struct tensor *base = &r->base.tensors[i];
    size_t rank = r->deltas[i].part[LORA_A].shape[0];
    double factor = 1;
    int code = check_parts(r, base, &r->deltas[i], e);
    if (!code)
        code = scale(context, base, rank, &factor, e);
    if (!code && !isfinite((float)factor))
        code = error_set(e, ERR_FORMAT, "%s: a scale of %g", base->name, factor);
    for (size_t j = 0; j < base->n_pieces && !code; j++)
        wants[(*n)++] = (struct lora_want){.linear = lora_linear(r->model, base->pieces[j].param), .rank = rank,
                                           .scale = (float)factor, .shares_a = j > 0,
                                           .magnitude = r->magnitudes};
    return code;
}

/* Row `from` of a stored matrix. */
static void read_row(const struct stored_tensor *t, size_t from, float *to)
{
    size_t bytes = 0;
    CHECK(dtype_bytes(t->type, t->shape[1], &bytes) &&
          dtype_to_f32(t->type, (const char *)t->data + from * bytes, to, t->shape[1]));
}

static int check_numbers(const struct tensor *base, const float *x, size_t n, struct error *e)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++)
        finite &= isfinite(x[i]) != 0;
    return finite ? OK : error_set(e, ERR_FORMAT, "the adapter of %s holds a value that is not a number", base->name);
}

/* Rows of B in the order in which the model holds those of the weight, and their magnitudes. */
static void read_b(const struct lora_reader *r, const struct tensor_piece *piece, const struct lora_delta *d,
                   struct lora_pair *pair)
{
    const struct model_config *c = &r->model->config;
    const struct stored_tensor *m = &d->part[LORA_MAGNITUDE];
    enum rope_style style = r->container == CONTAINER_GGUF ? architecture(r)->gguf_rope_style : ROPE_HALF;
    bool reordered = param_is_rotated(piece->param) && style != c->rope_style;
    for (size_t j = 0; j < piece->rows; j++) {
        size_t row = piece->row + (reordered ? rope_row(j, c->head_dim, style, c->rope_style) : j), before = 0;
        read_row(&d->part[LORA_B], row, pair->b->value + (piece->param_row + j) * pair->rank);
        if (pair->magnitude)
            CHECK(dtype_bytes(m->type, row, &before) &&
                  dtype_to_f32(m->type, (const char *)m->data + before, pair->magnitude->value + piece->param_row + j, 1));
    }
}

static int fill_pairs(const struct lora_reader *r, size_t i, struct lora_pair *pairs, struct error *e)
{
    const struct tensor *base = &r->base.tensors[i];
    const struct lora_delta *d = &r->deltas[i];
    size_t rank = pairs->rank;
    for (size_t j = 0; j < rank; j++)
        read_row(&d->part[LORA_A], j, pairs->a->value + j * base->cols);
    int code = check_numbers(base, pairs->a->value, rank * base->cols, e);
    for (size_t j = 0; j < base->n_pieces && !code; j++) {
        read_b(r, &base->pieces[j], d, &pairs[j]);
        code = check_numbers(base, pairs[j].b->value, base->pieces[j].rows * rank, e);
        if (!code && pairs[j].magnitude)
            code = check_numbers(base, pairs[j].magnitude->value, base->pieces[j].rows, e);
    }
    return code;
}

/* --- whole tensors --- */

/* Of a tied model, whose output layer can only be what the embedding is. */
static int check_tied(const struct lora_reader *r, const struct tensor *base, const struct stored_tensor *t, struct error *e)
{
    const char *name = role_name(architecture(r), PARAM_TOKEN_EMBD, r->container == CONTAINER_GGUF);
    const struct tensor *embedding = tensor_list_find(&r->base, name);
    if (base == embedding || base->pieces->param != r->model->token_embd)
        return OK;
    const struct stored_tensor *other = &r->deltas[embedding - r->base.tensors].part[LORA_WHOLE];
    size_t bytes = 0;
    if (other->type_name && other->type == t->type && dtype_bytes(t->type, base->rows * base->cols, &bytes) &&
        memcmp(other->data, t->data, bytes) == 0)
        return OK;
    return error_set(e, ERR_FORMAT, "%s: the model's output layer is its embedding, and the adapter has another one; merge it "
                                    "into the model where it was trained", base->name);
}

/* Every row of a parameter, from however many tensors. */
struct whole_list {
    struct param **params;
    size_t *rows; /* that the file has of each */
    size_t n;
};

static void add_piece(struct whole_list *l, const struct tensor_piece *piece)
{
    size_t i = 0;
    while (i < l->n && l->params[i] != piece->param)
        i++;
    if (i == l->n) {
        l->params[l->n] = piece->param;
        l->rows[l->n++] = 0;
    }
    l->rows[i] += piece->rows;
}

static int list_wholes(const struct lora_reader *r, struct whole_list *l, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < r->base.n_tensors && !code; i++) {
        const struct tensor *base = &r->base.tensors[i];
        const struct stored_tensor *t = &r->deltas[i].part[LORA_WHOLE];
        if (!t->type_name)
            continue;
        code = check_tied(r, base, t, e);
        bool copy = base->pieces->param == r->model->token_embd && l->n && l->params[0] == r->model->token_embd;
        for (size_t j = 0; j < base->n_pieces && !copy; j++)
            add_piece(l, &base->pieces[j]);
    }
    for (size_t i = 0; i < l->n && !code; i++)
        if (l->rows[i] != l->params[i]->rows)
            code = error_set(e, ERR_FORMAT, "of %s there is only a part", l->params[i]->name);
    return code;
}

/* An output layer that is the embedding may have a pair, and then the embedding is not the adapter's. */
static int check_apart(const struct lora_reader *r, const struct whole_list *l, struct error *e)
{
    for (size_t i = 0; i < r->base.n_tensors; i++)
        for (size_t j = 0; j < r->base.tensors[i].n_pieces && is_pair(&r->deltas[i]); j++)
            for (size_t k = 0; k < l->n; k++)
                if (r->base.tensors[i].pieces[j].param == l->params[k])
                    return error_set(e, ERR_FORMAT, "of %s there is all of it and an adapter of %s too, which it is also",
                                     l->params[k]->name, r->base.tensors[i].name);
    return OK;
}

static int fill_wholes(const struct lora_reader *r, struct lora_adapter *a, struct error *e)
{
    enum rope_style style = r->container == CONTAINER_GGUF ? architecture(r)->gguf_rope_style : ROPE_HALF;
    for (size_t i = 0; i < r->base.n_tensors; i++) {
        const struct tensor *base = &r->base.tensors[i];
        for (size_t j = 0; j < base->n_pieces && r->deltas[i].part[LORA_WHOLE].type_name; j++) {
            size_t k = 0;
            while (a->wholes[k].param != base->pieces[j].param)
                k++;
            float *values = a->wholes[k].other.value;
            tensor_piece_read(r->model, base, &base->pieces[j], &r->deltas[i].part[LORA_WHOLE], style, values);
            int code = check_numbers(base, values, base->pieces[j].param->count, e);
            if (code)
                return code;
        }
    }
    return OK;
}

static int make(const struct lora_reader *r, lora_scale *scale, void *context, struct lora_want *wants,
                struct whole_list *wholes, struct lora_adapter *a, struct error *e)
{
    size_t n = 0, at = 0;
    int code = r->n_deltas ? OK : error_set(e, ERR_FORMAT, "there is no tensor of an adapter in it");
    for (size_t i = 0; i < r->base.n_tensors && !code; i++)
        if (is_pair(&r->deltas[i]))
            code = want_pairs(r, i, scale, context, wants, &n, e);
    if (!code)
        code = list_wholes(r, wholes, e);
    if (!code)
        code = check_apart(r, wholes, e);
    if (!code)
        code = lora_init_with(a, r->model, wants, n, wholes->params, wholes->n, e);
    if (code)
        return code;
    for (size_t i = 0; i < r->base.n_tensors && !code; i++) {
        if (!is_pair(&r->deltas[i]))
            continue;
        code = fill_pairs(r, i, &a->pairs[at], e);
        at += r->base.tensors[i].n_pieces;
    }
    if (!code)
        code = fill_wholes(r, a, e);
    if (code)
        lora_free(a);
    return code;
}

int lora_reader_finish(const struct lora_reader *r, lora_scale *scale, void *context, struct lora_adapter *a,
                       struct error *e)
{
    size_t most = r->model->n_params + 1;
    struct lora_want *wants = mem_alloc(most, sizeof *wants);
    struct whole_list wholes = {.params = mem_zero(most, sizeof *wholes.params), .rows = mem_zero(most, sizeof(size_t))};
    int code = make(r, scale, context, wants, &wholes, a, e);
    mem_free(wholes.params);
    mem_free(wholes.rows);
    mem_free(wants);
    return code;
}
