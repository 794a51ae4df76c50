/* config.json of published models: what linnet makes of each, and as many parameters as the model has (of those
 * that publish a rounded number - Gemma 3 4B's text, StableLM 2 12B, Qwen2-57B, Phi-tiny-MoE - counted by hand from
 * its definition). And what is refused. */
#include "base/buffer.h"
#include "base/json.h"
#include "model/hf_config.h"
#include "model/model.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

static const struct published {
    const char *file, *architecture;
    size_t n_weights; /* a tied output layer counted once */
    const char *options; /* "key=value", as options are printed */
} models[] = {
    {"llama-3.2-1b", "llama", 1235814400, "head_dim=64 rope_theta=500000 rope_scaling.type=llama3 "
     "rope_scaling.factor=32 rope_scaling.original_max_position_embeddings=8192 tie_word_embeddings=true"},
    {"llama-2-7b", "llama", 6738415616, "head_dim=128 rope_theta=10000 rope_scaling.type=default"},
    {"tinyllama-1.1b", "llama", 1100048384, "num_key_value_heads=4 tie_word_embeddings=false"},
    {"smollm2-135m", "llama", 134515008, "num_attention_heads=9 rope_theta=100000"},
    {"smollm2-1.7b", "llama", 1711376384, "rope_theta=130000 num_key_value_heads=32"},
    {"smollm3-3b", "smollm3", 3075098624, "no_rope_layer_interval=4 rope_theta=5000000 sliding_window=0 "
     "tie_word_embeddings=true rms_norm_eps=1e-06"},
    {"mistral-7b-v0.1", "mistral", 7241732096, "sliding_window=4096 rope_theta=10000"},
    {"mistral-7b-v0.3", "mistral", 7248023552, "sliding_window=0 rope_theta=1000000"},
    {"qwen1.5-0.5b", "qwen2", 463987712, "sliding_window=0 tie_word_embeddings=true"},
    {"qwen2.5-0.5b", "qwen2", 494032768, "num_key_value_heads=2 head_dim=64 sliding_window=0"},
    {"qwen2.5-3b", "qwen2", 3085938688, "num_key_value_heads=2 head_dim=128"},
    {"qwen3-0.6b", "qwen3", 596049920, "head_dim=128 hidden_size=1024"},
    {"phi-3-mini-4k", "phi3", 3821079552, "sliding_window=2047 rope_scaling.type=default"},
    {"phi-3-mini-128k", "phi3", 3821079552, "rope_scaling.type=longrope sliding_window=262144 "
     "rope_scaling.original_max_position_embeddings=4096 max_position_embeddings=131072"},
    {"phi-3.5-mini", "phi3", 3821079552, "rope_scaling.type=longrope"},
    {"phi-4-mini", "phi3", 3836021760, "partial_rotary_factor=0.75 tie_word_embeddings=true "
     "rope_scaling.type=longrope num_key_value_heads=8"},
    {"gemma-2b", "gemma", 2506172416, "head_dim=256 num_key_value_heads=1 tie_word_embeddings=true"},
    {"gemma-2-2b", "gemma2", 2614341888, "attn_logit_softcapping=50 final_logit_softcapping=30 "
     "sliding_window=4096 sliding_window_pattern=2"},
    {"gemma-3-270m", "gemma3", 268098176, "sliding_window=512 sliding_window_pattern=6 head_dim=256 "
     "rope_local_base_freq=10000 rope_theta=1000000"},
    {"gemma-3-1b", "gemma3", 999885952, "sliding_window=512 sliding_window_pattern=6 "
     "final_logit_softcapping=0"},
    {"gemma-3-4b", "gemma3", 3880263168, "num_attention_heads=8 num_key_value_heads=4 head_dim=256 "
     "vocab_size=262208 rope_theta=1000000 rope_scaling.type=linear rope_scaling.factor=8 "
     "max_position_embeddings=131072 sliding_window=1024"},
    {"granite-3.1-2b", "granite", 2533531648, "embedding_multiplier=12 residual_multiplier=0.22 "
     "attention_multiplier=0.015625 logits_scaling=8"},
    {"stablelm-2-1_6b", "stablelm", 1644515328, "attention_bias=true partial_rotary_factor=0.25 "
     "qk_layernorm=false use_parallel_residual=false rms_norm_eps=1e-05"},
    {"stablelm-2-12b", "stablelm", 12143185920, "attention_bias=false qk_layernorm=true "
     "use_parallel_residual=true num_key_value_heads=8"},
    {"openelm-270m", "openelm", 271527168, "hidden_size=1280 head_dim=64 tie_word_embeddings=true "
     "intermediate_sizes=[768,1024,1280,1536,1792,2048,2560,2816,3072,3328,3584,3840,4352,4608,4864,5120]"},
    {"olmo-2-1b", "olmo2", 1484916736, "rope_theta=500000 tie_word_embeddings=false"},
    {"mixtral-8x7b", "mixtral", 46702792704, "num_experts=8 num_experts_per_tok=2 sliding_window=0 "
     "rope_theta=1000000 router_aux_loss_coef=0.02"},
    {"olmoe-1b-7b", "olmoe", 6919161856, "num_experts=64 num_experts_per_tok=8 norm_topk_prob=false"},
    {"qwen1.5-moe-a2.7b", "qwen2moe", 14315784192, "num_experts=60 num_experts_per_tok=4 "
     "moe_intermediate_size=1408 shared_expert_intermediate_size=5632"},
    {"qwen2-57b-a14b", "qwen2moe", 57408658944, "shared_expert_intermediate_size=20480 sliding_window=0"},
    {"phi-3.5-moe", "phimoe", 41873153344, "num_experts=16 lm_head_bias=true attention_bias=true "
     "rope_scaling.attention_factor=1.243163121016122 rope_theta=10000"},
    {"phi-tiny-moe", "phimoe", 3755220288, "head_dim=128 num_attention_heads=16 sliding_window=2047"},
};

