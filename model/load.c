#include "model/load.h"

#include "base/check.h"
#include "base/file.h"
#include "base/yaml.h"
#include "formats/hdf5_file.h"
#include "formats/safetensors.h"
#include "model/load_gguf.h"
#include "model/load_hf.h"

#include <string.h>

char *run_file(const char *run, const char *name)
{
    return path_join(run, name);
}

int params_write_hdf5(const struct param_list *l, struct hdf5_file *f, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < l->count && !code; i++) {
        const struct param *p = l->items[i];
        char name[PARAM_NAME_SIZE + 16];
        snprintf(name, sizeof name, "weights/%s", p->name);
        size_t dims[2] = {p->rows, p->cols};
        code = hdf5_write(f, name, HDF5_F32, p->n_dims, p->n_dims == 2 ? dims : dims + 1, p->value,
                          e);
    }
    return code;
}

int params_read_hdf5(const struct param_list *l, struct hdf5_file *f, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < l->count && !code; i++) {
        char name[PARAM_NAME_SIZE + 16];
        snprintf(name, sizeof name, "weights/%s", l->items[i]->name);
        code = hdf5_read(f, name, HDF5_F32, l->items[i]->count, l->items[i]->value, e);
    }
    return code;
}

/* --- what models compute with --- */

struct dataset_name {
    char text[PARAM_NAME_SIZE + 32];
};

static struct dataset_name computed_name(const struct param *p, enum dtype type)
{
    struct dataset_name name;
    snprintf(name.text, sizeof name.text, "computed/%s/%s", dtype_info(type)->name, p->name);
    return name;
}

int param_write_computed(const struct param *p, const struct matrix *m, struct hdf5_file *f, struct error *e)
{
    size_t row_bytes;
    CHECK(m->ld == p->cols && !m->interleaved && dtype_bytes(m->type, p->cols, &row_bytes));
    struct dataset_name name = computed_name(p, m->type);
    return hdf5_write(f, name.text, HDF5_U8, 2, (size_t[]){p->rows, row_bytes}, m->data, e);
}

struct finding {
    const struct model *m;
    struct error *e;
    int code;
};

/* A dataset that stands for no matrix, or for one that another stands for too, would be weights that nobody computes with. */
static void find_one(void *context, const char *name, const char *stored, int n_dims, const size_t dims[])
{
    struct finding *f = context;
    const char *type = name + strlen("computed/"), *slash = strchr(type, '/');
    char type_name[16];
    size_t row_bytes = 0;
    if (f->code || strncmp(name, "computed/", strlen("computed/")) != 0)
        return;
    snprintf(type_name, sizeof type_name, "%.*s", slash ? (int)(slash - type) : -1, type);
    const struct dtype_info *info = dtype_by_name(type_name);
    struct param *p = slash ? model_find(f->m, slash + 1) : NULL;
    if (!info || !dtype_is_floating(info->type) || info->type == DTYPE_F32)
        f->code = error_set(f->e, ERR_FORMAT, "dataset \"%s\": there is no type \"%s\" of weights", name, type_name);
    else if (!p || !p->matrix)
        f->code = error_set(f->e, ERR_FORMAT, "dataset \"%s\" is of no matrix of this model", name);
    else if (p->type != DTYPE_F32)
        f->code = error_set(f->e, ERR_FORMAT, "dataset \"%s\": the file has this matrix in %s too", name,
                            dtype_info(p->type)->name);
    else if (!dtype_bytes(info->type, p->cols, &row_bytes) || n_dims != 2 || dims[0] != p->rows || dims[1] != row_bytes ||
             strcmp(stored, "u8") != 0)
        f->code = error_set(f->e, ERR_FORMAT, "dataset \"%s\" is not (%zu, %zu) of u8, as %zu rows of %zu numbers in %s are",
                            name, p->rows, row_bytes, p->rows, p->cols, info->name);
    else
        p->type = info->type;
}

