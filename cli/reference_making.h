/* Making a file of a reference's log-probabilities (align/reference_file.h): what linnet reference does, and linnet dpo before
 * all weights train. */
#ifndef LINNET_CLI_REFERENCE_MAKING_H
#define LINNET_CLI_REFERENCE_MAKING_H

#include "align/reference_file.h"
#include "cli/dataset.h"
#include "cli/tuning.h"

/* What says whose reference it is: the model without any adapter of t's, its tokenizer, how it multiplies. Borrows. */
struct reference_description reference_describe(struct tuned *t, const struct train_settings *s);

/* How likely the model holds all answers of d, training and held out, which is written to `path`. The model has no adapter.
 * *table is zeroed before; reference_table_free in any case. ERR_INTERRUPTED after a signal, with nothing written. */
int reference_make(struct tuned *t, const struct dataset *d, const struct train_settings *s, const char *path,
                   struct reference_table *table, struct error *e);

#endif