static const struct option *find_option(const char *key, size_t n)
{
    for (size_t i = 0; i < N_MODEL_OPTIONS; i++)
        if (strlen(model_options[i].key) == n && strncmp(model_options[i].key, key, n) == 0)
            return &model_options[i];
    fail_msg("no option %.*s", (int)n, key);
    return NULL;
}

/* Spaces are of no consequence: lists are printed with them. */
static void squeeze(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != ' ')
            *to++ = *from;
    *to = 0;
}

static void assert_options(const char *name, const struct model_config *c, const char *options)
{
    for (const char *at = options; *at;) {
        size_t n = strcspn(at, " "), key = strcspn(at, "=");
        struct buffer found = {0};
        option_print_value(find_option(at, key), c, &found);
        squeeze(found.data);
        if (strlen(found.data) != n - key - 1 || strncmp(found.data, at + key + 1, n - key - 1) != 0)
            fail_msg("%s: %.*s is %s", name, (int)n, at, found.data);
        buffer_free(&found);
        at += n + (at[n] == ' ');
    }
}

static void published_models_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const struct published *p = &models[i];
        char path[96];
        json_t *root;
        struct model_config c;
        struct model m;
        struct error e;
        snprintf(path, sizeof path, "tests/fixtures/configs/%s.json", p->file);
        assert_ok(json_read(path, &root, &e), e);
        if (hf_config_read(root, &c, &e))
            fail_msg("%s: %s", p->file, e.message);
        assert_ok(model_init(&m, &c, &e), e);
        if (strcmp(model_architecture(&c)->name, p->architecture) != 0)
            fail_msg("%s is %s", p->file, model_architecture(&c)->name);
        if (m.n_weights != p->n_weights)
            fail_msg("%s: %zu parameters; it has %zu", p->file, m.n_weights, p->n_weights);
        assert_options(p->file, &m.config, p->options);
        model_free(&m);
        json_decref(root);
    }
}

/* --- written and read again --- */

