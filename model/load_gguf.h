/* GGUF files as models. */
#ifndef LINNET_MODEL_LOAD_GGUF_H
#define LINNET_MODEL_LOAD_GGUF_H

#include "model/model.h"

struct tokenizer;

/* As model_load. q and k rows stay in the file's order (config.rope_style says which). */
int model_load_gguf(const char *path, struct model *m, struct tokenizer **tokenizer,
                    struct error *e);

#endif
