#include "kernels/profile.h"

#include "base/log.h"

#include <string.h>

static _Thread_local double seconds[PROFILE_KINDS], since;
static _Thread_local enum profile_kind current;

static const char *const names[PROFILE_KINDS] = {
    [PROFILE_OTHER] = "everything else",  [PROFILE_PRODUCTS] = "matrix products",
    [PROFILE_ATTENTION] = "attention",    [PROFILE_NORMS] = "norms",
    [PROFILE_ROTATION] = "rotation",      [PROFILE_ACTIVATION] = "gated activation",
    [PROFILE_RESIDUAL] = "residual",      [PROFILE_EMBEDDING] = "embedding",
    [PROFILE_LOSS] = "softmax and loss",  [PROFILE_OPTIMIZER] = "optimiser",
    [PROFILE_ROUNDING] = "rounding weights",
};

enum profile_kind profile_enter(enum profile_kind kind)
{
    enum profile_kind previous = current;
    double now = clock_seconds();
    seconds[current] += now - since;
    since = now;
    current = kind;
    return previous;
}

void profile_leave(enum profile_kind previous)
{
    profile_enter(previous);
}

void profile_reset(void)
{
    memset(seconds, 0, sizeof seconds);
    since = clock_seconds();
}

double profile_seconds(enum profile_kind kind)
{
    return seconds[kind];
}

const char *profile_name(enum profile_kind kind)
{
    return names[kind];
}
