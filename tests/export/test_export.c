/* Exports read back: the same bits, the same distributions, and nothing lost when one fails. */
#include "export/gguf.h"
#include "export/hf.h"

#include "base/file.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name in the directory that no test used before; of a handful, so never freed early. */
static const char *fresh(const char *suffix)
{
    static char path[128];
    static int n;
    snprintf(path, sizeof path, "%s/%d%s", directory, n++, suffix);
    return path;
}

static struct export_options options(enum dtype type)
{
    return (struct export_options){.type = type, .name = "tiny"};
}

static size_t entries(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* GGUF row h d + 2i + j is Hugging Face's row h d + j d/2 + i, for j of two and i of d/2. */
static void rows_of_q_and_k(void **state)
{
    (void)state;
    enum { D = 6, HEADS = 3 };
    for (size_t h = 0; h < HEADS; h++)
        for (size_t i = 0; i < D / 2; i++)
            for (size_t j = 0; j < 2; j++) {
                size_t gguf = h * D + 2 * i + j, hf = h * D + j * D / 2 + i;
                assert_int_equal(rope_row(gguf, D, ROPE_HALF, ROPE_INTERLEAVED), hf);
                assert_int_equal(rope_row(hf, D, ROPE_INTERLEAVED, ROPE_HALF), gguf);
            }
    assert_int_equal(rope_row(7, D, ROPE_HALF, ROPE_HALF), 7);
}

static void assert_same_weights(const struct model *a, const struct model *b)
{
    assert_int_equal(a->n_params, b->n_params);
    for (size_t i = 0; i < a->n_params; i++)
        assert_memory_equal(a->params[i].value, b->params[i].value,
                            a->params[i].count * sizeof(float));
}

static void assert_same_logits(struct model *a, struct model *b)
{
    enum { N = 24 };
    int32_t ids[N];
    random_ids(ids, N, a->config.vocab_size, 6);
    float *x = full_logits(a, ids, N), *y = full_logits(b, ids, N);
    for (size_t i = 0; i < N * a->config.vocab_size; i++)
        assert_true(fabsf(x[i] - y[i]) < 1e-4f);
    mem_free(x);
    mem_free(y);
}

/* From either row order, through both formats and back: the same bits where the order is the same
 * again, and the same model in between. */
static void there_and_back(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        for (int style = ROPE_HALF; style <= ROPE_INTERLEAVED; style++) {
            struct error e;
            struct tokenizer *t = make_tokenizer("<|endoftext|>"), *t1 = NULL, *t2 = NULL, *t3 = NULL;
            struct model_config c = small_config(tokenizer_vocab_size(t), (enum rope_style)style);
            c.tie_word_embeddings = tied;
            struct model m = make_model(&c, 31), m1, m2, m3;
            struct export_options o = options(DTYPE_F32);
            char first[128], second[128];
            strcpy(first, fresh(".gguf"));
            strcpy(second, fresh("-hf"));
            assert_ok(export_gguf(&m, t, &o, first, &e), e);
            assert_ok(model_load(first, WEIGHTS_F32, &m1, &t1, &e), e);
            assert_int_equal(m1.config.rope_style, ROPE_HALF);
            assert_int_equal(m1.config.tie_word_embeddings, tied);
            assert_int_equal(m1.config.max_position_embeddings, 64);
            assert_same_logits(&m, &m1);
            assert_ok(export_hf(&m1, t1, &o, second, &e), e);
            assert_ok(model_load(second, WEIGHTS_F32, &m2, &t2, &e), e);
            assert_int_equal(m2.config.rope_style, ROPE_HALF);
            assert_same_logits(&m, &m2);
            const char *third = fresh(".gguf");
            assert_ok(export_gguf(&m2, t2, &o, third, &e), e);
            assert_ok(model_load(third, WEIGHTS_F32, &m3, &t3, &e), e);
            assert_same_weights(&m1, &m3);
            if (style == ROPE_HALF)
                assert_same_weights(&m, &m2);
            assert_true(tokenizer_hash(t) == tokenizer_hash(t3));
            model_free(&m), model_free(&m1), model_free(&m2), model_free(&m3);
            tokenizer_free(t), tokenizer_free(t1), tokenizer_free(t2), tokenizer_free(t3);
        }
    }
}

