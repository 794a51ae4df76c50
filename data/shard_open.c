#include "data/shard.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/memory.h"
#include "data/shard_private.h"
#include "formats/hdf5_file.h"

#include <string.h>

int shard_check_format(struct hdf5_file *f, const char *path, struct error *e)
{
    char *format = NULL;
    if (!hdf5_has_attribute(f, "format") || hdf5_get_string(f, "format", &format, NULL) != OK)
        return error_set(e, ERR_FORMAT, "%s: is an HDF5 file, but not a token shard", path);
    int code = OK;
    if (strcmp(format, SHARD_FORMAT) != 0)
        code = error_set(e, ERR_FORMAT, "%s: has the format \"%s\", \"%s\" is needed", path, format,
                         SHARD_FORMAT);
    mem_free(format);
    return code;
}

static int read_attributes(struct hdf5_file *f, struct shard *s, struct error *e)
{
    uint64_t train, vocab;
    int code = hdf5_get_u64(f, "n_train_tokens", &train, e);
    code = code ? code : hdf5_get_u64(f, "vocab_size", &vocab, e);
    code = code ? code : hdf5_get_u64(f, "tokenizer_hash", &s->tokenizer_hash, e);
    code = code ? code : hdf5_get_u64(f, "n_train_bytes", &s->n_train_bytes, e);
    code = code ? code : hdf5_get_u64(f, "n_validation_bytes", &s->n_validation_bytes, e);
    if (code)
        return code;
    s->n_train_tokens = train;
    s->vocab_size = vocab;
    return OK;
}

static int read_documents(struct hdf5_file *f, const char *path, struct shard *s, struct error *e)
{
    int n_dims;
    size_t dims[8];
    int code = hdf5_dims(f, "documents", &n_dims, dims, e);
    if (code)
        return code;
    /* More documents than tokens cannot be; this also bounds the allocation by the file's size. */
    if (n_dims != 1 || dims[0] < 2 || dims[0] - 1 > s->n_tokens)
        return error_set(e, ERR_FORMAT, "%s: \"documents\" has a wrong shape", path);
    s->n_documents = dims[0] - 1;
    s->owned_documents = mem_alloc(dims[0], sizeof *s->owned_documents);
    s->documents = s->owned_documents;
    code = hdf5_read(f, "documents", HDF5_U64, dims[0], s->owned_documents, e);
    if (code)
        return code;
    bool good = s->documents[0] == 0 && s->documents[s->n_documents] == s->n_tokens;
    for (size_t i = 0; good && i < s->n_documents; i++)
        good = s->documents[i] < s->documents[i + 1];
    if (!good)
        return error_set(e, ERR_FORMAT, "%s: \"documents\" does not rise from 0 to the %zu tokens",
                         path, s->n_tokens);
    return OK;
}

static uint32_t largest_token(const struct shard *s)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < s->n_tokens; i++) {
        uint32_t id = 0;
        memcpy(&id, s->tokens + i * s->token_bytes, s->token_bytes);
        largest = id > largest ? id : largest;
    }
    return largest;
}

static int map_tokens(struct hdf5_file *f, const char *path, struct shard *s, struct error *e)
{
    uint64_t offset;
    s->token_bytes = SHARD_TOKEN_BYTES(s->vocab_size);
    int code = hdf5_locate(f, "tokens", s->token_bytes == 2 ? HDF5_U16 : HDF5_U32, &offset,
                           &s->n_tokens, e);
    if (code)
        return code;
    if (s->n_tokens == 0 || s->n_train_tokens > s->n_tokens)
        return error_set(e, ERR_FORMAT, "%s: %zu tokens, of which %zu to train on", path,
                         s->n_tokens, s->n_train_tokens);
    code = file_map(path, &s->map, e);
    if (code)
        return code;
    if (offset > s->map.size || s->n_tokens > (s->map.size - offset) / s->token_bytes)
        return error_set(e, ERR_FORMAT, "%s: \"tokens\" reaches past the end of the file", path);
    s->tokens = s->map.data + offset;
    uint32_t largest = largest_token(s);
    if (largest >= s->vocab_size)
        return error_set(e, ERR_FORMAT,
                         "%s: holds token %u, but its vocabulary has %zu; prepare it anew", path,
                         largest, s->vocab_size);
    return OK;
}

int shard_open(const char *path, const struct tokenizer *t, struct shard *s, struct error *e)
{
    *s = (struct shard){0};
    struct hdf5_file *f = NULL;
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = shard_check_format(f, path, e);
    code = code ? code : read_attributes(f, s, e);
    if (!code && t && s->tokenizer_hash != tokenizer_hash(t))
        code = error_set(
            e, ERR_FORMAT,
            "%s: was made with another tokenizer; prepare the corpus again with this one", path);
    if (!code && (s->vocab_size == 0 || s->vocab_size > INT32_MAX))
        code = error_set(e, ERR_FORMAT, "%s: a vocabulary of %zu tokens", path, s->vocab_size);
    code = code ? code : map_tokens(f, path, s, e);
    code = code ? code : read_documents(f, path, s, e);
    hdf5_close(f);
    if (code)
        shard_close(s);
    return code;
}

void shard_close(struct shard *s)
{
    file_unmap(&s->map);
    mem_free(s->owned_documents);
    mem_free(s->owned_tokens);
    *s = (struct shard){0};
}

void shard_of_tokens(struct shard *s, const int32_t *ids, size_t n_tokens, size_t n_train_tokens, size_t vocab_size)
{
    CHECK(n_train_tokens <= n_tokens);
    *s = (struct shard){.n_tokens = n_tokens, .n_train_tokens = n_train_tokens, .n_documents = 1,
                        .n_train_bytes = n_train_tokens, .n_validation_bytes = n_tokens - n_train_tokens,
                        .vocab_size = vocab_size, .token_bytes = sizeof(int32_t)};
    s->owned_tokens = mem_alloc(n_tokens + 1, sizeof(int32_t));
    memcpy(s->owned_tokens, ids, n_tokens * sizeof *ids);
    s->owned_documents = mem_zero(2, sizeof *s->owned_documents);
    s->owned_documents[1] = n_tokens;
    s->tokens = s->owned_tokens;
    s->documents = s->owned_documents;
}

void shard_random(struct shard *s, size_t n_tokens, size_t vocab_size, uint64_t seed)
{
    struct rng rng;
    int32_t *ids = mem_alloc(n_tokens, sizeof *ids);
    rng_init(&rng, seed, 0);
    for (size_t i = 0; i < n_tokens; i++)
        ids[i] = (int32_t)rng_below(&rng, vocab_size);
    shard_of_tokens(s, ids, n_tokens, n_tokens, vocab_size);
    mem_free(ids);
}

uint64_t shard_hash(const struct shard *s)
{
    return hash64(s->tokens, s->n_tokens * s->token_bytes, s->n_train_tokens);
}

void shard_read(const struct shard *s, size_t offset, size_t n, int32_t *out)
{
    CHECK(offset <= s->n_tokens && n <= s->n_tokens - offset);
    const unsigned char *p = s->tokens + offset * s->token_bytes;
    if (s->token_bytes == 2) {
        for (size_t i = 0; i < n; i++) {
            uint16_t id;
            memcpy(&id, p + 2 * i, 2);
            out[i] = id;
        }
    } else {
        memcpy(out, p, 4 * n);
    }
}
