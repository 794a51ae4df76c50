/* Post-training quantisation: a model as a GGUF file whose matrices are blocks of few bits, in one of llama.cpp's
 * mixes (export/mix.h), bit for bit as llama-quantize would write them. */
#ifndef LINNET_EXPORT_QUANTIZE_H
#define LINNET_EXPORT_QUANTIZE_H

#include "export/imatrix.h"
#include "export/mix.h"
#include "export/weights.h"
#include "tokenizer/tokenizer.h"

enum { NO_TYPE = -1 };

/* PATTERN=TYPE: matrices in whose GGUF name the regular expression is found get the type, whatever the mix says. */
struct type_override {
    const char *pattern;
    enum dtype type;
};

struct quantize_options {
    const struct mix *mix;
    bool pure;                   /* all matrices of the mix's usual type */
    int output_type;             /* enum dtype of output.weight, or NO_TYPE: as the mix says */
    int embedding_type;          /* of token_embd.weight, tied or not */
    const struct type_override *overrides; /* the first that is found in a name counts */
    size_t n_overrides;
    const struct imatrix *importance; /* NULL: none */
    const char *importance_name;      /* its file's name, for the model's metadata */
    bool requantize;             /* take matrices that are quantised already */
    const char *name;            /* what the model calls itself in the file */
    struct merge *merge;         /* adapters that go into the weights on their way, NULL: none */
};

/* Parses a type's name (q8_0, f16, ...) that matrices can be written in. ERR_USAGE with `flag` and the nearest. */
int quantize_type_parse(const char *flag, const char *name, enum dtype *type, struct error *e);

/* Writes `path` atomically, over what is there. A tensor at a time is in memory beside the mapped model.
 * ERR_USAGE: a model that is quantised already, without `requantize`; an override that no matrix has in its name; what
 * merge_check refuses.
 * ERR_FORMAT names the tensor: a weight that is not finite or too large for its type, an entry of the importance
 * matrix that no tensor of this model has or whose size does not fit. What is out of the ordinary but works (columns
 * that do not fit, matrices without importance) is a warning, once each. */
int quantize_model(const struct model *m, const struct tokenizer *t, const struct quantize_options *o,
                   const char *path, struct export_report *report, struct error *e);

#endif
