/* Error-compensating quantisation: the blocks of a model's matrices made so that the layers' outputs on a calibration text
 * change least (kernels/compensate.h), instead of each weight by itself.
 *
 * Block after block of the decoder: the text runs through what is quantised already, so that later matrices see the inputs
 * that they will have, and within a block the same for each step (queries, keys and values; attention's output; gate and
 * up; down). Each expert has the tokens that went to it, `down` of one with the router's weight on them, as that is what its
 * error is multiplied with. */
#ifndef LINNET_EXPORT_COMPENSATE_H
#define LINNET_EXPORT_COMPENSATE_H

#include "model/tensors.h"
#include "qat/types.h"

struct compensate_options {
    const int32_t *ids; /* (n_chunks, context), rows of the embedding (CHECK); borrowed. NULL: nothing is compensated for */
    size_t n_chunks, context;
    double damping;     /* what is added to the diagonal of X^T X, as a share of its mean; above 0 */
};

/* What became of one entry of the parameter table. */
struct compensated {
    struct param *param;   /* NULL: it is no matrix that gets blocks, or has blocks of that type already */
    const char *tensor;    /* its name in a GGUF file */
    enum dtype type;
    const float *importance; /* (cols) of the plan, for those that are rounded plainly; NULL: none */
    bool wanted;           /* to be compensated for: all but the embedding, and types that kernels/relevel.h does not know */
    void *blocks;          /* of the parameter's rows in their order in memory; NULL until they are made */
    struct param_view view;
};

struct compensation {
    struct model *model;
    struct compensated *matrices;    /* (n_params) */
    size_t n_compensated;
    size_t n_starved;                /* for which there were too few tokens: rounded plainly */
    size_t n_damped;                 /* matrices that needed more damping */
};

/* Makes the blocks of all matrices and shows them to the model (param_view) until compensation_free; they are all in
 * memory until then, beside the inputs of one decoder block for the whole text and X^T X of one step. The model has no views
 * and no hooks (CHECK). Bit for bit the same for any number of threads.
 * ERR_USAGE: no matrix gets a type that errors can be compensated for in. ERR_FORMAT names a matrix: inputs or weights that
 * are no numbers, or too large for its type. ERR_MEMORY. compensation_free in any case. */
int compensate_model(struct compensation *c, struct model *m, const struct type_plan *plan,
                     const struct compensate_options *o, struct error *e);
void compensation_free(struct compensation *c);

#endif
