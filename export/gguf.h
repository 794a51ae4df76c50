/* A model as a GGUF file that llama.cpp, Ollama and LM Studio load: metadata as llama.cpp's loader
 * demands it (src/llama-model-loader.cpp: u32 counts, f32 reals), norms in f32, the rows of q and k
 * in the architecture's GGUF order, the output layer left out when it is the embedding. */
#ifndef LINNET_EXPORT_GGUF_H
#define LINNET_EXPORT_GGUF_H

#include "export/weights.h"
#include "tokenizer/tokenizer.h"

/* Writes `path` atomically. Where the embedding has more rows than the tokenizer has tokens, unused
 * tokens fill up the vocabulary. */
int export_gguf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
                const char *path, struct error *e);

#endif
