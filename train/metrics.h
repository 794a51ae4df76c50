/* metrics.jsonl: one JSON object a line, written through at once. */
#ifndef LINNET_TRAIN_METRICS_H
#define LINNET_TRAIN_METRICS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct metrics {
    FILE *file;
    char *path;
};

/* Opens for appending. Lines of steps after `step` are dropped first, so that a resumed run's file
 * reads as if it had never been interrupted. */
int metrics_open(struct metrics *m, const char *path, size_t step, struct error *e);
void metrics_close(struct metrics *m);
/* Whether a line of this step has a member of that name. */
int metrics_hold(const struct metrics *m, size_t step, const char *name, bool *holds,
                 struct error *e);

struct metric {
    const char *name; /* NULL ends a list */
    double value;     /* written with enough digits to be read back exactly */
};
/* {"step": N, "name": value, ...} */
int metrics_write(struct metrics *m, size_t step, const struct metric *values, struct error *e);

#endif
