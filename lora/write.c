/* Adapters into files: for each tensor of the container one A and one B. */
#include "base/check.h"
#include "base/file.h"
#include "lora/blocks.h"
#include "lora/load.h"
#include "model/names.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- PEFT --- */

/* "model.layers.0.self_attn.q_proj" */
static char *module_name(const struct block *b)
{
    return mem_string_n(b->base->name, strlen(b->base->name) - strlen(".weight"));
}

static void add_name(json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
        if (strcmp(json_string_value(item), name) == 0)
            return;
    json_array_append_new(list, json_string(name));
}

/* 16 and neither 16.0 nor 15.9999995, which scales in f32 make of it. */
static json_t *number_json(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", x);
    x = strtod(text, NULL);
    return x == floor(x) && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

/* The alpha that a reader makes the block's scale of. */
static double block_alpha(const struct blocks *b, const struct block *block)
{
    double rank = (double)block->rank;
    return block->scale * (b->adapter->rank_stabilised ? sqrt(rank) : rank);
}

static bool about_equal(double a, double b)
{
    return fabs(a - b) <= 2e-7 * fabs(b);
}

/* "model.norm" of "model.norm.weight" and of "model.norm.bias" */
static char *stem(const char *name)
{
    const char *dot = strrchr(name, '.');
    return mem_string_n(name, (size_t)(dot - name));
}

/* Whether all modules that PEFT would take the end of a name for are whole. */
static bool all_whole(const struct blocks *b, const char *end)
{
    for (size_t i = 0; i < b->list.n_tensors; i++) {
        const struct tensor *t = &b->list.tensors[i];
        char *module = stem(t->name);
        bool meant = path_has_suffix(module, end), whole = false;
        mem_free(module);
        for (size_t j = 0; j < b->n_wholes; j++)
            whole |= b->wholes[j].base == t;
        if (meant && !whole)
            return false;
    }
    return true;
}

/* modules_to_save: ends of names where that is exact, else names. Null when there are none. */
static json_t *wholes_json(const struct blocks *b)
{
    if (!b->n_wholes)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < b->n_wholes; i++) {
        char *module = stem(b->wholes[i].base->name);
        const char *dot = strrchr(module, '.'), *end = dot ? dot + 1 : module;
        add_name(list, all_whole(b, end) ? end : module);
        mem_free(module);
    }
    return list;
}

/* In patterns a dot stands for any character; no two names of one model differ in nothing else. */
static void put_patterns(const struct blocks *b, size_t rank, double alpha, json_t *root)
{
    json_t *targets = json_array(), *ranks = json_object(), *alphas = json_object();
    for (size_t i = 0; i < b->n; i++) {
        const struct block *item = &b->items[i];
        char *module = module_name(item), *dot = strrchr(module, '.');
        add_name(targets, dot ? dot + 1 : module);
        if (item->rank != rank)
            json_object_set_new(ranks, module, json_integer((json_int_t)item->rank));
        if (!about_equal(block_alpha(b, item), alpha))
            json_object_set_new(alphas, module, number_json(block_alpha(b, item)));
        mem_free(module);
    }
    json_object_set_new(root, "target_modules", targets);
    json_object_set_new(root, "rank_pattern", ranks);
    json_object_set_new(root, "alpha_pattern", alphas);
    json_object_set_new(root, "modules_to_save", wholes_json(b));
}

static json_t *config_json(const struct blocks *b, const char *base)
{
    size_t rank = b->n ? b->items[0].rank : 1;
    double alpha = b->n ? block_alpha(b, &b->items[0]) : 1;
    json_t *root = json_pack("{s:s, s:s, s:s, s:n, s:I, s:o, s:f, s:s, s:b, s:b, s:b, s:b, s:b, s:n, s:n}",
                             "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "revision",
                             "r", (json_int_t)rank, "lora_alpha", number_json(alpha), "lora_dropout", b->adapter->dropout,
                             "bias", "none", "use_rslora", b->adapter->rank_stabilised, "use_dora", b->magnitudes,
                             "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "layers_to_transform",
                             "layers_pattern");
    if (root)
        put_patterns(b, rank, alpha, root);
    return root;
}

static int write_config(const struct blocks *b, const char *base, const char *path, struct error *e)
{
    json_t *root = config_json(b, base);
    if (!root)
        return error_set(e, ERR_USAGE, "the base's name is not UTF-8");
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    CHECK(text);
    struct buffer out = {0};
    buffer_printf(&out, "%s\n", text);
    int code = file_write(path, out.data, out.size, e);
    buffer_free(&out);
    free(text);
    json_decref(root);
    return code;
}

/* Of all parts of all blocks, and their number. */
static struct source *make_sources(const struct blocks *b, size_t *n)
{
    struct source *sources = mem_zero(3 * b->n + b->n_wholes + 1, sizeof *sources);
    *n = 0;
    for (size_t i = 0; i < b->n; i++)
        for (enum lora_part part = LORA_A; part <= (b->magnitudes ? LORA_MAGNITUDE : LORA_B); part++)
            sources[(*n)++] = (struct source){b, &b->items[i], part, b->items[i].scale};
    for (size_t i = 0; i < b->n_wholes; i++)
        sources[(*n)++] = (struct source){b, &b->wholes[i], LORA_WHOLE, 1};
    return sources;
}

