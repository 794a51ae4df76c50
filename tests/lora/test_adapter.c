/* Adapters on models of every family: attached, merged, written and read; and what is refused. */
#include "export/gguf.h"
#include "kernels/blocks.h"
#include "lora/load.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"
#include "tests/lora/random.h"
#include "tests/model/architectures.h"
#include "tests/model/rig.h"

#include <stdio.h>
#include <unistd.h>

enum { TOKENS = 20, VOCAB = 256 };
static int32_t ids[TOKENS];

static struct model random_model(const struct example *x)
{
    struct model_config c;
    struct model m;
    struct error e;
    assert_ok(example_config(x, VOCAB, &c, &e), e);
    assert_ok(model_init(&m, &c, &e), e);
    return m;
}

static void give_weights(struct model *m)
{
    struct error e;
    assert_ok(model_allocate(m, &e), e);
    example_weights(m, 7);
}

static double distance(const float *a, const float *b)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < TOKENS * VOCAB; i++) {
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

/* With the adapter, which is detached again. */
static float *logits_with(struct model *m, struct lora_adapter *a)
{
    lora_attach(a);
    float *logits = full_logits(m, ids, TOKENS);
    lora_detach(a);
    return logits;
}

static void expect(const char *name, const char *what, double distance, double bound)
{
    if (!(distance < bound))
        fail_msg("%s: %s is off by %g", name, what, distance);
}

/* The file's adapter gives what the one in memory gave. */
static void check_read(const char *name, const char *what, const char *path, struct model *m, const float *want)
{
    struct lora_adapter a;
    struct error e = {0};
    if (lora_load(path, m, &a, &e))
        fail_msg("%s: %s: %s", name, what, e.message);
    float *got = logits_with(m, &a);
    expect(name, what, distance(got, want), 2e-5);
    mem_free(got);
    lora_free(&a);
}

static void check_family(const struct example *x, const struct tokenizer *t, bool shared)
{
    struct model m = random_model(x), mapped;
    struct lora_adapter a;
    struct error e = {0};
    struct export_options o = {.type = DTYPE_F32, .name = x->name, .force = true};
    char *gguf = path_join(directory, "a.gguf"), *peft = path_join(directory, "a"),
         *base = path_join(directory, "base.gguf");
    give_weights(&m);
    bool experts = m.config.num_experts > 0;
    float *plain = full_logits(&m, ids, TOKENS);
    assert_ok(random_adapter(&m, false, shared, 3, &a, &e), e);
    float *want = logits_with(&m, &a), *after = full_logits(&m, ids, TOKENS);
    assert_true(distance(want, plain) > 0.02);
    assert_memory_equal(plain, after, TOKENS * VOCAB * sizeof *plain);
    assert_ok(lora_write_gguf(&a, "test", gguf, &e), e);
    check_read(x->name, "GGUF on f32", gguf, &m, want);
    assert_ok(export_gguf(&m, t, &o, base, &e), e);
    assert_ok(model_load(base, WEIGHTS_MAPPED, &mapped, NULL, &e), e);
    check_read(x->name, "GGUF on GGUF", gguf, &mapped, want);
    if (experts) { /* PEFT's files have a place for them */
        lora_free(&a);
        mem_free(want);
        assert_ok(random_adapter(&m, true, shared, 3, &a, &e), e);
        want = logits_with(&m, &a);
    }
    assert_ok(lora_write_peft(&a, x->name, peft, &e), e);
    check_read(x->name, "PEFT on f32", peft, &m, want);
    check_read(x->name, "PEFT on GGUF", peft, &mapped, want);
    if (experts) {
        assert_int_equal(lora_write_gguf(&a, "test", gguf, &e), ERR_USAGE);
        assert_non_null(strstr(e.message, "single experts"));
    }
    merge_in_memory(&m, &a, 1);
    mem_free(after);
    after = full_logits(&m, ids, TOKENS);
    expect(x->name, "the merged model", distance(after, want), 2e-5);
    mem_free(plain), mem_free(want), mem_free(after), mem_free(gguf), mem_free(peft), mem_free(base);
    lora_free(&a);
    model_free(&m);
    model_free(&mapped);
}

static void families(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    for (size_t i = 0; i < N_EXAMPLES; i++)
        check_family(&examples[i], t, i % 2);
    tokenizer_free(t);
}

/* Weights of blocks stay as they are under the adapter. */
static void a_quantised_base(void **state)
{
    (void)state;
    struct model m = random_model(&examples[0]), wide = random_model(&examples[0]);
    struct lora_adapter a;
    struct error e;
    struct rng r;
    give_weights(&m);
    give_weights(&wide);
    rng_init(&r, 1, 1);
    struct block_q8_0 *blocks[64] = {0};
    size_t n = 0;
    for (size_t i = 0; i < m.n_params; i++) {
        struct param *p = &m.params[i];
        if (!p->matrix || p->layer < 0 || p->cols % 32 != 0)
            continue;
        struct block_q8_0 *b = blocks[n++] = mem_zero(p->count / 32, sizeof *b);
        for (size_t j = 0; j < p->count / 32; j++) {
            f16_from_f32(&(float){0.004f}, &b[j].d, 1);
            for (size_t k = 0; k < 32; k++)
                b[j].qs[k] = (int8_t)((int)rng_below(&r, 255) - 127);
        }
        assert_true(dtype_to_f32(DTYPE_Q8_0, b, wide.params[i].value, p->count));
        p->data = b, p->type = DTYPE_Q8_0, p->value = NULL;
    }
    assert_true(n > 20);
    assert_ok(random_adapter(&m, false, false, 5, &a, &e), e);
    float *got = logits_with(&m, &a);
    lora_free(&a);
    assert_ok(random_adapter(&wide, false, false, 5, &a, &e), e);
    merge_in_memory(&wide, &a, 1);
    float *want = full_logits(&wide, ids, TOKENS);
    expect("llama", "the quantised model", distance(got, want), 2e-5);
    lora_free(&a);
    for (size_t i = 0; i < n; i++)
        mem_free(blocks[i]);
    mem_free(got), mem_free(want);
    model_free(&m);
    model_free(&wide);
}

static void sums_and_strengths(void **state)
{
    (void)state;
    struct model m = random_model(&examples[0]);
    struct lora_adapter a, b;
    struct error e;
    give_weights(&m);
    float *plain = full_logits(&m, ids, TOKENS);
    assert_ok(random_adapter(&m, false, false, 5, &a, &e), e);
    assert_ok(random_adapter(&m, false, false, 6, &b, &e), e);
    b.strength = -0.5f;
    lora_attach(&a);
    lora_attach(&b);
    float *both = full_logits(&m, ids, TOKENS);
    lora_detach(&b);
    float *one = full_logits(&m, ids, TOKENS);
    lora_detach(&a);
    assert_true(distance(both, one) > 0.01);
    a.strength = 0;
    float *none = logits_with(&m, &a);
    expect("llama", "strength 0", distance(none, plain), 1e-7);
    a.strength = 1;
    merge_in_memory(&m, (const struct lora_adapter[]){a, b}, 2);
    float *merged = full_logits(&m, ids, TOKENS);
    expect("llama", "the sum", distance(both, merged), 2e-5);
    mem_free(plain), mem_free(both), mem_free(one), mem_free(none), mem_free(merged);
    lora_free(&a);
    lora_free(&b);
    model_free(&m);
}

/* An output layer that is the embedding: only what it puts out changes. */
static void a_tied_output_layer(void **state)
{
    (void)state;
    struct model m = random_model(&examples[0]);
    struct lora_adapter a;
    struct error e;
    struct lora_want want = {.linear = &m.head, .rank = 2, .scale = 3};
    struct rng r;
    assert_true(m.config.tie_word_embeddings);
    give_weights(&m);
    float *plain = full_logits(&m, ids, TOKENS);
    assert_ok(lora_init(&a, &m, &want, 1, &e), e);
    lora_initialize(&a, 3);
    float *same = logits_with(&m, &a); /* B is 0 */
    assert_memory_equal(plain, same, TOKENS * VOCAB * sizeof *plain);
    rng_init(&r, 4, 4);
    rng_fill_normal(&r, a.pairs->b->value, 2 * VOCAB, 0.1f);
    float *got = logits_with(&m, &a);
    assert_true(distance(got, plain) > 0.01);
    char *peft = path_join(directory, "tied");
    assert_ok(lora_write_peft(&a, "x", peft, &e), e);
    check_read("llama", "PEFT's lm_head", peft, &m, got);
    assert_int_equal(lora_write_gguf(&a, "x", peft, &e), ERR_USAGE);
    mem_free(plain), mem_free(same), mem_free(got), mem_free(peft);
    lora_free(&a);
    model_free(&m);
}

/* One product in bf16 beside the same in f32. */
static void activations_in_bf16(void **state)
{
    (void)state;
    enum { N = 9 };
    struct model m = random_model(&examples[0]);
    struct linear *l = &m.layers[1].ffn.down;
    struct lora_want want = {.linear = l, .rank = 3, .scale = 2};
    struct lora_adapter a;
    struct error e;
    struct rng r;
    give_weights(&m);
    size_t in = l->weight->cols, out = l->weight->rows;
    float *x = mem_alloc(N * in, sizeof *x), *y = mem_alloc(N * out, sizeof *y), *plain = mem_alloc(N * out, sizeof *y);
    uint16_t *x16 = mem_alloc(N * in, sizeof *x16), *y16 = mem_alloc(N * out, sizeof *y16);
    assert_ok(lora_init(&a, &m, &want, 1, &e), e);
    lora_initialize(&a, 3);
    rng_init(&r, 4, 4);
    rng_fill_normal(&r, a.pairs->b->value, 3 * out, 0.3f);
    rng_fill_normal(&r, x, N * in, 1);
    bf16_from_f32(x, x16, N * in);
    f32_from_bf16(x16, x, N * in);
    linear_forward(l, plain, DTYPE_F32, x, DTYPE_F32, N);
    lora_attach(&a);
    linear_forward(l, y, DTYPE_F32, x, DTYPE_F32, N);
    linear_forward(l, y16, DTYPE_BF16, x16, DTYPE_BF16, N);
    linear_forward(l, y16, DTYPE_BF16, x16, DTYPE_BF16, 0);
    lora_detach(&a);
    double changed = 0;
    for (size_t i = 0; i < N * out; i++) {
        float got;
        f32_from_bf16(&y16[i], &got, 1);
        changed = fmax(changed, fabsf(y[i] - plain[i]));
        assert_true(fabsf(got - y[i]) < 0.03f * (1 + fabsf(y[i])));
    }
    assert_true(changed > 1);
    mem_free(x), mem_free(y), mem_free(plain), mem_free(x16), mem_free(y16);
    lora_free(&a);
    model_free(&m);
}

/* --- gradients --- */

/* The loss's slope along `values` in the direction of their gradient is that gradient's norm. */
static void check_slope(struct rig *r, const char *what, float *values, const float *gradient, size_t n)
{
    double norm = 0, slopes[2];
    float *saved = mem_alloc(n, sizeof *saved);
    memcpy(saved, values, n * sizeof *saved);
    for (size_t i = 0; i < n; i++)
        norm += (double)gradient[i] * gradient[i];
    norm = sqrt(norm);
    assert_true(norm > 1e-5);
    for (int k = 0; k < 2; k++) { /* Richardson's central differences */
        double h = 0.02 / (k + 1), loss[2];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < n; i++)
                values[i] = (float)(saved[i] + (side ? -h : h) * gradient[i] / norm);
            loss[side] = rig_loss(r, 0) / (double)r->batch.n_targets;
        }
        slopes[k] = (loss[0] - loss[1]) / (2 * h);
    }
    memcpy(values, saved, n * sizeof *saved);
    double slope = (4 * slopes[1] - slopes[0]) / 3;
    if (!(fabs(slope - norm) < 5e-3 * norm + 2e-5))
        fail_msg("%s: the gradient's norm is %g, the slope %g", what, norm, slope);
    mem_free(saved);
}

