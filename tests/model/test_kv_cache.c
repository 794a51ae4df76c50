/* The key/value cache: what its types cost in accuracy, windows far beyond their length, going back, shifting,
 * copying, and several sequences in one pass. */
#include "base/cpu.h"
#include "infer/runner.h"
#include "kernels/gemm.h"
#include "model/rope_scaling.h"
#include "tests/model/architectures.h"
#include "tests/test.h"

#include <math.h>

enum { VOCABULARY = 97, CHUNK = 16, WINDOW = 24 };

static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0};
enum { N_TYPES = sizeof types / sizeof *types };

/* A model, and passes over sequences that come in pieces. */
struct rig {
    const char *name;
    struct model m;
    struct runner runner;
};

static void rig_from(struct rig *r, const struct model_config *c, size_t n_positions)
{
    struct error e;
    assert_ok(model_init(&r->m, c, &e), e);
    assert_ok(model_allocate(&r->m, &e), e);
    example_weights(&r->m, 5);
    model_reserve_positions(&r->m, n_positions);
    assert_ok(runner_init(&r->runner, &r->m, CHUNK, &e), e);
}

/* `layers` 0: as many as the example has. False: the example is none with so few. */
static bool rig_init(struct rig *r, const struct example *x, size_t layers, size_t n_positions)
{
    struct model_config c;
    struct error e;
    assert_ok(example_config(x, VOCABULARY, &c, &e), e);
    if (layers && c.num_query_heads.count > 0) /* lists of all layers */
        return false;
    c.num_hidden_layers = layers ? layers : c.num_hidden_layers;
    r->name = x->name;
    rig_from(r, &c, n_positions);
    return true;
}

static void rig_free(struct rig *r)
{
    runner_free(&r->runner);
    model_free(&r->m);
}

static struct kv_cache cache_of(const struct rig *r, enum dtype type, size_t capacity)
{
    struct kv_cache cache;
    struct error e;
    assert_ok(kv_cache_init(&cache, &r->m, type, capacity, CHUNK, &e), e);
    return cache;
}

static int32_t *random_ids(size_t n, uint64_t seed)
{
    struct rng rng;
    int32_t *ids = mem_alloc(n, sizeof *ids);
    rng_init(&rng, seed, 4);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)rng_below(&rng, VOCABULARY);
    return ids;
}

/* Appends ids to a cache in pieces of 1 to CHUNK tokens; logits (n, VOCABULARY) unless NULL. */
static void feed(struct rig *r, struct kv_cache *cache, const int32_t *ids, size_t n, float *logits)
{
    for (size_t done = 0, piece = 1, now; done < n; done += now, piece = piece * 7 % 17) {
        now = piece < n - done ? piece : n - done;
        const float *hidden = runner_forward(&r->runner, &(struct runner_tokens){cache, ids + done, now}, 1);
        if (logits)
            runner_logits(&r->runner, hidden, now, logits + done * VOCABULARY);
    }
}

/* Logits of a pass over all without a cache. */
static float *without_cache(struct rig *r, const int32_t *ids, size_t n)
{
    struct activations a;
    struct batch b;
    struct arena plan = {0}, arena;
    struct error e;
    activations_init(&a, &r->m, DTYPE_F32, 1, n, KEEP_NOTHING, &plan);
    activations_free(&a);
    batch_init(&b, 1, n, &plan);
    assert_ok(arena_init(&arena, plan.used, "test", &e), e);
    activations_init(&a, &r->m, DTYPE_F32, 1, n, KEEP_NOTHING, &arena);
    batch_init(&b, 1, n, &arena);
    b.first_key = NULL;
    for (size_t i = 0; i < n; i++) {
        b.input_ids[i] = ids[i];
        b.positions[i] = (int32_t)i;
    }
    float *logits = mem_alloc(n * VOCABULARY, sizeof *logits);
    runner_logits(&r->runner, decoder_forward(&r->m, &a, &b, NULL, 0), n, logits);
    activations_free(&a);
    arena_free(&arena);
    return logits;
}

static void assert_near(const struct rig *r, const char *what, const float *a, const float *b, size_t n, float bound)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < bound))
            fail_msg("%s, %s: number %zu is %g and %g", r->name, what, i, (double)a[i], (double)b[i]);
}

