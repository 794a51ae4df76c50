/* What is trained for. The loop runs the decoder; an objective turns its final hidden states into a
 * loss and their gradient, and knows nothing of how weights are stored or which are trained. */
#ifndef LINNET_TRAIN_OBJECTIVE_H
#define LINNET_TRAIN_OBJECTIVE_H

#include "base/error.h"
#include "data/batch.h"
#include "model/activations.h"

#include <stdbool.h>
#include <stddef.h>

/* What is measured beside the loss; its mean is sum / count. */
struct measure {
    const char *name;
    double sum, count;
};

struct objective {
    const char *name;
    void *context;
    bool is_likelihood; /* the loss is that of the targets' tokens: e^loss is a perplexity */
    /* `loss` adds to them; whoever calls it sets them to 0 first and reads them. */
    struct measure *measures;
    size_t n_measures;
    /* Filled by `loss` where it could not do its work; what it returned is then of no use. NULL: it cannot fail. */
    struct error *failure;
    /* Bytes that it holds beside its scratch for batches of at most n_rows x seq_len tokens, and the call that takes them,
     * before the first batch; NULL: none. */
    size_t (*bytes)(const struct objective *o, size_t n_rows, size_t seq_len);
    int (*prepare)(const struct objective *o, size_t n_rows, size_t seq_len, struct error *e);
    /* What the loss is a mean over: how many of it the batch has. NULL: its targets. */
    size_t (*count)(const struct objective *o, const struct batch *b);
    /* Called before the model runs on a batch, for what must be known of it first; NULL: nothing must. Until it returns the
     * activations and the scratch are its own to use, and the model's dropout is off. */
    void (*begin)(const struct objective *o, struct activations *a, const struct batch *b, float *scratch);
    /* Floats of scratch that `loss` and `begin` need for n tokens. */
    size_t (*scratch)(const struct objective *o, const struct model_config *c, size_t n);
    /* The sum of the loss over what it is a mean over, unscaled. hidden: (N, C) of `type`, in which
     * the output layer's weights are read too. When dhidden (N, C) is not NULL it is written, and the
     * output layer's gradient added to, both f32 and of scale * sum. */
    double (*loss)(const struct objective *o, struct model *m, const struct batch *b,
                   const void *hidden, enum dtype type, float scale, float *dhidden,
                   float *scratch);
};

/* Next-token prediction: the mean over targets of -log p(target). */
extern const struct objective language_model_objective;

/* The output layer, with gradients of what of it trains if `backward`. */
struct output_layer objective_output_layer(struct model *m, bool backward);
/* count and begin of any objective. */
size_t objective_count(const struct objective *o, const struct batch *b);
void objective_begin(const struct objective *o, struct activations *a, const struct batch *b, float *scratch);
/* Sets all measures to 0. */
void objective_clear(const struct objective *o);
/* The code of what went wrong in `loss` since the failure was last cleared, with the error. */
int objective_check(const struct objective *o, struct error *e);

#endif
