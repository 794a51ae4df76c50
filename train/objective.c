#include "train/objective.h"

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