/* One head of keys (or values) of layer i at a position, as f32. */
static void read_row(const struct kv_cache *c, size_t i, bool values, size_t head, size_t position, float *to)
{
    const struct kv_layer *l = &c->layers[i];
    size_t at = head * l->room + position - (l->windowed ? c->window_base : 0);
    dtype_to_f32(c->type, (values ? l->v : l->k) + at * c->row_bytes, to, c->head_dim);
}

/* --- types --- */

/* A model whose heads are whole blocks. */
static void blocks_rig(struct rig *r, const char *architecture, size_t layers, size_t n_positions)
{
    struct model_config c;
    struct error e;
    char keys[128];
    snprintf(keys, sizeof keys, "architecture: %s, head_dim: 64, num_hidden_layers: %zu", architecture, layers);
    struct example x = {architecture, keys};
    assert_ok(example_config(&x, VOCABULARY, &c, &e), e);
    r->name = x.name;
    rig_from(r, &c, n_positions);
}

/* Largest error that storing makes of a row of head_dim: see the bound in tests/kernels/test_attention.c. */
static double row_error(enum dtype type, const float *x, size_t n)
{
    double most = 0, half = 0x1p-11;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    return type == DTYPE_F16    ? most * half + 1e-7
           : type == DTYPE_Q8_0 ? most / 127 * (0.5 + 127 * half) + 1e-5
           : type == DTYPE_Q4_0 ? most / 8 * (1 + 8 * half) + 1e-5
                                : 0;
}

struct errors {
    double k, v, most; /* of keys, of values, and the largest value */
};

static struct errors head_errors(const struct kv_cache *exact, enum dtype type, size_t head)
{
    struct errors e = {0};
    float row[64];
    for (size_t p = 0; p < exact->length; p++) {
        read_row(exact, 0, false, head, p, row);
        e.k = fmax(e.k, row_error(type, row, 64));
        read_row(exact, 0, true, head, p, row);
        e.v = fmax(e.v, row_error(type, row, 64));
        for (size_t i = 0; i < 64; i++)
            e.most = fmax(e.most, fabs((double)row[i]));
    }
    return e;
}

/* In one layer queries are the same whatever the cache's type. With errors of at most dk a component of a key, a score
 * is off by at most eps = scale |q|_1 dk; a probability then lies within a factor of e^(+-2 eps) of its own, and the
 * output, a mean of values, moves by at most (e^(2 eps) - 1) times the largest value, and by dv. */
static void types_are_within_their_bound(void **state)
{
    (void)state;
    enum { N = 150, HEADS = 4, KV = 2, D = 64 };
    struct rig r;
    blocks_rig(&r, "llama", 1, N);
    int32_t *ids = random_ids(N, 1);
    struct kv_cache exact = cache_of(&r, DTYPE_F32, N);
    feed(&r, &exact, ids, N - 1, NULL);
    const struct layer_activations *s = &r.runner.activations.layers[0];
    for (size_t t = 0; t < N_TYPES; t++) {
        struct kv_cache cache = cache_of(&r, types[t], N);
        float want[HEADS * D], worst = 0;
        feed(&r, &cache, ids, N - 1, NULL);
        kv_cache_rewind(&exact, N - 1);
        feed(&r, &exact, ids + N - 1, 1, NULL);
        memcpy(want, s->attn, sizeof want);
        feed(&r, &cache, ids + N - 1, 1, NULL);
        for (size_t h = 0; h < HEADS; h++) {
            struct errors e = head_errors(&exact, types[t], h / (HEADS / KV));
            double l1 = 0;
            for (size_t i = 0; i < D; i++)
                l1 += fabs((double)((float *)s->q)[h * D + i]);
            double eps = model_attention_scale(&r.m.config) * l1 * e.k;
            double bound = (exp(2 * eps) - 1) * e.most + e.v + 1e-5;
            for (size_t i = 0; i < D; i++) {
                float error = fabsf(((float *)s->attn)[h * D + i] - want[h * D + i]);
                worst = fmaxf(worst, error);
                if (!((double)error <= bound))
                    fail_msg("%s: off by %g, bound %g", dtype_info(types[t])->name, (double)error, bound);
            }
        }
        assert_true(types[t] == DTYPE_F32 ? worst == 0 : worst > 0);
        kv_cache_free(&cache);
    }
    kv_cache_free(&exact);
    mem_free(ids);
    rig_free(&r);
}

