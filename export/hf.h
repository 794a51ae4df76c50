/* A model as a Hugging Face directory: config.json, model.safetensors (or shards and their index),
 * tokenizer.json, tokenizer_config.json, generation_config.json, as transformers, vLLM and mlx-lm
 * read them. */
#ifndef LINNET_EXPORT_HF_H
#define LINNET_EXPORT_HF_H

#include "export/weights.h"
#include "tokenizer/tokenizer.h"

/* Writes into `directory`, made if need be, each file atomically and the weights first, so that a
 * full disk is noticed before anything else was replaced. All tensors have the options' type; the
 * rows of q and k are in Hugging Face's order. */
int export_hf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
              const char *directory, struct error *e);

#endif
