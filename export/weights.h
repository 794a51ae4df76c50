/* What every export has in common: where it may write, and weights streamed row by row from the
 * model's memory into a file's type and order, so that no second copy of the model exists. */
#ifndef LINNET_EXPORT_WEIGHTS_H
#define LINNET_EXPORT_WEIGHTS_H

#include "kernels/dtype.h"
#include "model/model.h"

#include <stdbool.h>

struct export_options {
    enum dtype type;  /* of the matrices: F32, F16 or BF16 */
    const char *name; /* what the model calls itself in the file */
    bool force;       /* replace what is there */
    size_t max_shard_bytes; /* of one safetensors file, 0: no limit */
};

/* ERR_USAGE when `path` is there and may not be replaced: a file or a directory that is not empty
 * without `force`; a directory where a file is wanted, or the other way round, in any case. */
int export_check_target(const char *path, bool directory, bool force, struct error *e);

/* One parameter on its way into a file. */
struct weight_source {
    const struct param *param;
    enum dtype type;
    size_t head_dim;             /* rows of q and k come in heads of so many; else 0 */
    enum rope_style from, to;    /* the order of those rows in memory and in the file */
};

/* One for each of m->params, in that order; mem_free. Vectors get `vector_type`, q and k the row
 * order of `style`. */
struct weight_source *weight_sources(const struct model *m, enum dtype type, enum dtype vector_type,
                                     enum rope_style style);

/* A gguf_source and a safetensors_source: context is a struct weight_source. A weight that is not a
 * number, or that f16 cannot hold, is an error that names the tensor. */
int weight_source_fill(void *context, void *bytes, struct error *e);

/* Which row in memory becomes row `row` of the file. */
size_t weight_source_row(const struct weight_source *s, size_t row);

#endif
