/* What a user is told about a model that cannot be loaded, and what loads. */
#include "model/load.h"

#include "base/file.h"
#include "base/json.h"
#include "export/weights.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/hf_config.h"
#include "model/load_gguf.h"
#include "model/load_hf.h"
#include "tests/infer/util.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/linnet-load-XXXXXX";
static char *gguf_path, *config_path, *weights_path, *index_path;
static struct model model;

/* Two numbers that no model has a place for. */
static int stray(void *context, void *bytes, struct error *e)
{
    (void)context, (void)e;
    memcpy(bytes, (const float[]){1, 2}, 2 * sizeof(float));
    return OK;
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    gguf_path = path_join(directory, "m.gguf");
    config_path = path_join(directory, "config.json");
    weights_path = path_join(directory, "model.safetensors");
    index_path = path_join(directory, "model.safetensors.index.json");
    struct model_config c = small_config(61, ROPE_HALF);
    model = make_model(&c, 4);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(gguf_path);
    unlink(config_path);
    unlink(weights_path);
    unlink(index_path);
    rmdir(directory);
    mem_free(gguf_path);
    mem_free(config_path);
    mem_free(weights_path);
    mem_free(index_path);
    model_free(&model);
    return 0;
}

static void assert_same_weights(const struct model *a, const struct model *b)
{
    assert_int_equal(a->n_params, b->n_params);
    for (size_t i = 0; i < a->n_params; i++) {
        assert_string_equal(a->params[i].name, b->params[i].name);
        assert_int_equal(a->params[i].count, b->params[i].count);
        assert_memory_equal(a->params[i].value, b->params[i].value,
                            a->params[i].count * sizeof(float));
    }
}

/* --- GGUF --- */

/* How a file differs from a right one. */
struct flaw {
    const char *key;       /* this u32 gets another value, or is left out when that is 0 */
    uint32_t value;
    const char *tensor;    /* this one is left out, or has two columns fewer with `narrow` */
    bool narrow;
    const char *extra;     /* one more of this name */
    const char *architecture, *scaling;
};

static void put_count(struct gguf_writer *w, const struct flaw *f, const char *key, size_t value)
{
    bool other = f->key && strcmp(f->key, key) == 0;
    if (!other || f->value)
        gguf_put_u32(w, key, other ? f->value : (uint32_t)value);
}

static void put_tensors(struct gguf_writer *w, const struct flaw *f, struct weight_sources *sources)
{
    static const size_t two = 2;
    for (size_t i = 0; i < sources->list.n_tensors; i++) {
        const struct tensor *t = &sources->list.tensors[i];
        size_t dims[2] = {t->cols, t->rows};
        bool meant = f->tensor && strcmp(f->tensor, t->name) == 0;
        if (meant && !f->narrow)
            continue;
        if (meant) /* the same elements in another shape */
            dims[0] /= 2, dims[1] *= 2;
        gguf_put_tensor(w, t->name, sources->sources[i].type, meant ? 2 : t->n_dims, dims,
                        weight_source_fill, &sources->sources[i]);
    }
    if (f->extra)
        gguf_put_tensor(w, f->extra, DTYPE_F32, 1, &two, stray, NULL);
}

static void write_gguf(const struct flaw *f)
{
    const struct model_config *c = &model.config;
    struct gguf_writer *w = gguf_writer_new();
    struct weight_sources sources;
    struct export_options options = {.type = DTYPE_F32};
    weight_sources_init(&sources, &model, CONTAINER_GGUF, false, &options);
    struct error e;
    if (!f->architecture || *f->architecture)
        gguf_put_string(w, "general.architecture", f->architecture ? f->architecture : "llama");
    put_count(w, f, "llama.context_length", c->max_position_embeddings);
    put_count(w, f, "llama.embedding_length", c->hidden_size);
    put_count(w, f, "llama.block_count", c->num_hidden_layers);
    put_count(w, f, "llama.feed_forward_length", c->intermediate_size);
    put_count(w, f, "llama.attention.head_count", c->num_attention_heads);
    put_count(w, f, "llama.attention.head_count_kv", c->num_key_value_heads);
    put_count(w, f, "llama.attention.key_length", c->head_dim);
    put_count(w, f, "llama.attention.value_length", c->head_dim);
    put_count(w, f, "llama.rope.dimension_count", c->head_dim);
    put_count(w, f, "llama.expert_count", 0);
    if (!f->key || strcmp(f->key, "eps") != 0)
        gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", (float)c->rms_norm_eps);
    if (f->scaling)
        gguf_put_string(w, "llama.rope.scaling.type", f->scaling);
    put_tensors(w, f, &sources);
    assert_ok(gguf_writer_finish(w, gguf_path, &e), e);
    gguf_writer_free(w);
    weight_sources_free(&sources);
}

