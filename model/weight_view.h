/* What stands between the weights that train and those that a model computes with. */
#ifndef LINNET_MODEL_WEIGHT_VIEW_H
#define LINNET_MODEL_WEIGHT_VIEW_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct hdf5_file;

/* What the model computes with instead of the values that train (qat/qat.h), told of what happens to these. */
struct weight_view {
    void *context;
    size_t (*bytes)(const void *context);
    uint64_t (*hash)(const void *context);                /* of what the values become: losses compare where it is the same */
    int (*attach)(void *context, struct error *e);        /* the values are there */
    void (*begin_step)(void *context, uint64_t step);     /* the passes that come are of this step */
    void (*gradients)(void *context);                     /* the step's backward passes are done */
    void (*changed)(void *context);                       /* after a step or a load: what comes is use, not training */
    int (*write)(void *context, struct hdf5_file *f, struct error *e); /* into checkpoints, ... */
    int (*read)(void *context, struct hdf5_file *f, struct error *e);  /* ... and from the one a run goes on with, after attach */
    size_t (*written_bytes)(const void *context);                      /* so much in each */
};

#endif
