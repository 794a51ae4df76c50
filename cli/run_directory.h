/* The directory of a run that a command makes or continues: config.yaml, tokenizer.json, metrics.jsonl, checkpoints. */
#ifndef LINNET_CLI_RUN_DIRECTORY_H
#define LINNET_CLI_RUN_DIRECTORY_H

#include "base/error.h"
#include "tokenizer/tokenizer.h"

bool run_directory_holds(const char *run, const char *name);

/* ERR_USAGE when a run is there that is not to be continued, or none that is; or somebody else's model, whose files would
 * be replaced. */
int run_directory_check(const char *run, bool resume, struct error *e);

/* Makes the directory ours, and clean of what a killed run left half written. */
int run_directory_claim(const char *run, struct error *e);

/* Writes the resolved configuration and, unless NULL, the tokenizer with what belongs to it; `context`: the longest text
 * the model takes, for tokenizer_config.json. */
int run_directory_write(const char *run, const struct tokenizer *t, size_t context, const char *config, struct error *e);

#endif