static void refuses_gguf(struct flaw flaw, const char *message)
{
    struct model m;
    struct error e = {0};
    write_gguf(&flaw);
    int code = model_load(gguf_path, WEIGHTS_F32, &m, NULL, &e);
    assert_int_equal(code, ERR_FORMAT);
    assert_int_equal(e.code, ERR_FORMAT);
    size_t n = strlen(gguf_path);
    assert_memory_equal(e.message, gguf_path, n);
    if (strcmp(e.message + n, message) != 0)
        fail_msg("got: %s", e.message + n);
}

static void a_right_gguf_loads(void **state)
{
    (void)state;
    struct model m;
    struct error e;
    write_gguf(&(struct flaw){.scaling = "none"});
    assert_ok(model_load(gguf_path, WEIGHTS_F32, &m, NULL, &e), e);
    assert_int_equal(m.config.rope_style, ROPE_HALF);
    assert_int_equal(m.config.head_dim, 16);
    assert_int_equal(m.config.max_position_embeddings, 64);
    assert_false(m.config.tie_word_embeddings);
    int32_t ids[20]; /* rows of q and k lie differently, the model is the same */
    random_ids(ids, 20, 61, 1);
    float *a = full_logits(&m, ids, 20), *b = full_logits(&model, ids, 20);
    for (size_t i = 0; i < 20 * 61; i++)
        assert_true(fabsf(a[i] - b[i]) < 1e-4f);
    mem_free(a);
    mem_free(b);
    model_free(&m);
}

