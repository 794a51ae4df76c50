/* A run directory at a glance. */
#include "base/file.h"
#include "base/memory.h"
#include "base/yaml.h"
#include "cli/info.h"
#include "cli/stored_qat.h"
#include "data/shard.h"
#include "formats/hdf5_file.h"
#include "model/load.h"
#include "train/checkpoint.h"

#include <math.h>
#include <string.h>

/* The run's checkpoint to tell about: the last, or the best where that is all there is; or NULL. */
static char *checkpoint_of(const char *run)
{
    static const char *const names[] = {RUN_LAST, RUN_BEST};
    for (int i = 0; i < 2; i++) {
        char *path = run_file(run, names[i]);
        if (file_exists(path))
            return path;
        mem_free(path);
    }
    return NULL;
}

bool info_is_run(const char *directory)
{
    char *path = checkpoint_of(directory);
    mem_free(path);
    return path != NULL;
}

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static int add_model(json_t *file, const char *config_text, struct error *e)
{
    struct model_config config = {0};
    struct model m;
    int code = model_config_parse(config_text, &config, e);
    if (!code)
        code = model_init(&m, &config, e);
    if (code)
        return code;
    const struct model_config *c = &m.config;
    info_add(file, "architecture", json_string(model_architecture(c)->name));
    info_add(file, "parameters", whole(m.n_weights));
    info_add(file, "layers", whole(c->num_hidden_layers));
    info_add(file, "hidden_size", whole(c->hidden_size));
    info_add(file, "heads", json_sprintf("%zu for queries, %zu for keys and values, of %zu",
                                         c->num_attention_heads, c->num_key_value_heads,
                                         c->head_dim));
    info_add(file, "context", whole(c->max_position_embeddings));
    model_free(&m);
    return OK;
}

static int add_tokenizer(json_t *file, const char *run, struct error *e)
{
    struct tokenizer *t = NULL;
    char *path = run_file(run, RUN_TOKENIZER);
    int code = tokenizer_read_json(path, &t, e);
    mem_free(path);
    if (code)
        return code;
    info_add(file, "tokenizer", json_sprintf("%s, %zu tokens", info_splitter(t),
                                             tokenizer_vocab_size(t)));
    tokenizer_free(t);
    return OK;
}

/* How many matrices are in blocks of each type: "13 q4_k, 2 q6_k". */
struct block_counts {
    size_t of_type[DTYPE_MOST];
};

static void count_blocks(void *context, const char *name, const char *type_name, int n_dims, const size_t dims[])
{
    struct block_counts *counts = context;
    static const char computed[] = "computed/";
    (void)type_name, (void)n_dims, (void)dims;
    for (int type = 0; type < DTYPE_MOST; type++) {
        const struct dtype_info *info = dtype_info(type);
        const size_t n = info ? strlen(info->name) : 0, at = sizeof computed - 1;
        if (info && strncmp(name, computed, at) == 0 && strncmp(name + at, info->name, n) == 0 && name[at + n] == '/')
            counts->of_type[type]++;
    }
}

enum { MOST_SHOWN = 8 };

/* What it trained for, as flags would say it, and what its checkpoint holds of that. */
static int add_qat(json_t *file, const char *run, const char *checkpoint, struct error *e)
{
    struct stored_qat stored;
    struct block_counts counts = {0};
    struct buffer text = {0};
    struct hdf5_file *f = NULL;
    int code = stored_qat_read(&stored, run, e);
    const struct type_request *types = &stored.options.types;
    if (code || !types->type)
        goto done;
    buffer_printf(&text, "%s%s", types->type, types->pure ? ", pure" : "");
    if (types->output_type)
        buffer_printf(&text, ", output %s", types->output_type);
    if (types->embedding_type)
        buffer_printf(&text, ", embedding %s", types->embedding_type);
    const size_t n = types->tensor_types.count; /* of a file there may be hundreds */
    for (size_t i = 0; i < n && i < MOST_SHOWN; i++)
        buffer_printf(&text, ", %s", types->tensor_types.items[i]);
    if (n > MOST_SHOWN)
        buffer_printf(&text, ", and %zu more", n - MOST_SHOWN);
    if (types->imatrix)
        buffer_printf(&text, ", importance %s", path_basename(types->imatrix));
    info_add(file, "trained_for", json_stringn(text.data, text.size));
    code = hdf5_open(checkpoint, &f, e);
    if (!code)
        code = hdf5_each(f, count_blocks, &counts, e);
    text.size = 0;
    for (int type = 0; type < DTYPE_MOST && !code; type++)
        if (counts.of_type[type])
            buffer_printf(&text, "%s%zu %s", text.size ? ", " : "", counts.of_type[type], dtype_info(type)->name);
    if (!code && text.size)
        info_add(file, "matrices", json_stringn(text.data, text.size));
done:
    hdf5_close(f);
    buffer_free(&text);
    stored_qat_free(&stored);
    return code;
}

