/* What every export has in common: where it may write, and weights streamed row by row from the
 * model's memory into a file's type and order, so that no second copy of the model exists. */
#ifndef LINNET_EXPORT_WEIGHTS_H
#define LINNET_EXPORT_WEIGHTS_H

#include "export/merge.h"
#include "kernels/dtype.h"
#include "model/tensors.h"

#include <stdbool.h>

struct progress;

/* Of all tensors of a file. */
struct export_report {
    struct {
        enum dtype type;
        size_t n_tensors, n_weights;
    } types[32]; /* each once, in the order in which the file has them */
    size_t n_types;
    size_t bytes_before, bytes_after; /* as the model holds them, and as written */
    size_t n_weights;
    size_t n_fallbacks;               /* matrices whose columns are no whole blocks of the type they should have */
};

struct export_options {
    bool keep_types;  /* f32, f16 and bf16 weights stay what they are, quantised ones become f16, ... */
    bool keep_blocks; /* ... or stay what they are too, into which nothing may be merged: in GGUF files */
    enum dtype type;  /* else: of the matrices, F32, F16 or BF16 */
    const char *name; /* what the model calls itself in the file */
    bool force;       /* replace what is there */
    size_t max_shard_bytes; /* of one safetensors file, 0: no limit */
    struct merge *merge;    /* adapters that go into the weights on their way, NULL: none */
    struct progress *progress;     /* counts the weights that are done; NULL: nobody watches */
    struct export_report *report;  /* NULL: nobody asks */
};

/* ERR_USAGE when `path` is there and may not be replaced: a file or a directory that is not empty
 * without `force`; a directory where a file is wanted, or the other way round, in any case. */
int export_check_target(const char *path, bool directory, bool force, struct error *e);

/* All tensors of a model on their way into a file: rows of parameters in the file's type and order. */
struct weight_source {
    const struct model *model;
    const struct tensor *tensor;
    enum dtype type;
    enum rope_style style; /* the order of q and k rows in the file */
    const float *importance;   /* of each column, for kernels/quantize.h: (cols), (experts, cols) where the tensor
                                  has three dimensions; NULL: none */
    bool computed;             /* matrices are what the model computes with (param_computed) */
    struct progress *progress; /* counts the weights that are done; NULL: nobody watches */
    const struct merge *merge;     /* NULL: none */
    struct merged_matrix *merged;  /* what became of it; NULL: nothing is merged into this tensor */
};
struct weight_sources {
    struct tensor_list list;
    struct weight_source *sources; /* one for each tensor of the list */
};
/* `head`: an output layer that is the embedding is written too; it is in any case where an adapter of it is merged.
 * The options must live as long as the sources. */
void weight_sources_init(struct weight_sources *w, const struct model *m, enum container container,
                         bool head, const struct export_options *o);
void weight_sources_free(struct weight_sources *w);
void weight_sources_report(const struct weight_sources *w, struct export_report *r);

/* A gguf_source and a safetensors_source: context is a struct weight_source. A weight that is not a
 * number, or that the type cannot hold, is an error that names the tensor. Blocks that the model holds in that very
 * type already are copied, unless something is merged into them. */
int weight_source_fill(void *context, void *bytes, struct error *e);

/* The type that most matrices have in the file. */
enum dtype export_type(const struct model *m, const struct export_options *o);

#endif
