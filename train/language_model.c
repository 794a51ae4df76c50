#include "kernels/cross_entropy.h"
#include "train/objective.h"

static size_t scratch_floats(const struct objective *o, const struct model_config *c, size_t n)
{
    (void)o;
    return linear_cross_entropy_scratch(n, c->hidden_size, c->vocab_size);
}

static double loss(const struct objective *o, struct model *m, const struct batch *b,
                   const void *hidden, enum dtype type, float scale, float *dhidden,
                   float *scratch)
{
    (void)o;
    const struct param *head = m->head.weight;
    return linear_cross_entropy(hidden, param_values(head, type), type, b->targets, scale, NULL,
                                dhidden, head->grad, b->n_rows * b->seq_len, head->cols,
                                head->rows, scratch);
}

const struct objective language_model_objective = {
    .name = "language model",
    .scratch = scratch_floats,
    .loss = loss,
};
