#include "cli/sensitivity.h"

#include "base/check.h"
#include "base/memory.h"
#include "qat/choose.h"

#include <string.h>

/* --- rows --- */

static int check_source(const struct model *m, struct error *e)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (dtype_info(m->params[i].type)->block > 1)
            return error_set(e, ERR_USAGE,
                             "%s is %s already; measure the model it was made from", m->params[i].name,
                             dtype_info(m->params[i].type)->name);
    return OK;
}

/* The row that a tensor belongs to: an output layer that repeats the embedding is of the same parameter. */
static struct sensitivity_unit *unit_of(struct sensitivity_table *t, const struct tensor *tensor)
{
    const struct param *p = tensor->pieces[0].param;
    for (size_t i = 0; i < t->n_units; i++)
        if (t->units[i].key == p || (t->by_layer && p->layer >= 0 && t->units[i].layer == p->layer))
            return &t->units[i];
    struct sensitivity_unit *unit = &t->units[t->n_units++];
    *unit = (struct sensitivity_unit){.key = p, .layer = p->layer,
                                      .tensors = mem_alloc(t->list.n_tensors, sizeof *unit->tensors)};
    unit->name = t->by_layer && p->layer >= 0 ? mem_printf("blk.%d", p->layer) : mem_string(tensor->name);
    return unit;
}

static void find_units(struct sensitivity_table *t)
{
    t->units = mem_zero(t->list.n_tensors, sizeof *t->units);
    for (size_t i = 0; i < t->list.n_tensors; i++) {
        const struct tensor *tensor = &t->list.tensors[i];
        if (tensor->vector)
            continue;
        struct sensitivity_unit *unit = unit_of(t, tensor);
        unit->tensors[unit->n_tensors++] = i;
        unit->n_weights += tensor->rows * tensor->cols;
        if (!tensor->tied_head)
            unit->n_params += tensor->n_pieces;
    }
    for (size_t i = 0; i < t->n_units; i++)
        t->n_weights += t->units[i].n_weights;
}

/* --- cells --- */

static int plan_types(struct sensitivity_table *t, struct model *m, const struct imatrix *importance,
                      const char *importance_name, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < t->n_types && !code; i++) {
        t->mixes[i] = (struct mix){.name = dtype_info(t->types[i])->name, .type = t->types[i]};
        t->wishes[i] = (struct type_wishes){.mix = &t->mixes[i], .pure = true, .output_type = NO_TYPE,
                                            .embedding_type = NO_TYPE, .importance = importance,
                                            .importance_name = importance_name};
        code = type_plan_init(&t->plans[i], m, &t->list, &t->wishes[i], e);
        if (!code)
            type_plan_warn(&t->plans[i]);
    }
    return code;
}

static size_t fill_cell(const struct sensitivity_table *t, const struct sensitivity_unit *unit, size_t type,
                        struct rounded_matrix *to)
{
    size_t n = 0;
    for (size_t i = 0; i < unit->n_tensors; i++) {
        const struct tensor *tensor = &t->list.tensors[unit->tensors[i]];
        const struct planned_type *planned = &t->plans[type].types[unit->tensors[i]];
        for (size_t j = 0; j < tensor->n_pieces && !tensor->tied_head; j++) {
            const size_t expert = tensor->n_dims == 3 ? j : 0;
            to[n++] = (struct rounded_matrix){
                .param = tensor->pieces[j].param, .type = planned->type, .tensor = tensor->name,
                .importance = planned->importance ? planned->importance + expert * tensor->cols : NULL};
        }
    }
    return n;
}

static void fill_cells(struct sensitivity_table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_units; i++)
        n += t->units[i].n_params * t->n_types;
    t->matrices = mem_zero(n, sizeof *t->matrices);
    t->cells = mem_zero(t->n_units * t->n_types, sizeof *t->cells);
    struct rounded_matrix *next = t->matrices;
    for (size_t i = 0; i < t->n_units; i++)
        for (size_t j = 0; j < t->n_types; j++) {
            const size_t n_matrices = fill_cell(t, &t->units[i], j, next);
            CHECK(n_matrices == t->units[i].n_params);
            t->cells[i * t->n_types + j] = (struct sensitivity_case){.matrices = next, .n_matrices = n_matrices};
            next += n_matrices;
        }
}

int sensitivity_table_init(struct sensitivity_table *t, struct model *m, const enum dtype *types, size_t n_types,
                           const struct imatrix *importance, const char *importance_name, bool by_layer, struct error *e)
{
    CHECK(n_types > 0);
    *t = (struct sensitivity_table){.by_layer = by_layer, .n_types = n_types};
    int code = check_source(m, e);
    if (code)
        return code;
    t->types = mem_alloc(n_types, sizeof *t->types);
    memcpy(t->types, types, n_types * sizeof *t->types);
    t->mixes = mem_zero(n_types, sizeof *t->mixes);
    t->wishes = mem_zero(n_types, sizeof *t->wishes);
    t->plans = mem_zero(n_types, sizeof *t->plans);
    tensor_list_init(&t->list, m, CONTAINER_GGUF, model_architecture(&m->config)->head_in_gguf);
    code = plan_types(t, m, importance, importance_name, e);
    if (code)
        return code;
    find_units(t);
    fill_cells(t);
    return OK;
}

