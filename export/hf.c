#include "export/hf.h"

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "formats/safetensors.h"
#include "model/hf_config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *torch_dtype(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
        return "float32";
    case DTYPE_F16:
        return "float16";
    case DTYPE_BF16:
        return "bfloat16";
    default:
        CHECK(!"a type that is exported");
        return "";
    }
}

static json_t *id_or_null(int32_t id)
{
    return id == TOKEN_NONE ? json_null() : json_integer(id);
}

/* One id, or a list where several tokens end a text; its own EOS first. */
static json_t *end_ids(const struct tokenizer *t)
{
    json_t *ids = json_array();
    int32_t eos = tokenizer_eos(t);
    if (eos != TOKEN_NONE)
        json_array_append_new(ids, json_integer(eos));
    for (size_t i = 0; i < tokenizer_vocab_size(t); i++)
        if ((int32_t)i != eos && tokenizer_is_end(t, (int32_t)i))
            json_array_append_new(ids, json_integer((json_int_t)i));
    if (json_array_size(ids) > 1)
        return ids;
    json_decref(ids);
    return id_or_null(eos);
}

static json_t *config_json(const struct model *m, const struct tokenizer *t, const struct export_options *o)
{
    struct model_config config = m->config;
    config.tie_word_embeddings &= !merge_unties(o->merge, m);
    json_t *root = hf_config_write(&config);
    json_object_set_new(root, "bos_token_id", id_or_null(tokenizer_bos(t)));
    json_object_set_new(root, "eos_token_id", end_ids(t));
    json_object_set_new(root, "pad_token_id", id_or_null(tokenizer_pad(t)));
    json_object_set_new(root, "torch_dtype", json_string(torch_dtype(export_type(m, o))));
    return root;
}

static json_t *generation_json(const struct tokenizer *t)
{
    json_t *root = json_object();
    json_object_set_new(root, "bos_token_id", id_or_null(tokenizer_bos(t)));
    json_object_set_new(root, "eos_token_id", end_ids(t));
    if (tokenizer_pad(t) != TOKEN_NONE)
        json_object_set_new(root, "pad_token_id", json_integer(tokenizer_pad(t)));
    json_object_set_new(root, "do_sample", json_true());
    return root;
}

/* Takes the reference. 15 digits: a number that was typed comes out as it was typed. */
static int write_json(json_t *value, const char *path, struct error *e)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    CHECK(text);
    struct buffer out = {0};
    buffer_string(&out, text);
    buffer_byte(&out, '\n');
    int code = file_write(path, out.data, out.size, e);
    buffer_free(&out);
    free(text);
    json_decref(value);
    return code;
}

static int write_weights(const struct model *m, const struct export_options *o,
                         const char *directory, struct error *e)
{
    struct safetensors_writer *w = safetensors_writer_new();
    struct weight_sources weights;
    weight_sources_init(&weights, m, CONTAINER_HF, false, o);
    if (o->report)
        weight_sources_report(&weights, o->report);
    for (size_t i = 0; i < weights.list.n_tensors; i++) {
        const struct tensor *t = &weights.list.tensors[i];
        safetensors_put(w, t->name, weights.sources[i].type, t->n_dims, t->shape, weight_source_fill,
                        &weights.sources[i]);
    }
    int code = safetensors_writer_finish_directory(w, directory, o->max_shard_bytes, e);
    safetensors_writer_free(w);
    weight_sources_free(&weights);
    return code;
}

static void remove_stale(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    unlink(path);
    mem_free(path);
}

int export_hf(const struct model *m, const struct tokenizer *t, const struct export_options *o,
              const char *directory, struct error *e)
{
    char *config = path_join(directory, "config.json"),
         *tokenizer = path_join(directory, "tokenizer.json"),
         *tokenizer_config = path_join(directory, "tokenizer_config.json"),
         *generation = path_join(directory, "generation_config.json");
    size_t context = m->config.max_position_embeddings;
    int code = export_check_target(directory, true, o->force, e);
    if (!code)
        code = merge_check(o->merge, m, CONTAINER_HF, e);
    if (!code && context == 0)
        code = error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --context");
    if (!code)
        code = dir_make(directory, e);
    if (!code)
        code = write_weights(m, o, directory, e);
    if (!code)
        code = tokenizer_write_json(t, tokenizer, e);
    if (!code)
        code = tokenizer_write_config_json(t, context, tokenizer_config, e);
    if (!code)
        code = write_json(generation_json(t), generation, e);
    if (!code)
        code = write_json(config_json(m, t, o), config, e);
    if (!code) /* what another model left would be taken for this one's; this one's is in tokenizer_config.json */
        remove_stale(directory, "chat_template.jinja");
    if (!code && strcmp(model_architecture(&m->config)->name, "openelm") == 0 &&
        m->config.rms_norm_eps != 1e-6)
        log_warn("%s: rms_norm_eps is %g; OpenELM's own code computes with 1e-6 whatever a file says", directory,
                 m->config.rms_norm_eps);
    mem_free(config);
    mem_free(tokenizer);
    mem_free(tokenizer_config);
    mem_free(generation);
    return code;
}
