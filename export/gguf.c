#include "export/gguf.h"

#include "base/check.h"
#include "formats/gguf.h"

#include <stdio.h>

/* llama.cpp's numbers for general.file_type. */
static uint32_t file_type(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
        return 0;
    case DTYPE_F16:
        return 1;
    case DTYPE_BF16:
        return 32;
    default:
        CHECK(!"a type that is exported");
        return 0;
    }
}

struct keys {
    struct gguf_writer *w;
    const char *architecture;
};

static const char *full_key(const struct keys *k, const char *key, char full[128])
{
    snprintf(full, 128, "%s.%s", k->architecture, key);
    return full;
}

static void put_size(const struct keys *k, const char *key, size_t value)
{
    char full[128];
    CHECK(value <= UINT32_MAX);
    gguf_put_u32(k->w, full_key(k, key, full), (uint32_t)value);
}

static void put_double(const struct keys *k, const char *key, double value)
{
    char full[128];
    gguf_put_f32(k->w, full_key(k, key, full), (float)value);
}

static void put_metadata(struct gguf_writer *w, const struct model *m,
                         const struct export_options *o)
{
    const struct model_config *c = &m->config;
    struct keys k = {w, model_architecture(c)->name};
    gguf_put_string(w, "general.architecture", k.architecture);
    gguf_put_string(w, "general.type", "model");
    gguf_put_string(w, "general.name", o->name);
    gguf_put_u32(w, "general.file_type", file_type(o->type));
    gguf_put_u32(w, "general.quantization_version", 2);
    put_size(&k, "vocab_size", c->vocab_size);
    put_size(&k, "context_length", c->max_position_embeddings);
    put_size(&k, "embedding_length", c->hidden_size);
    put_size(&k, "block_count", c->num_hidden_layers);
    put_size(&k, "feed_forward_length", c->intermediate_size);
    put_size(&k, "attention.head_count", c->num_attention_heads);
    put_size(&k, "attention.head_count_kv", c->num_key_value_heads);
    put_size(&k, "attention.key_length", c->head_dim);
    put_size(&k, "attention.value_length", c->head_dim);
    put_double(&k, "attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    put_size(&k, "rope.dimension_count", c->head_dim);
    put_double(&k, "rope.freq_base", c->rope_theta);
}

int export_gguf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
                const char *path, struct error *e)
{
    int code = export_check_target(path, false, o->force, e);
    if (code)
        return code;
    if (m->config.max_position_embeddings == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --context");
    struct gguf_writer *w = gguf_writer_new();
    struct weight_source *sources =
        weight_sources(m, o->type, DTYPE_F32, model_architecture(&m->config)->gguf_rope_style);
    put_metadata(w, m, o);
    code = tokenizer_to_gguf(t, m->config.vocab_size, w, e);
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        size_t dims[2] = {p->cols, p->rows};
        gguf_put_tensor(w, p->gguf_name, sources[i].type, p->n_dims, dims, weight_source_fill,
                        &sources[i]);
    }
    if (!code)
        code = gguf_writer_finish(w, path, e);
    gguf_writer_free(w);
    mem_free(sources);
    return code;
}
