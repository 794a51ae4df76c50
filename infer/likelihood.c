#include "infer/likelihood.h"

#include "base/check.h"
#include "infer/score.h"
#include "kernels/cross_entropy.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 128, FIRST_ROOM = 512 };

static void take_memory(struct likelihood *l)
{
    const struct model_config *c = &l->model->config;
    size_t chunk = l->runner.chunk;
    l->cached = arena_alloc(&l->arena, l->room, sizeof *l->cached);
    l->targets = arena_alloc(&l->arena, chunk, sizeof *l->targets);
    l->scratch = arena_alloc(&l->arena, linear_loss_scratch(chunk, c->hidden_size, c->vocab_size),
                             sizeof(float));
}

static void give_memory_back(struct likelihood *l)
{
    runner_free(&l->runner);
    kv_cache_free(&l->cache);
    arena_free(&l->arena);
    l->room = 0;
}

/* Models may be made for contexts whose keys and values fill no ordinary machine's memory, while
 * sequences are short: memory is taken for those that come. */
static int reserve(struct likelihood *l, size_t inputs, struct error *e)
{
    size_t room = 2 * inputs < FIRST_ROOM ? FIRST_ROOM : 2 * inputs;
    if (inputs <= l->room)
        return OK;
    give_memory_back(l);
    l->room = room < l->capacity ? room : l->capacity;
    size_t chunk = l->room < CHUNK ? l->room : CHUNK;
    int code = runner_init(&l->runner, l->model, chunk, e);
    if (!code)
        code = kv_cache_init(&l->cache, l->model, DTYPE_F32, l->room, chunk, e);
    if (!code) {
        take_memory(l);
        code = arena_init(&l->arena, l->arena.used, "the logits of a sequence", e);
    }
    if (!code)
        take_memory(l);
    if (code)
        give_memory_back(l);
    else
        model_reserve_positions(l->model, l->room);
    return code;
}

void likelihood_init(struct likelihood *l, struct model *m, size_t capacity)
{
    CHECK(capacity > 0);
    *l = (struct likelihood){.model = m, .capacity = capacity};
}

void likelihood_free(struct likelihood *l)
{
    give_memory_back(l);
    *l = (struct likelihood){0};
}

static int check_sequence(const struct likelihood *l, const int32_t *ids, size_t n,
                          size_t n_counted, struct error *e)
{
    if (n_counted > l->capacity)
        return error_set(e, ERR_USAGE, "%zu tokens to predict are more than the context of %zu",
                         n_counted, l->capacity);
    return runner_check_tokens(l->model, ids, n, e);
}

/* Keeps in the cache what these inputs begin with too, but at most `limit` of them, and none where a window does not
 * let it go back: cache.length says where feeding begins. */
static void keep_common(struct likelihood *l, const int32_t *ids, size_t limit)
{
    size_t n = 0;
    while (n < limit && n < l->cache.length && l->cached[n] == ids[n])
        n++;
    kv_cache_rewind(&l->cache, n);
}

/* The next n inputs and their targets, from those of row `first` of the sequence on. */
static double feed(struct likelihood *l, const int32_t *ids, size_t n, size_t first)
{
    size_t before = l->cache.length;
    bool counts = false;
    for (size_t i = 0; i < n; i++) {
        bool counted = before + i >= first;
        l->cached[before + i] = ids[before + i];
        l->targets[i] = counted ? ids[before + i + 1] : TARGET_IGNORED;
        counts |= counted;
    }
    const float *hidden =
        runner_forward(&l->runner, &(struct runner_tokens){&l->cache, ids + before, n}, 1);
    l->n_fed += n;
    return counts ? score_rows(l->model, hidden, l->targets, n, l->scratch) : 0;
}

int likelihood_of(struct likelihood *l, const int32_t *ids, size_t n, size_t n_counted, double *sum,
                  struct error *e)
{
    CHECK(n_counted > 0 && n_counted < n);
    int code = check_sequence(l, ids, n, n_counted, e);
    if (code)
        return code;
    if (n - 1 > l->capacity) {
        ids += n - 1 - l->capacity;
        n = l->capacity + 1;
    }
    size_t inputs = n - 1, first = inputs - n_counted;
    double nats = 0;
    code = reserve(l, inputs, e);
    if (code)
        return code;
    keep_common(l, ids, first);
    while (l->cache.length < inputs) {
        size_t left = inputs - l->cache.length;
        nats += feed(l, ids, left < l->runner.chunk ? left : l->runner.chunk, first);
    }
    if (!isfinite(nats)) {
        kv_cache_rewind(&l->cache, 0);
        return error_set(e, ERR_FORMAT, "the model's output is not a number");
    }
    *sum = -nats;
    return OK;
}
