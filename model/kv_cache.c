#include "model/kv_cache.h"

#include "base/check.h"

static void take_memory(struct kv_cache *cache, const struct model *m)
{
    size_t n = cache->capacity * model_key_width(m);
    cache->k = arena_alloc(&cache->arena, n, sizeof(float));
    cache->v = arena_alloc(&cache->arena, n, sizeof(float));
}

size_t kv_cache_bytes(const struct model *m, enum dtype type, size_t capacity, size_t chunk)
{
    struct kv_cache cache = {.type = type, .capacity = capacity};
    (void)chunk;
    take_memory(&cache, m);
    return cache.arena.used;
}

int kv_cache_init(struct kv_cache *cache, const struct model *m, enum dtype type, size_t capacity,
                  size_t chunk, struct error *e)
{
    CHECK(type == DTYPE_F32);
    *cache = (struct kv_cache){.type = type, .capacity = capacity};
    int code = arena_init(&cache->arena, kv_cache_bytes(m, type, capacity, chunk), "the key/value cache", e);
    if (!code)
        take_memory(cache, m);
    return code;
}

void kv_cache_free(struct kv_cache *cache)
{
    arena_free(&cache->arena);
    *cache = (struct kv_cache){0};
}

size_t kv_cache_rewind(struct kv_cache *cache, size_t n)
{
    CHECK(n <= cache->length);
    cache->length = n;
    return n;
}