static void check_gradients(const struct example *x, bool shared)
{
    struct rig r = {0};
    struct model_config c;
    struct lora_adapter a, frozen;
    struct arena plan = {0}, arena;
    struct error e;
    assert_ok(example_config(x, VOCAB, &c, &e), e);
    rig_init(&r, &c, 2, 12);
    example_weights(&r.model, 7);
    random_batch(&r.batch, VOCAB, 4);
    assert_ok(random_adapter(&r.model, true, shared, 5, &a, &e), e);
    assert_ok(random_adapter(&r.model, true, shared, 6, &frozen, &e), e);
    params_attach_gradients(&a.all, DTYPE_F32, &plan);
    assert_ok(arena_init(&arena, plan.used, "test", &e), e);
    params_attach_gradients(&a.all, DTYPE_F32, &arena);
    lora_attach(&frozen);
    lora_attach(&a);
    rig_step(&r, 0);
    params_clear_gradients(&a.all);
    rig_step(&r, 0);
    for (size_t i = 0; i < a.n_pairs; i++) {
        struct lora_pair *p = &a.pairs[i];
        const struct param *w = p->linear->weight;
        if (w->expert > 0 || w->layer > 1 || w->role == PARAM_ROUTER)
            continue;
        check_slope(&r, w->name, p->a->value, p->a->grad, p->rank * w->cols);
        check_slope(&r, w->name, p->b->value, p->b->grad, w->rows * p->rank);
    }
    struct param *first = r.model.layers[0].ffn_norm.weight; /* through the adapters of the layers above */
    check_slope(&r, first->name, first->value, first->grad, first->count);
    lora_detach(&a);
    lora_detach(&frozen);
    lora_free(&a);
    lora_free(&frozen);
    arena_free(&arena);
    rig_free(&r);
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "phi4-mini", "gemma2", "granite"};
    for (size_t i = 0; i < N_EXAMPLES; i++)
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (strcmp(examples[i].name, names[j]) == 0)
                check_gradients(&examples[i], j % 2);
}

