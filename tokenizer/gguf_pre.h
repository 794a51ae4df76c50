/* llama.cpp's names for the ways byte-level vocabularies split text (tokenizer.ggml.pre). */
#ifndef LINNET_TOKENIZER_GGUF_PRE_H
#define LINNET_TOKENIZER_GGUF_PRE_H

#include "tokenizer/tokenizer_internal.h"

/* Sets splitter, pipeline, ignore_merges and adds_bos; false for a name that is not known. */
bool gguf_pre_apply(const char *name, struct tokenizer *t);
/* The name for a byte-level tokenizer's splitter and flags, or NULL when no name means them. */
const char *gguf_pre_name(const struct tokenizer *t);

#endif
