#include "model/presets.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/yaml.h"

#include <string.h>

/* From the config.json in the repository of each model on Hugging Face; tests/model/test_presets.c holds the number of
 * weights against the published one. */
#define LLAMA_3(factor) \
    "vocab_size: 128256, max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 500000, " \
    "rope_scaling: {type: llama3, factor: " factor ", low_freq_factor: 1, high_freq_factor: 4, " \
    "original_max_position_embeddings: 8192}, "
#define SIZE_1B \
    "hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 16, num_attention_heads: 32, " \
    "num_key_value_heads: 8, "
#define SIZE_3B \
    "hidden_size: 3072, intermediate_size: 8192, num_hidden_layers: 28, num_attention_heads: 24, " \
    "num_key_value_heads: 8, "
/* Small enough that the blocks are what is measured. */
#define SMALL_VOCABULARY \
    "vocab_size: 32000, max_position_embeddings: 8192, rope_theta: 500000, tie_word_embeddings: false"

static const struct {
    const char *name, *keys;
} presets[N_MODEL_PRESETS] = {
    [MODEL_PRESET_NONE] = {"none", ""},
    /* the shapes of Llama 3.2 that docs/results.md measures with */
    {"llama-1b", SIZE_1B SMALL_VOCABULARY},
    {"llama-3b", SIZE_3B SMALL_VOCABULARY},
    /* meta-llama/Llama-3.2-1B, Llama-3.2-3B, Llama-3.1-8B */
    {"llama-3.2-1b", LLAMA_3("32") SIZE_1B "tie_word_embeddings: true"},
    {"llama-3.2-3b", LLAMA_3("32") SIZE_3B "tie_word_embeddings: true"},
    {"llama-3.1-8b", LLAMA_3("8") "hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, "
                     "num_attention_heads: 32, num_key_value_heads: 8, tie_word_embeddings: false"},
    /* TinyLlama/TinyLlama-1.1B-Chat-v1.0 */
    {"tinyllama-1.1b", "vocab_size: 32000, hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 22, "
                       "num_attention_heads: 32, num_key_value_heads: 4, max_position_embeddings: 2048, "
                       "rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false"},
    /* HuggingFaceTB/SmolLM2-135M */
    {"smollm2-135m", "vocab_size: 49152, hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, "
                     "num_attention_heads: 9, num_key_value_heads: 3, max_position_embeddings: 8192, "
                     "rms_norm_eps: 1e-5, rope_theta: 100000, tie_word_embeddings: true"},
    /* Qwen/Qwen2.5-0.5B, Qwen2.5-3B */
    {"qwen2.5-0.5b", "architecture: qwen2, vocab_size: 151936, hidden_size: 896, intermediate_size: 4864, "
                     "num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2, "
                     "max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 1000000, "
                     "tie_word_embeddings: true"},
    {"qwen2.5-3b", "architecture: qwen2, vocab_size: 151936, hidden_size: 2048, intermediate_size: 11008, "
                   "num_hidden_layers: 36, num_attention_heads: 16, num_key_value_heads: 2, "
                   "max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 1000000, "
                   "tie_word_embeddings: true"},
    /* Qwen/Qwen3-4B */
    {"qwen3-4b", "architecture: qwen3, vocab_size: 151936, hidden_size: 2560, intermediate_size: 9728, "
                 "num_hidden_layers: 36, num_attention_heads: 32, num_key_value_heads: 8, head_dim: 128, "
                 "max_position_embeddings: 40960, rms_norm_eps: 1e-6, rope_theta: 1000000, "
                 "tie_word_embeddings: true"},
    /* microsoft/Phi-3-mini-4k-instruct */
    {"phi-3-mini", "architecture: phi3, vocab_size: 32064, hidden_size: 3072, intermediate_size: 8192, "
                   "num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32, "
                   "max_position_embeddings: 4096, sliding_window: 2047, rms_norm_eps: 1e-5, rope_theta: 10000, "
                   "tie_word_embeddings: false"},
    /* google/gemma-2-2b */
    {"gemma-2-2b", "architecture: gemma2, vocab_size: 256000, hidden_size: 2304, intermediate_size: 9216, "
                   "num_hidden_layers: 26, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, "
                   "max_position_embeddings: 8192, sliding_window: 4096, query_pre_attn_scalar: 256, "
                   "attn_logit_softcapping: 50, final_logit_softcapping: 30, rms_norm_eps: 1e-6, "
                   "rope_theta: 10000, tie_word_embeddings: true"},
    /* allenai/OLMoE-1B-7B-0924 */
    {"olmoe-1b-7b", "architecture: olmoe, vocab_size: 50304, hidden_size: 2048, intermediate_size: 1024, "
                    "num_hidden_layers: 16, num_attention_heads: 16, num_key_value_heads: 16, num_experts: 64, "
                    "num_experts_per_tok: 8, max_position_embeddings: 4096, rms_norm_eps: 1e-5, "
                    "rope_theta: 10000, tie_word_embeddings: false"},
};

const char *const model_preset_names[N_MODEL_PRESETS + 1] = {
    "none",         "llama-1b",     "llama-3b",   "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "tinyllama-1.1b",
    "smollm2-135m", "qwen2.5-0.5b", "qwen2.5-3b", "qwen3-4b",     "phi-3-mini",   "gemma-2-2b",   "olmoe-1b-7b",
    NULL,
};

void model_preset_apply(int preset, struct options *o)
{
    CHECK(preset >= 0 && preset < N_MODEL_PRESETS);
    CHECK(strcmp(presets[preset].name, model_preset_names[preset]) == 0);
    char *text = mem_printf("model: {%s}\n", presets[preset].keys);
    char *where = mem_printf("--preset %s", presets[preset].name);
    struct yaml y;
    struct error e;
    CHECK(!yaml_parse(text, strlen(text), &y, &e));
    CHECK(!options_apply_stored(o, &y, where, &e));
    yaml_entries_free(&y);
    mem_free(where);
    mem_free(text);
}
