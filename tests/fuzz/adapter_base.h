/* Models without weights that adapters are read for: one whose q and k are reordered in GGUF, one with fused tensors, one
 * with experts. */
#ifndef LINNET_TESTS_FUZZ_ADAPTER_BASE_H
#define LINNET_TESTS_FUZZ_ADAPTER_BASE_H

#include "model/load.h"

enum { ADAPTER_BASES = 3 };

static int adapter_base(size_t i, struct model *m, struct error *e)
{
    static const char *const families[ADAPTER_BASES] = {
        "llama", "phi3, tie_word_embeddings: false",
        ("qwen2moe, num_experts: 2, num_experts_per_tok: 1, moe_intermediate_size: 8, "
         "shared_expert_intermediate_size: 8, tie_word_embeddings: false")};
    struct model_config c;
    struct buffer yaml = {0};
    buffer_printf(&yaml, "model: {architecture: %s, vocab_size: 3, hidden_size: 8, intermediate_size: 8, "
                         "num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4, "
                         "max_position_embeddings: 16}\n", families[i]);
    int code = model_config_parse(yaml.data, &c, e);
    buffer_free(&yaml);
    return code ? code : model_init(m, &c, e);
}

#endif
