/* Where time goes, by kind of operation. Kernels switch the kind when they begin and back when they end,
 * so that each second counts once, for the innermost; always on (two readings of the clock a call).
 * Counts the calling thread's time alone: kernels are called from one and spread the work themselves. */
#ifndef LINNET_KERNELS_PROFILE_H
#define LINNET_KERNELS_PROFILE_H

enum profile_kind {
    PROFILE_OTHER, /* between kernels: data, bookkeeping */
    PROFILE_PRODUCTS,
    PROFILE_ATTENTION,
    PROFILE_NORMS,
    PROFILE_ROTATION,
    PROFILE_ACTIVATION,
    PROFILE_RESIDUAL,
    PROFILE_EMBEDDING,
    PROFILE_LOSS,
    PROFILE_OPTIMIZER,
    PROFILE_ROUNDING, /* of weights, to blocks: qat/ */
    PROFILE_KINDS,
};

/* From now on time is of this kind; returns the kind until now, for profile_leave. */
enum profile_kind profile_enter(enum profile_kind kind);
void profile_leave(enum profile_kind previous);

void profile_reset(void);
/* Seconds since the last reset, and what the kind is called. */
double profile_seconds(enum profile_kind kind);
const char *profile_name(enum profile_kind kind);

#endif