/* Through several layers: errors as measured, times 4. */
static void types_follow_f32_through_layers(void **state)
{
    (void)state;
    enum { N = 300 };
    static const double bounds[] = {0, 4e-3, 6e-2, 0.8};
    struct rig r;
    blocks_rig(&r, "qwen3", 4, N);
    int32_t *ids = random_ids(N, 1);
    float *want = mem_alloc(N * VOCABULARY, sizeof *want), *logits = mem_alloc(N * VOCABULARY, sizeof *logits);
    for (size_t t = 0; t < N_TYPES; t++) {
        struct kv_cache cache = cache_of(&r, types[t], N);
        double squares = 0, errors = 0;
        feed(&r, &cache, ids, N, t == 0 ? want : logits);
        for (size_t i = 0; t > 0 && i < N * VOCABULARY; i++) {
            squares += pow((double)want[i], 2);
            errors += pow((double)(logits[i] - want[i]), 2);
        }
        double rms = t > 0 ? sqrt(errors / squares) : 0;
        if (!(rms <= bounds[t]))
            fail_msg("%s: %g over %g", dtype_info(types[t])->name, rms, bounds[t]);
        kv_cache_free(&cache);
    }
    mem_free(ids), mem_free(want), mem_free(logits);
    rig_free(&r);
}

/* Where all is in one piece, the same numbers are added in the same order. */
static void f32_in_one_piece_changes_no_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        rig_init(&r, &examples[i], 0, CHUNK);
        int32_t *ids = random_ids(CHUNK, 2);
        float *want = without_cache(&r, ids, CHUNK), logits[CHUNK * VOCABULARY];
        struct kv_cache cache = cache_of(&r, DTYPE_F32, CHUNK);
        runner_logits(&r.runner, runner_forward(&r.runner, &(struct runner_tokens){&cache, ids, CHUNK}, 1), CHUNK,
                      logits);
        assert_memory_equal(want, logits, sizeof logits);
        kv_cache_free(&cache);
        mem_free(ids), mem_free(want);
        rig_free(&r);
    }
}

static void types_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct rig r;
    struct kv_cache cache;
    struct error e;
    rig_init(&r, &examples[0], 0, 8); /* heads of 16 */
    assert_int_equal(kv_cache_init(&cache, &r.m, DTYPE_Q8_0, 8, 8, &e), ERR_USAGE);
    assert_string_equal(e.message, "keys and values cannot be kept as q8_0: its blocks are of 32, the model's heads "
                                   "of 16; take f16");
    kv_cache_free(&cache);
    assert_int_equal(kv_cache_init(&cache, &r.m, DTYPE_Q4_K, 8, 8, &e), ERR_USAGE);
    assert_string_equal(e.message, "keys and values are not kept as q4_k: f32, f16, q8_0 or q4_0");
    rig_free(&r);
}

/* --- windows --- */

static bool has_window(const struct rig *r)
{
    return r->m.config.sliding_window > 0;
}

static void windows_far_beyond_their_length(void **state)
{
    (void)state;
    enum { N = 900 };
    size_t n_windowed = 0;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        rig_init(&r, &examples[i], 0, N);
        if (has_window(&r)) {
            int32_t *ids = random_ids(N, 3);
            float *want = without_cache(&r, ids, N), *logits = mem_alloc(N * VOCABULARY, sizeof *logits);
            struct kv_cache cache = cache_of(&r, DTYPE_F32, N);
            assert_int_equal(cache.window, WINDOW);
            feed(&r, &cache, ids, N, logits);
            assert_true(cache.window_base > N / 2); /* what was before has been let go */
            assert_near(&r, "far beyond", want, logits, N * VOCABULARY, 3e-4f);
            kv_cache_free(&cache);
            mem_free(ids), mem_free(want), mem_free(logits);
            n_windowed++;
        }
        rig_free(&r);
    }
    assert_true(n_windowed >= 4);
}

