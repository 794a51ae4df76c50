/* Adapters made from options: which layers, ranks and scales; what is wrong about a pattern; and their files, there and back. */
#include "base/file.h"
#include "kernels/blocks.h"
#include "kernels/gemm.h"
#include "lora/load.h"
#include "lora/options.h"
#include "lora/pair.h"
#include "tests/directory.h"
#include "tests/infer/util.h"
#include "tests/lora/random.h"
#include "tests/model/architectures.h"
#include "tests/test.h"

#include <math.h>
#include <unistd.h>

enum { TOKENS = 20, VOCAB = 256 };
static int32_t ids[TOKENS];

static struct model family(const char *name)
{
    struct model m = {0};
    struct model_config c;
    struct error e;
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, name) == 0) {
            assert_ok(example_config(&examples[i], VOCAB, &c, &e), e);
            assert_ok(model_init(&m, &c, &e), e);
            assert_ok(model_allocate(&m, &e), e);
            example_weights(&m, 7);
        }
    assert_non_null(m.params);
    return m;
}

/* Options as they would be given: one assignment after another. */
static struct lora_options parse(const char *const *assignments, struct options *o, struct option_section *section)
{
    static struct lora_options object;
    struct error e;
    *section = (struct option_section){.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &object,
                                       .help = "LoRA"};
    *o = (struct options){.sections = section, .n_sections = 1};
    options_init(o);
    for (; *assignments; assignments++)
        assert_ok(options_apply_set(o, *assignments, &e), e);
    return object;
}