/* Gives matrices the types in which the file has them: before there is memory for them. */
static int find_computed(const struct model *m, struct hdf5_file *f, struct error *e)
{
    struct finding finding = {m, e, OK};
    int code = hdf5_each(f, find_one, &finding, e);
    return code ? code : finding.code;
}

int param_read_computed(const struct param *p, enum dtype type, struct hdf5_file *f, void *to, bool *found, struct error *e)
{
    const struct dataset_name name = computed_name(p, type);
    size_t bytes;
    CHECK(dtype_bytes(type, p->count, &bytes));
    *found = hdf5_has(f, name.text);
    return *found ? hdf5_read(f, name.text, HDF5_U8, bytes, to, e) : OK;
}

static int read_computed(struct param *p, struct hdf5_file *f, struct error *e)
{
    size_t bytes;
    CHECK(dtype_bytes(p->type, p->count, &bytes));
    return hdf5_read(f, computed_name(p, p->type).text, HDF5_U8, bytes, (void *)p->data, e);
}

static int read_weights(const struct model *m, struct hdf5_file *f, struct error *e)
{
    struct param_list values = {0};
    int code = OK;
    for (size_t i = 0; i < m->n_params && !code; i++)
        if (m->params[i].value)
            params_add(&values, &m->params[i]);
        else
            code = read_computed(&m->params[i], f, e);
    if (!code)
        code = params_read_hdf5(&values, f, e);
    params_free(&values);
    return code;
}

/* --- runs --- */

int model_config_parse(const char *text, struct model_config *c, struct error *e)
{
    struct yaml all, own = {0};
    *c = (struct model_config){0};
    int code = yaml_parse(text, strlen(text), &all, e);
    if (code)
        return code;
    struct option_section section = {.name = "model", .rows = model_options,
                                     .n_rows = N_MODEL_OPTIONS, .object = c, .help = "Model"};
    struct options options = {.sections = &section, .n_sections = 1};
    options_init(&options);
    own = all;
    own.count = 0;
    own.entries = mem_alloc(all.count + 1, sizeof *own.entries);
    for (size_t i = 0; i < all.count; i++)
        if (strncmp(all.entries[i].path, "model.", 6) == 0)
            own.entries[own.count++] = all.entries[i];
    code = options_apply_yaml(&options, &own, "the checkpoint's configuration", e);
    mem_free(own.entries);
    options_free(&options);
    yaml_entries_free(&all);
    return code;
}

/* Whether the run trained an adapter beside a model: its checkpoints have no model's weights. */
static bool holds_adapter(const char *config)
{
    struct yaml y = {0};
    bool holds = false;
    if (!yaml_parse(config, strlen(config), &y, NULL)) {
        const char *method = yaml_value(&y, "tune.method");
        holds = method && strcmp(method, "lora") == 0;
    }
    yaml_entries_free(&y);
    return holds;
}

static int load_checkpoint(const char *path, enum weights weights, struct model *m, struct error *e)
{
    struct hdf5_file *f = NULL;
    char *config_text = NULL;
    struct model_config config = {0};
    int code = hdf5_open(path, &f, e);
    if (code)
        return code;
    code = hdf5_has_attribute(f, "config")
               ? hdf5_get_string(f, "config", &config_text, e)
               : error_set(e, ERR_FORMAT, "%s: an HDF5 file, but no checkpoint of a model", path);
    if (!code && holds_adapter(config_text))
        code = error_set(e, ERR_USAGE,
                         "%s: what trained here is an adapter, not a model: linnet merge makes a model of the run's "
                         "directory, and generate, chat, serve and eval take that directory as it is", path);
    if (!code)
        code = model_config_parse(config_text, &config, e);
    if (!code) {
        code = model_init(m, &config, e);
        if (!code && weights != WEIGHTS_F32)
            code = find_computed(m, f, e);
        if (!code)
            code = model_allocate(m, e);
        if (!code)
            code = read_weights(m, f, e);
        if (code)
            model_free(m);
    }
    if (code && !strstr(e->message, path))
        error_prefix(e, "%s", path);
    mem_free(config_text);
    hdf5_close(f);
    return code;
}

