/* A reference (align/reference.h) that was computed before: log-probabilities out of a file. */
#ifndef LINNET_ALIGN_STORED_REFERENCE_H
#define LINNET_ALIGN_STORED_REFERENCE_H

#include "align/reference.h"
#include "align/reference_file.h"
#include "data/example.h"

struct stored_reference {
    double *logps; /* (count) by the number that an example has in batches */
    size_t count;
};

/* Finds every answer of both datasets, either of which may be NULL or empty, in a sorted table; the table need not outlive
 * it. Examples are numbered as batches number them: first those of `train`, then those of `held_out`. ERR_FORMAT when
 * answers are missing, or are there with another number of targets: says how many and where the first one comes from.
 * `path`: the table's file. stored_reference_free, needless on failure. */
int stored_reference_init(struct stored_reference *s, const struct reference_table *t, const char *path,
                          const struct examples *train, const struct examples *held_out, struct error *e);
void stored_reference_free(struct stored_reference *s);

/* Needs no memory of a batch's; s must outlive it. A batch may hold examples of the datasets alone (CHECK). */
struct reference stored_reference(struct stored_reference *s);

#endif