/* --- what is refused --- */

static void write_text(const char *name, const char *text)
{
    struct error e;
    char *path = path_join(directory, name);
    assert_ok(file_write(path, text, strlen(text), &e), e);
    mem_free(path);
}

static void expect_refusal(struct model *m, const char *path, enum error_code wanted, const char *words)
{
    struct lora_adapter a;
    struct error e = {0};
    int code = lora_load(path, m, &a, &e);
    if (code != (int)wanted || !strstr(e.message, words) || !strstr(e.message, path))
        fail_msg("%s (%d), expected %s", code ? e.message : "was accepted", code, words);
}

static void wrong_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"[]", "adapter_config.json: not an object"},
        {"{}", "no \"peft_type\""},
        {"{\"peft_type\": \"IA3\"}", "\"peft_type\" is IA3; only LORA is supported"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"use_dora\": true}",
         "model.layers.0.self_attn.q_proj.weight has no magnitude vector, although \"use_dora\" is true"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_dropout\": 1}", "\"lora_dropout\" must be a number from 0 to 1"},
        {"{\"peft_type\": \"LORA\", \"bias\": \"all\"}", "\"bias\": trained biases"},
        {"{\"peft_type\": \"LORA\", \"fan_in_fan_out\": true}", "\"fan_in_fan_out\": "},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa_niter_4\"}", "\"init_lora_weights\": "},
        {"{\"peft_type\": \"LORA\", \"r\": 0}", "\"r\" must be"},
        {"{\"peft_type\": \"LORA\", \"r\": \"8\"}", "r"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"rank_pattern\": [8]}", "\"rank_pattern\" must be an object"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"alpha_pattern\": {\"q(\": 8}}", "\"alpha_pattern\": \"q(\": "},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"alpha_pattern\": {\"q\": null}}", "\"q\" must be a number above 0"},
        {"{\"peft_type\": \"LORA\", \"r\": 3}", "model.layers.0.self_attn.q_proj has rank 2, adapter_config.json says 3"},
        {"{\"peft_type\": \"LORA\", \"r\": 2, \"rank_pattern\": {\"q_proj\": 4}}", "has rank 2, adapter_config.json says 4"},
    };
    struct model m = random_model(&examples[0]);
    struct lora_want want = {.linear = &m.layers[0].q, .rank = 2, .scale = 1};
    struct lora_adapter a;
    struct error e;
    char *peft = path_join(directory, "wrong");
    assert_ok(lora_init(&a, &m, &want, 1, &e), e);
    assert_ok(lora_write_peft(&a, "x", peft, &e), e);
    lora_free(&a);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text("wrong/adapter_config.json", wrong[i].text);
        expect_refusal(&m, peft, ERR_FORMAT, wrong[i].words);
    }
    write_text("wrong/adapter_config.json", "{\"peft_type\": \"LORA\", \"r\": 2, \"init_lora_weights\": \"gaussian\"}");
    assert_ok(lora_load(peft, &m, &a, &e), e);
    assert_true(a.pairs->scale == 4); /* PEFT's alpha of 8 */
    lora_free(&a);
    mem_free(peft);
    model_free(&m);
}

