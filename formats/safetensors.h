/* safetensors containers (https://github.com/huggingface/safetensors, format section of README):
 * an 8-byte length, a JSON header, the data. Reading maps the file and validates the whole header
 * (offsets contiguous from 0 to the end of file, sizes equal to shape times type, unique names). */
#ifndef LINNET_FORMATS_SAFETENSORS_H
#define LINNET_FORMATS_SAFETENSORS_H

#include "base/error.h"
#include "base/file.h"
#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>

enum { SAFETENSORS_MAX_DIMS = 8 };

struct safetensors_tensor {
    char *name;
    enum dtype type;        /* of the types linnet can compute with; */
    const char *type_name;  /* as the file spells it; `type` is valid only if `supported` */
    bool supported;
    int n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS]; /* slowest-varying first, as in the file */
    size_t n_elements, n_bytes;
    const unsigned char *data; /* of any alignment: files of others may be packed oddly */
};

struct safetensors {
    size_t n_tensors;
    struct safetensors_tensor *tensors; /* sorted by name */
    size_t n_maps;
    struct file_map *maps; /* one for each file; none after safetensors_parse */
};

/* Parses an image in memory, which must outlive *s. Refuses with ERR_FORMAT what the format
 * forbids, and names other kinds of files (pickle, GGUF, Git LFS pointers) for what they are. */
int safetensors_parse(const unsigned char *bytes, size_t n, struct safetensors *s, struct error *e);
int safetensors_open(const char *path, struct safetensors *s, struct error *e); /* errors name it */
/* The files that an index names, which lie beside it, as one container. They must hold exactly the
 * tensors the index places in them. Errors name the file and the tensor. */
int safetensors_open_index(const char *path, struct safetensors *s, struct error *e);
/* The weights of a model's directory as one container: model.safetensors or, where there is none,
 * the files named by model.safetensors.index.json. Checkpoints of other kinds (pickles among them,
 * which are never read) are named for what they are, with what to do. */
int safetensors_open_directory(const char *directory, struct safetensors *s, struct error *e);
#define SAFETENSORS_FILE "model.safetensors"
#define SAFETENSORS_INDEX "model.safetensors.index.json"
void safetensors_close(struct safetensors *s);
/* Binary search; NULL when there is no such tensor. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name);

/* The index of a checkpoint in several files: {"weight_map": {tensor: file}}. File names are bare
 * (no path leads out of the directory) and end in .safetensors; parse refuses others, and anything
 * malformed, with ERR_FORMAT. Free in any case. */
struct safetensors_index {
    size_t n_files, n_tensors;
    char **files; /* in byte order, each once */
    struct safetensors_place {
        char *name;
        size_t file; /* of files */
    } *tensors; /* sorted by name */
};
int safetensors_index_parse(const char *text, size_t n, struct safetensors_index *index,
                            struct error *e);
void safetensors_index_free(struct safetensors_index *index);

/* Writing: declare the tensors, then finish streams the file atomically, with
 * {"format":"pt"} as metadata and the reference writer's order (type alignment, then name). */
struct safetensors_writer;
struct safetensors_writer *safetensors_writer_new(void);
void safetensors_writer_free(struct safetensors_writer *w);
typedef int safetensors_source(void *context, void *bytes, struct error *e);
/* type: DTYPE_F32, F16, BF16, I64, I32. shape slowest-varying first. `source(context, bytes, e)`
 * fills the tensor's bytes when asked; it is not asked for an empty tensor. */
void safetensors_put(struct safetensors_writer *w, const char *name, enum dtype type, int n_dims,
                     const size_t shape[], safetensors_source *source, void *context);
int safetensors_writer_finish(struct safetensors_writer *w, const char *path, struct error *e);
/* Into a directory as safetensors_open_directory reads it: one model.safetensors where the tensors
 * take at most max_bytes (0: any number), else model-00001-of-0000n.safetensors and the rest, filled
 * in the order of declaration with at most max_bytes each (a larger tensor gets a file of its own),
 * and the index. Nothing is replaced before all shards are written, and the index comes last: a
 * crash leaves the old weights, the new ones, or none that load, never a mixture. Weights of an
 * earlier write in the directory that the new ones do not replace are removed. */
int safetensors_writer_finish_directory(struct safetensors_writer *w, const char *directory,
                                        size_t max_bytes, struct error *e);

#endif
