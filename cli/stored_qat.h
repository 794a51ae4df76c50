/* Fake quantisation in the commands that use what a run with an adapter came to, which is a model only with it. */
#ifndef LINNET_CLI_STORED_QAT_H
#define LINNET_CLI_STORED_QAT_H

#include "qat/qat.h"

/* What a run that is there trained for: the section of its config.yaml. Must not move. */
struct stored_qat {
    struct qat_options options; /* types.type NULL: no quantisation */
    struct option_section section;
    struct options all;
    struct qat qat;
    bool attached;
};

/* stored_qat_free in any case. ERR_USAGE names the file and the key; ERR_IO. */
int stored_qat_read(struct stored_qat *s, const char *run, struct error *e);
/* Shows the model of such a run, whose adapter is attached, the rounded weights, all of which are kept: nothing trains. Not
 * where the run trained for no quantisation. `in_integers`: as model_use_integers, which is to be called after this, as
 * is model_interleave. Errors as qat_init and qat_attach. */
int stored_qat_attach(struct stored_qat *s, struct model *m, struct lora_adapter *adapter, bool in_integers,
                      struct error *e);
/* Before the adapter is detached. Harmless where nothing was read (all zeros). */
void stored_qat_free(struct stored_qat *s);
/* What distinguishes these rounded weights from others of the same model and adapter. */
uint64_t stored_qat_hash(const struct stored_qat *s, uint64_t h);

#endif