static int zeros(void *context, void *bytes, struct error *e)
{
    (void)e;
    memset(bytes, 0, *(size_t *)context);
    return OK;
}

struct named {
    const char *name;
    size_t rows, cols;
};

static void write_tensors(const char *path, const struct named *t, size_t n)
{
    struct safetensors_writer *w = safetensors_writer_new();
    size_t bytes[4];
    struct error e;
    for (size_t i = 0; i < n; i++) {
        size_t shape[2] = {t[i].rows, t[i].cols};
        bytes[i] = 4 * t[i].rows * t[i].cols;
        safetensors_put(w, t[i].name, DTYPE_F32, 2, shape, zeros, &bytes[i]);
    }
    assert_ok(safetensors_writer_finish(w, path, &e), e);
    safetensors_writer_free(w);
}

#define Q "base_model.model.model.layers.0.self_attn.q_proj"

static void wrong_tensors(void **state)
{
    (void)state;
    static const struct {
        struct named tensors[3];
        const char *words;
    } wrong[] = {
        {{{0}}, "there is no tensor of an adapter in it"},
        {{{Q ".lora_A.weight", 2, 64}}, "of model.layers.0.self_attn.q_proj.weight there is only A and no B"},
        {{{Q ".lora_B.weight", 64, 2}}, "there is only B and no A"},
        {{{Q ".lora_A.weight", 2, 65}}, "is 2 x 65; of the model's model.layers.0.self_attn.q_proj.weight (64 x 64) it "
                                        "would be rank x 64"},
        {{{Q ".lora_B.weight", 2, 64}}, "it would be 64 x rank"},
        {{{Q ".lora_A.weight", 2, 64}, {Q ".lora_B.weight", 64, 3}}, "A has rank 2 and B rank 3"},
        {{{Q ".lora_A.weight", 0, 64}}, "rank 0"},
        {{{Q ".lora_magnitude_vector", 1, 64}}, "there is only a magnitude vector"},
        {{{Q ".lora_magnitude_vector", 2, 32}}, "has 64 rows, and this another number of magnitudes"},
        {{{Q ".lora_A.weight", 2, 64}, {Q ".lora_B.weight", 64, 2}, {Q ".lora_magnitude_vector", 1, 64}},
         "has a magnitude vector, although \"use_dora\" is not true"},
        {{{Q ".lora_A.weight", 2, 64}, {Q ".lora_B.weight", 64, 2}, {Q ".weight", 64, 64}},
         "there is all of it and an adapter too"},
        {{{"base_model.model.lm_head.weight", 256, 64}}, "the model's output layer is its embedding"},
        {{{"base_model.model.lm_head.lora_A.weight", 2, 64}, {"base_model.model.lm_head.lora_B.weight", 256, 2},
          {"base_model.model.model.embed_tokens.weight", 256, 64}}, "which it is also"},
        {{{"base_model.model.model.norm.weight", 1, 65}}, "tensor model.norm.weight is 1 x 65"},
        {{{"base_model.model.model.norm.other", 1, 64}}, "no part of an adapter that is known"},
        {{{"base_model.model.model.embed_tokens.lora_embedding_A", 2, 256}}, "adapters of the embedding"},
        {{{"base_model.model.model.embed_tokens.lora_A.weight", 2, 256}}, "adapters of the embedding"},
        {{{"base_model.model.model.layers.4.mlp.up_proj.lora_A.weight", 2, 64}},
         "the model (llama, 4 layers) has no model.layers.4.mlp.up_proj.weight; the adapter is of another model"},
        {{{"base_model.model.model.layers.0.input_layernorm.lora_A.weight", 2, 64}}, "is no linear layer's"},
        {{{Q ".lora_A.weight", 2, 64}, {"base_model.model.language_model.model.layers.0.self_attn.q_proj.lora_A.weight", 2,
                                        64}}, "a second one"},
    };
    struct model m = random_model(&examples[0]);
    char *peft = path_join(directory, "tensors"), *weights = path_join(peft, ADAPTER_WEIGHTS);
    struct error e;
    assert_ok(dir_make(peft, &e), e);
    expect_refusal(&m, peft, ERR_FORMAT, "no adapter_config.json in it");
    write_text("tensors/adapter_config.json", "{\"peft_type\": \"LORA\", \"r\": 2}");
    expect_refusal(&m, peft, ERR_FORMAT, "no adapter_model.safetensors in it");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t n = 0;
        while (n < 3 && wrong[i].tensors[n].name)
            n++;
        write_tensors(weights, wrong[i].tensors, n);
        expect_refusal(&m, peft, ERR_FORMAT, wrong[i].words);
    }
    expect_refusal(&m, weights, ERR_USAGE, "name the directory");
    expect_refusal(&m, "/nowhere/at-all", ERR_IO, "no such file or directory");
    mem_free(peft), mem_free(weights);
    model_free(&m);
}

