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

static size_t row_bytes(const struct model *m, const struct layer *l, enum dtype type)
{
    const struct dtype_info *info = dtype_info(type);
    return layer_key_width(m, l) / info->block * info->block_bytes;
}

static size_t layer_capacity(const struct kv_cache *cache, size_t i)
{
    return cache->layers[i].windowed ? cache->window_capacity : cache->capacity;
}

static size_t layer_base(const struct kv_cache *cache, size_t i)
{
    return cache->layers[i].windowed ? cache->window_base : 0;
}

static struct kv_cache shape_of(const struct model *m, enum dtype type, size_t capacity, size_t chunk)
{
    struct kv_cache cache = {.type = type, .capacity = capacity, .chunk = chunk,
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
        const struct layer *l = &m->layers[i];
        struct kv_layer layer = {.row_bytes = row_bytes(m, l, cache->type), .windowed = l->shape.window > 0};
        size_t rows = layer.windowed ? cache->window_capacity : cache->capacity;
        layer.k = arena_alloc(&cache->arena, rows, layer.row_bytes);
        layer.v = arena_alloc(&cache->arena, rows, layer.row_bytes);
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

/* Moves n rows within a layer. */
static void move_rows(struct kv_layer *l, size_t to, size_t from, size_t n)
{
    memmove(l->k + to * l->row_bytes, l->k + from * l->row_bytes, n * l->row_bytes);
    memmove(l->v + to * l->row_bytes, l->v + from * l->row_bytes, n * l->row_bytes);
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
            move_rows(&cache->layers[i], 0, held - kept, kept);
    cache->window_base = cache->length - kept;
}

static size_t row_width(const struct kv_cache *cache, const struct kv_layer *l)
{
    const struct dtype_info *info = dtype_info(cache->type);
    return l->row_bytes / info->block_bytes * info->block;
}

void kv_cache_store(struct kv_cache *cache, size_t i, const float *k, const float *v, size_t n)
{
    struct kv_layer *l = &cache->layers[i];
    size_t at = kv_cache_kept(cache, i), count = n * row_width(cache, l);
    CHECK(n <= layer_capacity(cache, i) - at);
    cached_from_f32(cache->type, k, l->k + at * l->row_bytes, count);
    cached_from_f32(cache->type, v, l->v + at * l->row_bytes, count);
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
          to->window == from->window);
    kv_cache_rewind(to, 0);
    if (!can_go_on_at(from, n))
        return 0;
    size_t held = n - from->window_base;
    to->length = n;
    to->window_base = n - (held < to->window_capacity ? held : to->window_capacity);
    for (size_t i = 0; i < to->n_layers; i++) {
        const struct kv_layer *a = &from->layers[i];
        struct kv_layer *b = &to->layers[i];
        CHECK(a->row_bytes == b->row_bytes && a->windowed == b->windowed);
        size_t skip = (layer_base(to, i) - layer_base(from, i)) * a->row_bytes;
        memcpy(b->k, a->k + skip, kv_cache_kept(to, i) * a->row_bytes);
        memcpy(b->v, a->v + skip, kv_cache_kept(to, i) * a->row_bytes);
    }
    return n;
}

/* --- shifting --- */

/* Rotated keys hold the angles' magnitude once; rotating them again brings it in a second time, which `factor` takes
 * out of the components that rotate. */
static void rotate_back(float *x, size_t n, size_t width, const int32_t *by, const struct rope *rope, float factor)
{
    rope_backward(x, DTYPE_F32, x, by, rope, n, width / rope->head_dim, width);
    for (size_t at = 0; factor != 1 && at < n * width; at += rope->head_dim)
        for (size_t d = 0; d < rope->rotary_dim; d++)
            x[at + d] *= factor;
}

/* The keys of layer i in rows [from, to) lose `by` positions. */
static void rotate_rows(struct kv_cache *cache, const struct model *m, size_t i, size_t from, size_t to, size_t by)
{
    enum { PIECE = 64 };
    const struct layer *l = &m->layers[i];
    struct kv_layer *kept = &cache->layers[i];
    struct rope rope = layer_rope(m, l);
    size_t width = row_width(cache, kept);
    float factor = l->shape.local_rope ? 1 : (float)(1 / rope_magnitude(&m->config));
    float *x = mem_alloc(PIECE * width, sizeof *x);
    int32_t positions[PIECE];
    for (size_t r = 0; r < PIECE; r++)
        positions[r] = (int32_t)by;
    for (size_t r = from; r < to; r += PIECE) {
        size_t n = to - r < PIECE ? to - r : PIECE;
        char *rows = kept->k + r * kept->row_bytes;
        dtype_to_f32(cache->type, rows, x, n * width);
        rotate_back(x, n, width, positions, &rope, factor);
        cached_from_f32(cache->type, x, rows, n * width);
    }
    mem_free(x);
}

bool kv_cache_shift(struct kv_cache *cache, const struct model *m, size_t keep, size_t discard)
{
    size_t length = cache->length, after = keep + discard;
    if (keep > length || discard > length - keep || discard >= m->n_positions)
        return false;
    for (size_t i = 0; i < cache->n_layers && discard > 0; i++) {
        size_t base = layer_base(cache, i);
        size_t to = keep > base ? keep - base : 0, from = after > base ? after - base : 0, n = length - base - from;
        if (base < after)
            move_rows(&cache->layers[i], to, from, n);
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