static void what_is_wrong_with_a_gguf(void **state)
{
    (void)state;
    refuses_gguf((struct flaw){.tensor = "blk.1.ffn_up.weight"},
                 ": tensor blk.1.ffn_up.weight is missing");
    refuses_gguf((struct flaw){.tensor = "token_embd.weight"},
                 ": tensor token_embd.weight is missing");
    refuses_gguf((struct flaw){.tensor = "blk.2.attn_k.weight", .narrow = true},
                 ": tensor blk.2.attn_k.weight is 64 x 20; the configuration says 32 x 40");
    refuses_gguf((struct flaw){.tensor = "blk.0.attn_norm.weight", .narrow = true},
                 ": tensor blk.0.attn_norm.weight is 2 x 20; the configuration says 40");
    refuses_gguf((struct flaw){.extra = "blk.0.attn_q.bias"},
                 ": tensor blk.0.attn_q.bias is 2; the configuration says 64");
    refuses_gguf((struct flaw){.extra = "blk.0.attn_q_norm.weight"},
                 ": tensor blk.0.attn_q_norm.weight is no part of a llama model");
    refuses_gguf((struct flaw){.extra = "rope_freqs.weight"},
                 ": tensor rope_freqs.weight must be 8 numbers of f32");
    refuses_gguf((struct flaw){.architecture = "mamba"},
                 ": general.architecture is \"mamba\"; linnet reads: llama, smollm3, granite, qwen2, qwen3, phi3, gemma, "
                 "gemma2, gemma3, stablelm, openelm, olmo2, olmoe, qwen2moe, qwen3moe, phimoe");
    refuses_gguf((struct flaw){.architecture = ""},
                 ": general.architecture is \"(absent)\"; linnet reads: llama, smollm3, granite, qwen2, qwen3, phi3, gemma, "
                 "gemma2, gemma3, stablelm, openelm, olmo2, olmoe, qwen2moe, qwen3moe, phimoe");
    refuses_gguf((struct flaw){.scaling = "spiral"},
                 ": llama.rope.scaling.type is \"spiral\", which linnet does not know");
    refuses_gguf((struct flaw){.scaling = "yarn"},
                 ": model.rope_scaling.factor is 0; it must be at least 1");
    refuses_gguf((struct flaw){.key = "llama.block_count", .value = 2},
                 ": tensor blk.2.attn_norm.weight is no part of a llama model");
    refuses_gguf((struct flaw){.key = "llama.block_count"},
                 ": model.num_hidden_layers is 0; it must be from 1 to 512");
    refuses_gguf((struct flaw){.key = "llama.block_count", .value = 1000000},
                 ": model.num_hidden_layers is 1000000; it must be from 1 to 512");
    refuses_gguf((struct flaw){.key = "llama.attention.head_count_kv", .value = 3},
                 ": model.num_key_value_heads is 3; it must divide num_attention_heads (4)");
    refuses_gguf((struct flaw){.key = "llama.attention.key_length", .value = 18},
                 ": rope.dimension_count is 16; llama models rotate whole heads (18)");
    refuses_gguf((struct flaw){.key = "llama.attention.value_length", .value = 8},
                 ": attention.value_length is 8, the keys' heads are 16 wide; only equal widths are "
                 "supported");
    refuses_gguf((struct flaw){.key = "llama.rope.dimension_count", .value = 8},
                 ": rope.dimension_count is 8; llama models rotate whole heads (16)");
    refuses_gguf((struct flaw){.key = "llama.expert_count", .value = 8},
                 ": tensor blk.0.ffn_gate_exps.weight is missing");
    refuses_gguf((struct flaw){.key = "eps"},
                 ": llama.attention.layer_norm_rms_epsilon is missing");
}

/* --- Hugging Face --- */

#define RIGHT_CONFIG                                                                           \
    "{\"model_type\": \"llama\", \"vocab_size\": 61, \"hidden_size\": 40, "                    \
    "\"intermediate_size\": 56, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "        \
    "\"num_key_value_heads\": 2, \"head_dim\": 16, \"max_position_embeddings\": 64, "          \
    "\"rms_norm_eps\": 1e-5"

static void write_weights(const char *left_out, const char *extra, const char *reshaped)
{
    static const size_t two = 2;
    struct safetensors_writer *w = safetensors_writer_new();
    struct weight_sources sources;
    struct export_options options = {.type = DTYPE_F32};
    weight_sources_init(&sources, &model, CONTAINER_HF, false, &options);
    struct error e;
    for (size_t i = 0; i < sources.list.n_tensors; i++) {
        const struct tensor *t = &sources.list.tensors[i];
        size_t shape[2] = {t->shape[0], t->shape[1]};
        if (left_out && strcmp(left_out, t->name) == 0)
            continue;
        if (reshaped && strcmp(reshaped, t->name) == 0)
            shape[0] *= 2, shape[1] /= 2;
        safetensors_put(w, t->name, DTYPE_F32, t->n_dims, shape, weight_source_fill,
                        &sources.sources[i]);
    }
    if (extra)
        safetensors_put(w, extra, DTYPE_F32, 1, &two, stray, NULL);
    assert_ok(safetensors_writer_finish(w, weights_path, &e), e);
    safetensors_writer_free(w);
    weight_sources_free(&sources);
}

static void write_config(const char *rest)
{
    struct error e;
    char *text = mem_printf("%s%s}", RIGHT_CONFIG, rest);
    assert_ok(file_write(config_path, text, strlen(text), &e), e);
    mem_free(text);
}

static void refuses_hf(const char *path, const char *message)
{
    struct model m;
    struct error e = {0};
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    size_t n = strlen(path);
    assert_memory_equal(e.message, path, n);
    if (strcmp(e.message + n, message) != 0)
        fail_msg("got: %s", e.message + n);
}

