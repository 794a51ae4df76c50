/* Token shards: a tokenized corpus in HDF5.
 *
 * Datasets: "tokens" (u16 when the vocabulary fits, else u32; one-dimensional, contiguous) and
 * "documents" (u64, the offset at which each document begins, then the total). The first
 * `n_train_tokens` tokens are for training, the rest for validation. Attributes: format
 * ("linnet-shard-1"), tokenizer_hash, vocab_size, corpus_fingerprint, settings_hash,
 * n_train_tokens, n_train_bytes and n_validation_bytes (of text, for bits per byte). A tokenizer
 * with an EOS has it appended to every document; it counts as a token and as no byte. */
#ifndef LINNET_DATA_SHARD_H
#define LINNET_DATA_SHARD_H

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum split_kind {
    SPLIT_TAIL,      /* the last fraction of the token stream, be it in the middle of a document */
    SPLIT_DOCUMENTS, /* whole documents, picked by a hash of seed and index, moved to the end */
};

struct shard_settings {
    const char *const *paths; /* corpus */
    size_t n_paths;
    const char *const *validation_paths; /* a corpus of its own, or none: take a fraction */
    size_t n_validation_paths;
    const char *text_field;
    enum split_kind split;      /* this and the next two do not matter with validation_paths */
    double validation_fraction; /* [0, 0.5]; SPLIT_TAIL trains on the first (1 - fraction) * n
                                   tokens, rounded down */
    uint64_t seed;
    int threads; /* at least 1; the result does not depend on it */
    bool progress;
};

/* Tokenizes the corpus into `path`, unless a shard is there that was made from the same files
 * (paths, sizes, modification times) with the same tokenizer and settings: then *reused (may be
 * NULL) is true. Any other shard there, a damaged one as well, is replaced once the new one is
 * complete; a file of another kind is left alone and ERR_USAGE. Says on stderr which of the two it
 * did, and why.
 *
 * Memory is bounded by some tens of bytes per document and a few megabytes of text; the tokens are
 * spooled into an unnamed file beside `path`, so the disk needs twice the room for a while. Errors:
 * everything corpus.h reports; a fraction out of range; a result with fewer than two tokens to
 * train on, or with fewer than two to validate on where a fraction or a corpus was given; a full
 * disk. */
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
    unsigned char *owned_tokens; /* NULL: mapped from a file */
};
/* Opens for reading through a mapping, and reads all tokens once to see that they are in the
 * vocabulary. With a tokenizer, one of another hash is an error that says so and how to prepare
 * anew; NULL skips that check. ERR_FORMAT for what is no shard or contradicts itself. */
int shard_open(const char *path, const struct tokenizer *t, struct shard *s, struct error *e);
void shard_close(struct shard *s);
/* One in memory, one document of n tokens (copied), of which the first n_train_tokens are to train on. shard_close frees
 * it. */
void shard_of_tokens(struct shard *s, const int32_t *ids, size_t n_tokens, size_t n_train_tokens, size_t vocab_size);
/* The same of random tokens, all to train on: for measuring speed without text. */
void shard_random(struct shard *s, size_t n_tokens, size_t vocab_size, uint64_t seed);
/* A hash of the tokens and of where held-out ones begin: what a run was trained on. Reads them all. */
uint64_t shard_hash(const struct shard *s);
/* Copies n tokens from `offset`; the range must lie inside (CHECK). */
void shard_read(const struct shard *s, size_t offset, size_t n, int32_t *out);

#endif