static void written_they_mean_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[96];
        json_t *root;
        struct model_config c, again;
        struct error e;
        snprintf(path, sizeof path, "tests/fixtures/configs/%s.json", models[i].file);
        assert_ok(json_read(path, &root, &e), e);
        assert_ok(hf_config_read(root, &c, &e), e);
        json_decref(root);
        root = hf_config_write(&c);
        assert_ok(hf_config_read(root, &again, &e), e);
        json_decref(root);
        for (size_t j = 0; j < N_MODEL_OPTIONS; j++) {
            struct buffer one = {0}, two = {0};
            option_print_value(&model_options[j], &c, &one);
            option_print_value(&model_options[j], &again, &two);
            /* an original length says nothing where nothing is scaled */
            bool unused = c.rope_scaling.type == ROPE_DEFAULT && strstr(model_options[j].key, "rope_scaling.");
            if (!unused && strcmp(one.data, two.data) != 0)
                fail_msg("%s: %s is %s and %s", models[i].file, model_options[j].key, one.data, two.data);
            buffer_free(&one);
            buffer_free(&two);
        }
    }
}

/* --- what a key's absence means, and what is refused --- */

/* A published file with keys of its own in place of some; JSON, in single quotes here. */
static int read_changed(const char *file, const char *changes, struct model_config *c, struct error *e)
{
    char path[96], text[512];
    json_t *root, *other;
    snprintf(path, sizeof path, "tests/fixtures/configs/%s.json", file);
    snprintf(text, sizeof text, "%s", changes);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    assert_ok(json_read(path, &root, e), *e);
    assert_ok(json_parse(text, strlen(text), &other, e), *e);
    const char *key;
    json_t *value;
    json_object_foreach(other, key, value) {
        if (json_is_string(value) && strcmp(json_string_value(value), "absent") == 0)
            json_object_del(root, key);
        else
            json_object_set(root, key, value);
    }
    int code = hf_config_read(root, c, e);
    json_decref(other);
    json_decref(root);
    return code;
}