static void refuses_config(const char *rest, const char *message)
{
    write_config(rest);
    refuses_hf(config_path, message);
}

static void a_right_directory_loads(void **state)
{
    (void)state;
    struct model m;
    struct error e;
    static const char *const same[] = {
        "", ", \"rope_scaling\": null, \"hidden_act\": \"silu\", \"mlp_bias\": false",
        ", \"rope_scaling\": {\"rope_type\": \"default\"}",
        ", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0}"};
    write_weights(NULL, "model.layers.0.self_attn.rotary_emb.inv_freq", NULL);
    for (size_t i = 0; i < 4; i++) {
        write_config(same[i]);
        assert_ok(model_load(directory, WEIGHTS_F32, &m, NULL, &e), e);
        assert_same_weights(&m, &model);
        assert_int_equal(m.config.rope_style, ROPE_HALF);
        assert_true(m.config.rope_theta == 10000);
        model_free(&m);
    }
    write_config(", \"rope_parameters\": {\"rope_theta\": 500000.0}, \"tie_word_embeddings\": true");
    write_weights(NULL, NULL, NULL); /* an lm_head beside tied embeddings does not matter */
    assert_ok(model_load(directory, WEIGHTS_F32, &m, NULL, &e), e);
    assert_true(m.config.rope_theta == 500000);
    assert_true(m.config.tie_word_embeddings);
    model_free(&m);
}

/* The language model of one that reads pictures too, in both namings; what sees is left out. */
static void the_part_that_reads(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"language_model.", "model.language_model."};
    struct error e;
    struct model m;
    struct weight_sources sources;
    struct export_options options = {.type = DTYPE_F32};
    weight_sources_init(&sources, &model, CONTAINER_HF, false, &options);
    write_config("");
    for (size_t k = 0; k < 2; k++) {
        struct safetensors_writer *w = safetensors_writer_new();
        for (size_t i = 0; i < sources.list.n_tensors; i++) {
            const struct tensor *t = &sources.list.tensors[i];
            bool shorter = k == 1 && strncmp(t->name, "model.", 6) == 0;
            char *name = mem_printf("%s%s", k == 1 && !shorter ? "" : prefixes[k], t->name + (shorter ? 6 : 0));
            safetensors_put(w, name, DTYPE_F32, t->n_dims, t->shape, weight_source_fill,
                            &sources.sources[i]);
            mem_free(name);
        }
        safetensors_put(w, k ? "model.vision_tower.a" : "vision_tower.a", DTYPE_F32, 1, &(size_t){2}, stray,
                        NULL);
        assert_ok(safetensors_writer_finish(w, weights_path, &e), e);
        assert_ok(model_load(directory, WEIGHTS_F32, &m, NULL, &e), e);
        assert_same_weights(&m, &model);
        model_free(&m);
        safetensors_writer_free(w);
    }
    weight_sources_free(&sources);
}