static int create(struct model *m, const char *const *assignments, struct lora_adapter *a, struct error *e)
{
    struct options o;
    struct option_section section;
    struct lora_options l = parse(assignments, &o, &section);
    int code = lora_create(&l, m, 3, a, e);
    options_free(&o);
    return code;
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct lora_pair *pair_of(const struct lora_adapter *a, const struct linear *l)
{
    for (size_t i = 0; i < a->n_pairs; i++)
        if (a->pairs[i].linear == l)
            return &a->pairs[i];
    return NULL;
}

static void what_gets_an_adapter(void **state)
{
    (void)state;
    static const struct {
        const char *family, *assignment;
        size_t pairs;
    } cases[] = {
        {"llama", "lora.rank=4", 4 * 7},
        {"llama", "lora.target_modules=[all-linear]", 4 * 7},
        {"llama", "lora.target_modules=[all-linear, lm_head]", 4 * 7 + 1},
        {"llama", "lora.target_modules=[q_proj, v_proj]", 4 * 2},
        {"llama", "lora.target_modules=['layers\\.[13]\\..*proj']", 2 * 7},
        {"llama", "lora.target_modules=[^model.layers.2.mlp.up_proj]", 1},
        {"mistral", "lora.target_modules=[lm_head]", 1},
        {"phi3", "lora.target_modules=[qkv_proj]", 4 * 3},
        {"phi3", "lora.target_modules=[q_proj, gate_up_proj]", 4 * 3},
        {"phi3", "lora.rank=4", 4 * 7},
        {"openelm", "lora.rank=4", 4 * 7},
        {"mixtral", "lora.rank=4", 4 * (4 + 3 * 6)},
        {"mixtral", "lora.target_modules=[w1, gate]", 4 * (6 + 1)},
        {"mixtral", "lora.target_modules=['experts\\.[01]\\.w2']", 4 * 2},
        {"qwen2moe", "lora.target_modules=['shared_expert\\..*', gate_proj]", 4 * (3 + 6)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model m = family(cases[i].family);
        struct lora_adapter a;
        struct error e;
        assert_ok(create(&m, SET("lora.rank=4", cases[i].assignment), &a, &e), e);
        if (a.n_pairs != cases[i].pairs)
            fail_msg("%s, %s: %zu pairs, expected %zu", cases[i].family, cases[i].assignment, a.n_pairs, cases[i].pairs);
        lora_free(&a);
        model_free(&m);
    }
}

static void ranks_and_scales(void **state)
{
    (void)state;
    struct model m = family("phi3");
    struct lora_adapter a;
    struct error e;
    const char *const *set = SET("lora.rank=4", "lora.alpha=8", "lora.lora_plus_ratio=16", "lora.dropout=0.1",
                                 "lora.rank_pattern=['layers.1.mlp.down_proj=2', down_proj=3, k_proj=6]",
                                 "lora.alpha_pattern=[o_proj=1]");
    assert_ok(create(&m, set, &a, &e), e);
    struct layer *l = m.layers;
    const struct lora_pair *q = pair_of(&a, &l[1].q), *k = pair_of(&a, &l[1].k), *v = pair_of(&a, &l[1].v);
    assert_true(q->rank == 4 && q->scale == 2 && q->b->rate == 16 && q->a->rate == 0);
    assert_true(k->rank == 6 && k->a != q->a && v->rank == 4 && v->a != k->a && v->a != q->a);
    assert_true(pair_of(&a, &l[1].ffn.down)->rank == 2 && pair_of(&a, &l[0].ffn.down)->rank == 3);
    assert_true(pair_of(&a, &l[2].output)->scale == 0.25f && pair_of(&a, &l[2].ffn.gate)->a == pair_of(&a, &l[2].ffn.up)->a);
    assert_true(a.dropout == 0.1 && a.all.count < 2 * a.n_pairs);
    lora_free(&a);
    assert_ok(create(&m, SET("lora.use_rslora=true", "lora.alpha=8"), &a, &e), e);
    assert_true(a.pairs->rank == 16 && a.pairs->scale == 2 && a.rank_stabilised);
    assert_true(pair_of(&a, &l[1].q)->a == pair_of(&a, &l[1].v)->a);
    for (size_t i = 0; i < a.pairs->b->count; i++)
        assert_true(a.pairs->b->value[i] == 0);
    lora_free(&a);
    model_free(&m);
}

static void what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *family, *assignments[3], *words;
    } wrong[] = {
        {"llama", {"lora.target_modules=[q_porj]"},
         "lora.target_modules: no linear layer of the model is called \"q_porj\"; did you mean q_proj? There are q_proj, "
         "k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head"},
        {"mixtral", {"lora.target_modules=[xyzzy]"}, "is called \"xyzzy\"; there are q_proj, k_proj, v_proj, o_proj, gate, "},
        {"phi3", {"lora.target_modules=[embed_tokens]"}, "there are qkv_proj, q_proj, k_proj, v_proj, o_proj, gate_up_proj, "},
        {"llama", {"lora.target_modules=[model.layers.0.mlp.up_poj]"}, "did you mean model.layers.0.mlp.up_proj?"},
        {"llama", {"lora.target_modules=['q_(']"}, "lora.target_modules: \"q_(\": "},
        {"llama", {"lora.rank=64"}, "rank 64 is more than model.layers.0.self_attn.k_proj has, which is 32 x 64: at most 32"},
        {"llama", {"lora.rank_pattern=[q_proj]"}, "lora.rank_pattern: expected MODULE=RANK, found \"q_proj\""},
        {"llama", {"lora.rank_pattern=[q_proj=1.5]"}, "expected MODULE=RANK"},
        {"llama", {"lora.alpha_pattern=[q_proj=x]"}, "lora.alpha_pattern: expected MODULE=ALPHA"},
        {"llama", {"lora.alpha_pattern=[w_proj=2]"}, "lora.alpha_pattern: no linear layer of the model is called \"w_proj\""},
        {"llama", {"lora.train_in_full=[embed]"}, "lora.train_in_full: no module of the model is called \"embed\""},
        {"llama", {"lora.train_in_full=[lm_head]"}, "name embed_tokens, which trains both"},
        {"llama", {"lora.train_in_full=[q_proj]"}, "self_attn.q_proj is to train in full and to get an adapter"},
        {"llama", {"lora.train_in_full=[embed_tokens]", "lora.target_modules=[lm_head]"}, "lm_head is to train in full"},
        {"llama", {"lora.use_dora=true", "lora.init=pissa"}, "do not go together"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct model m = family(wrong[i].family);
        struct lora_adapter a;
        struct error e = {0};
        int code = create(&m, wrong[i].assignments, &a, &e);
        if (code != ERR_USAGE || !strstr(e.message, wrong[i].words))
            fail_msg("%s (%d), expected %s", code ? e.message : "was accepted", code, wrong[i].words);
        model_free(&m);
    }
}

/* --- files --- */

static float *logits_with(struct model *m, struct lora_adapter *a)
{
    lora_attach(a);
    float *logits = full_logits(m, ids, TOKENS);
    lora_detach(a);
    return logits;
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

static void disturb(struct lora_adapter *a)
{
    struct rng r;
    rng_init(&r, 1, 9);
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        for (size_t j = 0; j < p->b->count; j++)
            p->b->value[j] += (float)(0.2 * rng_uniform(&r) - 0.1);
        for (size_t j = 0; p->magnitude && j < p->magnitude->count; j++)
            p->magnitude->value[j] *= (float)(0.7 + 0.6 * rng_uniform(&r));
    }
    for (size_t i = 0; i < a->n_wholes; i++)
        for (size_t j = 0; j < a->wholes[i].param->count; j++)
            a->wholes[i].other.value[j] += (float)(0.2 * rng_uniform(&r) - 0.1);
    lora_changed(a);
}

static void expect(const char *what, const char *name, double distance)
{
    if (!(distance < 2e-5))
        fail_msg("%s: %s is off by %g", name, what, distance);
}

static void there_and_back(const char *name, const char *const *set, bool gguf, const char *words)
{
    struct model m = family(name);
    struct lora_adapter a, b;
    struct error e = {0};
    char *peft = path_join(directory, "peft"), *file = path_join(directory, "a.gguf"),
         *config = path_join(peft, ADAPTER_CONFIG);
    struct buffer text = {0};
    assert_ok(create(&m, set, &a, &e), e);
    disturb(&a);
    float *plain = full_logits(&m, ids, TOKENS), *want = logits_with(&m, &a);
    assert_true(distance(want, plain) > 0.01);
    assert_ok(lora_write_peft(&a, "base", peft, &e), e);
    assert_ok(file_read(config, &text, 1 << 20, &e), e);
    if (!strstr(text.data, words))
        fail_msg("%s is not in %s", words, text.data);
    assert_ok(lora_load(peft, &m, &b, &e), e);
    assert_true(b.dropout == a.dropout && b.rank_stabilised == a.rank_stabilised && b.n_wholes == a.n_wholes);
    float *got = logits_with(&m, &b);
    expect("PEFT's directory", name, distance(got, want));
    lora_free(&b);
    mem_free(got);
    int code = lora_write_gguf(&a, "x", file, &e);
    assert_int_equal(code, gguf ? OK : ERR_USAGE);
    if (gguf) {
        assert_ok(lora_load(file, &m, &b, &e), e);
        got = logits_with(&m, &b);
        expect("the GGUF file", name, distance(got, want));
        lora_free(&b);
        mem_free(got);
    } else {
        assert_non_null(strstr(e.message, "merge the adapter into the model instead"));
    }
    got = full_logits(&m, ids, TOKENS);
    assert_memory_equal(got, plain, TOKENS * VOCAB * sizeof *got);
    mem_free(got);
    merge_in_memory(&m, &a, 1);
    got = full_logits(&m, ids, TOKENS);
    expect("the merged model", name, distance(got, want));
    mem_free(plain), mem_free(want), mem_free(got), mem_free(peft), mem_free(file), mem_free(config);
    buffer_free(&text);
    lora_free(&a);
    model_free(&m);
}

static void files(void **state)
{
    (void)state;
    there_and_back("llama", SET("lora.rank=5", "lora.alpha=7", "lora.dropout=0.05"), true, "\"lora_dropout\": 0.05,");
    there_and_back("llama", SET("lora.rank=5", "lora.alpha=7"), true, "\"lora_alpha\": 7,");
    there_and_back("qwen2", SET("lora.use_rslora=true", "lora.rank=3"), true, "\"use_rslora\": true");
    there_and_back("qwen2", SET("lora.use_rslora=true", "lora.rank=3"), true, "\"lora_alpha\": 32,");
    there_and_back("mistral", SET("lora.rank_pattern=[q_proj=2]", "lora.alpha_pattern=[k_proj=3]", "lora.rank=4"), true,
                   "\"model.layers.0.self_attn.k_proj\": 3");
    there_and_back("phi3", SET("lora.target_modules=[q_proj, up_proj]", "lora.rank=4"), true, "\"qkv_proj\"");
    there_and_back("phi3", SET("lora.use_dora=true", "lora.rank=4"), false, "\"use_dora\": true");
    there_and_back("phi3", SET("lora.use_dora=true", "lora.target_modules=[k_proj, o_proj, lm_head]"), false, "\"use_dora\": true");
    there_and_back("openelm", SET("lora.rank=4"), true, "\"proj_1\"");
    there_and_back("llama", SET("lora.use_dora=true", "lora.use_rslora=true", "lora.rank=4"), false, "\"use_dora\": true");
    there_and_back("mistral", SET("lora.train_in_full=[embed_tokens, lm_head, norm]", "lora.rank=4"), false, "\"norm\"");
    there_and_back("mistral", SET("lora.train_in_full=['layers\\.1\\.input_layernorm']", "lora.rank=4"), false,
                   "\"model.layers.1.input_layernorm\"");
    there_and_back("qwen2", SET("lora.train_in_full=[k_proj]", "lora.target_modules=[q_proj]"), false, "\"k_proj\"");
    there_and_back("phi3", SET("lora.train_in_full=[qkv_proj]", "lora.target_modules=[o_proj]"), false, "\"qkv_proj\"");
    there_and_back("mixtral", SET("lora.rank=2", "lora.use_dora=true"), false, "\"w2\"");
    there_and_back("llama", SET("lora.init=pissa", "lora.rank=4", "lora.alpha=6"), true, "\"r\": 8");
    there_and_back("phi3", SET("lora.init=pissa", "lora.rank=4", "lora.use_rslora=true"), true, "\"r\": 8");
    there_and_back("stablelm-12b", SET("lora.train_in_full=['q_layernorm.*']", "lora.rank=4"), false, "\"modules_to_save\": [");
}

/* A tied model's embedding in full: PEFT would have two matrices of it, and finds two. */
static void a_tied_embedding(void **state)
{
    (void)state;
    struct model m = family("llama");
    struct lora_adapter a, b;
    struct error e = {0};
    char *peft = path_join(directory, "tied");
    assert_ok(create(&m, SET("lora.train_in_full=[embed_tokens]", "lora.rank=2"), &a, &e), e);
    disturb(&a);
    assert_ok(lora_write_peft(&a, "base", peft, &e), e);
    float *want = logits_with(&m, &a);
    assert_ok(lora_load(peft, &m, &b, &e), e);
    float *got = logits_with(&m, &b);
    assert_int_equal(b.n_wholes, 1);
    expect("PEFT's directory", "llama", distance(got, want));
    char *config = path_join(peft, ADAPTER_CONFIG);
    struct buffer text = {0};
    assert_ok(file_read(config, &text, 1 << 20, &e), e);
    assert_non_null(strstr(text.data, "\"embed_tokens\",\n    \"lm_head\""));
    buffer_free(&text);
    mem_free(want), mem_free(got), mem_free(peft), mem_free(config);
    lora_free(&a);
    lora_free(&b);
    model_free(&m);
}

/* Scales below 0 cannot be said by every key; the sign is B's. */
static void a_negative_scale(void **state)
{
    (void)state;
    struct model m = family("llama");
    struct lora_want wants[2] = {{.linear = &m.layers[0].q, .rank = 2, .scale = -3},
                                 {.linear = &m.layers[0].k, .rank = 3, .scale = -0.5f}};
    struct lora_adapter a, b;
    struct error e = {0};
    char *peft = path_join(directory, "negative"), *file = path_join(directory, "n.gguf");
    assert_ok(lora_init(&a, &m, wants, 2, &e), e);
    lora_initialize(&a, 1);
    disturb(&a);
    float *want = logits_with(&m, &a);
    assert_ok(lora_write_peft(&a, "base", peft, &e), e);
    assert_ok(lora_write_gguf(&a, "base", file, &e), e);
    for (int i = 0; i < 2; i++) {
        assert_ok(lora_load(i ? file : peft, &m, &b, &e), e);
        assert_true(b.pairs[0].scale > 0 && b.pairs[1].scale > 0);
        float *got = logits_with(&m, &b);
        expect("a file", "llama", distance(got, want));
        mem_free(got);
        lora_free(&b);
    }
    mem_free(want), mem_free(peft), mem_free(file);
    lora_free(&a);
    model_free(&m);
}

/* Every matrix of the blocks in q8_0; what to free is in blocks. */
static size_t quantise(struct model *m, struct block_q8_0 **blocks)
{
    size_t n = 0;
    struct rng r;
    rng_init(&r, 1, 1);
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        if (!p->matrix || p->layer < 0 || p->cols % 32 != 0)
            continue;
        struct block_q8_0 *b = blocks[n++] = mem_zero(p->count / 32, sizeof *b);
        for (size_t j = 0; j < p->count / 32; j++) {
            f16_from_f32(&(float){0.003f}, &b[j].d, 1);
            for (size_t k = 0; k < 32; k++)
                b[j].qs[k] = (int8_t)((int)rng_below(&r, 255) - 127);
        }
        p->data = b, p->type = DTYPE_Q8_0, p->value = NULL;
    }
    return n;
}

