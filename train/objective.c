#include "train/objective.h"

#include "model/decoder.h"

struct output_layer objective_output_layer(struct model *m, bool backward)
{
    struct param *weight = m->head.weight, *bias = m->head.bias;
    struct output_layer layer = decoder_output_layer(m);
    if (backward && weight->grad) {
        layer.dw = weight->grad;
        layer.dw_beta = param_grad_beta(weight);
    }
    if (backward && bias && bias->grad)
        layer.dbias = bias->grad;
    return layer;
}

size_t objective_count(const struct objective *o, const struct batch *b)
{
    return o->count ? o->count(o, b) : b->n_targets;
}

void objective_begin(const struct objective *o, struct activations *a, const struct batch *b, float *scratch)
{
    if (o->begin)
        o->begin(o, a, b, scratch);
}

void objective_clear(const struct objective *o)
{
    for (size_t i = 0; i < o->n_measures; i++)
        o->measures[i].sum = o->measures[i].count = 0;
}

int objective_check(const struct objective *o, struct error *e)
{
    if (!o->failure || !o->failure->code)
        return OK;
    if (e)
        *e = *o->failure;
    return o->failure->code;
}
