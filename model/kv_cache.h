/* Keys and values of the tokens a sequence has so far, so that what follows them is computed without them.
 *
 * Layers that see all keys keep all positions. Those with a window keep what later tokens can see of them and a
 * little more: at most their window, max(window, 256) and a chunk, whatever the length. */
#ifndef LINNET_MODEL_KV_CACHE_H
#define LINNET_MODEL_KV_CACHE_H

#include "base/memory.h"
#include "model/model.h"

/* Keys and values of one layer: (n_heads, positions there is room for, head_dim), from the first position that is
 * kept on. Each head's lie one after another, so that attention reads memory from front to back. */
struct kv_layer {
    char *k, *v;
    size_t n_heads, room; /* room: positions */
    bool windowed;
};

struct kv_cache {
    enum dtype type;         /* of the stored numbers: f32, f16, q8_0 or q4_0 */
    size_t capacity, length; /* positions */
    size_t chunk;            /* positions added at a time, at most */
    size_t window;           /* keys that layers with a window see; 0: there are none */
    size_t window_capacity;  /* positions they have room for */
    size_t window_base;      /* the first position they keep; those up to `length` follow */
    size_t head_dim, row_bytes; /* components of a head of a position, and what they take */
    size_t n_layers;
    struct kv_layer *layers;
    struct arena arena;
};

/* Room for `capacity` positions, of which at most `chunk` are added at a time. Numbers that the type cannot hold are
 * treated as kernels/cached.h says. ERR_USAGE: `type` is none of the four, or one of blocks and the model's heads
 * are no multiple of 32. ERR_MEMORY. */
int kv_cache_init(struct kv_cache *cache, const struct model *m, enum dtype type, size_t capacity,
                  size_t chunk, struct error *e);
void kv_cache_free(struct kv_cache *cache);
/* The memory of such a cache; the type must be one that kv_cache_init takes. */
size_t kv_cache_bytes(const struct model *m, enum dtype type, size_t capacity, size_t chunk);

/* Back to the first n positions; n must not exceed those there are (CHECK). Returns how many there are now: n, or 0
 * where a layer with a window no longer keeps what position n sees. max(window, 256) / 2 positions can always be
 * gone back from the longest the sequence has been, unless it was shifted. */
size_t kv_cache_rewind(struct kv_cache *cache, size_t n);

/* Drops the positions [keep, keep + discard) and moves those behind them `discard` positions down: their keys are
 * rotated back by as much, so that attention sees the remaining tokens side by side. False, with nothing changed,
 * when the cache has not as many positions or the model's angles are not reserved up to `discard`.
 *
 * Exact up to rounding is the rotation, for every style, scaling and share of rotated components (angles depend on
 * the model's reserved length, not on the sequence's); blocks are rounded a second time. Approximate is what the
 * keys and values say: beyond the first layer they were computed while the dropped tokens could be seen. That is what
 * makes a shift cheap; Xiao et al. (2023, "attention sinks") show why the first few tokens should stay.
 *
 * Layers with a window bring nothing back that they let go before: what the shift leaves of a window is all that is
 * seen until new tokens have filled it, and a rewind has to begin anew sooner. */
bool kv_cache_shift(struct kv_cache *cache, const struct model *m, size_t keep, size_t discard);

/* Replaces what `to` holds by the first n positions of `from`, which has at least as many; `to` has room for them. Both
 * are of one model and type (CHECK). Returns n, or 0 as kv_cache_rewind does: then `to` is empty. */
size_t kv_cache_copy(struct kv_cache *to, const struct kv_cache *from, size_t n);

/* For the decoder's pass. Lets the layers with a window make room for n more positions; to be called before any
 * of these is stored. */
void kv_cache_make_room(struct kv_cache *cache, size_t n);
/* Stores keys and values (n, n_kv_heads, head_dim) of layer i behind the cache's length, which does not change yet. */
void kv_cache_store(struct kv_cache *cache, size_t i, const float *k, const float *v, size_t n);
/* Positions before `length` that layer i keeps. */
size_t kv_cache_kept(const struct kv_cache *cache, size_t i);

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
