#include "lora/load.h"

#include "base/file.h"
#include "base/log.h"
#include "lora/peft.h"
#include "lora/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a name's end says of a tensor. */
struct ending {
    const char *end;
    int part;        /* enum lora_part, or -1: */
    const char *why; /* ... it is refused */
};

/* The first whose end the name has; the name without it into *stem (mem_free). */
static const struct ending *find_ending(const struct ending *list, size_t n, const char *name, char **stem)
{
    for (size_t i = 0; i < n; i++)
        if (path_has_suffix(name, list[i].end)) {
            *stem = mem_string_n(name, strlen(name) - strlen(list[i].end));
            return &list[i];
        }
    return NULL;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MERGE "; merge the adapter into the model where it was trained"

/* What a file says of the base it was trained on; `text` may be NULL. */
static void compare_base(struct lora_adapter *a, const char *path, const char *text)
{
    char *end = NULL;
    uint64_t trained = text ? strtoull(text, &end, 16) : 0;
    if (!text || end == text || *end || trained == 0)
        return;
    if (trained != a->base)
        log_warn("%s: was trained on another model of the same shape (their norms differ): what it makes of this one is "
                 "anybody's guess", path);
    a->base = trained;
}

/* --- PEFT --- */

static const struct ending peft_endings[] = {
    {".lora_A.weight", LORA_A, NULL},
    {".lora_B.weight", LORA_B, NULL},
    {".lora_embedding_A", -1, "adapters of the embedding are not supported" MERGE},
    {".lora_embedding_B", -1, "adapters of the embedding are not supported" MERGE},
    {".lora_magnitude_vector", LORA_MAGNITUDE, NULL},
    {".lora_magnitude_vector.weight", LORA_MAGNITUDE, NULL},
    {".lora_B.bias", -1, "biases of adapters are not supported" MERGE},
    {".modules_to_save.weight", LORA_WHOLE, NULL},
    {".weight", LORA_WHOLE, NULL},
    {".bias", LORA_WHOLE, NULL},
    {"", -1, "no part of an adapter that is known" MERGE},
};

/* The model's name of a module: without what PEFT and models that read pictures too put before it. */
static const char *strip_module(char *module)
{
    static const char *const prefixes[] = {"base_model.model.", "language_model."};
    static const char nested[] = "model.language_model.";
    const char *at = module;
    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (strncmp(at, prefixes[i], strlen(prefixes[i])) == 0)
            at += strlen(prefixes[i]);
    if (strncmp(at, nested, sizeof nested - 1) == 0) {
        size_t offset = (size_t)(at - module), rest = strlen(at + sizeof nested - 1);
        memmove(module + offset + strlen("model."), at + sizeof nested - 1, rest + 1);
    }
    return at;
}

static int add_peft(struct lora_reader *r, const struct safetensors_tensor *s, struct error *e)
{
    char *module = NULL;
    const struct ending *ending = find_ending(peft_endings, COUNT(peft_endings), s->name, &module);
    struct stored_tensor t = {.data = s->data, .type = s->type, .type_name = s->type_name, .supported = s->supported,
                              .n_dims = s->n_dims};
    memcpy(t.shape, s->shape, (size_t)s->n_dims * sizeof *s->shape);
    if (ending->part < 0) {
        mem_free(module);
        return error_set(e, ERR_FORMAT, "tensor %s: %s", s->name, ending->why);
    }
    char *base = mem_printf("%s%s", strip_module(module), path_has_suffix(s->name, ".bias") ? ".bias" : ".weight");
    int code = lora_reader_add(r, s->name, base, (enum lora_part)ending->part, &t, e);
    mem_free(base);
    mem_free(module);
    return code;
}

static int peft_scale(void *context, const struct tensor *base, size_t rank, double *scale, struct error *e)
{
    char *module = mem_string_n(base->name, strlen(base->name) - strlen(".weight"));
    int code = peft_config_scale(context, module, rank, scale, e);
    mem_free(module);
    return code;
}

int lora_read_peft(const json_t *config, const struct safetensors *s, struct model *m, struct lora_adapter *a,
                   struct error *e)
{
    struct peft_config c;
    struct lora_reader r;
    int code = peft_config_read(config, &c, e);
    if (code)
        error_prefix(e, ADAPTER_CONFIG);
    lora_reader_init(&r, m, CONTAINER_HF);
    r.magnitudes = c.magnitudes;
    for (size_t i = 0; i < s->n_tensors && !code; i++)
        code = add_peft(&r, &s->tensors[i], e);
    if (!code)
        code = lora_reader_finish(&r, peft_scale, &c, a, e);
    if (!code) {
        a->dropout = c.dropout;
        a->rank_stabilised = c.rank_stabilised;
    }
    lora_reader_free(&r);
    peft_config_free(&c);
    return code;
}

static void compare_peft_base(struct lora_adapter *a, const char *directory)
{
    char *path = path_join(directory, ADAPTER_BASE);
    json_t *root = NULL;
    if (file_exists(path) && !json_read(path, &root, NULL))
        compare_base(a, directory, json_string_value(json_object_get(root, "base_fingerprint")));
    json_decref(root);
    mem_free(path);
}

static int load_peft(const char *directory, struct model *m, struct lora_adapter *a, struct error *e)
{
    char *config_path = path_join(directory, ADAPTER_CONFIG), *path = path_join(directory, ADAPTER_WEIGHTS);
    json_t *config = NULL;
    struct safetensors s = {0};
    int code;
    if (!file_exists(config_path))
        code = error_set(e, ERR_FORMAT, "%s: no " ADAPTER_CONFIG " in it: not an adapter", directory);
    else if (!file_exists(path))
        code = error_set(e, ERR_FORMAT, "%s: no " ADAPTER_WEIGHTS " in it; other files (.bin, .pt) are pickles, which are "
                                        "never read: save it with safe_serialization", directory);
    else
        code = json_read(config_path, &config, e);
    if (!code)
        code = safetensors_open(path, &s, e);
    if (!code) {
        code = lora_read_peft(config, &s, m, a, e);
        if (code)
            error_prefix(e, "%s", directory);
        else
            compare_peft_base(a, directory);
    }
    safetensors_close(&s);
    json_decref(config);
    mem_free(config_path);
    mem_free(path);
    return code;
}

/* --- GGUF --- */

static const struct ending gguf_endings[] = {
    {".lora_a", LORA_A, NULL},
    {".lora_b", LORA_B, NULL},
    {"_norm.weight", -1, "norms trained beside the adapter are not supported" MERGE},
    {"", -1, "neither .lora_a nor .lora_b"},
};

/* ERR_FORMAT unless the key, where it is there, is that text. */
static int check_string(const struct gguf *g, const char *key, const char *wanted, const char *what, struct error *e)
{
    char *value = NULL;
    int code = gguf_get_string(g, key, &value, e);
    if (!code && (!value || strcmp(value, wanted) != 0))
        code = error_set(e, ERR_FORMAT, "%s is %s; %s %s", key, value ? value : "missing", what, wanted);
    mem_free(value);
    return code;
}

static int add_gguf(struct lora_reader *r, const struct gguf_tensor *g, struct error *e)
{
    char *name = mem_string_n(g->name.data, g->name.size), *base = NULL;
    const struct ending *ending = find_ending(gguf_endings, COUNT(gguf_endings), name, &base);
    struct stored_tensor t = {.data = g->data, .type = g->type, .type_name = dtype_info((int)g->type)->name,
                              .supported = dtype_is_floating(g->type), .n_dims = g->n_dims < 2 ? 2 : g->n_dims};
    for (int i = 0; i < t.n_dims; i++)
        t.shape[i] = g->dims[t.n_dims - 1 - i];
    int code = ending->part < 0 ? error_set(e, ERR_FORMAT, "tensor %s: %s", name, ending->why)
                                : lora_reader_add(r, name, base, (enum lora_part)ending->part, &t, e);
    mem_free(base);
    mem_free(name);
    return code;
}

/* llama.cpp's: alpha / rank, and 1 where there is no alpha. */
static int gguf_scale(void *context, const struct tensor *base, size_t rank, double *scale, struct error *e)
{
    (void)base, (void)e;
    double alpha = *(double *)context;
    *scale = alpha != 0 ? alpha / (double)rank : 1;
    return OK;
}

int lora_read_gguf(const struct gguf *g, struct model *m, struct lora_adapter *a, struct error *e)
{
    struct lora_reader r;
    double alpha = 0;
    int code = check_string(g, "general.type", "adapter", "a file of an adapter has", e);
    if (!code)
        code = check_string(g, "adapter.type", "lora", "supported is", e);
    if (!code)
        code = check_string(g, "general.architecture", model_architecture(&m->config)->gguf_name,
                            "the model is", e);
    if (!code)
        code = gguf_get_double(g, "adapter.lora.alpha", &alpha, e);
    if (!code && gguf_find(g, "adapter.alora.invocation_tokens"))
        code = error_set(e, ERR_FORMAT, "adapter.alora.invocation_tokens: adapters that only some tokens switch on are "
                                        "not supported");
    lora_reader_init(&r, m, CONTAINER_GGUF);
    for (size_t i = 0; i < g->n_tensors && !code; i++)
        code = add_gguf(&r, &g->tensors[i], e);
    if (!code)
        code = lora_reader_finish(&r, gguf_scale, &alpha, a, e);
    lora_reader_free(&r);
    return code;
}

static int load_gguf(const char *path, struct model *m, struct lora_adapter *a, struct error *e)
{
    struct gguf g;
    int code = gguf_open(path, &g, e);
    if (code)
        return code;
    code = lora_read_gguf(&g, m, a, e);
    char *text = NULL;
    if (!code && !gguf_get_string(&g, ADAPTER_BASE_KEY, &text, NULL))
        compare_base(a, path, text);
    mem_free(text);
    gguf_close(&g);
    return code ? error_prefix(e, "%s", path) : OK;
}

int lora_load(const char *path, struct model *m, struct lora_adapter *a, struct error *e)
{
    *a = (struct lora_adapter){0};
    if (!file_exists(path))
        return error_set(e, ERR_IO, "%s: no such file or directory; an adapter is a directory of PEFT's or a .gguf file",
                         path);
    if (file_is_directory(path)) {
        char *within = path_join(path, ADAPTER_IN_RUN "/" ADAPTER_CONFIG), *own = path_join(path, ADAPTER_CONFIG);
        char *directory = !file_exists(own) && file_exists(within) ? path_join(path, ADAPTER_IN_RUN) : mem_string(path);
        int code = load_peft(directory, m, a, e);
        mem_free(within);
        mem_free(own);
        mem_free(directory);
        return code;
    }
    if (path_has_suffix(path, ".safetensors"))
        return error_set(e, ERR_USAGE, "%s: name the directory that it lies in, for its " ADAPTER_CONFIG, path);
    return load_gguf(path, m, a, e);
}
