#include "kernels/cross_entropy.h"

#include "kernels/table.h"

#include <math.h>

struct row_targets {
    const int32_t *targets;
    const float *weights; /* NULL: 1 each */
};

/* The loss of one row of logits, which become scale * (softmax - onehot) * slope if `backward`, in `type`: a
 * row in bf16 takes the first half of the row's place. The slope is the cap's, 1 - (logit / cap)^2. */
static float row_cross_entropy(void *context, const struct logit_row *r)
{
    const struct row_targets *rows = context;
    const struct kernel_table *table = kernel_table();
    const int32_t target = rows->targets[r->row];
    const size_t v = r->v;
    const float softcap = r->softcap, scale = rows->weights ? r->scale * rows->weights[r->row] : r->scale;
    float *logits = r->logits;
    bool capped = softcap > 0;
    float max = table->max(logits, v), own = logits[target];
    double sum = table->exp_sum(r->backward && !capped ? logits : NULL, logits, max, v);
    float loss = (float)(log(sum) + max - own);
    if (!r->backward)
        return loss;
    float factor = (float)(scale / sum), at_target;
    if (capped) {
        at_target = (expf(own - max) * factor - scale) * (1 - own / softcap * (own / softcap));
        table->capped_gradient(logits, r->type, max, factor, softcap, v);
    } else {
        at_target = logits[target] * factor - scale;
        if (r->type == DTYPE_BF16)
            table->scale_to_bf16((uint16_t *)logits, logits, factor, v);
        else
            table->scale(logits, factor, v);
    }
    if (r->type == DTYPE_BF16)
        bf16_from_f32(&at_target, (uint16_t *)logits + target, 1);
    else
        logits[target] = at_target;
    return loss;
}

double linear_weighted_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                                     const int32_t *targets, const float *weights, float scale, float *row_losses,
                                     float *dhidden, size_t n, float *scratch)
{
    struct row_targets rows = {targets, weights};
    const struct row_loss loss = {.context = &rows, .row = row_cross_entropy};
    return linear_loss(layer, type, hidden, targets, &loss, scale, row_losses, dhidden, n, scratch);
}

double linear_cross_entropy(const struct output_layer *layer, enum dtype type, const void *hidden,
                            const int32_t *targets, float scale, float *row_losses, float *dhidden,
                            size_t n, float *scratch)
{
    return linear_weighted_cross_entropy(layer, type, hidden, targets, NULL, scale, row_losses, dhidden, n, scratch);
}
