#include "model/load_hf.h"

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

/* A key that would change the numbers and that this decoder does not have: refused, never ignored. */
static int refuse_unsupported(const json_t *root, struct error *e)
{
    const json_t *scaling = json_object_get(root, "rope_scaling");
    if (scaling && !json_is_null(scaling))
        return error_set(e, ERR_FORMAT, "\"rope_scaling\" is set, which is not supported");
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    for (size_t i = 0; i < 2; i++) {
        bool set = false;
        int code = json_get_bool(root, biases[i], &set, e);
        if (code)
            return code;
        if (set)
            return error_set(e, ERR_FORMAT, "\"%s\" is true, which is not supported", biases[i]);
    }
    const char *activation = "silu";
    int code = json_get_string(root, "hidden_act", &activation, e);
    if (!code && strcmp(activation, "silu") != 0)
        code = error_set(e, ERR_FORMAT, "\"hidden_act\" is \"%s\"; only silu is supported",
                         activation);
    return code;
}

static int config_from_json(const json_t *root, struct model_config *c, struct error *e)
{
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "not a JSON object");
    const char *type = "";
    int code = json_get_string(root, "model_type", &type, e);
    if (code)
        return code;
    if (!architecture_by_model_type(type))
        return error_set(e, ERR_FORMAT, "\"model_type\" is \"%s\"; linnet reads: llama", type);
    *c = (struct model_config){.rms_norm_eps = 1e-6, .rope_theta = 10000,
                               .initializer_range = 0.02, .rope_style = ROPE_HALF};
    struct {
        const char *key;
        size_t *value;
    } sizes[] = {
        {"vocab_size", &c->vocab_size},
        {"hidden_size", &c->hidden_size},
        {"intermediate_size", &c->intermediate_size},
        {"num_hidden_layers", &c->num_hidden_layers},
        {"num_attention_heads", &c->num_attention_heads},
        {"num_key_value_heads", &c->num_key_value_heads},
        {"head_dim", &c->head_dim},
        {"max_position_embeddings", &c->max_position_embeddings},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !code; i++)
        code = json_get_size(root, sizes[i].key, sizes[i].value, e);
    if (!code)
        code = json_get_double(root, "rms_norm_eps", &c->rms_norm_eps, e);
    if (!code)
        code = json_get_double(root, "rope_theta", &c->rope_theta, e);
    if (!code)
        code = json_get_double(root, "initializer_range", &c->initializer_range, e);
    if (!code)
        code = json_get_bool(root, "tie_word_embeddings", &c->tie_word_embeddings, e);
    if (!code)
        code = refuse_unsupported(root, e);
    return code ? code : model_config_check(c, e);
}

static int read_config(const char *directory, struct model_config *c, struct error *e)
{
    char *path = path_join(directory, "config.json");
    json_t *root = NULL;
    int code = json_read(path, &root, e);
    if (!code) {
        code = config_from_json(root, c, e);
        if (code) {
            error_prefix(e, "%s", path);
            code = e->code = ERR_FORMAT;
        }
    }
    json_decref(root);
    mem_free(path);
    return code;
}

static int read_param(const struct safetensors *s, const struct param *p, struct error *e)
{
    const struct safetensors_tensor *t = safetensors_find(s, p->name);
    if (!t)
        return error_set(e, ERR_FORMAT, "tensor %s is missing", p->name);
    size_t rows = p->n_dims == 2 ? p->rows : p->cols;
    if (t->n_dims != p->n_dims || t->shape[0] != rows ||
        (p->n_dims == 2 && t->shape[1] != p->cols))
        return error_set(e, ERR_FORMAT, "tensor %s has another shape than config.json says (%zu x %zu)",
                         p->name, p->rows, p->cols);
    if (!t->supported || !dtype_to_f32(t->type, t->data, p->value, p->count))
        return error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", p->name,
                         t->type_name);
    return OK;
}

static int read_weights(const char *directory, struct model *m, struct error *e)
{
    char *path = path_join(directory, "model.safetensors");
    struct safetensors s;
    int code = safetensors_open(path, &s, e);
    if (!code) {
        code = model_allocate(m, e);
        for (size_t i = 0; i < m->n_params && !code; i++)
            code = read_param(&s, &m->params[i], e);
        if (code)
            error_prefix(e, "%s", path);
        safetensors_close(&s);
    }
    mem_free(path);
    return code;
}

int model_load_hf(const char *directory, struct model *m, struct tokenizer **tokenizer,
                  struct error *e)
{
    struct model_config config = {0};
    *m = (struct model){0};
    int code = read_config(directory, &config, e);
    if (!code)
        code = model_init(m, &config, e);
    if (!code)
        code = read_weights(directory, m, e);
    if (!code && tokenizer) {
        char *path = path_join(directory, "tokenizer.json");
        code = tokenizer_read_json(path, tokenizer, e);
        mem_free(path);
    }
    if (code)
        model_free(m);
    return code;
}
