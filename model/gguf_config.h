/* A decoder's configuration as GGUF metadata, in both directions: keys as llama.cpp reads and writes them
 * (src/llama-arch.cpp, src/llama-model.cpp), u32 counts and f32 reals. */
#ifndef LINNET_MODEL_GGUF_CONFIG_H
#define LINNET_MODEL_GGUF_CONFIG_H

#include "formats/gguf.h"
#include "model/config.h"

/* The configuration of a file, checked. ERR_FORMAT names the key. */
int gguf_config_read(const struct gguf *g, struct model_config *c, struct error *e);

/* Declares general.architecture and everything else that describes the architecture, and the tensors of
 * rotary factors. ERR_USAGE for what llama.cpp's graphs cannot express; *warning is set, to a text that lives
 * as long as the program, where it would compute something else beyond some length. */
int gguf_config_write(struct gguf_writer *w, const struct model_config *c, const char **warning,
                      struct error *e);

/* Whether a tensor of that name belongs to the configuration. */
bool gguf_config_tensor(const char *name);

#endif
