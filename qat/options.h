/* The `qat:` section of a configuration. docs/qat.md explains each key. */
#ifndef LINNET_QAT_OPTIONS_H
#define LINNET_QAT_OPTIONS_H

#include "qat/types.h"

enum qat_activations { QAT_EXACT, QAT_INT8 };

struct qat_options {
    struct type_request types; /* types.type NULL: the run trains for no quantisation */
    size_t start;              /* steps before it begins */
    size_t ramp;               /* steps over which it comes in */
    int activations;           /* enum qat_activations */
    size_t memory;             /* bytes of blocks that are kept between uses; 0: those of the largest matrix in f32 */
    bool learned_scales;
    double scale_learning_rate; /* 1: outermost levels move as far at a step as weights */
    size_t scale_interval;     /* steps between searches for scales; 0: only when it starts */
    bool clip;
};

enum { N_QAT_OPTIONS = 14 };
extern const struct option qat_options[N_QAT_OPTIONS];

#endif
