/* The table of `linnet sensitivity`: its rows are the matrices of a model, each alone or those of a layer together, its
 * columns types; and what is chosen from it. */
#ifndef LINNET_CLI_SENSITIVITY_H
#define LINNET_CLI_SENSITIVITY_H

#include "base/json.h"
#include "infer/sensitivity.h"
#include "qat/types.h"

/* A row. A cell is a sensitivity_case. */
struct sensitivity_unit {
    char *name;               /* a tensor's in GGUF files, or of its layer: "blk.3" */
    const struct param *key;  /* the first of its parameters */
    int layer;
    size_t *tensors;          /* numbers in the list */
    size_t n_tensors, n_params, n_weights;
};

struct sensitivity_table {
    bool by_layer;
    struct tensor_list list;        /* of CONTAINER_GGUF */
    enum dtype *types;              /* as asked for; columns that do not fit have what stands in, by the plans */
    size_t n_types;
    struct mix *mixes;              /* (n_types) of that type throughout; and what is wished of each, and comes of it */
    struct type_wishes *wishes;
    struct type_plan *plans;
    struct sensitivity_unit *units;
    size_t n_units, n_weights;
    struct rounded_matrix *matrices; /* of all cells */
    struct sensitivity_case *cells; /* (n_units, n_types) */
    size_t n_tokens;                /* of the text; and the sum of their -ln by the unrounded model */
    double nats;
    size_t *chosen;                 /* (n_units) numbers of types; NULL: nothing was */
};

/* The matrices of a model, for each of n > 0 types. importance: NULL for none; all are borrowed. What is out of the ordinary
 * but works is a warning. ERR_USAGE where the model has blocks already; errors of type_plan_init. In any case
 * sensitivity_table_free. */
int sensitivity_table_init(struct sensitivity_table *t, struct model *m, const enum dtype *types, size_t n_types,
                           const struct imatrix *importance, const char *importance_name, bool by_layer, struct error *e);
void sensitivity_table_free(struct sensitivity_table *t);

/* The first cell of the row that rounds everything to the same types: itself but where the columns fit neither of two
 * types and the same one stands in for both. */
size_t sensitivity_same_cell(const struct sensitivity_table *t, size_t unit, size_t type);
size_t sensitivity_cell_bytes(const struct sensitivity_table *t, size_t unit, size_t type);

/* Whether `bits` a weight are a budget for this table: ERR_USAGE where the smallest types take more, or all largest less. */
int sensitivity_check_budget(const struct sensitivity_table *t, double bits, struct error *e);
/* Chooses the types of least loss within it. */
void sensitivity_choose(struct sensitivity_table *t, double bits);

/* Of what is chosen: the mean of bits, and sums over the rows of what was measured, a token. */
struct sensitivity_choice {
    double bits, kl, loss;
};
struct sensitivity_choice sensitivity_chosen(const struct sensitivity_table *t);

/* cli/sensitivity_print.c: on stdout; and as lines PATTERN=TYPE of a file (qat/types.h), the same for the same table. */
void sensitivity_print(const struct sensitivity_table *t);
json_t *sensitivity_json(const struct sensitivity_table *t);
int sensitivity_write(const struct sensitivity_table *t, const char *path, struct error *e);

#endif
