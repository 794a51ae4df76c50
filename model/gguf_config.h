/* A decoder's configuration as GGUF metadata, in both directions: keys as llama.cpp reads and writes them
 * (src/llama-arch.cpp, src/llama-model.cpp), u32 counts and f32 reals. */
#ifndef LINNET_MODEL_GGUF_CONFIG_H
#define LINNET_MODEL_GGUF_CONFIG_H

#include "formats/gguf.h"
#include "model/config.h"

/* The configuration of a file, checked. ERR_FORMAT names the key. */
int gguf_config_read(const struct gguf *g, struct model_config *c, struct error *e);

/* Declares general.architecture and everything else that describes the architecture, and the tensors of
 * rotary factors. ERR_USAGE for what llama.cpp's graphs cannot express; `warnings`: where it would compute
 * something else, texts that live as long as the program, then NULL. */
enum { GGUF_CONFIG_WARNINGS = 5 };
int gguf_config_write(struct gguf_writer *w, const struct model_config *c,
                      const char *warnings[GGUF_CONFIG_WARNINGS], struct error *e);

/* Whether a tensor of that name belongs to the configuration. */
bool gguf_config_tensor(const char *name);

#endif
