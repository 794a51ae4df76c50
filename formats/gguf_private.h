/* Shared by the reader of one GGUF file and the one of split files. */
#ifndef LINNET_FORMATS_GGUF_PRIVATE_H
#define LINNET_FORMATS_GGUF_PRIVATE_H

#include "formats/gguf.h"

enum { GGUF_MAX_TENSORS = 1000000 };

/* One file, whatever it says about others. Errors name it. */
int gguf_open_file(const char *path, struct gguf *g, struct error *e);

/* Makes the names of g->tensors findable anew, after the array was changed. */
int gguf_index_tensors(struct gguf *g, struct error *e);

/* Makes one container of n > 0 parsed parts in their order: the keys of the first, the tensors of
 * all. ERR_FORMAT, with *fault the part it is about, where they do not belong together. The caller
 * closes the parts in any case; what *whole took from them is no longer theirs. */
int gguf_join(struct gguf *parts, size_t n, struct gguf *whole, size_t *fault, struct error *e);

#endif
