#include "export/gguf.h"

#include "base/log.h"
#include "model/gguf_config.h"
#include "qat/mix.h"

static bool has_types_of(const struct weight_sources *w, const struct mix_facts *facts, const struct mix *mix)
{
    for (size_t i = 0; i < w->list.n_tensors; i++) {
        const struct tensor *t = &w->list.tensors[i];
        if (!t->vector && w->sources[i].type != mix_fallback(mix_type(mix, facts, t), t->cols))
            return false;
    }
    return true;
}

/* llama.cpp's number for general.file_type: of the mix that gives these types; else of the one that is called like most of
 * them, and 0, which is f32, where there is none. */
static uint32_t file_type(const struct model *m, const struct weight_sources *w, enum dtype usual)
{
    const struct mix_facts facts = mix_facts_of(m, &w->list, false);
    const struct mix *mix;
    for (size_t i = 0; (mix = mix_at(i)); i++)
        if (has_types_of(w, &facts, mix))
            return mix->file_type;
    return mix_find("", dtype_info(usual)->name, &mix, NULL) ? 0 : mix->file_type;
}

int export_gguf_weights(const struct model *m, const struct tokenizer *t, struct weight_sources *weights,
                        uint32_t type, const char *name, struct gguf_writer *w, const char *path, struct error *e)
{
    const char *warnings[GGUF_CONFIG_WARNINGS];
    if (m->config.max_position_embeddings == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --context");
    int code = gguf_config_write(w, &m->config, warnings, e);
    if (code)
        return code;
    gguf_put_string(w, "general.type", "model");
    gguf_put_string(w, "general.name", name);
    gguf_put_u32(w, "general.file_type", type);
    gguf_put_u32(w, "general.quantization_version", 2);
    code = tokenizer_to_gguf(t, m->config.vocab_size, w, e);
    for (size_t i = 0; i < weights->list.n_tensors; i++) {
        const struct tensor *tensor = &weights->list.tensors[i];
        size_t dims[3];
        for (int d = 0; d < tensor->n_dims; d++)
            dims[d] = tensor->shape[tensor->n_dims - 1 - d];
        gguf_put_tensor(w, tensor->name, weights->sources[i].type, tensor->n_dims, dims, weight_source_fill,
                        &weights->sources[i]);
    }
    if (!code)
        code = gguf_writer_finish(w, path, e);
    for (size_t i = 0; !code && warnings[i]; i++)
        log_warn("%s: %s", path, warnings[i]);
    return code;
}

int export_gguf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
                const char *path, struct error *e)
{
    int code = export_check_target(path, false, o->force, e);
    if (!code)
        code = merge_check(o->merge, m, CONTAINER_GGUF, e);
    if (code)
        return code;
    struct gguf_writer *w = gguf_writer_new();
    struct weight_sources weights;
    weight_sources_init(&weights, m, CONTAINER_GGUF, model_architecture(&m->config)->head_in_gguf, o);
    if (o->report)
        weight_sources_report(&weights, o->report);
    code = export_gguf_weights(m, t, &weights, file_type(m, &weights, export_type(m, o)), o->name, w, path, e);
    gguf_writer_free(w);
    weight_sources_free(&weights);
    return code;
}
