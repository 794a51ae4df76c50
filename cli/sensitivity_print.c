#include "cli/sensitivity.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static const struct sensitivity_case *cell_at(const struct sensitivity_table *t, size_t unit, size_t type)
{
    return &t->cells[unit * t->n_types + type];
}

static const char *type_name(const struct sensitivity_table *t, size_t type)
{
    return dtype_info(t->types[type])->name;
}

/* Of a tensor, when its unit has this type: what stands in for it, where it does not fit. */
static const char *given_name(const struct sensitivity_table *t, size_t tensor, size_t type)
{
    return dtype_info(t->plans[type].types[tensor].type)->name;
}

/* --- the table --- */

enum { NUMBER = 12 }; /* columns of a number */

static int name_width(const struct sensitivity_table *t)
{
    size_t width = strlen("bits a weight");
    for (size_t i = 0; i < t->n_units; i++)
        width = strlen(t->units[i].name) > width ? strlen(t->units[i].name) : width;
    return (int)width;
}

static void print_sums(const struct sensitivity_table *t, int width)
{
    printf("%-*s%*zu", width, "sum", NUMBER, t->n_weights);
    for (size_t j = 0; j < t->n_types; j++) {
        double kl = 0;
        for (size_t i = 0; i < t->n_units; i++)
            kl += cell_at(t, i, j)->kl / (double)t->n_tokens;
        printf("%*.2e", NUMBER, kl);
    }
    printf("\n%-*s%*s", width, "sum of loss", NUMBER, "");
    for (size_t j = 0; j < t->n_types; j++) {
        double nats = 0;
        for (size_t i = 0; i < t->n_units; i++)
            nats += cell_at(t, i, j)->nats / (double)t->n_tokens;
        printf("%+*.2e", NUMBER, nats);
    }
    printf("\n%-*s%*s", width, "bits a weight", NUMBER, "");
    for (size_t j = 0; j < t->n_types; j++) {
        size_t bytes = 0;
        for (size_t i = 0; i < t->n_units; i++)
            bytes += sensitivity_cell_bytes(t, i, j);
        printf("%*.4f", NUMBER, 8 * (double)bytes / (double)t->n_weights);
    }
    putchar('\n');
}

void sensitivity_print(const struct sensitivity_table *t)
{
    const int width = name_width(t);
    printf("KL divergence, nats a token, when one %s alone is rounded; %zu tokens, loss %.5f\n\n",
           t->by_layer ? "layer" : "matrix", t->n_tokens, t->nats / (double)t->n_tokens);
    printf("%-*s%*s", width, "name", NUMBER, "weights");
    for (size_t j = 0; j < t->n_types; j++)
        printf("%*s", NUMBER, type_name(t, j));
    puts(t->chosen ? "  chosen" : "");
    for (size_t i = 0; i < t->n_units; i++) {
        printf("%-*s%*zu", width, t->units[i].name, NUMBER, t->units[i].n_weights);
        for (size_t j = 0; j < t->n_types; j++)
            printf("%*.2e", NUMBER, cell_at(t, i, j)->kl / (double)t->n_tokens);
        if (t->chosen)
            printf("  %s", type_name(t, t->chosen[i]));
        putchar('\n');
    }
    print_sums(t, width);
    if (t->chosen) {
        const struct sensitivity_choice sum = sensitivity_chosen(t);
        printf("\nchosen: %.4f bits a weight, KL divergence %.6f in sum\n", sum.bits, sum.kl);
    }
}

/* --- for machines --- */

static json_t *cell_json(const struct sensitivity_table *t, size_t unit, size_t type)
{
    const struct sensitivity_unit *u = &t->units[unit];
    const struct sensitivity_case *c = cell_at(t, unit, type);
    return json_pack("{s:s, s:f, s:f, s:f}", "given", given_name(t, u->tensors[0], type), "bits",
                     8 * (double)sensitivity_cell_bytes(t, unit, type) / (double)u->n_weights, "kl",
                     c->kl / (double)t->n_tokens, "loss", c->nats / (double)t->n_tokens);
}

static json_t *choice_json(const struct sensitivity_table *t)
{
    const struct sensitivity_choice sum = sensitivity_chosen(t);
    json_t *types = json_object();
    for (size_t i = 0; i < t->n_units; i++)
        for (size_t j = 0; j < t->units[i].n_tensors; j++) {
            const size_t tensor = t->units[i].tensors[j];
            json_object_set_new(types, t->list.tensors[tensor].name, json_string(given_name(t, tensor, t->chosen[i])));
        }
    return json_pack("{s:f, s:f, s:f, s:o}", "bits", sum.bits, "kl", sum.kl, "loss", sum.loss, "types", types);
}

json_t *sensitivity_json(const struct sensitivity_table *t)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < t->n_units; i++) {
        json_t *types = json_object();
        for (size_t j = 0; j < t->n_types; j++)
            json_object_set_new(types, type_name(t, j), cell_json(t, i, j));
        json_array_append_new(rows, json_pack("{s:s, s:I, s:o}", "name", t->units[i].name, "weights",
                                              (json_int_t)t->units[i].n_weights, "types", types));
    }
    json_t *root = json_pack("{s:I, s:I, s:f, s:s, s:o}", "tokens", (json_int_t)t->n_tokens, "weights",
                             (json_int_t)t->n_weights, "loss", t->nats / (double)t->n_tokens, "group",
                             t->by_layer ? "layer" : "tensor", "rows", rows);
    if (t->chosen)
        json_object_set_new(root, "choice", choice_json(t));
    return root;
}

/* --- a file of types --- */

/* All of a name and nothing else, as a regular expression. */
static void append_pattern(struct buffer *out, const char *name)
{
    buffer_byte(out, '^');
    for (; *name; name++) {
        if (strchr(".^$|()[]{}*+?\\", *name))
            buffer_byte(out, '\\');
        buffer_byte(out, *name);
    }
    buffer_byte(out, '$');
}

int sensitivity_write(const struct sensitivity_table *t, const char *path, struct error *e)
{
    const struct sensitivity_choice sum = sensitivity_chosen(t);
    struct buffer text = {0};
    buffer_printf(&text, "# %.4f bits a weight; KL divergence %.6f nats a token in sum, each %s rounded alone\n", sum.bits,
                  sum.kl, t->by_layer ? "layer" : "matrix");
    for (size_t i = 0; i < t->list.n_tensors; i++)
        for (size_t j = 0; j < t->n_units; j++)
            for (size_t k = 0; k < t->units[j].n_tensors; k++)
                if (t->units[j].tensors[k] == i) {
                    append_pattern(&text, t->list.tensors[i].name);
                    buffer_printf(&text, "=%s\n", given_name(t, i, t->chosen[j]));
                }
    int code = file_write(path, text.data, text.size, e);
    buffer_free(&text);
    return code;
}
