/* What writing and reading a shard share. */
#ifndef LINNET_DATA_SHARD_PRIVATE_H
#define LINNET_DATA_SHARD_PRIVATE_H

#include "base/error.h"

#define SHARD_KIND                    "linnet-shard-" /* of every version */
#define SHARD_FORMAT                  SHARD_KIND "1"
#define SHARD_TOKEN_BYTES(vocab_size) ((size_t)((vocab_size) <= 65536 ? 2 : 4))

struct hdf5_file;
int shard_check_format(struct hdf5_file *f, const char *path, struct error *e);

#endif
