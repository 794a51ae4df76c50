/* Token shards: a tokenized corpus in HDF5.
 *
 * Datasets: "tokens" (u16 when the vocabulary fits, else u32; one-dimensional, contiguous) and
 * "documents" (u64, the offset at which each document begins, then the total). The first
 * `n_train_tokens` tokens are for training, the rest for validation. Attributes: format
 * ("linnet-shard-1"), tokenizer_hash, vocab_size, corpus_fingerprint, n_train_tokens,
 * n_train_bytes, n_validation_bytes (text bytes, for bits per byte), settings_hash. A tokenizer with an EOS has it
 * appended to every document. */
#ifndef LINNET_DATA_SHARD_H
#define LINNET_DATA_SHARD_H

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split_kind {
    SPLIT_TAIL,      /* the last fraction of the token stream */
    SPLIT_DOCUMENTS, /* whole documents, picked by a hash of seed and index */
};

struct shard_settings {
    const char *const *paths;  /* corpus */
    size_t n_paths;
    const char *const *validation_paths; /* a corpus of its own, or none: take a fraction */
    size_t n_validation_paths;
    const char *text_field;
    enum split_kind split;
    double validation_fraction; /* [0, 0.5] */
    uint64_t seed;
    int threads;
    bool progress;
};

/* Tokenizes the corpus into `path`, unless a shard is there that was made from the same files with
 * the same tokenizer and settings (then *reused is true). A shard made with another tokenizer or
 * from other files is replaced, never silently used. */
int shard_prepare(const struct shard_settings *s, const struct tokenizer *t, const char *path,
                  bool *reused, struct error *e);

struct shard {
    size_t n_tokens, n_train_tokens, n_documents;
    uint64_t n_train_bytes, n_validation_bytes;
    uint64_t tokenizer_hash;
    size_t vocab_size;
    const uint64_t *documents; /* n_documents + 1 */
    /* private */
    struct file_map map;
    const unsigned char *tokens;
    size_t token_bytes;
    uint64_t *owned_documents;
};
/* Opens for reading through a mapping. With a tokenizer, one of another hash is an error that says
 * so and how to prepare anew; NULL skips that check. */
int shard_open(const char *path, const struct tokenizer *t, struct shard *s, struct error *e);
void shard_close(struct shard *s);
/* Copies n tokens from `offset`; the range must lie inside (CHECK). */
void shard_read(const struct shard *s, size_t offset, size_t n, int32_t *out);

#endif
