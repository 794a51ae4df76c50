/* Post-training quantisation: a model as a GGUF file whose matrices are blocks of few bits, in one of llama.cpp's
 * mixes (qat/mix.h), bit for bit as llama-quantize would write them, unless errors are compensated for. */
#ifndef LINNET_EXPORT_QUANTIZE_H
#define LINNET_EXPORT_QUANTIZE_H

#include "export/compensate.h"
#include "export/weights.h"
#include "qat/types.h"
#include "tokenizer/tokenizer.h"

struct quantize_options {
    struct type_wishes types;
    struct compensate_options calibration; /* export/compensate.h; not with `merge` (CHECK) */
    bool requantize;             /* take matrices that are quantised already, in other types than they would get */
    const char *name;            /* what the model calls itself in the file */
    struct merge *merge;         /* adapters that go into the weights on their way, NULL: none */
};

/* Writes `path` atomically, over what is there. A tensor at a time is in memory beside the mapped model; with calibration
 * all that it makes. The model is left as it was.
 * ERR_USAGE: a model that is quantised already into other types, without `requantize`; an override that no matrix has in
 * its name; what merge_check refuses, and compensate_model.
 * ERR_FORMAT names the tensor: a weight that is not finite or too large for its type, an entry of the importance
 * matrix that no tensor of this model has or whose size does not fit. What is out of the ordinary but works (columns
 * that do not fit, matrices without importance) is a warning, once each. */
int quantize_model(struct model *m, const struct tokenizer *t, const struct quantize_options *o,
                   const char *path, struct export_report *report, struct error *e);

#endif