/* As the classes of transformers say it. */
static void absent_keys_mean_what_the_family_does(void **state)
{
    (void)state;
    static const struct {
        const char *file, *changes, *options;
    } cases[] = {
        {"stablelm-2-1_6b", "{'partial_rotary_factor': 'absent', 'layer_norm_eps': 'absent', "
                            "'use_qkv_bias': 'absent'}",
         "partial_rotary_factor=0.25 rms_norm_eps=1e-05 attention_bias=false"},
        {"mistral-7b-v0.1", "{'sliding_window': 'absent', 'rms_norm_eps': 'absent'}",
         "sliding_window=4096 rms_norm_eps=1e-06"},
        {"mistral-7b-v0.1", "{'sliding_window': null, 'head_dim': null}", "sliding_window=0 head_dim=128"},
        {"phi-3-mini-4k", "{'sliding_window': 'absent', 'rms_norm_eps': 'absent'}",
         "sliding_window=0 rms_norm_eps=1e-05"},
        {"gemma-2-2b", "{'attn_logit_softcapping': 'absent', 'final_logit_softcapping': null}",
         "attn_logit_softcapping=50 final_logit_softcapping=0 tie_word_embeddings=true"},
        {"llama-2-7b", "{'rope_theta': 'absent', 'num_key_value_heads': 'absent'}",
         "rope_theta=10000 num_key_value_heads=32"},
        {"llama-2-7b", "{'rope_parameters': {'rope_theta': 3e5, 'rope_type': 'linear', 'factor': 2}}",
         "rope_theta=300000 rope_scaling.type=linear rope_scaling.factor=2"},
        {"gemma-3-1b", "{'rope_parameters': {'full_attention': {'rope_type': 'linear', 'factor': 8}, "
                       "'sliding_attention': {'rope_type': 'default'}}}",
         "rope_theta=1000000 rope_local_base_freq=10000 rope_scaling.type=linear rope_scaling.factor=8"},
        {"stablelm-2-12b", "{'partial_rotary_factor': 'absent', 'rope_parameters': "
                           "{'partial_rotary_factor': 0.5, 'rope_type': 'default'}}",
         "partial_rotary_factor=0.5"},
        {"qwen3-0.6b", "{'sliding_window': 4096, 'layer_types': null}", "sliding_window=0"},
        {"mixtral-8x7b", "{'rope_theta': 'absent', 'router_jitter_noise': 0.05}", "rope_theta=1000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct error e;
        if (read_changed(cases[i].file, cases[i].changes, &c, &e))
            fail_msg("%s with %s: %s", cases[i].file, cases[i].changes, e.message);
        assert_options(cases[i].changes, &c, cases[i].options);
    }
}

static void others_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *changes, *message; /* a part of it */
    } cases[] = {
        {"llama-2-7b", "{'model_type': 'mamba'}", "\"model_type\" is \"mamba\"; linnet reads: llama,"},
        {"llama-2-7b", "{'model_type': 'absent'}", "\"model_type\" is \"\""},
        {"llama-2-7b", "{'hidden_size': 'absent'}", "\"hidden_size\" is missing"},
        {"openelm-270m", "{'model_dim': 'absent'}", "\"model_dim\" is missing"},
        {"llama-2-7b", "{'hidden_size': -1}", "\"hidden_size\" must be a whole number"},
        {"llama-2-7b", "{'num_key_value_heads': 5}", "must divide num_attention_heads"},
        {"llama-2-7b", "{'hidden_act': 'gelu'}", "\"hidden_act\" is \"gelu\"; llama models have silu"},
        {"llama-2-7b", "{'rope_scaling': {'type': 'mrope'}}", "\"rope_scaling\" is of type \"mrope\""},
        {"llama-2-7b", "{'rope_scaling': {'type': 'linear'}}", "rope_scaling.factor is 0"},
        {"llama-2-7b", "{'rope_scaling': {'type': 'yarn', 'factor': 4, 'mscale': 1}}", "\"mscale\" is not"},
        {"llama-2-7b", "{'rope_scaling': {'type': 'yarn', 'factor': 4, 'truncate': false}}", "\"truncate\""},
        {"llama-2-7b", "{'quantization_config': {'bits': 4}}", "\"quantization_config\""},
        {"mistral-7b-v0.1", "{'attention_bias': true}", "mistral models have nothing of the kind"},
        {"qwen2.5-3b", "{'use_sliding_window': true}", "\"use_sliding_window\" is 1"},
        {"phi-3-mini-128k", "{'partial_rotary_factor': 0.5}", "both must have 24"},
        {"gemma-3-270m", "{'use_bidirectional_attention': true}", "\"use_bidirectional_attention\" is 1"},
        {"gemma-3-270m", "{'num_hidden_layers': 17}", "\"layer_types\" must be a list of 17"},
        {"gemma-3-1b", "{'attn_logit_softcapping': 50}", "gemma3 models have nothing of the kind"},
        {"smollm3-3b", "{'no_rope_layer_interval': 3}", "\"no_rope_layers\" is no list of 36 with every 3th"},
        {"openelm-270m", "{'ffn_with_glu': false}", "\"ffn_with_glu\" is 0"},
        {"openelm-270m", "{'normalize_qk_projections': false}", "\"normalize_qk_projections\" is 0"},
        {"openelm-270m", "{'ffn_multipliers': [0.5, 4]}", "\"ffn_multipliers\" must be a list of 16"},
        {"openelm-270m", "{'num_kv_heads': 3}", "\"num_kv_heads\" must be a list"},
        {"olmoe-1b-7b", "{'clip_qkv': 8}", "\"clip_qkv\" is 8"},
        {"mixtral-8x7b", "{'num_experts_per_tok': 9}", "num_experts_per_tok is 9 of 8"},
        {"mixtral-8x7b", "{'num_local_experts': 'absent'}", "num_experts is 0"},
        {"qwen2-57b-a14b", "{'mlp_only_layers': [3]}", "\"mlp_only_layers\""},
        {"qwen2-57b-a14b", "{'decoder_sparse_step': 2}", "\"decoder_sparse_step\" is 2"},
        {"phi-3.5-moe", "{'router_jitter_noise': 0.1}", "\"router_jitter_noise\" is 0.1"},
        {"phi-3.5-moe", "{'rope_scaling': {'type': 'longrope', 'long_mscale': 1.2, 'short_mscale': 1.1}}",
         "\"long_mscale\" and \"short_mscale\" differ"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct error e;
        if (read_changed(cases[i].file, cases[i].changes, &c, &e) == OK)
            fail_msg("%s with %s: accepted", cases[i].file, cases[i].changes);
        if (!strstr(e.message, cases[i].message) || strchr(e.message, '\n'))
            fail_msg("%s with %s: %s", cases[i].file, cases[i].changes, e.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_models_are_read),
        cmocka_unit_test(written_they_mean_the_same),
        cmocka_unit_test(absent_keys_mean_what_the_family_does),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
