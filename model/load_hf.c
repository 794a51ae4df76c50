#include "model/load_hf.h"

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

/* "rope_scaling", or "rope_parameters" in files of transformers 5: theta alone is understood. */
static int read_rope(const json_t *root, const char *key, double *theta, struct error *e)
{
    const json_t *rope = json_object_get(root, key);
    if (!rope || json_is_null(rope))
        return OK;
    if (!json_is_object(rope))
        return error_set(e, ERR_FORMAT, "\"%s\" is not an object", key);
    const char *type = "default";
    int code = json_get_string(rope, "type", &type, e); /* the older name */
    if (!code)
        code = json_get_string(rope, "rope_type", &type, e);
    if (!code)
        code = json_get_double(rope, "rope_theta", theta, e);
    if (!code && strcmp(type, "default") != 0)
        code = error_set(e, ERR_FORMAT,
                         "\"%s\" is of type \"%s\": scaled rotary embeddings are not supported",
                         key, type);
    return code;
}

/* A key that would change the numbers and that this decoder does not have: refused, never ignored. */
static int refuse_unsupported(const json_t *root, struct error *e)
{
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
    static const char *const needed[] = {"vocab_size", "hidden_size", "intermediate_size",
                                         "num_hidden_layers", "num_attention_heads"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!json_object_get(root, needed[i]))
            return error_set(e, ERR_FORMAT, "\"%s\" is missing", needed[i]);
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
        code = read_rope(root, "rope_scaling", &c->rope_theta, e);
    if (!code)
        code = read_rope(root, "rope_parameters", &c->rope_theta, e);
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

static int check_param(const struct safetensors *s, const struct param *p, struct error *e)
{
    const struct safetensors_tensor *t = safetensors_find(s, p->name);
    if (!t)
        return error_set(e, ERR_FORMAT, "tensor %s is missing", p->name);
    size_t rows = p->n_dims == 2 ? p->rows : p->cols;
    if (t->n_dims != p->n_dims || t->shape[0] != rows ||
        (p->n_dims == 2 && t->shape[1] != p->cols))
        return error_set(e, ERR_FORMAT,
                         "tensor %s has another shape than config.json says (%zu x %zu)", p->name,
                         p->rows, p->cols);
    if (!t->supported)
        return error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", p->name,
                         t->type_name);
    return OK;
}

/* What is in the file and not in the table would be lost without a word. Two are known to be of no
 * consequence: tables of frequencies, and the output layer where it is the embedding. */
static int check_extra(const struct safetensors *s, const struct model *m, struct error *e)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        const char *name = s->tensors[i].name;
        if (model_find(m, name) || path_has_suffix(name, "rotary_emb.inv_freq") ||
            (m->config.tie_word_embeddings && strcmp(name, "lm_head.weight") == 0))
            continue;
        return error_set(e, ERR_FORMAT, "tensor %s is no part of a %s model", name,
                         model_architecture(&m->config)->name);
    }
    return OK;
}

/* Everything is checked before memory of the configuration's size is asked for. */
static int read_tensors(const struct safetensors *s, struct model *m, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < m->n_params && !code; i++)
        code = check_param(s, &m->params[i], e);
    if (!code)
        code = check_extra(s, m, e);
    if (!code)
        code = model_allocate(m, e);
    for (size_t i = 0; i < m->n_params && !code; i++) {
        struct param *p = &m->params[i];
        const struct safetensors_tensor *t = safetensors_find(s, p->name);
        if (!dtype_to_f32(t->type, t->data, p->value, p->count))
            code = error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", p->name,
                             t->type_name);
    }
    return code;
}

static int read_weights(const char *directory, struct model *m, struct error *e)
{
    char *path = path_join(directory, "model.safetensors"),
         *index = path_join(directory, "model.safetensors.index.json");
    struct safetensors s;
    int code;
    if (!file_exists(path) && file_exists(index)) {
        code = error_set(e, ERR_FORMAT,
                         "%s: the weights are split over several files, which is not supported yet; "
                         "join them into one model.safetensors", index);
        goto done;
    }
    code = safetensors_open(path, &s, e);
    if (!code) {
        code = read_tensors(&s, m, e);
        if (code)
            error_prefix(e, "%s", path);
        safetensors_close(&s);
    }
done:
    mem_free(path);
    mem_free(index);
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
    if (!code && tokenizer)
        code = tokenizer_read_folder(directory, tokenizer, e);
    if (code)
        model_free(m);
    return code;
}
