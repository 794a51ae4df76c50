/* Adapters on their way into a model's file, and how much of what they add the types of the file keep. */
#ifndef LINNET_EXPORT_MERGE_H
#define LINNET_EXPORT_MERGE_H

#include "lora/merge.h"
#include "model/tensors.h"

/* A matrix into which something was merged. With W the base's weights, D what the adapters add to them, as f32, stored()
 * a weight as the file holds it, and R = stored(W + D) - stored(W) what the file's weights were really moved by: */
struct merged_matrix {
    char name[PARAM_NAME_SIZE]; /* of the tensor in the file */
    enum dtype type;            /* there */
    double weight, delta;       /* <W, W>, <D, D> */
    double moved;               /* <R, D> */
    double error;               /* <R - D, R - D> */
};

/* What is merged, and what became of it: writing a file fills the matrices. */
struct merge {
    const struct lora_adapter *adapters; /* of the model that is written, one after another */
    size_t n_adapters;
    struct merged_matrix *matrices;      /* in the order of the file */
    size_t n_matrices;
};
void merge_free(struct merge *g); /* the results, not the adapters */

/* Whether an adapter of an output layer that is the embedding forces the two apart: the file gets both. */
bool merge_unties(const struct merge *g, const struct model *m);
/* ERR_USAGE where nobody reads a file of that container in which they are apart. */
int merge_check(const struct merge *g, const struct model *m, enum container container, struct error *e);

/* Whether rows of this piece of a tensor are changed: an embedding's own tensor never is. g may be NULL. */
bool merge_changes(const struct merge *g, const struct model *m, const struct tensor *t, size_t piece);

/* Adds rows to the sums: (n_rows, cols) of W, of W + D, and both as stored. The same sums with any number of threads. */
void merged_matrix_add(struct merged_matrix *x, const float *base, const float *merged, const float *stored_base,
                       const float *stored, size_t n_rows, size_t cols);

/* How large D is beside W; how much of D's direction arrived, 1 being all of it; and what arrived beside it, as a
 * multiple of D. Of a matrix or of sums over several. kept is 1 and noise 0 where there is no D at all. */
double merged_size(const struct merged_matrix *x);
double merged_kept(const struct merged_matrix *x);
double merged_noise(const struct merged_matrix *x);

/* Thresholds from docs/adapters.md. */
#define MERGE_KEPT 0.9
#define MERGE_NOISE 4.0
enum merge_verdict {
    MERGE_FINE,
    MERGE_DROWNED, /* noise above MERGE_NOISE: rounding changes predictions more than the adapters do */
    MERGE_ERASED,  /* less than MERGE_KEPT is kept: steps of the type are larger than what was to be added */
};
enum merge_verdict merge_judge(const struct merged_matrix *x);
const char *merge_verdict_name(enum merge_verdict v); /* "fine", "drowned", "erased" */
/* The sums over all matrices; its name is empty. */
struct merged_matrix merge_total(const struct merge *g);
/* Of the whole: erased where one matrix is, else what the sums are. *n_erased: how many are. */
enum merge_verdict merge_outcome(const struct merge *g, size_t *n_erased);

#endif