static void windows_bound_the_memory(void **state)
{
    (void)state;
    struct rig r;
    size_t all = 0, windowed = 0;
    struct model_config c;
    struct error e;
    struct example x = {"gemma3", "architecture: gemma3, num_hidden_layers: 12, head_dim: 64, sliding_window: 24"};
    assert_ok(example_config(&x, VOCABULARY, &c, &e), e);
    rig_from(&r, &c, 8);
    for (size_t i = 0; i < 12; i++)
        *(r.m.layers[i].shape.window ? &windowed : &all) += 1;
    assert_int_equal(all, 2);
    for (size_t t = 0; t < N_TYPES; t++) {
        enum { CAPACITY = 100000, ROOM = WINDOW + 256 + CHUNK, KV = 2, D = 64 };
        size_t row, planned = kv_cache_bytes(&r.m, types[t], CAPACITY, CHUNK);
        assert_true(dtype_bytes(types[t], KV * D, &row));
        size_t want = 2 * row * (all * CAPACITY + windowed * ROOM);
        assert_true(planned >= want && planned < want + 8192); /* alignment, and the list of layers */
        struct kv_cache cache = cache_of(&r, types[t], CAPACITY);
        assert_int_equal(cache.arena.used, planned);
        kv_cache_free(&cache);
    }
    rig_free(&r);
}

/* Back within what is kept the sequence goes on as if nothing had been; further back it begins anew, and says so. */
static void going_back(void **state)
{
    (void)state;
    enum { N = 900, BACK = 128 };
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        rig_init(&r, &examples[i], 0, N);
        int32_t *ids = random_ids(N, 3);
        float *want = has_window(&r) ? without_cache(&r, ids, N) : NULL, logits[30 * VOCABULARY];
        struct kv_cache cache = cache_of(&r, DTYPE_F32, N);
        for (size_t length = 200, n = 0; has_window(&r) && length <= N; length += 130) {
            feed(&r, &cache, ids + n, length - n, NULL);
            assert_int_equal(kv_cache_rewind(&cache, length), length);
            n = length - BACK;
            assert_int_equal(kv_cache_rewind(&cache, n), n);
            feed(&r, &cache, ids + n, 30, logits);
            assert_near(&r, "after going back", want + n * VOCABULARY, logits, 30 * VOCABULARY, 3e-4f);
            n += 30;
            if (length > 600) {
                assert_int_equal(kv_cache_rewind(&cache, 60), 0);
                assert_int_equal(cache.length, 0);
                n = 0;
            }
        }
        kv_cache_rewind(&cache, 0);
        if (!has_window(&r)) {
            feed(&r, &cache, ids, 200, NULL);
            assert_int_equal(kv_cache_rewind(&cache, 3), 3);
        }
        kv_cache_free(&cache);
        mem_free(ids), mem_free(want);
        rig_free(&r);
    }
}

/* --- several sequences --- */

/* Few rows at a time go through the same products whatever their number, so that each sequence's bits are its own
 * (without AVX2 products are OpenBLAS's, which rounds as it likes, and f16 may then round the other way). */
static void sequences_do_not_notice_each_other(void **state)
{
    (void)state;
    enum { S = 4, STEPS = 8, MOST = 700 };
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        rig_init(&r, &examples[i], 0, MOST);
        int32_t *ids = random_ids(MOST * S, 6);
        size_t lengths[S] = {1, has_window(&r) ? 650 : 70, 17, 33};
        struct kv_cache alone[S], together[S];
        for (size_t s = 0; s < S; s++) {
            alone[s] = cache_of(&r, DTYPE_F16, MOST);
            together[s] = cache_of(&r, DTYPE_F16, MOST);
            feed(&r, &alone[s], ids + s * MOST, lengths[s], NULL);
            feed(&r, &together[s], ids + s * MOST, lengths[s], NULL);
        }
        for (size_t step = 0; step < STEPS; step++) {
            float hidden[S * 64];
            struct runner_tokens batch[S];
            for (size_t s = 0; s < S; s++) {
                batch[s] = (struct runner_tokens){&together[s], ids + s * MOST + lengths[s] + step, 1};
                struct runner_tokens one = batch[s];
                one.cache = &alone[s];
                memcpy(hidden + s * 64, runner_forward(&r.runner, &one, 1), 64 * sizeof *hidden);
            }
            const float *all = runner_forward(&r.runner, batch, S);
            if (cpu_level() >= CPU_AVX2 && memcmp(all, hidden, sizeof hidden) != 0)
                fail_msg("%s: step %zu", r.name, step);
            assert_near(&r, "side by side", all, hidden, S * 64, 1e-2f);
        }
        for (size_t s = 0; s < S; s++) {
            kv_cache_free(&alone[s]);
            kv_cache_free(&together[s]);
        }
        mem_free(ids);
        rig_free(&r);
    }
}

