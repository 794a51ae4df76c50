/* Shared by the reader of one GGUF file and the one of split files. */
#ifndef LINNET_FORMATS_GGUF_PRIVATE_H
#define LINNET_FORMATS_GGUF_PRIVATE_H

#include "formats/gguf.h"

enum { GGUF_MAX_TENSORS = 1000000 };

/* One file, whatever it says about others. Errors name it. */
int gguf_open_file(const char *path, struct gguf *g, struct error *e);

/* Makes the names of g->tensors findable anew, after the array was changed. */
int gguf_index_tensors(struct gguf *g, struct error *e);

#endif
