/* Small random models, and logits computed without a cache, for the tests of this folder. */
#ifndef LINNET_TESTS_INFER_UTIL_H
#define LINNET_TESTS_INFER_UTIL_H

#include "base/rng.h"
#include "model/decoder.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Grouped heads, head_dim != hidden / heads, weights large enough that predictions differ. */
__attribute__((unused)) static struct model_config small_config(size_t vocab_size, enum rope_style style)
{
    return (struct model_config){.vocab_size = vocab_size, .hidden_size = 40,
                                 .intermediate_size = 56, .num_hidden_layers = 3,
                                 .num_attention_heads = 4, .num_key_value_heads = 2,
                                 .head_dim = 16, .max_position_embeddings = 64,
                                 .rms_norm_eps = 1e-5, .rope_theta = 10000,
                                 .initializer_range = 0.15, .rope_style = style};
}

__attribute__((unused)) static struct model make_model(const struct model_config *c, uint64_t seed)
{
    struct model m;
    struct error e;
    assert_ok(model_init(&m, c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    model_initialize(&m, seed);
    struct rng r;
    rng_init(&r, seed, 1000);
    for (size_t i = 0; i < m.n_params; i++) /* norms too: initialised to 1, they would hide mistakes */
        for (size_t j = 0; m.params[i].n_dims == 1 && j < m.params[i].count; j++)
            m.params[i].value[j] = (float)(0.7 + 0.6 * rng_uniform(&r));
    return m;
}

__attribute__((unused)) static void random_ids(int32_t *ids, size_t n, size_t vocab, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 2000);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)rng_below(&r, vocab);
}

static void take_full(const struct model *m, size_t n, struct activations *a, struct batch *b,
                      struct arena *arena)
{
    activations_init(a, m, DTYPE_F32, 1, n, KEEP_NOTHING, arena);
    batch_init(b, 1, n, arena);
}

/* (n, vocab) logits of one pass over n tokens without a cache. */
__attribute__((unused)) static float *full_logits(struct model *m, const int32_t *ids, size_t n)
{
    struct activations a;
    struct batch b;
    struct arena arena = {0};
    struct error e;
    take_full(m, n, &a, &b, &arena);
    activations_free(&a);
    size_t size = arena.used;
    assert_ok(arena_init(&arena, size, "test", &e), e);
    take_full(m, n, &a, &b, &arena);
    model_reserve_positions(m, n);
    for (size_t i = 0; i < n; i++) {
        b.input_ids[i] = ids[i];
        b.positions[i] = (int32_t)i;
    }
    b.first_key = NULL;
    float *logits = mem_alloc(n * m->config.vocab_size, sizeof *logits);
    struct output_layer layer = decoder_output_layer(m);
    output_logits(&layer, DTYPE_F32, decoder_forward(m, &a, &b, NULL, 0), logits, n);
    activations_free(&a);
    arena_free(&arena);
    return logits;
}

/* -ln softmax(logits)[target] in f64. */
__attribute__((unused)) static double nats(const float *logits, size_t vocab, int32_t target)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < vocab; i++)
        sum += exp(logits[i] - max);
    return log(sum) + max - logits[target];
}

/* 256 bytes when `special` is NULL; else one special token, the bytes and a few merges. */
__attribute__((unused)) static struct tokenizer *make_tokenizer(const char *special)
{
    static const char text[] = "the cat and the hat and the bat sat there";
    const size_t offsets[] = {0, sizeof text - 1};
    struct tokenizer_settings s = {.splitter = special ? SPLITTER_GPT2 : SPLITTER_BYTES,
                                   .vocab_size = special ? 262 : 256, .min_frequency = 1,
                                   .special_tokens = &special, .n_special_tokens = special ? 1 : 0,
                                   .threads = 1};
    struct tokenizer_trainer *trainer = NULL;
    struct tokenizer *t = NULL;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text, offsets, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

#endif
