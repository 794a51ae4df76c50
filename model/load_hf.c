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

/* A model that reads pictures too keeps its language model under this name. */
static const char LANGUAGE_MODEL[] = "language_model.";

static bool find(const void *file, const char *name, struct stored_tensor *t)
{
    char longer[PARAM_NAME_SIZE + sizeof LANGUAGE_MODEL];
    const struct safetensors_tensor *s = safetensors_find(file, name);
    if (!s) {
        snprintf(longer, sizeof longer, "%s%s", LANGUAGE_MODEL, name);
        s = safetensors_find(file, longer);
    }
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
    (void)out;
    const char *name = ((const struct safetensors *)file)->tensors[i].name;
    size_t n = sizeof LANGUAGE_MODEL - 1;
    return strncmp(name, LANGUAGE_MODEL, n) == 0 ? name + n : name;
}

/* Of no consequence: tables of frequencies, the output layer where it is the embedding, and what sees. */
static bool may_skip(const struct model *m, const char *name)
{
    return path_has_suffix(name, "rotary_emb.inv_freq") ||
           strncmp(name, "vision_tower.", 13) == 0 ||
           strncmp(name, "multi_modal_projector.", 22) == 0 ||
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
