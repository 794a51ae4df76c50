/* Fake quantisation in the commands that train: the section `qat`, whatever else they do. */
#ifndef LINNET_CLI_QAT_H
#define LINNET_CLI_QAT_H

#include "qat/qat.h"
#include "train/trainer.h"

/* Must not move once it is open. */
struct qat_run {
    struct qat qat;
    struct weight_view view;
    bool open;
};

/* Gives the trainer, whose model and params are there, the view that the options ask for, and what it adds to the params, to be
 * used until qat_run_close; without `type` nothing. Errors as
 * qat_init. qat_run_close in any case, and before the model and the adapter are freed. */
int qat_run_open(struct qat_run *r, const struct qat_options *o, struct trainer *t, struct lora_adapter *adapter,
                 struct error *e);
void qat_run_close(struct qat_run *r);

/* Makes the importance matrix's path one that is good from every directory, and of files of tensor types their lines, for the
 * run is used from others; and warns of what is asked for beside a `type` that is not given. Errors of the files. */
int qat_options_settle(const struct options *all, struct qat_options *o, struct error *e);

/* The line about it at the start of a run, and warnings; nothing without. */
void qat_run_say(const struct qat_run *r);

#endif
