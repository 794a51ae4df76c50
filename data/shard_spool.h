/* The tokens of one split on their way to the shard, in a file without a name. */
#ifndef LINNET_DATA_SHARD_SPOOL_H
#define LINNET_DATA_SHARD_SPOOL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct shard_spool {
    FILE *file; /* no longer has a name */
    size_t token_bytes;
    size_t n_tokens;
    uint64_t *ends;  /* of each document, in tokens */
    uint64_t *bytes; /* of text, of each document */
    size_t n_documents, capacity;
    uint64_t open_bytes; /* of the document whose end has not come yet */
};

/* Beside `path`, which the errors of all of these name. Close it also after a failure. */
int shard_spool_open(struct shard_spool *s, const char *path, size_t token_bytes, struct error *e);
void shard_spool_close(struct shard_spool *s);
int shard_spool_append(struct shard_spool *s, const int32_t *ids, size_t n, const char *path,
                       struct error *e);
/* What was appended since the last one is a document, of open_bytes bytes of text. */
void shard_spool_end_document(struct shard_spool *s);
uint64_t shard_spool_bytes(const struct shard_spool *s); /* of text, in all documents */
/* Reads n tokens, as they are stored, from token `offset`. */
int shard_spool_read(struct shard_spool *s, size_t offset, size_t n, void *out, const char *path,
                     struct error *e);

#endif