static void what_is_wrong_with_a_config(void **state)
{
    (void)state;
    write_weights(NULL, NULL, NULL);
    refuses_config(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}",
                   ": model.rope_scaling: low_freq_factor (0) must be above 0 and high_freq_factor (0) "
                   "above that");
    refuses_config(", \"rope_scaling\": {\"type\": \"spiral\", \"factor\": 2.0}",
                   ": \"rope_scaling\" is of type \"spiral\", which linnet does not know");
    refuses_config(", \"rope_parameters\": {\"rope_type\": \"yarn\"}",
                   ": model.rope_scaling.factor is 0; it must be at least 1");
    refuses_config(", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 2], "
                   "\"long_factor\": [1]}",
                   ": model.rope_scaling: short_factor has 2 numbers and long_factor 1; both must have 8, "
                   "half of the rotated components");
    refuses_config(", \"rope_parameters\": 3", ": \"rope_parameters\" is not an object");
    refuses_config(", \"sliding_window\": 32",
                   ": model.sliding_window is set; llama models have nothing of the kind");
    refuses_config(", \"hidden_act\": \"gelu\"",
                   ": \"hidden_act\" is \"gelu\"; llama models have silu");
    refuses_config(", \"rope_theta\": 0",
                   ": model.rope_theta is 0; it must be from 1 to 1e+12");
    struct error e;
    static const char other[] = "{\"model_type\": \"gpt2\"}", little[] = "{\"model_type\": \"llama\"}",
                      list[] = "[1]",
                      negative[] = "{\"model_type\": \"llama\", \"vocab_size\": -1, "
                                   "\"hidden_size\": 40, \"intermediate_size\": 56, "
                                   "\"num_hidden_layers\": 3, \"num_attention_heads\": 4}";
    assert_ok(file_write(config_path, other, strlen(other), &e), e);
    refuses_hf(config_path, ": \"model_type\" is \"gpt2\"; linnet reads: llama, mistral, mixtral, smollm3, granite, qwen2, qwen3, phi3, gemma, gemma2, gemma3_text, "
                            "stablelm, openelm, olmo2, olmoe, qwen2_moe, qwen3_moe, phimoe");
    assert_ok(file_write(config_path, little, strlen(little), &e), e);
    refuses_hf(config_path, ": \"vocab_size\" is missing");
    assert_ok(file_write(config_path, list, strlen(list), &e), e);
    refuses_hf(config_path, ": not a JSON object");
    struct model m;
    assert_ok(file_write(config_path, negative, strlen(negative), &e), e);
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "vocab_size"));
    assert_ok(file_write(config_path, "{\"model", 7, &e), e);
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, config_path));
}

static void what_is_wrong_with_the_weights(void **state)
{
    (void)state;
    write_config("");
    write_weights("lm_head.weight", NULL, NULL);
    refuses_hf(weights_path, ": tensor lm_head.weight is missing");
    write_weights("model.layers.2.mlp.up_proj.weight", NULL, NULL);
    refuses_hf(weights_path, ": tensor model.layers.2.mlp.up_proj.weight is missing");
    write_weights(NULL, "model.layers.0.self_attn.q_proj.bias", NULL);
    refuses_hf(weights_path,
               ": tensor model.layers.0.self_attn.q_proj.bias is no part of a llama model");
    write_weights(NULL, NULL, "model.layers.1.self_attn.v_proj.weight");
    refuses_hf(weights_path, ": tensor model.layers.1.self_attn.v_proj.weight is 64 x 20; the "
                             "configuration says 32 x 40");
}

/* Cut at any place, and never read beyond. */
static void truncated_weights(void **state)
{
    (void)state;
    struct error e;
    struct buffer whole = {0};
    write_config("");
    write_weights(NULL, NULL, NULL);
    assert_ok(file_read(weights_path, &whole, 1 << 24, &e), e);
    const size_t cuts[] = {0, 4, 8, 100, whole.size / 2, whole.size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct model m;
        assert_ok(file_write(weights_path, whole.data, cuts[i], &e), e);
        assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
        assert_memory_equal(e.message, weights_path, strlen(weights_path));
    }
    buffer_free(&whole);
}

static void weights_in_several_files(void **state)
{
    (void)state;
    struct error e;
    struct model m;
    struct safetensors_writer *w = safetensors_writer_new();
    struct weight_sources sources;
    struct export_options options = {.type = DTYPE_F32};
    weight_sources_init(&sources, &model, CONTAINER_HF, false, &options);
    write_config("");
    for (size_t i = 0; i < sources.list.n_tensors; i++) {
        const struct tensor *t = &sources.list.tensors[i];
        safetensors_put(w, t->name, DTYPE_F32, t->n_dims, t->shape, weight_source_fill,
                        &sources.sources[i]);
    }
    assert_ok(safetensors_writer_finish_directory(w, directory, 4096, &e), e);
    assert_false(file_exists(weights_path));
    assert_true(file_exists(index_path));
    assert_ok(model_load(directory, WEIGHTS_F32, &m, NULL, &e), e);
    assert_same_weights(&m, &model);
    model_free(&m);
    safetensors_put(w, "stray", DTYPE_F32, 1, &(size_t){2}, stray, NULL);
    assert_ok(safetensors_writer_finish_directory(w, directory, 4096, &e), e);
    refuses_hf(index_path, ": tensor stray is no part of a llama model");
    assert_ok(safetensors_writer_finish_directory(w, directory, 0, &e), e); /* the shards go */
    assert_false(file_exists(index_path));
    unlink(weights_path);
    safetensors_writer_free(w);
    weight_sources_free(&sources);
    assert_ok(file_write(index_path, "{}", 2, &e), e);
    refuses_hf(index_path, ": \"weight_map\" must be an object: tensor to file");
    unlink(index_path);
}

