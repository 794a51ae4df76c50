#include "kernels/cross_entropy.h"
#include "train/objective.h"

static size_t scratch_floats(const struct objective *o, const struct model_config *c, size_t n)
{
    (void)o;
    return linear_loss_scratch(n, c->hidden_size, c->vocab_size);
}

static double loss(const struct objective *o, struct model *m, const struct batch *b,
                   const void *hidden, enum dtype type, float scale, float *dhidden,
                   float *scratch)
{
    (void)o;
    struct output_layer layer = objective_output_layer(m, dhidden != NULL);
    return linear_cross_entropy(&layer, type, hidden, b->targets, scale, NULL, dhidden,
                                b->n_rows * b->seq_len, scratch);
}

const struct objective language_model_objective = {
    .name = "language model",
    .is_likelihood = true,
    .scratch = scratch_floats,
    .loss = loss,
};
