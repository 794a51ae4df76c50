#include "model/load_gguf.h"

#include "model/gguf_config.h"
#include "model/load.h"

#include <string.h>

static bool find(const void *file, const char *name, struct stored_tensor *t)
{
    const struct gguf_tensor *g = gguf_find_tensor(file, name);
    if (!g)
        return false;
    *t = (struct stored_tensor){.data = g->data, .type = g->type,
                                .type_name = dtype_info((int)g->type)->name, .n_dims = g->n_dims,
                                .supported = dtype_is_floating(g->type)};
    for (int i = 0; i < g->n_dims; i++)
        t->shape[i] = g->dims[g->n_dims - 1 - i];
    return true;
}

static size_t count(const void *file)
{
    return ((const struct gguf *)file)->n_tensors;
}

static const char *name_of(const void *file, size_t i, char out[PARAM_NAME_SIZE])
{
    const struct gguf_string *name = &((const struct gguf *)file)->tensors[i].name;
    size_t n = name->size < PARAM_NAME_SIZE - 1 ? name->size : PARAM_NAME_SIZE - 1;
    memcpy(out, name->data, n);
    out[n] = 0;
    return out;
}

static bool may_skip(const struct model *m, const char *name)
{
    (void)m;
    return gguf_config_tensor(name);
}

/* Other kinds of files carry a model's architecture too. */
static int check_kind(const struct gguf *g, struct error *e)
{
    char *type = NULL;
    int code = gguf_get_string(g, "general.type", &type, e);
    if (!code && type && strcmp(type, "adapter") == 0)
        code = error_set(e, ERR_FORMAT, "an adapter, not a model; --adapter takes it, --model its base");
    mem_free(type);
    return code;
}

int model_read_gguf(const struct gguf *g, enum weights weights, struct model *m, struct error *e)
{
    struct model_config config = {0};
    struct tensor_source source = {CONTAINER_GGUF, g, find, count, name_of, may_skip};
    *m = (struct model){0};
    int code = check_kind(g, e);
    if (!code)
        code = gguf_config_read(g, &config, e);
    if (!code)
        code = model_init(m, &config, e);
    if (!code)
        code = model_read_tensors(m, &source, model_architecture(&config)->gguf_rope_style, weights, e);
    if (code)
        model_free(m);
    return code;
}

int model_load_gguf(const char *path, enum weights weights, struct model *m,
                    struct tokenizer **tokenizer, struct error *e)
{
    struct model_file *file = mem_zero(1, sizeof *file);
    *m = (struct model){0};
    int code = gguf_open(path, &file->gguf, e);
    if (code) {
        mem_free(file);
        return code;
    }
    code = model_read_gguf(&file->gguf, weights, m, e);
    m->file = file;
    if (!code && tokenizer)
        code = tokenizer_from_gguf(&file->gguf, tokenizer, e);
    if (code) {
        model_free(m);
        error_prefix(e, "%s", path);
        if (code == ERR_USAGE) /* the file's configuration is at fault, and not the user's */
            code = e->code = ERR_FORMAT;
        return code;
    }
    if (weights != WEIGHTS_MAPPED) {
        model_file_close(file);
        m->file = NULL;
    }
    return OK;
}
