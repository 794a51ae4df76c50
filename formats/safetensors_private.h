/* Shared by the reader and the writer of safetensors. */
#ifndef LINNET_FORMATS_SAFETENSORS_PRIVATE_H
#define LINNET_FORMATS_SAFETENSORS_PRIVATE_H

#include "formats/safetensors.h"

struct safetensors_type {
    const char *name;
    size_t bits;
    bool supported;
    enum dtype type; /* if supported */
};

/* In the order of the reference implementation's enumeration, by which it also sorts tensors. */
enum { SAFETENSORS_TYPES = 20 };
extern const struct safetensors_type safetensors_types[SAFETENSORS_TYPES];

#endif
