/* GGUF files as models. */
#ifndef LINNET_MODEL_LOAD_GGUF_H
#define LINNET_MODEL_LOAD_GGUF_H

#include "model/tensors.h"

struct tokenizer;

/* The model of a parsed file, which must outlive it where weights are mapped. On failure nothing is left to
 * free. */
struct gguf;
int model_read_gguf(const struct gguf *g, enum weights weights, struct model *m, struct error *e);

/* As model_load. */
int model_load_gguf(const char *path, enum weights weights, struct model *m,
                    struct tokenizer **tokenizer, struct error *e);

#endif