void sensitivity_table_free(struct sensitivity_table *t)
{
    for (size_t i = 0; i < t->n_units; i++) {
        mem_free(t->units[i].name);
        mem_free(t->units[i].tensors);
    }
    for (size_t i = 0; t->plans && i < t->n_types; i++)
        type_plan_free(&t->plans[i]);
    if (t->types) /* the list was made after it */
        tensor_list_free(&t->list);
    mem_free(t->types);
    mem_free(t->mixes);
    mem_free(t->wishes);
    mem_free(t->plans);
    mem_free(t->units);
    mem_free(t->matrices);
    mem_free(t->cells);
    mem_free(t->chosen);
    *t = (struct sensitivity_table){0};
}

size_t sensitivity_same_cell(const struct sensitivity_table *t, size_t unit, size_t type)
{
    const struct sensitivity_case *cells = &t->cells[unit * t->n_types];
    for (size_t i = 0; i < type; i++) {
        size_t same = 0;
        while (same < cells[i].n_matrices && cells[i].matrices[same].type == cells[type].matrices[same].type)
            same++;
        if (same == cells[i].n_matrices)
            return i;
    }
    return type;
}

/* --- sizes and what is chosen --- */

size_t sensitivity_cell_bytes(const struct sensitivity_table *t, size_t unit, size_t type)
{
    const struct sensitivity_unit *u = &t->units[unit];
    size_t bytes = 0;
    for (size_t i = 0; i < u->n_tensors; i++) {
        const struct tensor *tensor = &t->list.tensors[u->tensors[i]];
        size_t of_tensor;
        CHECK(dtype_bytes(t->plans[type].types[u->tensors[i]].type, tensor->rows * tensor->cols, &of_tensor));
        bytes += of_tensor;
    }
    return bytes;
}

static double bits_of(const struct sensitivity_table *t, size_t bytes)
{
    return 8 * (double)bytes / (double)t->n_weights;
}

int sensitivity_check_budget(const struct sensitivity_table *t, double bits, struct error *e)
{
    size_t least = 0, most = 0;
    for (size_t i = 0; i < t->n_units; i++) {
        size_t smallest = SIZE_MAX, largest = 0;
        for (size_t j = 0; j < t->n_types; j++) {
            const size_t bytes = sensitivity_cell_bytes(t, i, j);
            smallest = bytes < smallest ? bytes : smallest;
            largest = bytes > largest ? bytes : largest;
        }
        least += smallest;
        most += largest;
    }
    if (bits < bits_of(t, least))
        return error_set(e, ERR_USAGE, "--budget %g: the smallest of these types take %.4f bits a weight; give more, or "
                         "smaller ones with --types", bits, bits_of(t, least));
    if (bits > bits_of(t, most))
        return error_set(e, ERR_USAGE, "--budget %g: the largest of these types take %.4f bits a weight, and there is nothing "
                         "to choose; give less, or larger ones with --types", bits, bits_of(t, most));
    return OK;
}

void sensitivity_choose(struct sensitivity_table *t, double bits)
{
    struct choice_point *points = mem_zero(t->n_units * t->n_types, sizeof *points);
    struct choice_item *items = mem_zero(t->n_units, sizeof *items);
    t->chosen = mem_zero(t->n_units, sizeof *t->chosen);
    for (size_t i = 0; i < t->n_units; i++) {
        items[i] = (struct choice_item){points + i * t->n_types, t->n_types};
        for (size_t j = 0; j < t->n_types; j++)
            points[i * t->n_types + j] = (struct choice_point){sensitivity_cell_bytes(t, i, j),
                                                               t->cells[i * t->n_types + j].kl};
    }
    /* sensitivity_check_budget has seen that it fits; a millionth of a bit is what rounding in between may cost */
    CHECK(choose_within(items, t->n_units, (size_t)((bits + 1e-6) * (double)t->n_weights / 8), t->chosen));
    mem_free(points);
    mem_free(items);
}

struct sensitivity_choice sensitivity_chosen(const struct sensitivity_table *t)
{
    struct sensitivity_choice sum = {0};
    size_t bytes = 0;
    for (size_t i = 0; i < t->n_units; i++) {
        const struct sensitivity_case *cell = &t->cells[i * t->n_types + t->chosen[i]];
        bytes += sensitivity_cell_bytes(t, i, t->chosen[i]);
        sum.kl += cell->kl / (double)t->n_tokens;
        sum.loss += cell->nats / (double)t->n_tokens;
    }
    sum.bits = bits_of(t, bytes);
    return sum;
}
