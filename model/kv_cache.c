#include "model/kv_cache.h"

#include "base/check.h"
#include "kernels/cached.h"
#include "kernels/rope.h"
#include "model/rope_scaling.h"

#include <string.h>

/* Positions that layers with a window keep beyond what is seen, before they make room: so that going back a little
 * finds them, and rows are moved seldom. */
enum { LEAST_SLACK = 256 };

static size_t slack(const struct kv_cache *cache)
{
    return cache->window > LEAST_SLACK ? cache->window : LEAST_SLACK;
}

static size_t layer_base(const struct kv_cache *cache, size_t i)
{
    return cache->layers[i].windowed ? cache->window_base : 0;
}

static struct kv_cache shape_of(const struct model *m, enum dtype type, size_t capacity, size_t chunk)
{
    const struct dtype_info *info = dtype_info(type);
    size_t d = m->config.head_dim;
    struct kv_cache cache = {.type = type, .capacity = capacity, .chunk = chunk, .head_dim = d,
                             .row_bytes = d / info->block * info->block_bytes,
                             .n_layers = m->config.num_hidden_layers};
    for (size_t i = 0; i < cache.n_layers; i++) {
        size_t window = m->layers[i].shape.window;
        CHECK(window == 0 || cache.window == 0 || window == cache.window);
        cache.window = window ? window : cache.window;
    }
    size_t most = cache.window + slack(&cache) + chunk;
    cache.window_capacity = most < capacity ? most : capacity;
    return cache;
}

static void take_memory(struct kv_cache *cache, const struct model *m)
{
    cache->layers = arena_alloc(&cache->arena, cache->n_layers, sizeof *cache->layers);
    for (size_t i = 0; i < cache->n_layers; i++) {
        struct layer_shape shape = m->layers[i].shape;
        struct kv_layer layer = {.n_heads = shape.n_kv_heads, .windowed = shape.window > 0};
        layer.room = layer.windowed ? cache->window_capacity : cache->capacity;
        layer.k = arena_alloc(&cache->arena, layer.room * layer.n_heads, cache->row_bytes);
        layer.v = arena_alloc(&cache->arena, layer.room * layer.n_heads, cache->row_bytes);
        if (cache->layers)
            cache->layers[i] = layer;
    }
}

size_t kv_cache_bytes(const struct model *m, enum dtype type, size_t capacity, size_t chunk)
{
    struct kv_cache cache = shape_of(m, type, capacity, chunk);
    take_memory(&cache, m);
    return cache.arena.used;
}

int kv_cache_init(struct kv_cache *cache, const struct model *m, enum dtype type, size_t capacity,
                  size_t chunk, struct error *e)
{
    const struct dtype_info *info = dtype_info(type);
    *cache = (struct kv_cache){0};
    if (!cached_type(type))
        return error_set(e, ERR_USAGE, "keys and values are not kept as %s: f32, f16, q8_0 or q4_0",
                         info ? info->name : "a type of that number");
    if (m->config.head_dim % info->block != 0)
        return error_set(e, ERR_USAGE,
                         "keys and values cannot be kept as %s: its blocks are of %zu, the model's heads of %zu; "
                         "take f16", info->name, info->block, m->config.head_dim);
    *cache = shape_of(m, type, capacity, chunk);
    int code = arena_init(&cache->arena, kv_cache_bytes(m, type, capacity, chunk), "the key/value cache", e);
    if (!code)
        take_memory(cache, m);
    else
        *cache = (struct kv_cache){0};
    return code;
}

void kv_cache_free(struct kv_cache *cache)
{
    arena_free(&cache->arena);
    *cache = (struct kv_cache){0};
}

/* --- adding --- */

size_t kv_cache_kept(const struct kv_cache *cache, size_t i)
{
    return cache->length - layer_base(cache, i);
}

/* Moves n positions within a layer. */
static void move_rows(const struct kv_cache *cache, struct kv_layer *l, size_t to, size_t from, size_t n)
{
    size_t bytes = cache->row_bytes;
    for (size_t h = 0; h < l->n_heads; h++) {
        size_t head = h * l->room;
        memmove(l->k + (head + to) * bytes, l->k + (head + from) * bytes, n * bytes);
        memmove(l->v + (head + to) * bytes, l->v + (head + from) * bytes, n * bytes);
    }
}

void kv_cache_make_room(struct kv_cache *cache, size_t n)
{
    CHECK(n <= cache->capacity - cache->length);
    size_t held = cache->length - cache->window_base, kept = cache->window - 1 + slack(cache) / 2;
    if (cache->window == 0 || held + n <= cache->window_capacity)
        return;
    CHECK(n <= cache->chunk);
    kept = kept < held ? kept : held;
    for (size_t i = 0; i < cache->n_layers; i++)
        if (cache->layers[i].windowed)
            move_rows(cache, &cache->layers[i], 0, held - kept, kept);
    cache->window_base = cache->length - kept;
}

