/* What a run to be resumed was trained with, and what may change about it. */
#ifndef LINNET_CLI_RESUME_H
#define LINNET_CLI_RESUME_H

#include "train/checkpoint.h"

struct stored_run {
    struct run_state state;
    char *config; /* YAML, as the last checkpoint holds it */
};

/* From the last checkpoint of the run directory. stored_run_free frees it, on failure too. */
int stored_run_read(const char *run, struct stored_run *s, struct error *e);
void stored_run_free(struct stored_run *s);

/* Says which keys of the configuration `config` (resolved, YAML) differ from the stored one, one line
 * each. ERR_USAGE for those that cannot: the model's shape, the tokenizer, the data, what trains, and what the
 * position in the data is counted in. `data_may_move`: the run holds no shard of its own, so its data
 * may lie elsewhere now. */
int stored_run_compare(const struct stored_run *s, const char *config, bool data_may_move,
                       struct error *e);

/* Whether the two differ in the value at `path` ("tune.probe"). What cannot be read does not differ. */
bool stored_run_changes(const struct stored_run *s, const char *config, const char *path);

#endif
