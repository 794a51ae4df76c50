/* Adapters into files: for each tensor of the container one A and one B. */
#include "base/check.h"
#include "base/file.h"
#include "lora/load.h"
#include "lora/reader.h"
#include "model/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is written for one tensor of the base: the pairs of its pieces, NULL where a piece has none, and how their ranks
 * lie beside each other. */
struct block {
    const struct tensor *base;
    const struct lora_pair **pairs; /* (n_pieces) */
    size_t *first;                  /* (n_pieces) the row of A where the pair's begins */
    size_t rank;
    double scale;
};

struct blocks {
    const struct lora_adapter *adapter;
    enum container container;
    struct tensor_list list;
    struct block *items;
    size_t n;
};

static const struct lora_pair *find_pair(const struct lora_adapter *a, const struct linear *l)
{
    for (size_t i = 0; i < a->n_pairs; i++)
        if (a->pairs[i].linear == l)
            return &a->pairs[i];
    return NULL;
}

/* The linear layer that a piece of the tensor is the weight of; the embedding's own tensor is none's. */
static const struct linear *piece_linear(const struct blocks *b, const struct tensor *t, size_t i)
{
    struct model *m = b->adapter->model;
    const char *embedding = role_name(model_architecture(&m->config), PARAM_TOKEN_EMBD,
                                      b->container == CONTAINER_GGUF);
    return strcmp(t->name, embedding) == 0 ? NULL : lora_linear(m, t->pieces[i].param);
}

/* False when no piece of the tensor has a pair. */
static bool make_block(const struct blocks *b, const struct tensor *t, struct block *block)
{
    bool any = false;
    *block = (struct block){.base = t, .pairs = mem_zero(t->n_pieces, sizeof *block->pairs),
                            .first = mem_zero(t->n_pieces, sizeof *block->first)};
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct linear *l = piece_linear(b, t, i);
        const struct lora_pair *p = l ? find_pair(b->adapter, l) : NULL, *last = i ? block->pairs[i - 1] : NULL;
        block->pairs[i] = p;
        if (!p)
            continue;
        bool shared = last && last->a == p->a;
        block->first[i] = shared ? block->first[i - 1] : block->rank;
        block->rank += shared ? 0 : p->rank;
        block->scale = block->scale != 0 ? block->scale : p->scale;
        any = true;
    }
    if (block->scale == 0) /* what B is divided by */
        block->scale = 1;
    return any;
}

static void free_block(struct block *b)
{
    mem_free(b->pairs);
    mem_free(b->first);
}

static void blocks_init(struct blocks *b, const struct lora_adapter *a, enum container container)
{
    *b = (struct blocks){.adapter = a, .container = container};
    tensor_list_init(&b->list, a->model, container, true);
    b->items = mem_zero(b->list.n_tensors, sizeof *b->items);
    for (size_t i = 0; i < b->list.n_tensors; i++) {
        struct block block;
        if (make_block(b, &b->list.tensors[i], &block))
            b->items[b->n++] = block;
        else
            free_block(&block);
    }
}

static void blocks_free(struct blocks *b)
{
    for (size_t i = 0; i < b->n; i++)
        free_block(&b->items[i]);
    mem_free(b->items);
    tensor_list_free(&b->list);
}

/* --- numbers --- */

/* One half of a block on its way into a file. */
struct half_source {
    const struct blocks *blocks;
    const struct block *block;
    enum lora_half half;
    double scale; /* what the file's reader will multiply B A by */
};

static void fill_a(const struct block *b, float *out)
{
    for (size_t i = 0; i < b->base->n_pieces; i++)
        if (b->pairs[i])
            memcpy(out + b->first[i] * b->base->cols, b->pairs[i]->a->value, b->pairs[i]->rank * b->base->cols * sizeof *out);
}

/* Rows of each piece, in the file's order, in the columns of its own A. */
static void fill_b(const struct half_source *s, float *out)
{
    const struct block *b = s->block;
    const struct model_config *c = &s->blocks->adapter->model->config;
    enum rope_style style = s->blocks->container == CONTAINER_GGUF ? model_architecture(c)->gguf_rope_style : ROPE_HALF;
    memset(out, 0, b->base->rows * b->rank * sizeof *out);
    for (size_t i = 0; i < b->base->n_pieces; i++) {
        const struct tensor_piece *piece = &b->base->pieces[i];
        const struct lora_pair *p = b->pairs[i];
        bool reordered = param_is_rotated(piece->param) && style != c->rope_style;
        for (size_t j = 0; p && j < piece->rows; j++) {
            size_t row = piece->param_row + (reordered ? rope_row(j, c->head_dim, c->rope_style, style) : j);
            float *to = out + (piece->row + j) * b->rank + b->first[i];
            for (size_t k = 0; k < p->rank; k++)
                to[k] = (float)(p->b->value[row * p->rank + k] * (p->scale / s->scale));
        }
    }
}

static int fill(void *context, void *bytes, struct error *e)
{
    const struct half_source *s = context;
    const struct block *b = s->block;
    size_t n = b->rank * (s->half == LORA_A ? b->base->cols : b->base->rows);
    float *out = bytes;
    bool finite = true;
    if (s->half == LORA_A)
        fill_a(b, out);
    else
        fill_b(s, out);
    for (size_t i = 0; i < n; i++)
        finite &= isfinite(out[i]) != 0;
    return finite ? OK : error_set(e, ERR_FORMAT, "the adapter of %s holds a value that is not a number", b->base->name);
}

/* --- PEFT --- */

/* "model.layers.0.self_attn.q_proj" */
static char *module_name(const struct block *b)
{
    return mem_string_n(b->base->name, strlen(b->base->name) - strlen(".weight"));
}