/* --- shifting --- */

/* In one layer keys and values are functions of token and position alone: the shifted sequence is the one of the
 * tokens that are left. */
static void check_shift(struct rig *r, size_t n, size_t keep, size_t discard)
{
    enum { MORE = 60 };
    int32_t *ids = random_ids(n + MORE, 7), *left = mem_alloc(n + MORE - discard, sizeof *left);
    size_t n_left = n - discard;
    memcpy(left, ids, keep * sizeof *left);
    memcpy(left + keep, ids + keep + discard, (n_left - keep + MORE) * sizeof *left);
    struct kv_cache shifted = cache_of(r, DTYPE_F32, n + MORE), fresh = cache_of(r, DTYPE_F32, n + MORE);
    float want[MORE * VOCABULARY], logits[MORE * VOCABULARY];
    feed(r, &shifted, ids, n, NULL);
    assert_true(kv_cache_shift(&shifted, &r->m, keep, discard));
    assert_int_equal(shifted.length, n_left);
    feed(r, &shifted, ids + n, MORE, logits);
    feed(r, &fresh, left, n_left, NULL);
    feed(r, &fresh, left + n_left, MORE, want);
    assert_near(r, "shifted", want, logits, MORE * VOCABULARY, 3e-4f);
    kv_cache_free(&shifted);
    kv_cache_free(&fresh);
    mem_free(ids), mem_free(left);
}

static void a_shifted_layer_is_the_shorter_sequence(void **state)
{
    (void)state;
    enum { N = 500 };
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        if (!rig_init(&r, &examples[i], 1, N + 60))
            continue;
        check_shift(&r, 100, 0, 50);
        check_shift(&r, 100, 4, 13);
        check_shift(&r, 100, 99, 1);
        check_shift(&r, 40, 0, 40);
        if (has_window(&r))
            check_shift(&r, N, 4, 200); /* it begins behind the dropped tokens */
        rig_free(&r);
    }
}

/* A window that held only part of what stays sees what it held: the newest tokens, as if the sequence began there. */
static void a_window_brings_nothing_back(void **state)
{
    (void)state;
    enum { N = 500, KEEP = 200, DISCARD = 290, MORE = 60 };
    struct rig r;
    struct example x = {"mistral", "architecture: mistral, sliding_window: 24"};
    rig_init(&r, &x, 1, N + MORE);
    int32_t *ids = random_ids(N + MORE, 8);
    float logits[MORE * VOCABULARY];
    struct kv_cache cache = cache_of(&r, DTYPE_F32, N + MORE);
    feed(&r, &cache, ids, N, NULL);
    assert_true(cache.window_base > KEEP);
    assert_true(kv_cache_shift(&cache, &r.m, KEEP, DISCARD));
    assert_int_equal(cache.window_base, KEEP);
    assert_int_equal(kv_cache_rewind(&cache, cache.length), N - DISCARD);
    struct kv_cache copy = cache_of(&r, DTYPE_F32, N + MORE);
    assert_int_equal(kv_cache_copy(&copy, &cache, N - DISCARD), N - DISCARD);
    assert_int_equal(kv_cache_rewind(&copy, N - DISCARD - 1), 0);
    feed(&r, &cache, ids + N, MORE, logits);
    /* after as many new tokens as a window is long, nothing of the shift is left: one layer sees no further */
    float *want = without_cache(&r, ids + N, MORE);
    assert_near(&r, "filled again", want + WINDOW * VOCABULARY, logits + WINDOW * VOCABULARY,
                (MORE - WINDOW) * VOCABULARY, 3e-4f);
    kv_cache_free(&cache);
    kv_cache_free(&copy);
    mem_free(ids), mem_free(want);
    rig_free(&r);
}

