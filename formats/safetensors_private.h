/* Shared by the reader and the writer of safetensors. */
#ifndef LINNET_FORMATS_SAFETENSORS_PRIVATE_H
#define LINNET_FORMATS_SAFETENSORS_PRIVATE_H

#include "formats/safetensors.h"

#include <stdio.h>

struct safetensors_type {
    const char *name;
    size_t bits;
    bool supported;
    enum dtype type; /* if supported */
};

/* In the order of the reference implementation's enumeration, by which it also sorts tensors. */
enum { SAFETENSORS_TYPES = 20 };
extern const struct safetensors_type safetensors_types[SAFETENSORS_TYPES];

enum {
    SAFETENSORS_MAX_HEADER = 100000000, /* the reference implementation's limit, for an index too */
    SAFETENSORS_MAX_FILES = 10000,
};

int safetensors_compare_names(const void *a, const void *b); /* of struct safetensors_tensor */

struct safetensors_declared {
    char *name;
    size_t type; /* row of safetensors_types */
    int n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS];
    size_t n_bytes;
    safetensors_source *source;
    void *context;
};

struct safetensors_writer {
    struct safetensors_declared *tensors;
    size_t n_tensors, capacity;
};

/* The whole of a file with these tensors, in any order, to `out`, which is at `path`. */
int safetensors_write(FILE *out, const char *path, const struct safetensors_declared *tensors,
                      size_t n, struct error *e);

#endif