static void smaller_types_round_and_norms_do_not(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16};
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = small_config(256, ROPE_INTERLEAVED);
    struct model m = make_model(&c, 32), back;
    struct error e;
    for (size_t i = 0; i < 2; i++) {
        struct export_options o = options(types[i]);
        for (int hf = 0; hf < 2; hf++) {
            const char *path = fresh(hf ? "-hf" : ".gguf");
            assert_ok(hf ? export_hf(&m, t, &o, path, &e) : export_gguf(&m, t, &o, path, &e), e);
            assert_ok(model_load(path, WEIGHTS_F32, &back, NULL, &e), e);
            for (size_t k = 0; k < m.n_params; k++) {
                const struct param *p = &m.params[k];
                for (size_t j = 0; j < p->count; j++) {
                    size_t row = j / p->cols;
                    if (param_is_rotated(p))
                        row = rope_row(row, 16, ROPE_INTERLEAVED, ROPE_HALF);
                    float want = p->value[row * p->cols + j % p->cols];
                    uint16_t bits;
                    if (hf || p->n_dims == 2) {
                        dtype_from_f32(types[i], &want, &bits, 1);
                        dtype_to_f32(types[i], &bits, &want, 1);
                    }
                    assert_true(back.params[k].value[j] == want);
                }
            }
            model_free(&back);
        }
    }
    model_free(&m);
    tokenizer_free(t);
}

static void assert_key(const struct gguf *g, const char *key, enum gguf_type type, double want)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    struct error e;
    double value = -1;
    size_t count = 0;
    if (!kv)
        fail_msg("%s is missing", key);
    assert_int_equal(kv->type, type); /* llama.cpp accepts no other */
    if (type == GGUF_U32)
        assert_ok(gguf_get_size(g, key, &count, &e), e);
    else
        assert_ok(gguf_get_double(g, key, &value, &e), e);
    assert_true(type == GGUF_U32 ? (double)count == want : (float)value == (float)want);
}

static void what_llama_cpp_demands(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer("<|endoftext|>"), *back = NULL;
    size_t n = tokenizer_vocab_size(t);
    struct model_config c = small_config(n + 5, ROPE_HALF); /* rows that no token has */
    c.tie_word_embeddings = true;
    struct model m = make_model(&c, 33);
    struct export_options o = options(DTYPE_BF16);
    struct error e;
    struct gguf g;
    const char *path = fresh(".gguf");
    assert_ok(export_gguf(&m, t, &o, path, &e), e);
    assert_ok(gguf_open(path, &g, &e), e);
    assert_key(&g, "general.file_type", GGUF_U32, 32);
    assert_key(&g, "general.quantization_version", GGUF_U32, 2);
    assert_key(&g, "llama.vocab_size", GGUF_U32, (double)n + 5);
    assert_key(&g, "llama.context_length", GGUF_U32, 64);
    assert_key(&g, "llama.embedding_length", GGUF_U32, 40);
    assert_key(&g, "llama.block_count", GGUF_U32, 3);
    assert_key(&g, "llama.feed_forward_length", GGUF_U32, 56);
    assert_key(&g, "llama.attention.head_count", GGUF_U32, 4);
    assert_key(&g, "llama.attention.head_count_kv", GGUF_U32, 2);
    assert_key(&g, "llama.attention.key_length", GGUF_U32, 16);
    assert_key(&g, "llama.attention.value_length", GGUF_U32, 16);
    assert_key(&g, "llama.rope.dimension_count", GGUF_U32, 16);
    assert_key(&g, "llama.rope.freq_base", GGUF_F32, 10000);
    assert_key(&g, "llama.attention.layer_norm_rms_epsilon", GGUF_F32, 1e-5);
    assert_null(gguf_find_tensor(&g, "output.weight")); /* tied */
    assert_int_equal(gguf_find_tensor(&g, "output_norm.weight")->type, DTYPE_F32);
    assert_int_equal(gguf_find_tensor(&g, "blk.0.attn_q.weight")->type, DTYPE_BF16);
    const struct gguf_kv *tokens = gguf_find(&g, "tokenizer.ggml.tokens"),
                         *types = gguf_find(&g, "tokenizer.ggml.token_type");
    assert_int_equal(tokens->count, n + 5);
    assert_int_equal(types->count, n + 5);
    for (size_t i = n; i < n + 5; i++) {
        assert_int_equal(gguf_array_int(types, i), 5); /* unused */
        for (size_t j = 0; j < i; j++)
            assert_false(tokens->strings[i].size == tokens->strings[j].size &&
                         memcmp(tokens->strings[i].data, tokens->strings[j].data,
                                tokens->strings[j].size) == 0);
    }
    assert_ok(tokenizer_from_gguf(&g, &back, &e), e);
    struct tokens ids = {0}, again = {0};
    tokenizer_encode(t, "the cat sat", 11, false, &ids);
    tokenizer_encode(back, "the cat sat", 11, false, &again);
    assert_int_equal(ids.count, again.count);
    assert_memory_equal(ids.ids, again.ids, ids.count * sizeof *ids.ids);
    tokens_free(&ids), tokens_free(&again);
    gguf_close(&g);
    model_free(&m);
    tokenizer_free(t), tokenizer_free(back);
}

