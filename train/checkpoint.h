/* Checkpoints: one HDF5 file that holds everything a run needs to go on to the bit: weights,
 * moments, position in the data, and the configuration. Written to a temporary name, synced and
 * renamed; every dataset and the state carry checksums. See docs/file-formats.md. */
#ifndef LINNET_TRAIN_CHECKPOINT_H
#define LINNET_TRAIN_CHECKPOINT_H

#include "optim/optimizer.h"

struct hdf5_file;

struct run_state {
    uint64_t step;            /* steps done */
    uint64_t rows_consumed;   /* the training loader's position */
    uint64_t tokens_seen;     /* targets trained on */
    uint64_t tokenizer_hash;
    uint64_t data_hash;       /* of the shard's corpus and settings */
    double seconds;           /* of training so far, over all resumptions */
    double best_loss;         /* infinite before the first evaluation */
    uint64_t best_step, evals_since_best;
    double window_loss;       /* sum over the good steps since the last line of metrics */
    uint64_t window_steps;    /* these steps */
    uint64_t window_skipped;  /* and those whose numbers were not finite */
    uint64_t iters;           /* the length the run had when this was saved; 0: not known */
    uint64_t base_hash;       /* of the frozen or first weights (model_fingerprint); 0: trained from scratch */
    uint64_t view_hash;       /* weight_view.hash of what best_loss was measured with; 0: the values as they are */
    double first_probe_loss;  /* before the first step that there was a probe; 0: there was none */
};

/* What is written beside it (NULL: nothing), or read. */
struct checkpoint_addition {
    int (*transfer)(void *context, struct hdf5_file *f, struct error *e);
    void *context;
};

/* What trains, and its moments; what is frozen is not in the file. config: the resolved configuration as YAML.
 * Without `complete` the file holds weights only: enough to use them, not to resume. */
int checkpoint_write(const char *path, const struct optimizer *o, bool complete, const struct checkpoint_addition *addition,
                     const struct run_state *s, const char *config, struct error *e);

/* Reads back into parameters and an optimiser of the same shape. */
int checkpoint_read(const char *path, struct optimizer *o, struct run_state *s, struct error *e);

/* What was written beside it, by a function that reads. */
int checkpoint_read_addition(const char *path, const struct checkpoint_addition *addition, struct error *e);

/* Only the state and, unless NULL, the configuration (the caller frees it). */
int checkpoint_read_state(const char *path, struct run_state *s, char **config, struct error *e);

/* ERR_FORMAT when the run at `path` has used another base, another tokenizer or other data than `now` says; a hash of 0
 * there is not known yet and not compared. */
int run_state_check(const struct run_state *s, const char *path, const struct run_state *now, struct error *e);

#endif