/* checkpoints/X.h5 belongs to the run directory two levels up. Where the folder is written as "." or
 * "..", its name cannot be cut off the path. */
static char *run_of_checkpoint(const char *path)
{
    const char *name = path_basename(path);
    size_t n = (size_t)(name - path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0)
        return mem_string("..");
    size_t begin = n;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    size_t length = n - begin;
    if (strspn(path + begin, ".") >= length && length <= 2)
        return mem_printf("%.*s/..", (int)n, path);
    return begin > 0 ? mem_string_n(path, begin) : mem_string(".");
}

static int load_run(const char *checkpoint, const char *run, enum weights weights, struct model *m,
                    struct tokenizer **tokenizer, struct error *e)
{
    int code = load_checkpoint(checkpoint, weights, m, e);
    if (code || !tokenizer)
        return code;
    char *path = run_file(run, RUN_TOKENIZER);
    code = tokenizer_read_json(path, tokenizer, e);
    mem_free(path);
    if (code)
        model_free(m);
    return code;
}

static int load_run_directory(const char *run, enum weights weights, struct model *m, struct tokenizer **tokenizer,
                              struct error *e)
{
    char *best = run_file(run, RUN_BEST), *last = run_file(run, RUN_LAST);
    int code;
    if (file_exists(best) || file_exists(last))
        code = load_run(file_exists(best) ? best : last, run, weights, m, tokenizer, e);
    else
        code = error_set(e, ERR_FORMAT, "%s: the run has no checkpoint yet", run);
    mem_free(best);
    mem_free(last);
    return code;
}

static bool directory_holds(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    bool holds = file_exists(path);
    mem_free(path);
    return holds;
}

static int check_vocabulary(const char *path, struct model *m, struct tokenizer **tokenizer,
                            struct error *e)
{
    if (!tokenizer || tokenizer_vocab_size(*tokenizer) <= m->config.vocab_size)
        return OK;
    int code = error_set(e, ERR_FORMAT,
                         "%s: the tokenizer has %zu tokens, the embedding only %zu rows: they do "
                         "not belong together", path, tokenizer_vocab_size(*tokenizer),
                         m->config.vocab_size);
    tokenizer_free(*tokenizer);
    *tokenizer = NULL;
    model_free(m);
    return code;
}

void model_file_close(struct model_file *f)
{
    if (!f)
        return;
    safetensors_close(&f->safetensors);
    gguf_close(&f->gguf);
    mem_free(f);
}

int model_load(const char *path, enum weights weights, struct model *m,
               struct tokenizer **tokenizer, struct error *e)
{
    int code;
    if (!file_exists(path)) {
        code = error_set(e, ERR_IO,
                         "%s: no such file or directory; --model takes a run directory, a Hugging "
                         "Face directory, or a .gguf file", path);
    } else if (!file_is_directory(path)) {
        if (path_has_suffix(path, ".h5")) {
            char *run = run_of_checkpoint(path);
            code = load_run(path, run, weights, m, tokenizer, e);
            mem_free(run);
        } else {
            code = model_load_gguf(path, weights, m, tokenizer, e);
        }
    } else if (directory_holds(path, RUN_CONFIG)) {
        code = load_run_directory(path, weights, m, tokenizer, e);
    } else if (directory_holds(path, "config.json")) {
        code = model_load_hf(path, weights, m, tokenizer, e);
    } else {
        struct safetensors s;
        code = safetensors_open_directory(path, &s, e); /* names checkpoints of other kinds */
        safetensors_close(&s);
        if (code != ERR_FORMAT)
            code = error_set(e, ERR_FORMAT,
                             "%s: neither a run (config.yaml) nor a Hugging Face model "
                             "(config.json)", path);
    }
    return code ? code : check_vocabulary(path, m, tokenizer, e);
}