/* Where the text is, from the configuration, and how many tokens it came to. */
static int add_data(json_t *file, const char *run, const char *config, struct error *e)
{
    struct yaml y;
    json_t *paths = json_array();
    const char *shard_path = NULL;
    int code = yaml_parse(config, strlen(config), &y, e);
    for (size_t i = 0; i < y.count && !code; i++)
        if (!y.entries[i].value) {
            continue;
        } else if (strcmp(y.entries[i].path, "data.paths") == 0) {
            json_array_append_new(paths, json_string(y.entries[i].value));
            shard_path = y.entries[i].value;
        } else if (strcmp(y.entries[i].path, "dataset.paths") == 0) {
            json_array_append_new(paths, json_string(y.entries[i].value));
        } else if (strcmp(y.entries[i].path, "tune.model") == 0) {
            info_add(file, "trained_from", json_string(y.entries[i].value));
        } else if (strcmp(y.entries[i].path, "tune.method") == 0) {
            info_add(file, "method", json_string(y.entries[i].value));
        }
    info_add(file, "data", paths);
    struct shard shard;
    char *own = run_file(run, RUN_SHARD);
    if (file_exists(own))
        shard_path = own;
    if (!code && shard_path && shard_open(shard_path, NULL, &shard, NULL) == OK) {
        info_add(file, "shard", json_string(shard_path));
        info_add(file, "training_tokens", whole(shard.n_train_tokens));
        info_add(file, "held_out_tokens", whole(shard.n_tokens - shard.n_train_tokens));
        shard_close(&shard);
    }
    mem_free(own);
    yaml_entries_free(&y);
    return code;
}

static void add_state(json_t *file, const struct run_state *s)
{
    bool evaluated = isfinite(s->best_loss);
    info_add(file, "step", whole(s->step));
    if (s->iters)
        info_add(file, "steps_in_all", whole(s->iters));
    info_add(file, "tokens_seen", whole(s->tokens_seen));
    info_add(file, "seconds", json_real(round(s->seconds * 10) / 10));
    info_add(file, "best_step", evaluated ? whole(s->best_step) : json_null());
    info_add(file, "best_validation_loss",
             evaluated ? json_real(round(s->best_loss * 1e6) / 1e6) : json_null());
}

static json_int_t bytes_below(const char *run)
{
    struct path_list files;
    uint64_t total = 0, size;
    if (dir_list(run, &files, NULL))
        return 0;
    for (size_t i = 0; i < files.count; i++)
        total += file_size(files.paths[i], &size, NULL) ? 0 : size;
    path_list_free(&files);
    return (json_int_t)total;
}

int info_describe_run(const char *run, json_t **out, struct error *e)
{
    char *path = checkpoint_of(run), *config = NULL;
    struct run_state state;
    *out = NULL;
    json_t *file = json_pack("{s:s, s:s, s:I}", "path", run, "kind", "run", "bytes",
                             bytes_below(run));
    int code = file ? checkpoint_read_state(path, &state, &config, e)
                    : error_set(e, ERR_USAGE, "the path is not valid UTF-8");
    if (!code)
        code = add_model(file, config, e);
    if (!code)
        code = add_tokenizer(file, run, e);
    if (!code)
        code = add_data(file, run, config, e);
    if (!code)
        code = add_qat(file, run, path, e);
    if (!code) {
        add_state(file, &state);
        *out = file;
    } else {
        json_decref(file);
    }
    mem_free(config);
    mem_free(path);
    return code;
}