static void add_target(json_t *targets, const char *module)
{
    const char *dot = strrchr(module, '.'), *name = dot ? dot + 1 : module;
    size_t i;
    json_t *item;
    json_array_foreach(targets, i, item)
        if (strcmp(json_string_value(item), name) == 0)
            return;
    json_array_append_new(targets, json_string(name));
}

/* 16 and not 16.0 */
static json_t *number_json(double x)
{
    return x == floor(x) && fabs(x) < 1e15 ? json_integer((json_int_t)x) : json_real(x);
}

/* In patterns a dot stands for any character; no two names of one model differ in nothing else. */
static json_t *config_json(const struct blocks *b, const char *base)
{
    size_t rank = b->n ? b->items[0].rank : 1;
    double alpha = b->n ? b->items[0].scale * (double)rank : 1;
    json_t *targets = json_array(), *ranks = json_object(), *alphas = json_object();
    for (size_t i = 0; i < b->n; i++) {
        const struct block *item = &b->items[i];
        char *module = module_name(item);
        double own = item->scale * (double)item->rank;
        add_target(targets, module);
        if (item->rank != rank)
            json_object_set_new(ranks, module, json_integer((json_int_t)item->rank));
        if (own != alpha)
            json_object_set_new(alphas, module, number_json(own));
        mem_free(module);
    }
    return json_pack("{s:s, s:s, s:s, s:n, s:I, s:o, s:f, s:s, s:b, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:n, s:n, s:n}",
                     "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "revision", "r",
                     (json_int_t)rank, "lora_alpha", number_json(alpha), "lora_dropout", 0.0, "bias", "none", "use_rslora", 0,
                     "use_dora", 0, "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "target_modules",
                     targets, "rank_pattern", ranks, "alpha_pattern", alphas, "modules_to_save", "layers_to_transform",
                     "layers_pattern");
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

static struct half_source *make_sources(const struct blocks *b)
{
    struct half_source *sources = mem_zero(2 * b->n + 1, sizeof *sources);
    for (size_t i = 0; i < 2 * b->n; i++)
        sources[i] = (struct half_source){b, &b->items[i / 2], i % 2 ? LORA_B : LORA_A, b->items[i / 2].scale};
    return sources;
}

/* rows and columns of a half */
static void half_shape(const struct half_source *s, size_t shape[2])
{
    shape[0] = s->half == LORA_A ? s->block->rank : s->block->base->rows;
    shape[1] = s->half == LORA_A ? s->block->base->cols : s->block->rank;
}

int lora_write_peft(const struct lora_adapter *a, const char *base, const char *directory, struct error *e)
{
    struct blocks b;
    blocks_init(&b, a, CONTAINER_HF);
    char *config = path_join(directory, ADAPTER_CONFIG), *weights = path_join(directory, ADAPTER_WEIGHTS);
    struct half_source *sources = make_sources(&b);
    struct safetensors_writer *w = safetensors_writer_new();
    for (size_t i = 0; i < 2 * b.n; i++) {
        size_t shape[2];
        char *module = module_name(sources[i].block);
        char *name = mem_printf("base_model.model.%s.lora_%c.weight", module, i % 2 ? 'B' : 'A');
        half_shape(&sources[i], shape);
        safetensors_put(w, name, DTYPE_F32, 2, shape, fill, &sources[i]);
        mem_free(name);
        mem_free(module);
    }
    int code = dir_make(directory, e);
    if (!code)
        code = safetensors_writer_finish(w, weights, e);
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

static int check_gguf(const struct blocks *b, struct error *e)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct tensor *t = b->items[i].base;
        if (t->n_dims == 3)
            return error_set(e, ERR_USAGE, "%s: an adapter of single experts has no place in a GGUF file", t->name);
        if (b->items[i].base->pieces->param == b->adapter->model->token_embd)
            return error_set(e, ERR_USAGE, "%s: an adapter of an output layer that is the embedding has no place in a "
                                           "GGUF file", t->name);
    }
    return OK;
}

/* One alpha for all: what that makes of other scales and ranks goes into their B. */
int lora_write_gguf(const struct lora_adapter *a, const char *name, const char *path, struct error *e)
{
    struct blocks b;
    blocks_init(&b, a, CONTAINER_GGUF);
    struct half_source *sources = make_sources(&b);
    struct gguf_writer *w = gguf_writer_new();
    float alpha = b.n ? (float)(b.items[0].scale * (double)b.items[0].rank) : 1;
    gguf_put_string(w, "general.type", "adapter");
    gguf_put_string(w, "general.architecture", model_architecture(&a->model->config)->gguf_name);
    gguf_put_string(w, "general.name", name);
    gguf_put_string(w, "adapter.type", "lora");
    gguf_put_f32(w, "adapter.lora.alpha", alpha);
    int code = check_gguf(&b, e);
    for (size_t i = 0; i < 2 * b.n && !code; i++) {
        struct half_source *s = &sources[i];
        size_t shape[2], dims[2];
        char *tensor = mem_printf("%s.lora_%c", s->block->base->name, i % 2 ? 'b' : 'a');
        half_shape(s, shape);
        dims[0] = shape[1], dims[1] = shape[0];
        s->scale = (double)alpha / (double)s->block->rank;
        gguf_put_tensor(w, tensor, DTYPE_F32, 2, dims, fill, s);
        mem_free(tensor);
    }
    if (!code)
        code = gguf_writer_finish(w, path, e);
    gguf_writer_free(w);
    mem_free(sources);
    blocks_free(&b);
    return code;
}
