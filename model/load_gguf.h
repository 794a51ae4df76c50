/* GGUF files as models. */
#ifndef LINNET_MODEL_LOAD_GGUF_H
#define LINNET_MODEL_LOAD_GGUF_H

#include "model/tensors.h"

struct tokenizer;

/* As model_load. */
int model_load_gguf(const char *path, enum weights weights, struct model *m,
                    struct tokenizer **tokenizer, struct error *e);

#endif