static void what_hugging_face_reads(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer("<|endoftext|>");
    struct model_config c = small_config(tokenizer_vocab_size(t), ROPE_HALF);
    c.rms_norm_eps = 1e-5;
    struct model m = make_model(&c, 34);
    struct export_options o = options(DTYPE_BF16);
    struct error e;
    const char *path = fresh("-hf");
    assert_ok(export_hf(&m, t, &o, path, &e), e);
    static const char *const files[] = {"config.json", "generation_config.json", "model.safetensors",
                                        "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < 5; i++) {
        char *file = path_join(path, files[i]);
        assert_true(file_exists(file));
        mem_free(file);
    }
    assert_int_equal(entries(path), 5 + 2);
    char *file = path_join(path, "config.json");
    struct buffer text = {0};
    assert_ok(file_read(file, &text, 1 << 16, &e), e);
    static const char *const lines[] = {
        "\"architectures\": [\n    \"LlamaForCausalLM\"\n  ]", "\"model_type\": \"llama\"",
        "\"torch_dtype\": \"bfloat16\"", "\"head_dim\": 16", "\"rms_norm_eps\": 1e-5",
        "\"rope_theta\": 10000.0", "\"num_key_value_heads\": 2", "\"hidden_act\": \"silu\"",
        "\"tie_word_embeddings\": false", "\"max_position_embeddings\": 64"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text.data, lines[i]))
            fail_msg("config.json lacks %s", lines[i]);
    char *eos = mem_printf("\"eos_token_id\": %d", (int)tokenizer_eos(t));
    assert_non_null(strstr(text.data, eos));
    mem_free(eos);
    mem_free(file);
    buffer_free(&text);
    model_free(&m);
    tokenizer_free(t);
}

static void nothing_is_replaced_without_force(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = small_config(256, ROPE_HALF);
    struct model m = make_model(&c, 35);
    struct export_options o = options(DTYPE_F16);
    struct error e;
    struct buffer text = {0};
    char path[128], folder[128];
    strcpy(path, fresh(".gguf"));
    strcpy(folder, fresh("-hf"));
    assert_ok(file_write(path, "precious", 8, &e), e);
    assert_int_equal(export_gguf(&m, t, &o, path, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "already there; choose another name, or --force"));
    assert_ok(dir_make(folder, &e), e);
    assert_int_equal(export_gguf(&m, t, &o, folder, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "there is a directory of this name"));
    assert_int_equal(export_hf(&m, t, &o, path, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "there is a file of this name"));
    assert_ok(export_hf(&m, t, &o, folder, &e), e); /* empty, so nothing is lost */
    assert_int_equal(export_hf(&m, t, &o, folder, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "already there and not empty"));
    o.force = true;
    assert_ok(export_hf(&m, t, &o, folder, &e), e);

    /* a weight that f16 cannot hold is found while writing; what was there stays */
    struct param *p = m.layers[2].ffn.down.weight;
    p->value[17] = 70000;
    assert_int_equal(export_gguf(&m, t, &o, path, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "blk.2.ffn_down.weight holds weights beyond the "
                                      "range of f16"));
    assert_ok(file_read(path, &text, 100, &e), e);
    assert_string_equal(text.data, "precious");
    p->value[17] = NAN;
    o.type = DTYPE_F32;
    assert_int_equal(export_gguf(&m, t, &o, path, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "a weight that is not a number"));
    p->value[17] = -INFINITY;
    assert_int_equal(export_hf(&m, t, &o, folder, &e), ERR_FORMAT);
    assert_int_equal(entries(folder), 5 + 2); /* no temporary file stays */
    p->value[17] = 0;
    assert_ok(export_gguf(&m, t, &o, path, &e), e);
    buffer_free(&text);
    model_free(&m);
    tokenizer_free(t);
}

static void a_model_without_a_context_length(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = small_config(256, ROPE_HALF);
    c.max_position_embeddings = 0;
    struct model m = make_model(&c, 36);
    struct export_options o = options(DTYPE_F16);
    struct error e;
    assert_int_equal(export_gguf(&m, t, &o, fresh(".gguf"), &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "--context"));
    const char *folder = fresh("-hf");
    assert_int_equal(export_hf(&m, t, &o, folder, &e), ERR_USAGE);
    assert_false(file_exists(folder));
    model_free(&m);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_q_and_k),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(smaller_types_round_and_norms_do_not),
        cmocka_unit_test(what_llama_cpp_demands),
        cmocka_unit_test(what_hugging_face_reads),
        cmocka_unit_test(nothing_is_replaced_without_force),
        cmocka_unit_test(a_model_without_a_context_length),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
