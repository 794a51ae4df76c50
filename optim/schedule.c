#include "optim/schedule.h"

#include <math.h>

/* How far a decay that begins at `begin` has come at `step`: 0 to 1 at the last step. */
static double progress(size_t step, size_t begin, size_t iters)
{
    if (step <= begin || iters <= begin + 1)
        return 0;
    double x = (double)(step - begin) / (double)(iters - 1 - begin);
    return x > 1 ? 1 : x;
}

double schedule_at(const struct schedule *s, size_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < s->warmup_iters)
        return s->peak * (double)(step + 1) / (double)s->warmup_iters;
    double range = s->peak - s->floor;
    switch (s->kind) {
    case SCHEDULE_COSINE:
        return s->floor + range * 0.5 * (1 + cos(pi * progress(step, s->warmup_iters, s->iters)));
    case SCHEDULE_LINEAR:
        return s->peak - range * progress(step, s->warmup_iters, s->iters);
    case SCHEDULE_WSD: {
        size_t begin = s->decay_iters < s->iters ? s->iters - s->decay_iters : 0;
        if (begin < s->warmup_iters)
            begin = s->warmup_iters;
        return s->peak - range * progress(step, begin, s->iters);
    }
    case SCHEDULE_CONSTANT:
        break;
    }
    return s->peak;
}
