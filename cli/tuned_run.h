/* The directory of a run that trained an adapter, given where a model is expected. */
#ifndef LINNET_CLI_TUNED_RUN_H
#define LINNET_CLI_TUNED_RUN_H

#include "base/error.h"
#include "tokenizer/tokenizer.h"

/* The base model that such a run began with, from its config.yaml; the caller frees it. NULL: `path` is no such run. The
 * run's directory is then what --adapter takes. */
char *tuned_run_base(const char *path);

/* Gives the base's tokenizer the chat template that the run was trained with. */
int tuned_run_template(const char *path, struct tokenizer *t, struct error *e);

/* A warning where such a run, given as an adapter beside some model, was trained with --qat: its adapter was trained to be
 * rounded together with the base. */
void tuned_run_warn_of_qat(const char *path);

#endif
