/* Learning-rate schedules. Step numbers count from 0. */
#ifndef LINNET_OPTIM_SCHEDULE_H
#define LINNET_OPTIM_SCHEDULE_H

#include <stddef.h>

enum schedule_kind {
    SCHEDULE_COSINE,   /* half a cosine from the peak to the floor (Loshchilov and Hutter, 2017) */
    SCHEDULE_LINEAR,   /* a straight line from the peak to the floor */
    SCHEDULE_CONSTANT, /* the peak throughout */
    SCHEDULE_WSD,      /* the peak, then over the last decay_iters a line to the floor
                          (Hu et al., 2024) */
};

struct schedule {
    enum schedule_kind kind;
    double peak, floor;   /* learning rates */
    size_t warmup_iters;  /* linear rise: step s < warmup uses peak * (s + 1) / warmup */
    size_t decay_iters;   /* SCHEDULE_WSD only */
    size_t iters;         /* the run's length; the floor is reached at its last step */
};

double schedule_at(const struct schedule *s, size_t step);

#endif
