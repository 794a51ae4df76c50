/* safetensors containers (https://github.com/huggingface/safetensors, format section of README):
 * an 8-byte length, a JSON header, the data. Reading maps the file and validates the whole header
 * (offsets contiguous from 0 to the end of file, sizes equal to shape times type, unique names). */
#ifndef LINNET_FORMATS_SAFETENSORS_H
#define LINNET_FORMATS_SAFETENSORS_H

#include "base/error.h"
#include "base/file.h"
#include "kernels/dtype.h"

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
    struct file_map map;
};

/* Parses an image in memory, which must outlive *s. Refuses with ERR_FORMAT what the format
 * forbids, and names other kinds of files (pickle, GGUF, Git LFS pointers) for what they are. */
int safetensors_parse(const unsigned char *bytes, size_t n, struct safetensors *s, struct error *e);
int safetensors_open(const char *path, struct safetensors *s, struct error *e); /* errors name it */
void safetensors_close(struct safetensors *s);
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name);

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

#endif