/* Weights in blocks, then multiplied in integers, then in another order: norms are of the same weights, and what the
 * adapter holds whole takes the place of each. */
static void a_quantised_base(void **state)
{
    (void)state;
    struct model m = family("llama");
    struct block_q8_0 *blocks[64];
    struct lora_adapter a;
    struct error e = {0};
    size_t n = quantise(&m, blocks);
    assert_ok(create(&m, SET("lora.use_dora=true", "lora.rank=4", "lora.target_modules=[q_proj, up_proj, o_proj]",
                             "lora.train_in_full=[norm, k_proj]"), &a, &e), e);
    disturb(&a);
    float *plain = full_logits(&m, ids, TOKENS), *want = logits_with(&m, &a);
    assert_true(distance(want, plain) > 0.05);
    model_use_integers(&m);
    float *integers = logits_with(&m, &a);
    float *without = full_logits(&m, ids, TOKENS); /* what integers cost the model alone */
    if (!(distance(integers, want) < 2 * distance(without, plain)) || distance(integers, want) == 0)
        fail_msg("integers are off by %g, without the adapter by %g", distance(integers, want), distance(without, plain));
    assert_true(m.layers[0].k.weight->type == DTYPE_Q8_0);
    assert_ok(model_interleave(&m, &e), e);
    float *interleaved = logits_with(&m, &a);
    assert_true(distance(interleaved, integers) < 0.02);
    lora_attach(&a);
    assert_true(m.layers[0].k.weight->type == DTYPE_F32 && !m.layers[0].k.weight->interleaved);
    const struct lora_pair *p = pair_of(&a, &m.layers[2].ffn.up);
    struct matrix now = param_matrix(p->linear->weight);
    lora_pair_norm(&a.pairs[p - a.pairs], now);
    float norm = p->norm[7];
    struct matrix as_stored = {p->linear->weight->data, p->linear->weight->cols, DTYPE_Q8_0, false, now.interleaved};
    float row[64];
    double sum = 0;
    matrix_row(&as_stored, p->linear->weight, 7, row);
    lora_pair_product(p, NULL, 7, 1, p->scale, row);
    for (size_t i = 0; i < 64; i++)
        sum += (double)row[i] * row[i];
    assert_true(fabs(norm - sqrt(sum)) < 1e-5 * norm);
    lora_detach(&a);
    mem_free(plain), mem_free(want), mem_free(integers), mem_free(interleaved), mem_free(without);
    lora_free(&a);
    model_free(&m);
    for (size_t i = 0; i < n; i++)
        mem_free(blocks[i]);
}

/* The same options and seed give the same bits. */
static void it_is_reproducible(void **state)
{
    (void)state;
    struct model m = family("llama");
    struct lora_adapter a, b;
    struct error e = {0};
    const char *const *set = SET("lora.init=pissa", "lora.rank=4");
    assert_ok(create(&m, set, &a, &e), e);
    kernels_set_threads(2);
    assert_ok(create(&m, set, &b, &e), e);
    assert_true(a.all.count == b.all.count);
    for (size_t i = 0; i < a.all.count; i++)
        assert_memory_equal(a.all.items[i]->value, b.all.items[i]->value, a.all.items[i]->count * sizeof(float));
    lora_free(&a);
    lora_free(&b);
    model_free(&m);
}

static int start(void **state)
{
    kernels_set_threads(1);
    random_ids(ids, TOKENS, VOCAB, 5);
    return make_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_gets_an_adapter),
        cmocka_unit_test(ranks_and_scales),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(files),
        cmocka_unit_test(a_tied_embedding),
        cmocka_unit_test(a_negative_scale),
        cmocka_unit_test(a_quantised_base),
        cmocka_unit_test(it_is_reproducible),
    };
    return cmocka_run_group_tests(tests, start, remove_directory);
}
