/* A random model of one of the families in tests/model/architectures.h, as a GGUF file in f32 and as a Hugging
 * Face directory.
 *
 *     random_model list
 *     random_model NAME TOKENIZER.json OUT.gguf OUT-hf
 *     random_model NAME TOKENIZER.json OUT.gguf OUT-hf wide      of 16 layers whose widths are multiples of 256, with
 *                                        4 query heads to one of keys and 8 experts, which rules of mixes ask about
 *     random_model seeds DIRECTORY       as tiny as can be and without a tokenizer, for the fuzzers
 */
#include "export/gguf.h"
#include "export/hf.h"
#include "model/gguf_config.h"
#include "tests/model/architectures.h"

#include <stdio.h>

static void widen(struct model_config *c)
{
    c->hidden_size = 256;
    c->intermediate_size = 512;
    c->num_hidden_layers = 16;
    c->num_attention_heads = 8;
    c->num_key_value_heads = 2;
    c->head_dim = 32;
    c->num_experts = c->num_experts ? 8 : 0;
    c->moe_intermediate_size = c->moe_intermediate_size ? 256 : 0;
    c->shared_expert_intermediate_size = c->shared_expert_intermediate_size ? 512 : 0;
}

static int make(const struct example *x, const char *tokenizer_path, const char *gguf, const char *hf, bool wide,
                struct error *e)
{
    struct tokenizer *t = NULL;
    struct model_config c;
    struct model m = {0};
    struct export_options o = {.type = DTYPE_F32, .name = "example", .force = true};
    int code = tokenizer_read_json(tokenizer_path, &t, e);
    if (!code)
        code = example_config(x, tokenizer_vocab_size(t), &c, e);
    if (wide)
        widen(&c);
    if (!code)
        code = model_init(&m, &c, e);
    if (!code)
        code = model_allocate(&m, e);
    if (!code) {
        example_weights(&m, 7);
        code = export_gguf(&m, t, &o, gguf, e);
    }
    if (!code)
        code = export_hf(&m, t, &o, hf, e);
    model_free(&m);
    tokenizer_free(t);
    return code;
}

static int make_seed(const struct example *x, const char *directory, struct error *e)
{
    struct model_config c;
    struct model m = {0};
    struct weight_sources weights;
    struct export_options o = {.type = DTYPE_BF16};
    const char *warnings[GGUF_CONFIG_WARNINGS];
    int code = example_config(x, 3, &c, e);
    c.hidden_size = c.intermediate_size = 8;
    c.num_hidden_layers = c.num_query_heads.count ? 4 : 2;
    c.moe_intermediate_size = c.moe_intermediate_size ? 8 : 0;
    c.shared_expert_intermediate_size = c.shared_expert_intermediate_size ? 8 : 0;
    if (!code)
        code = model_init(&m, &c, e);
    if (!code)
        code = model_allocate(&m, e);
    if (code)
        return code;
    example_weights(&m, 7);
    struct gguf_writer *w = gguf_writer_new();
    weight_sources_init(&weights, &m, CONTAINER_GGUF, model_architecture(&c)->head_in_gguf, &o);
    code = gguf_config_write(w, &m.config, warnings, e);
    for (size_t i = 0; i < weights.list.n_tensors; i++) {
        const struct tensor *t = &weights.list.tensors[i];
        size_t dims[3];
        for (int d = 0; d < t->n_dims; d++)
            dims[d] = t->shape[t->n_dims - 1 - d];
        gguf_put_tensor(w, t->name, weights.sources[i].type, t->n_dims, dims, weight_source_fill,
                        &weights.sources[i]);
    }
    char *path = mem_printf("%s/good-%s.gguf", directory, x->name);
    if (!code)
        code = gguf_writer_finish(w, path, e);
    mem_free(path);
    gguf_writer_free(w);
    weight_sources_free(&weights);
    model_free(&m);
    return code;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < N_EXAMPLES; i++)
            puts(examples[i].name);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "seeds") == 0) {
        for (size_t i = 0; i < N_EXAMPLES; i++)
            if (make_seed(&examples[i], argv[2], &e)) {
                fprintf(stderr, "random_model: %s: %s\n", examples[i].name, e.message);
                return 1;
            }
        return 0;
    }
    const bool wide = argc == 6 && strcmp(argv[5], "wide") == 0;
    if (argc != 5 && !wide) {
        fprintf(stderr, "usage: random_model list | NAME TOKENIZER.json OUT.gguf OUT-hf [wide]\n");
        return 2;
    }
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, argv[1]) == 0) {
            int code = make(&examples[i], argv[2], argv[3], argv[4], wide, &e);
            if (code)
                fprintf(stderr, "random_model: %s: %s\n", argv[1], e.message);
            return code ? 1 : 0;
        }
    fprintf(stderr, "random_model: no %s\n", argv[1]);
    return 2;
}
