/* Importance matrices: for each matrix of a model, the mean of the squares of each column's inputs over
 * some text. Quantisation keeps the columns that see large inputs more exact. Both forms of llama.cpp's
 * llama-imatrix are read and written; docs/file-formats.md has them byte by byte. */
#ifndef LINNET_QAT_IMATRIX_H
#define LINNET_QAT_IMATRIX_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* One tensor of a GGUF file. Inputs that no token gave (an expert that was never chosen) have the value 1
 * throughout, as llama.cpp's quantisation takes them, and the count 0. */
struct imatrix_entry {
    char *name;         /* GGUF tensor name */
    float *values;      /* (n_experts, n_cols) mean squares: finite, not negative */
    size_t n;
    size_t count;       /* tokens seen (calls where chunk_size is 0) by the expert that saw most; at least 1 */
    size_t n_experts;   /* divides n; 1 for all but experts, and also for those in the old form */
    size_t *counts;     /* (n_experts) */
};

struct imatrix {
    struct imatrix_entry *entries; /* in byte order of their names, which are unique */
    size_t n_entries;
    char *dataset;      /* what text it was made with, the first of several; NULL: not known */
    size_t n_chunks, chunk_size; /* of tokens; 0: not known */
};

/* Reads either form, told apart by content. Errors name the path; *im is then empty. */
int imatrix_read(const char *path, struct imatrix *im, struct error *e);
/* The same from memory, which is free to go afterwards. Never reads outside [bytes, bytes + n), and never
 * asks for more memory than a few times n. ERR_FORMAT for what is cut short, longer than it says, without
 * entries, with a name twice or one that no tensor can have, with a count of zero, with a value that is
 * negative or no number. */
int imatrix_parse(const unsigned char *bytes, size_t n, struct imatrix *im, struct error *e);
const struct imatrix_entry *imatrix_find(const struct imatrix *im, const char *name); /* or NULL */
void imatrix_free(struct imatrix *im);

/* Sorts the entries by name: ERR_FORMAT for a name that is there twice. For whoever makes one. */
int imatrix_put_in_order(struct imatrix *im, struct error *e);

/* Writes `path` atomically: as GGUF, or with `legacy` in the old form, which has one count for all experts of a
 * tensor, in chunks and rounded up; ERR_USAGE for what its 32-bit counts cannot hold. There must be entries
 * (CHECK). */
int imatrix_write(const struct imatrix *im, const char *path, bool legacy, struct error *e);

#endif