/* The numbers must be numbers. */
static void not_a_number(void **state)
{
    (void)state;
    struct model m = random_model(&examples[0]);
    struct lora_want want = {.linear = &m.layers[0].q, .rank = 2, .scale = 1};
    struct lora_adapter a;
    struct error e;
    char *path = path_join(directory, "nan.gguf");
    assert_ok(lora_init(&a, &m, &want, 1, &e), e);
    a.pairs->b->value[3] = NAN;
    assert_int_equal(lora_write_gguf(&a, "x", path, &e), ERR_FORMAT);
    a.pairs->b->value[3] = 12345.5f;
    assert_ok(lora_write_gguf(&a, "x", path, &e), e);
    lora_free(&a);
    struct buffer file = {0};
    assert_ok(file_read(path, &file, 1 << 20, &e), e);
    const float marked = 12345.5f, nan = NAN;
    char *at = memmem(file.data, file.size, &marked, 4);
    assert_non_null(at);
    memcpy(at, &nan, 4);
    assert_ok(file_write(path, file.data, file.size, &e), e);
    expect_refusal(&m, path, ERR_FORMAT, "holds a value that is not a number");
    buffer_free(&file);
    mem_free(path);
    model_free(&m);
}

static int start(void **state)
{
    random_ids(ids, TOKENS, VOCAB, 5);
    return make_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(a_quantised_base),
        cmocka_unit_test(sums_and_strengths),
        cmocka_unit_test(a_tied_output_layer),
        cmocka_unit_test(activations_in_bf16),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(wrong_configurations),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(not_a_number),
    };
    return cmocka_run_group_tests(tests, start, remove_directory);
}
