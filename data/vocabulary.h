/* Training a tokenizer on a corpus. */
#ifndef LINNET_DATA_VOCABULARY_H
#define LINNET_DATA_VOCABULARY_H

#include "tokenizer/train.h"

/* Reads the whole corpus once. The caller owns *tokenizer. */
int vocabulary_train(const char *const *paths, size_t n_paths, const char *text_field,
                     const struct tokenizer_settings *settings, struct tokenizer **tokenizer,
                     struct error *e);

#endif
