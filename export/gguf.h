/* A model as a GGUF file that llama.cpp, Ollama and LM Studio load: metadata as llama.cpp's loader
 * demands it (src/llama-model-loader.cpp: u32 counts, f32 reals), norms in f32, the rows of q and k
 * in the architecture's GGUF order, the output layer left out when it is the embedding. */
#ifndef LINNET_EXPORT_GGUF_H
#define LINNET_EXPORT_GGUF_H

#include "export/weights.h"
#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

/* Writes `path` atomically. Where the embedding has more rows than the tokenizer has tokens, unused
 * tokens fill up the vocabulary. */
int export_gguf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
                const char *path, struct error *e);

/* The same with tensors, types and keys of the caller's: `weights` are all of CONTAINER_GGUF, in whatever types;
 * `file_type` is llama.cpp's number for most of them (general.file_type); `w` holds keys that are written too.
 * What may be replaced is not asked. */
int export_gguf_weights(const struct model *m, const struct tokenizer *t, struct weight_sources *weights,
                        uint32_t file_type, const char *name, struct gguf_writer *w, const char *path,
                        struct error *e);

#endif
