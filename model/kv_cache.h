/* Keys and values of the tokens a sequence has so far, so that what follows them is computed without them. */
#ifndef LINNET_MODEL_KV_CACHE_H
#define LINNET_MODEL_KV_CACHE_H

#include "base/memory.h"
#include "model/model.h"

/* Of each layer (capacity, K) keys and as many values, one layer after another. */
struct kv_cache {
    enum dtype type;         /* of the stored numbers */
    size_t capacity, length; /* positions */
    void *k, *v;
    struct arena arena;
};

/* Room for `capacity` positions, of which at most `chunk` are added at a time. */
int kv_cache_init(struct kv_cache *cache, const struct model *m, enum dtype type, size_t capacity,
                  size_t chunk, struct error *e);
void kv_cache_free(struct kv_cache *cache);
size_t kv_cache_bytes(const struct model *m, enum dtype type, size_t capacity, size_t chunk);

/* Back to the first n positions, or to fewer where what those would need is no longer kept; n must not exceed
 * those there are (CHECK). Returns how many there are now. */
size_t kv_cache_rewind(struct kv_cache *cache, size_t n);

/* Tokens that follow what a cache holds. */
struct kv_span {
    struct kv_cache *cache;
    size_t n_tokens;
};

/* How the tokens of a batch of one row belong to sequences: spans[0].n_tokens of the first, and so on. No cache is
 * in two spans. */
struct kv_spans {
    const struct kv_span *spans;
    size_t n;
};

#endif
