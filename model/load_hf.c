#include "model/load_hf.h"

#include "base/file.h"
#include "model/hf_config.h"
#include "model/load.h"

#include <string.h>

static int read_config(const char *directory, struct model_config *c, struct error *e)
{
    char *path = path_join(directory, "config.json");
    json_t *root = NULL;
    int code = json_read(path, &root, e);
    if (!code) {
        code = hf_config_read(root, c, e);
        if (code) {
            error_prefix(e, "%s", path);
            code = e->code = ERR_FORMAT;
        }
    }
    json_decref(root);
    mem_free(path);
    return code;
}

/* A model that reads pictures too keeps its language model under one of these names: "language_model.model.x", or
 * in newer files "model.language_model.x", is the language model's "model.x". */
static const char OLD_PREFIX[] = "language_model.", NEW_PREFIX[] = "model.language_model.", MODEL[] = "model.";

static const struct safetensors_tensor *find_under(const struct safetensors *s, const char *prefix,
                                                   const char *name)
{
    char longer[PARAM_NAME_SIZE + sizeof NEW_PREFIX];
    snprintf(longer, sizeof longer, "%s%s", prefix, name);
    return safetensors_find(s, longer);
}

static bool find(const void *file, const char *name, struct stored_tensor *t)
{
    const struct safetensors_tensor *s = safetensors_find(file, name);
    size_t n = sizeof MODEL - 1;
    if (!s)
        s = find_under(file, OLD_PREFIX, name);
    if (!s && strncmp(name, MODEL, n) == 0)
        s = find_under(file, NEW_PREFIX, name + n);
    if (!s)
        return false;
    *t = (struct stored_tensor){.data = s->data, .type = s->type, .type_name = s->type_name,
                                .n_dims = s->n_dims, .supported = s->supported};
    memcpy(t->shape, s->shape, (size_t)s->n_dims * sizeof *s->shape);
    return true;
}

static size_t count(const void *file)
{
    return ((const struct safetensors *)file)->n_tensors;
}

static const char *name_of(const void *file, size_t i, char out[PARAM_NAME_SIZE])
{
    const char *name = ((const struct safetensors *)file)->tensors[i].name;
    size_t older = sizeof OLD_PREFIX - 1, newer = sizeof NEW_PREFIX - 1;
    if (strncmp(name, OLD_PREFIX, older) == 0)
        return name + older;
    if (strncmp(name, NEW_PREFIX, newer) != 0)
        return name;
    snprintf(out, PARAM_NAME_SIZE, "%s%s", MODEL, name + newer);
    return out;
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Of no consequence: tables of frequencies, the output layer where it is the embedding, and what sees. */
static bool may_skip(const struct model *m, const char *name)
{
    const char *part = begins(name, MODEL) ? name + sizeof MODEL - 1 : name;
    return path_has_suffix(name, "rotary_emb.inv_freq") || begins(part, "vision_tower.") ||
           begins(part, "multi_modal_projector.") ||
           (m->config.tie_word_embeddings && strcmp(name, "lm_head.weight") == 0);
}

static int read_weights(const char *directory, struct safetensors *s, enum weights weights,
                        struct model *m, struct error *e)
{
    struct tensor_source source = {CONTAINER_HF, s, find, count, name_of, may_skip};
    int code = model_read_tensors(m, &source, ROPE_HALF, weights, e);
    if (code) {
        char *path = path_join(directory, s->n_maps > 1 ? SAFETENSORS_INDEX : SAFETENSORS_FILE);
        error_prefix(e, "%s", path);
        mem_free(path);
    }
    return code;
}

/* Before memory is asked for by what the configuration says: each layer has a tensor at least, and each expert. */
static int check_counts(const char *directory, const struct model_config *c,
                        const struct safetensors *s, struct error *e)
{
    size_t n = c->num_hidden_layers * (c->num_experts ? c->num_experts : 1);
    if (n <= s->n_tensors)
        return OK;
    return error_set(e, ERR_FORMAT,
                     "%s: config.json says %zu layers%s, the weights are %zu tensors in all: they do not belong "
                     "together", directory, c->num_hidden_layers, c->num_experts ? " with experts" : "",
                     s->n_tensors);
}

int model_load_hf(const char *directory, enum weights weights, struct model *m,
                  struct tokenizer **tokenizer, struct error *e)
{
    struct model_config config = {0};
    struct model_file *file = mem_zero(1, sizeof *file);
    *m = (struct model){0};
    int code = read_config(directory, &config, e);
    if (!code)
        code = safetensors_open_directory(directory, &file->safetensors, e);
    if (!code)
        code = check_counts(directory, &config, &file->safetensors, e);
    if (!code)
        code = model_init(m, &config, e);
    if (code) {
        model_file_close(file);
        return code;
    }
    code = read_weights(directory, &file->safetensors, weights, m, e);
    m->file = file;
    if (!code && tokenizer)
        code = tokenizer_read_folder(directory, tokenizer, e);
    if (code) {
        model_free(m);
    } else if (weights != WEIGHTS_MAPPED) {
        model_file_close(file);
        m->file = NULL;
    }
    return code;
}
