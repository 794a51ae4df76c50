#include "model/load_gguf.h"

#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <string.h>

struct key_reader {
    const struct gguf *g;
    const char *architecture;
    int code;
    struct error *e;
};

static void read_size(struct key_reader *r, const char *key, size_t *value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->architecture, key);
    if (!r->code)
        r->code = gguf_get_size(r->g, full, value, r->e);
}

static void read_double(struct key_reader *r, const char *key, double *value)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->architecture, key);
    if (!r->code)
        r->code = gguf_get_double(r->g, full, value, r->e);
}

static int refuse_rope_scaling(const struct gguf *g, const char *architecture, struct error *e)
{
    char key[128];
    snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
    char *type = NULL;
    int code = gguf_get_string(g, key, &type, e);
    if (!code && type && strcmp(type, "none") != 0)
        code = error_set(e, ERR_FORMAT, "%s is \"%s\": scaled rotary embeddings are not supported",
                         key, type);
    mem_free(type);
    return code;
}

/* What the decoder does not have is refused, and what the file contradicts. */
static int check_features(struct key_reader *r, const struct gguf *g, struct model_config *c)
{
    struct error *e = r->e;
    size_t experts = 0, rotary = 0, value_length = 0;
    read_size(r, "expert_count", &experts);
    read_size(r, "rope.dimension_count", &rotary);
    read_size(r, "attention.value_length", &value_length);
    if (!r->code && c->rms_norm_eps < 0)
        r->code = error_set(e, ERR_FORMAT, "%s.attention.layer_norm_rms_epsilon is missing",
                            r->architecture);
    if (!r->code && experts)
        r->code = error_set(e, ERR_FORMAT, "a mixture of %zu experts is not supported", experts);
    if (!r->code)
        r->code = refuse_rope_scaling(g, r->architecture, e);
    if (!r->code)
        r->code = model_config_check(c, e);
    if (!r->code && value_length && value_length != c->head_dim)
        r->code = error_set(e, ERR_FORMAT,
                            "attention.value_length is %zu, the keys' heads are %zu wide; only equal "
                            "widths are supported", value_length, c->head_dim);
    if (!r->code && rotary && rotary != c->head_dim)
        r->code = error_set(e, ERR_FORMAT,
                            "rope.dimension_count is %zu; only the whole head (%zu) is supported",
                            rotary, c->head_dim);
    return r->code;
}

static int config_from_gguf(const struct gguf *g, struct model_config *c, struct error *e)
{
    char *name = NULL;
    int code = gguf_get_string(g, "general.architecture", &name, e);
    if (code)
        return code;
    const struct architecture *a = name ? architecture_by_name(name) : NULL;
    if (!a) {
        code = error_set(e, ERR_FORMAT, "general.architecture is \"%s\"; linnet reads: llama",
                         name ? name : "(absent)");
        mem_free(name);
        return code;
    }
    mem_free(name);
    const struct gguf_tensor *embedding = gguf_find_tensor(g, "token_embd.weight");
    if (!embedding)
        return error_set(e, ERR_FORMAT, "tensor token_embd.weight is missing");
    *c = (struct model_config){
        .vocab_size = embedding->dims[1],
        .rms_norm_eps = -1, /* must be there */
        .rope_theta = 10000,
        .initializer_range = 0.02,
        .tie_word_embeddings = !gguf_find_tensor(g, "output.weight"),
        .rope_style = a->gguf_rope_style,
    };
    struct key_reader r = {.g = g, .architecture = a->name, .e = e};
    read_size(&r, "embedding_length", &c->hidden_size);
    read_size(&r, "block_count", &c->num_hidden_layers);
    read_size(&r, "feed_forward_length", &c->intermediate_size);
    read_size(&r, "attention.head_count", &c->num_attention_heads);
    read_size(&r, "attention.head_count_kv", &c->num_key_value_heads);
    read_size(&r, "attention.key_length", &c->head_dim);
    read_size(&r, "context_length", &c->max_position_embeddings);
    read_double(&r, "attention.layer_norm_rms_epsilon", &c->rms_norm_eps);
    read_double(&r, "rope.freq_base", &c->rope_theta);
    if (r.code)
        return r.code;
    return check_features(&r, g, c);
}

static int check_tensor(const struct param *p, const struct gguf_tensor *t, struct error *e)
{
    if (!t)
        return error_set(e, ERR_FORMAT, "tensor %s is missing", p->gguf_name);
    size_t rows = t->n_elements / t->dims[0];
    if (t->dims[0] != p->cols || rows != p->rows || t->n_dims > p->n_dims)
        return error_set(e, ERR_FORMAT,
                         "tensor %s is %zu x %zu; the configuration says %zu x %zu", p->gguf_name,
                         rows, t->dims[0], p->rows, p->cols);
    return OK;
}

/* What is in the file and not in the table would be lost without a word. */
static int check_extra(const struct gguf *g, const struct model *m, struct error *e)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_string *name = &g->tensors[i].name;
        bool known = false;
        for (size_t j = 0; j < m->n_params && !known; j++)
            known = strlen(m->params[j].gguf_name) == name->size &&
                    memcmp(m->params[j].gguf_name, name->data, name->size) == 0;
        if (!known)
            return error_set(e, ERR_FORMAT, "tensor %.*s is no part of a %s model",
                             (int)(name->size < 64 ? name->size : 64), name->data,
                             model_architecture(&m->config)->name);
    }
    return OK;
}

static int read_weights(const struct gguf *g, struct model *m, struct error *e)
{
    for (size_t i = 0; i < m->n_params; i++) {
        int code = check_tensor(&m->params[i], gguf_find_tensor(g, m->params[i].gguf_name), e);
        if (code)
            return code;
    }
    int code = check_extra(g, m, e);
    if (!code)
        code = model_allocate(m, e);
    for (size_t i = 0; i < m->n_params && !code; i++) {
        struct param *p = &m->params[i];
        const struct gguf_tensor *t = gguf_find_tensor(g, p->gguf_name);
        if (!dtype_to_f32(t->type, t->data, p->value, p->count))
            code = error_set(e, ERR_FORMAT, "tensor %s: type %s cannot be read", p->gguf_name,
                             dtype_info(t->type)->name);
    }
    return code;
}

int model_load_gguf(const char *path, struct model *m, struct tokenizer **tokenizer,
                    struct error *e)
{
    struct gguf g;
    struct model_config config = {0};
    *m = (struct model){0};
    int code = gguf_open(path, &g, e);
    if (code)
        return code;
    code = config_from_gguf(&g, &config, e);
    if (!code)
        code = model_init(m, &config, e);
    if (!code)
        code = read_weights(&g, m, e);
    if (!code && tokenizer)
        code = tokenizer_from_gguf(&g, tokenizer, e);
    gguf_close(&g);
    if (code) {
        model_free(m);
        error_prefix(e, "%s", path);
        e->code = ERR_FORMAT;
        return ERR_FORMAT;
    }
    return OK;
}