/* One head of a moved position: values are the same bits; keys, rotated forth again, are what they were. */
static void check_moved(const struct rig *r, const struct kv_cache *after, const struct kv_cache *before, size_t i,
                        size_t head, size_t position, size_t discard)
{
    const struct layer *l = &r->m.layers[i];
    struct rope rope = layer_rope(&r->m, l);
    size_t d = after->head_dim;
    float a[64], b[64], factor = l->shape.local_rope ? 1 : (float)rope_magnitude(&r->m.config);
    int32_t by = (int32_t)discard;
    read_row(after, i, true, head, position, a);
    read_row(before, i, true, head, position + discard, b);
    assert_memory_equal(a, b, d * sizeof *a);
    read_row(after, i, false, head, position, a);
    read_row(before, i, false, head, position + discard, b);
    if (!l->shape.rotates) {
        assert_memory_equal(a, b, d * sizeof *a);
        return;
    }
    rope_forward(a, DTYPE_F32, &by, &rope, 1, 1, d);
    for (size_t j = 0; j < d; j++)
        a[j] /= j < rope.rotary_dim ? factor : 1;
    assert_near(r, "rotated forth and back", a, b, d, 1e-4f);
}

static void a_shift_moves_and_rotates(void **state)
{
    (void)state;
    enum { N = 90, KEEP = 5, DISCARD = 37 };
    size_t n_still = 0;
    for (size_t x = 0; x < N_EXAMPLES; x++) {
        struct rig r;
        rig_init(&r, &examples[x], 0, N);
        int32_t *ids = random_ids(N, 9);
        struct kv_cache cache = cache_of(&r, DTYPE_F32, N), before = cache_of(&r, DTYPE_F32, N);
        feed(&r, &cache, ids, N, NULL);
        kv_cache_copy(&before, &cache, N);
        assert_false(kv_cache_shift(&cache, &r.m, KEEP, N));
        assert_false(kv_cache_shift(&cache, &r.m, N + 1, 0));
        assert_true(kv_cache_shift(&cache, &r.m, KEEP, DISCARD));
        for (size_t i = 0; i < r.m.config.num_hidden_layers; i++) {
            n_still += !r.m.layers[i].shape.rotates;
            for (size_t h = 0; h < r.m.layers[i].shape.n_kv_heads; h++) {
                for (size_t p = KEEP; p < N - DISCARD; p++)
                    check_moved(&r, &cache, &before, i, h, p, DISCARD);
                for (size_t p = 0; p < KEEP; p++) {
                    float a[64], b[64];
                    read_row(&cache, i, false, h, p, a);
                    read_row(&before, i, false, h, p, b);
                    assert_memory_equal(a, b, cache.head_dim * sizeof *a);
                }
            }
        }
        kv_cache_free(&cache);
        kv_cache_free(&before);
        mem_free(ids);
        rig_free(&r);
    }
    assert_true(n_still > 0); /* smollm3 has layers that do not rotate */
}

/* Other types: a key of the shorter sequence, but for two roundings. A rotation turns errors of two components into
 * one of at most sqrt(2) times the larger. */
static void other_types_shift_within_two_roundings(void **state)
{
    (void)state;
    enum { N = 90, DISCARD = 37 };
    struct rig r;
    blocks_rig(&r, "llama", 1, N);
    int32_t *ids = random_ids(N, 9);
    struct kv_cache exact = cache_of(&r, DTYPE_F32, N);
    feed(&r, &exact, ids + DISCARD, N - DISCARD, NULL);
    for (size_t t = 0; t < N_TYPES; t++) {
        struct kv_cache cache = cache_of(&r, types[t], N);
        feed(&r, &cache, ids, N, NULL);
        assert_true(kv_cache_shift(&cache, &r.m, 0, DISCARD));
        for (size_t p = 0; p < N - DISCARD; p++) {
            float a[64], b[64];
            double norm = 0;
            read_row(&cache, 0, false, 1, p, a);
            read_row(&exact, 0, false, 1, p, b);
            for (size_t i = 0; i < 64; i++) /* no component is larger than that, however it is rotated */
                norm = fmax(norm, hypot((double)b[i], (double)b[(i + 32) % 64]));
            float largest = (float)norm, first = (float)row_error(types[t], &largest, 1);
            float grown = largest + 1.5f * first;
            assert_near(&r, dtype_info(types[t])->name, a, b, 64,
                        1.4143f * first + (float)row_error(types[t], &grown, 1) + 1e-4f);
        }
        kv_cache_free(&cache);
    }
    kv_cache_free(&exact);
    mem_free(ids);
    rig_free(&r);
}

