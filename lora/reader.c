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
    for (size_t i = 0; i < base->n_pieces; i++)
        if (!lora_linear(r->model, base->pieces[i].param))
            return error_set(e, ERR_FORMAT, "tensor %s: %s is no linear layer's", name, base->name);
    return OK;
}

/* A is (rank, in), B is (out, rank). */
static int check_shape(const char *name, const struct tensor *base, enum lora_half half, const struct stored_tensor *t,
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

int lora_reader_add(struct lora_reader *r, const char *name, const char *base_name, enum lora_half half,
                    const struct stored_tensor *t, struct error *e)
{
    const struct tensor *base = tensor_list_find(&r->base, base_name);
    if (!base)
        return error_set(e, ERR_FORMAT, "tensor %s: the model (%s, %zu layers) has no %s; the adapter is of another model",
                         name, architecture(r)->name, r->model->config.num_hidden_layers, base_name);
    int code = check_base(r, name, base, e);
    if (!code)
        code = check_shape(name, base, half, t, e);
    if (code)
        return code;
    struct stored_tensor *own = &r->deltas[base - r->base.tensors].half[half];
    if (own->type_name)
        return error_set(e, ERR_FORMAT, "tensor %s: a second one of %s", name, base_name);
    *own = *t;
    r->n_deltas++;
    return OK;
}

/* --- making it --- */

static int check_halves(const struct tensor *base, const struct lora_delta *d, struct error *e)
{
    const struct stored_tensor *a = &d->half[LORA_A], *b = &d->half[LORA_B];
    if (!a->type_name || !b->type_name)
        return error_set(e, ERR_FORMAT, "of %s there is only %s: the adapter is incomplete", base->name,
                         a->type_name ? "A and no B" : "B and no A");
    if (a->shape[0] != b->shape[1])
        return error_set(e, ERR_FORMAT, "of %s A has rank %zu and B rank %zu", base->name, a->shape[0], b->shape[1]);
    return OK;
}

static bool is_there(const struct lora_delta *d)
{
    return d->half[LORA_A].type_name || d->half[LORA_B].type_name;
}

/* One pair for each parameter that lies in the tensor. */
static int want_pairs(const struct lora_reader *r, size_t i, lora_scale *scale, void *context, struct lora_want *wants,
                      size_t *n, struct error *e)
{
    const struct tensor *base = &r->base.tensors[i];
    size_t rank = r->deltas[i].half[LORA_A].shape[0];
    double factor = 1;
    int code = check_halves(base, &r->deltas[i], e);
    if (!code)
        code = scale(context, base, rank, &factor, e);
    if (!code && !isfinite((float)factor))
        code = error_set(e, ERR_FORMAT, "%s: a scale of %g", base->name, factor);
    for (size_t j = 0; j < base->n_pieces && !code; j++)
        wants[(*n)++] = (struct lora_want){.linear = lora_linear(r->model, base->pieces[j].param), .rank = rank,
                                           .scale = (float)factor, .shares_a = j > 0};
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

/* Rows of B in the order in which the model holds those of the weight. */
static void read_b(const struct lora_reader *r, const struct tensor_piece *piece, const struct stored_tensor *t,
                   struct lora_pair *pair)
{
    const struct model_config *c = &r->model->config;
    enum rope_style style = r->container == CONTAINER_GGUF ? architecture(r)->gguf_rope_style : ROPE_HALF;
    bool reordered = param_is_rotated(piece->param) && style != c->rope_style;
    for (size_t j = 0; j < piece->rows; j++) {
        size_t row = reordered ? rope_row(j, c->head_dim, style, c->rope_style) : j;
        read_row(t, piece->row + row, pair->b->value + (piece->param_row + j) * pair->rank);
    }
}

static int fill_pairs(const struct lora_reader *r, size_t i, struct lora_pair *pairs, struct error *e)
{
    const struct tensor *base = &r->base.tensors[i];
    const struct lora_delta *d = &r->deltas[i];
    size_t rank = pairs->rank;
    for (size_t j = 0; j < rank; j++)
        read_row(&d->half[LORA_A], j, pairs->a->value + j * base->cols);
    int code = check_numbers(base, pairs->a->value, rank * base->cols, e);
    for (size_t j = 0; j < base->n_pieces && !code; j++) {
        read_b(r, &base->pieces[j], &d->half[LORA_B], &pairs[j]);
        code = check_numbers(base, pairs[j].b->value, base->pieces[j].rows * rank, e);
    }
    return code;
}

int lora_reader_finish(const struct lora_reader *r, lora_scale *scale, void *context, struct lora_adapter *a,
                       struct error *e)
{
    struct lora_want *wants = mem_alloc(r->model->n_params + 1, sizeof *wants);
    size_t n = 0, at = 0;
    int code = r->n_deltas ? OK : error_set(e, ERR_FORMAT, "there is no tensor of an adapter in it");
    for (size_t i = 0; i < r->base.n_tensors && !code; i++)
        if (is_there(&r->deltas[i]))
            code = want_pairs(r, i, scale, context, wants, &n, e);
    if (!code)
        code = lora_init(a, r->model, wants, n, e);
    mem_free(wants);
    if (code)
        return code;
    for (size_t i = 0; i < r->base.n_tensors && !code; i++) {
        if (!is_there(&r->deltas[i]))
            continue;
        code = fill_pairs(r, i, &a->pairs[at], e);
        at += r->base.tensors[i].n_pieces;
    }
    if (code)
        lora_free(a);
    return code;
}