static void what_is_no_model_at_all(void **state)
{
    (void)state;
    struct model m;
    struct error e;
    assert_int_equal(model_load("/nowhere/at/all", WEIGHTS_F32, &m, NULL, &e), ERR_IO);
    assert_string_equal(e.message, "/nowhere/at/all: no such file or directory; --model takes a run "
                                   "directory, a Hugging Face directory, or a .gguf file");
    unlink(config_path);
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, ": m.gguf: a GGUF file; give its path instead"));
    unlink(gguf_path);
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "neither a run (config.yaml) nor a Hugging Face model"));
    char *pickle = path_join(directory, "consolidated.00.pth");
    assert_ok(file_write(pickle, "x", 1, &e), e);
    assert_int_equal(model_load(directory, WEIGHTS_F32, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, ": consolidated.00.pth: a PyTorch checkpoint in Meta's own "));
    unlink(pickle);
    mem_free(pickle);
}

/* --- the fuzzers' seeds: good-* load, bad-* are refused with one line --- */

static int read_gguf_seed(const struct buffer *b, struct error *e)
{
    struct gguf g;
    struct model m;
    int code = gguf_parse((const unsigned char *)b->data, b->size, &g, e);
    if (!code)
        code = model_read_gguf(&g, WEIGHTS_MAPPED, &m, e);
    if (!code)
        model_free(&m);
    gguf_close(&g);
    return code;
}

static int read_config_seed(const struct buffer *b, struct error *e)
{
    struct model_config c;
    json_t *root = NULL;
    int code = json_parse(b->data, b->size, &root, e);
    if (!code)
        code = hf_config_read(root, &c, e);
    json_decref(root);
    return code;
}

static void replay(const char *folder, int (*read)(const struct buffer *, struct error *), size_t at_least)
{
    struct path_list list = {0};
    struct error e = {0};
    assert_ok(dir_list(folder, &list, &e), e);
    assert_true(list.count >= at_least);
    for (size_t i = 0; i < list.count; i++) {
        struct buffer b = {0};
        assert_ok(file_read(list.paths[i], &b, 1 << 24, &e), e);
        bool good = strncmp(path_basename(list.paths[i]), "good-", 5) == 0;
        int code = read(&b, &e);
        if ((code == OK) != good || (code && strchr(e.message, '\n')))
            fail_msg("%s: %s", list.paths[i], code ? e.message : "was accepted");
        buffer_free(&b);
    }
    path_list_free(&list);
}

static void seeds(void **state)
{
    (void)state;
    replay("tests/fuzz/corpus/model_gguf", read_gguf_seed, 27);
    replay("tests/fuzz/corpus/hf_config", read_config_seed, 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_gguf_loads),
        cmocka_unit_test(what_is_wrong_with_a_gguf),
        cmocka_unit_test(a_right_directory_loads),
        cmocka_unit_test(the_part_that_reads),
        cmocka_unit_test(what_is_wrong_with_a_config),
        cmocka_unit_test(what_is_wrong_with_the_weights),
        cmocka_unit_test(truncated_weights),
        cmocka_unit_test(weights_in_several_files),
        cmocka_unit_test(what_is_no_model_at_all),
        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
