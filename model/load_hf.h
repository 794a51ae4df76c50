/* Hugging Face directories as models: config.json, model.safetensors, tokenizer.json. */
#ifndef LINNET_MODEL_LOAD_HF_H
#define LINNET_MODEL_LOAD_HF_H

#include "model/tensors.h"

struct tokenizer;

/* As model_load. */
int model_load_hf(const char *directory, enum weights weights, struct model *m,
                    struct tokenizer **tokenizer, struct error *e);

#endif