static void put_peft(struct safetensors_writer *w, struct source *s)
{
    static const char *const ends[] = {[LORA_A] = "lora_A.weight", [LORA_B] = "lora_B.weight",
                                       [LORA_MAGNITUDE] = "lora_magnitude_vector"};
    const struct tensor *base = s->block->base;
    size_t shape[2];
    bool whole = s->part == LORA_WHOLE, vector = s->part == LORA_MAGNITUDE || (whole && base->n_dims == 1);
    source_shape(s, shape);
    if (vector)
        shape[0] *= shape[1];
    char *module = stem(base->name);
    char *name = whole ? mem_printf("base_model.model.%s", base->name)
                       : mem_printf("base_model.model.%s.%s", module, ends[s->part]);
    safetensors_put(w, name, DTYPE_F32, vector ? 1 : 2, shape, source_fill, s);
    mem_free(name);
    mem_free(module);
}

static int write_base(const struct lora_adapter *a, const char *directory, struct error *e)
{
    char *path = path_join(directory, ADAPTER_BASE);
    char *text = mem_printf("{\"base_fingerprint\": \"%016" PRIx64 "\"}\n", a->base);
    int code = file_write(path, text, strlen(text), e);
    mem_free(text);
    mem_free(path);
    return code;
}

int lora_write_peft(const struct lora_adapter *a, const char *base, const char *directory, struct error *e)
{
    struct blocks b;
    size_t n;
    blocks_init(&b, a, CONTAINER_HF);
    char *config = path_join(directory, ADAPTER_CONFIG), *weights = path_join(directory, ADAPTER_WEIGHTS);
    struct source *sources = make_sources(&b, &n);
    struct safetensors_writer *w = safetensors_writer_new();
    for (size_t i = 0; i < n; i++)
        put_peft(w, &sources[i]);
    int code = dir_make(directory, e);
    if (!code)
        code = safetensors_writer_finish(w, weights, e);
    if (!code)
        code = write_base(a, directory, e);
    if (!code)
        code = write_config(&b, base, config, e);
    safetensors_writer_free(w);
    mem_free(sources);
    mem_free(config);
    mem_free(weights);
    blocks_free(&b);
    return code;
}

/* --- GGUF --- */

#define MERGE "; merge the adapter into the model instead, or write it for PEFT"

static int check_gguf(const struct blocks *b, struct error *e)
{
    if (b->magnitudes)
        return error_set(e, ERR_USAGE, "DoRA's magnitudes have no place in a GGUF file of an adapter" MERGE);
    if (b->n_wholes)
        return error_set(e, ERR_USAGE, "%s trained in full, which has no place in a GGUF file of an adapter" MERGE,
                         b->wholes->base->name);
    for (size_t i = 0; i < b->n; i++) {
        const struct tensor *t = b->items[i].base;
        if (t->n_dims == 3)
            return error_set(e, ERR_USAGE, "%s: an adapter of single experts has no place in a GGUF file" MERGE, t->name);
        if (t->pieces->param == b->adapter->model->token_embd)
            return error_set(e, ERR_USAGE, "%s: an adapter of an output layer that is the embedding has no place in a "
                                           "GGUF file" MERGE, t->name);
    }
    return OK;
}

/* One alpha for all: what that makes of other scales and ranks goes into their B. */
int lora_write_gguf(const struct lora_adapter *a, const char *name, const char *path, struct error *e)
{
    struct blocks b;
    size_t n;
    blocks_init(&b, a, CONTAINER_GGUF);
    struct source *sources = make_sources(&b, &n);
    struct gguf_writer *w = gguf_writer_new();
    float alpha = b.n ? (float)(b.items[0].scale * (double)b.items[0].rank) : 1;
    gguf_put_string(w, "general.type", "adapter");
    gguf_put_string(w, "general.architecture", model_architecture(&a->model->config)->gguf_name);
    gguf_put_string(w, "general.name", name);
    gguf_put_string(w, "adapter.type", "lora");
    gguf_put_f32(w, "adapter.lora.alpha", alpha);
    char *fingerprint = mem_printf("%016" PRIx64, a->base);
    gguf_put_string(w, ADAPTER_BASE_KEY, fingerprint);
    mem_free(fingerprint);
    int code = check_gguf(&b, e);
    for (size_t i = 0; i < n && !code; i++) {
        struct source *s = &sources[i];
        size_t shape[2], dims[2];
        char *tensor = mem_printf("%s.lora_%c", s->block->base->name, s->part == LORA_B ? 'b' : 'a');
        source_shape(s, shape);
        dims[0] = shape[1], dims[1] = shape[0];
        s->scale = (double)alpha / (double)s->block->rank;
        gguf_put_tensor(w, tensor, DTYPE_F32, 2, dims, source_fill, s);
        mem_free(tensor);
    }
    if (!code)
        code = gguf_writer_finish(w, path, e);
    gguf_writer_free(w);
    mem_free(sources);
    blocks_free(&b);
    return code;
}
