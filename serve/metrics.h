/* What the server has done so far, as Prometheus reads it (text exposition format 0.0.4). */
#ifndef LINNET_SERVE_METRICS_H
#define LINNET_SERVE_METRICS_H

#include "base/buffer.h"
#include "infer/scheduler.h"

#include <stdatomic.h>

enum { METRICS_ENDPOINTS = 9, METRICS_STATUSES = 600 };

struct metrics {
    atomic_uint_fast64_t requests[METRICS_ENDPOINTS][METRICS_STATUSES];
};

/* Safe from several threads at once. Endpoints and statuses beyond those there are count as the last. */
void metrics_count(struct metrics *m, size_t endpoint, int status);
/* names (n), NULL-terminated: of the endpoints. */
void metrics_print(struct metrics *m, const char *const *names, const struct scheduler_stats *s, struct buffer *out);

#endif