void kv_cache_store(struct kv_cache *cache, size_t i, const float *k, const float *v, size_t n)
{
    struct kv_layer *l = &cache->layers[i];
    size_t at = kv_cache_kept(cache, i), head = l->room * cache->row_bytes;
    CHECK(n <= l->room - at);
    cached_heads_from_f32(cache->type, k, n, l->n_heads, cache->head_dim, l->k + at * cache->row_bytes, head);
    cached_heads_from_f32(cache->type, v, n, l->n_heads, cache->head_dim, l->v + at * cache->row_bytes, head);
}

/* --- going back, copying --- */

/* Whether the first n positions are what a sequence of n tokens would have left, as far as later ones see it. */
static bool can_go_on_at(const struct kv_cache *cache, size_t n)
{
    return n == cache->length || cache->window_base == 0 || n + 1 >= cache->window_base + cache->window;
}

size_t kv_cache_rewind(struct kv_cache *cache, size_t n)
{
    CHECK(n <= cache->length);
    cache->length = can_go_on_at(cache, n) ? n : 0;
    if (cache->length == 0)
        cache->window_base = 0;
    return cache->length;
}

size_t kv_cache_copy(struct kv_cache *to, const struct kv_cache *from, size_t n)
{
    CHECK(n <= from->length && n <= to->capacity && to->type == from->type && to->n_layers == from->n_layers &&
          to->head_dim == from->head_dim && to->window == from->window);
    kv_cache_rewind(to, 0);
    if (!can_go_on_at(from, n))
        return 0;
    size_t held = n - from->window_base;
    to->length = n;
    to->window_base = n - (held < to->window_capacity ? held : to->window_capacity);
    for (size_t i = 0; i < to->n_layers; i++) {
        const struct kv_layer *a = &from->layers[i];
        struct kv_layer *b = &to->layers[i];
        size_t bytes = from->row_bytes, skip = layer_base(to, i) - layer_base(from, i), kept = kv_cache_kept(to, i);
        CHECK(a->n_heads == b->n_heads && a->windowed == b->windowed);
        for (size_t h = 0; h < a->n_heads; h++) {
            memcpy(b->k + h * b->room * bytes, a->k + (h * a->room + skip) * bytes, kept * bytes);
            memcpy(b->v + h * b->room * bytes, a->v + (h * a->room + skip) * bytes, kept * bytes);
        }
    }
    return n;
}

/* --- shifting --- */

/* n rows of keys of type `type`, each of one head, lose by[r] positions. Rotated keys hold the angles' magnitude once;
 * rotating them again brings it in a second time, which `factor` takes out of the components that rotate. */
static void rotate_back(enum dtype type, char *rows, float *x, size_t n, const int32_t *by, const struct rope *rope,
                        float factor)
{
    size_t d = rope->head_dim;
    dtype_to_f32(type, rows, x, n * d);
    rope_backward(x, DTYPE_F32, x, by, rope, n, 1, d);
    for (size_t r = 0; factor != 1 && r < n; r++)
        for (size_t j = 0; j < rope->rotary_dim; j++)
            x[r * d + j] *= factor;
    cached_from_f32(type, x, rows, n * d);
}

/* The keys of layer i in rows [from, to) lose `by` positions. */
static void rotate_rows(struct kv_cache *cache, const struct model *m, size_t i, size_t from, size_t to, size_t by)
{
    enum { PIECE = 256 };
    const struct layer *l = &m->layers[i];
    const struct kv_layer *kept = &cache->layers[i];
    struct rope rope = layer_rope(m, l);
    float factor = l->shape.local_rope ? 1 : (float)(1 / rope_magnitude(&m->config));
    float *x = mem_alloc(PIECE * cache->head_dim, sizeof *x);
    int32_t positions[PIECE];
    for (size_t r = 0; r < PIECE; r++)
        positions[r] = (int32_t)by;
    for (size_t h = 0; h < kept->n_heads; h++)
        for (size_t r = from; r < to; r += PIECE)
            rotate_back(cache->type, kept->k + (h * kept->room + r) * cache->row_bytes, x,
                        to - r < PIECE ? to - r : PIECE, positions, &rope, factor);
    mem_free(x);
}

bool kv_cache_shift(struct kv_cache *cache, const struct model *m, size_t keep, size_t discard)
{
    size_t length = cache->length, after = keep + discard;
    if (keep > length || discard > length - keep || (discard < length - keep && discard >= m->n_positions))
        return false;
    for (size_t i = 0; i < cache->n_layers && discard > 0; i++) {
        size_t base = layer_base(cache, i);
        size_t to = keep > base ? keep - base : 0, from = after > base ? after - base : 0, n = length - base - from;
        if (base < after)
            move_rows(cache, &cache->layers[i], to, from, n);
        else
            to = 0;
        if (m->layers[i].shape.rotates)
            rotate_rows(cache, m, i, to, to + n, discard);
    }
    /* rows of a window that begins behind the dropped ones move with them; else they join what was before */
    if (cache->window_base >= after)
        cache->window_base -= discard;
    else if (cache->window_base > keep)
        cache->window_base = keep;
    cache->length = length - discard;
    return true;
}