/* --- copies --- */

static void a_copy_goes_on_as_the_original(void **state)
{
    (void)state;
    enum { N = 400, MORE = 30 };
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct rig r;
        rig_init(&r, &examples[i], 0, 2 * N);
        int32_t *ids = random_ids(N + MORE, 10);
        float a[MORE * VOCABULARY], b[MORE * VOCABULARY];
        size_t most = has_window(&r) ? N : 60, lengths[] = {most, most - 50, 20, 0};
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            struct kv_cache from = cache_of(&r, DTYPE_F16, N + MORE), to = cache_of(&r, DTYPE_F16, 2 * N);
            size_t n = lengths[k];
            feed(&r, &from, ids, most, NULL);
            feed(&r, &to, ids + 3, 40, NULL); /* which the copy replaces */
            size_t copied = kv_cache_copy(&to, &from, n);
            assert_int_equal(to.length, copied);
            assert_int_equal(kv_cache_rewind(&from, n), copied);
            assert_true(copied == n || (copied == 0 && has_window(&r) && n == 20));
            feed(&r, &from, ids + copied, MORE, a);
            feed(&r, &to, ids + copied, MORE, b);
            assert_memory_equal(a, b, sizeof a);
            kv_cache_free(&from);
            kv_cache_free(&to);
        }
        mem_free(ids);
        rig_free(&r);
    }
}

/* Where the copy's windows have less room they begin later. */
static void a_copy_may_have_less_room(void **state)
{
    (void)state;
    enum { N = WINDOW + 256 + CHUNK - 2, MORE = 20 };
    struct rig r;
    struct example x = {"gemma3", "architecture: gemma3, num_hidden_layers: 6, sliding_window: 24"};
    struct error e;
    struct kv_cache to;
    rig_init(&r, &x, 0, N + MORE);
    int32_t *ids = random_ids(N + MORE, 10);
    struct kv_cache from = cache_of(&r, DTYPE_F32, N + MORE);
    assert_ok(kv_cache_init(&to, &r.m, DTYPE_F32, N + MORE, 1, &e), e);
    feed(&r, &from, ids, N, NULL);
    assert_int_equal(from.window_base, 0);
    assert_int_equal(kv_cache_copy(&to, &from, N), N);
    assert_int_equal(to.window_base, CHUNK - 3);
    for (size_t i = N; i < N + MORE; i++) {
        float a[VOCABULARY], b[VOCABULARY];
        feed(&r, &from, ids + i, 1, a);
        feed(&r, &to, ids + i, 1, b);
        assert_memory_equal(a, b, sizeof a);
    }
    kv_cache_free(&from);
    kv_cache_free(&to);
    mem_free(ids);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_within_their_bound),
        cmocka_unit_test(types_follow_f32_through_layers),
        cmocka_unit_test(f32_in_one_piece_changes_no_bit),
        cmocka_unit_test(types_that_do_not_fit_are_refused),
        cmocka_unit_test(windows_far_beyond_their_length),
        cmocka_unit_test(windows_bound_the_memory),
        cmocka_unit_test(going_back),
        cmocka_unit_test(sequences_do_not_notice_each_other),
        cmocka_unit_test(a_shifted_layer_is_the_shorter_sequence),
        cmocka_unit_test(a_window_brings_nothing_back),
        cmocka_unit_test(a_shift_moves_and_rotates),
        cmocka_unit_test(other_types_shift_within_two_roundings),
        cmocka_unit_test(a_copy_goes_on_as_the_original),
        cmocka_unit_test(a_copy_may_have_less_room),
    };
    kernels_set_threads(1); /* models this small only wait for each other; bits do not depend on it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
