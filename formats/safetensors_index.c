/* Checkpoints in several files: the index, and a directory's files behind one table of tensors. */
#include "base/json.h"
#include "base/memory.h"
#include "formats/safetensors_private.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_place *)a)->name,
                  ((const struct safetensors_place *)b)->name);
}

/* A path would lead out of the directory, and other kinds of files are never read. */
static int check_file_name(const char *tensor, const json_t *value, struct error *e)
{
    const char *file = json_string_value(value);
    if (!file)
        return error_set(e, ERR_FORMAT, "tensor \"%.80s\": its file must be a string", tensor);
    if (strpbrk(file, "/\\"))
        return error_set(e, ERR_FORMAT,
                         "tensor \"%.80s\": \"%.80s\" is a path; only names of files beside the "
                         "index are followed",
                         tensor, file);
    if (json_string_length(value) > 255 || strlen(file) != json_string_length(value) || /* a NUL */
        !path_has_suffix(file, ".safetensors"))
        return error_set(e, ERR_FORMAT,
                         "tensor \"%.80s\": \"%.80s\" is not the name of a .safetensors file",
                         tensor, file);
    return OK;
}

/* index->files from the names of all entries: each once. Takes over the array. */
static int take_files(struct safetensors_index *index, char **all, struct error *e)
{
    qsort(all, index->n_tensors, sizeof *all, compare_strings);
    for (size_t i = 0; i < index->n_tensors; i++)
        if (index->n_files == 0 || strcmp(all[i], all[index->n_files - 1]) != 0)
            all[index->n_files++] = all[i];
    index->files = all;
    for (size_t i = 0; i < index->n_files; i++)
        all[i] = mem_string(all[i]);
    if (index->n_files > SAFETENSORS_MAX_FILES)
        return error_set(e, ERR_FORMAT, "the tensors are in %zu files, at most %d are allowed",
                         index->n_files, SAFETENSORS_MAX_FILES);
    return OK;
}

static int read_weight_map(json_t *map, struct safetensors_index *index, struct error *e)
{
    if (!json_is_object(map))
        return error_set(e, ERR_FORMAT, "\"weight_map\" must be an object: tensor to file");
    if (json_object_size(map) == 0)
        return error_set(e, ERR_FORMAT, "\"weight_map\" names no tensor");
    char **files = mem_alloc(json_object_size(map), sizeof *files); /* owned by the JSON */
    index->tensors = mem_zero(json_object_size(map), sizeof *index->tensors);
    const char *name;
    json_t *file;
    json_object_foreach(map, name, file)
    {
        int code = check_file_name(name, file, e);
        if (code) {
            mem_free(files);
            return code;
        }
        files[index->n_tensors] = (char *)json_string_value(file);
        index->tensors[index->n_tensors++].name = mem_string(name);
    }
    int code = take_files(index, files, e);
    for (size_t i = 0; i < index->n_tensors && !code; i++) {
        struct safetensors_place *t = &index->tensors[i];
        const char *wanted = json_string_value(json_object_get(map, t->name));
        char **found =
            bsearch(&wanted, index->files, index->n_files, sizeof wanted, compare_strings);
        t->file = (size_t)(found - index->files);
    }
    qsort(index->tensors, index->n_tensors, sizeof *index->tensors, compare_places);
    return code;
}

int safetensors_index_parse(const char *text, size_t n, struct safetensors_index *index,
                            struct error *e)
{
    *index = (struct safetensors_index){0};
    json_t *root = NULL;
    if (n > SAFETENSORS_MAX_HEADER)
        return error_set(e, ERR_FORMAT, "an index of %zu bytes, at most %d are allowed", n,
                         SAFETENSORS_MAX_HEADER);
    int code = json_parse(text, n, &root, e);
    if (!code && !json_is_object(root))
        code = error_set(e, ERR_FORMAT, "the index must be a JSON object");
    if (!code)
        code = read_weight_map(json_object_get(root, "weight_map"), index, e);
    json_decref(root);
    return code;
}

void safetensors_index_free(struct safetensors_index *index)
{
    for (size_t i = 0; i < index->n_files; i++)
        mem_free(index->files[i]);
    for (size_t i = 0; i < index->n_tensors; i++)
        mem_free(index->tensors[i].name);
    mem_free(index->files);
    mem_free(index->tensors);
    *index = (struct safetensors_index){0};
}

/* ---- a directory ---- */

/* `s` as it grows, file by file. */
struct assembly {
    const char *index_path, *index_name; /* the second is the end of the first */
    struct safetensors_index index;
    bool *seen; /* of the index's tensors */
    struct safetensors *s;
};

/* Whether the index places the tensor in this file. */
static int check_place(struct assembly *a, const char *name, size_t file, struct error *e)
{
    const struct safetensors_index *index = &a->index;
    const struct safetensors_place key = {.name = (char *)name};
    const struct safetensors_place *t =
        bsearch(&key, index->tensors, index->n_tensors, sizeof key, compare_places);
    if (!t)
        return error_set(e, ERR_FORMAT, "tensor \"%.80s\" is not in %s", name, a->index_name);
    if (t->file != file)
        return error_set(e, ERR_FORMAT,
                         "tensor \"%.80s\" is here, but %s says that it is in %.80s", name,
                         a->index_name, index->files[t->file]);
    a->seen[t - index->tensors] = true;
    return OK;
}

/* Moves a shard's tensors and its mapping to the whole; there is room for all of the index's, and
 * no name comes twice, for each has one place. */
static int add_shard(struct assembly *a, struct safetensors *shard, size_t file, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < shard->n_tensors && !code; i++)
        code = check_place(a, shard->tensors[i].name, file, e);
    if (code)
        return code;
    if (shard->n_tensors)
        memcpy(a->s->tensors + a->s->n_tensors, shard->tensors,
               shard->n_tensors * sizeof *shard->tensors);
    a->s->n_tensors += shard->n_tensors;
    a->s->maps[a->s->n_maps++] = shard->maps[0];
    mem_free(shard->tensors);
    mem_free(shard->maps);
    *shard = (struct safetensors){0};
    return OK;
}

static int open_shard(struct assembly *a, size_t file, struct error *e)
{
    struct safetensors shard = {0};
    int before = (int)(a->index_name - a->index_path);
    char *path = mem_printf("%.*s%s", before, a->index_path, a->index.files[file]);
    int code = !file_exists(path)
                   ? error_set(e, ERR_IO,
                               "%s: this file is missing, though %s names it (%zu of %zu); fetch "
                               "it too",
                               path, a->index_name, file + 1, a->index.n_files)
                   : safetensors_open(path, &shard, e);
    if (!code) {
        code = add_shard(a, &shard, file, e);
        if (code)
            error_prefix(e, "%s", path);
        safetensors_close(&shard);
    }
    mem_free(path);
    return code;
}

static int check_complete(const struct assembly *a, struct error *e)
{
    for (size_t i = 0; i < a->index.n_tensors; i++) {
        const struct safetensors_place *t = &a->index.tensors[i];
        if (a->seen[i])
            continue;
        error_set(e, ERR_FORMAT,
                  "%.80s lacks tensor \"%.80s\", which the index places in it",
                  a->index.files[t->file], t->name);
        return error_prefix(e, "%s", a->index_path);
    }
    return OK;
}

static int read_index(const char *path, struct safetensors_index *index, struct error *e)
{
    struct file_map map;
    int code = file_map(path, &map, e);
    if (code)
        return code;
    code = safetensors_index_parse((const char *)map.data, map.size, index, e);
    file_unmap(&map);
    return code ? error_prefix(e, "%s", path) : OK;
}

int safetensors_open_index(const char *path, struct safetensors *s, struct error *e)
{
    struct assembly a = {.index_path = path, .index_name = path_basename(path), .s = s};
    *s = (struct safetensors){0};
    int code = read_index(path, &a.index, e);
    if (!code) {
        a.seen = mem_zero(a.index.n_tensors, sizeof *a.seen);
        s->tensors = mem_zero(a.index.n_tensors, sizeof *s->tensors);
        s->maps = mem_zero(a.index.n_files, sizeof *s->maps);
    }
    for (size_t i = 0; i < a.index.n_files && !code; i++)
        code = open_shard(&a, i, e);
    if (!code)
        code = check_complete(&a, e);
    if (!code)
        qsort(s->tensors, s->n_tensors, sizeof *s->tensors, safetensors_compare_names);
    else
        safetensors_close(s);
    mem_free(a.seen);
    safetensors_index_free(&a.index);
    return code;
}

#define PICKLE                                                                                     \
    "a PyTorch checkpoint, which can run code when it is loaded and is never read; convert it, "   \
    "where transformers is installed, with: python3 -c \"from transformers import "                \
    "AutoModelForCausalLM as M; M.from_pretrained('.').save_pretrained('.', "                      \
    "safe_serialization=True)\""

/* What a directory without weights of ours may hold instead; the first that fits is named. */
static const struct {
    const char *pattern, *advice;
} others[] = {
    {"model-*-of-*.safetensors",
     "one of several files, but " SAFETENSORS_INDEX " is missing; fetch it too"},
    {"adapter_model.safetensors", "an adapter, not a model; --adapter takes it, --model its base"},
    {"consolidated*.safetensors",
     "weights in Mistral's own layout; fetch the files of Hugging Face's, " SAFETENSORS_FILE
     " or " SAFETENSORS_INDEX},
    {"*.safetensors", "not the name weights have; call it " SAFETENSORS_FILE},
    {"consolidated*.pth",
     "a PyTorch checkpoint in Meta's own layout, which can run code when it is loaded and is never "
     "read; fetch the model in Hugging Face's layout (its name ends in -hf or has no suffix), or "
     "convert it with the convert_llama_weights_to_hf.py of transformers"},
    {"pytorch_model*.bin", PICKLE},
    {"*.bin", PICKLE},
    {"*.pth", PICKLE},
    {"*.pt", PICKLE},
    {"*.ckpt", PICKLE},
    {"*.gguf", "a GGUF file; give its path instead of the directory's"},
};

/* The first name in byte order that fits the pattern; "" when there is none. */
static void first_match(const char *directory, const char *pattern, char name[256])
{
    name[0] = 0;
    DIR *dir = opendir(directory);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (fnmatch(pattern, entry->d_name, FNM_PERIOD) == 0 &&
            (!name[0] || strcmp(entry->d_name, name) < 0))
            snprintf(name, 256, "%s", entry->d_name);
    if (dir)
        closedir(dir);
}

static int no_weights(const char *directory, struct error *e)
{
    char name[256];
    if (!file_is_directory(directory)) {
        errno = file_exists(directory) ? ENOTDIR : ENOENT;
        return error_set_errno(e, "%s", directory);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        first_match(directory, others[i].pattern, name);
        if (!name[0])
            continue;
        error_set(e, ERR_FORMAT, "%.200s: %s", name, others[i].advice);
        return error_prefix(e, "%s", directory);
    }
    return error_set(e, ERR_IO,
                     "%s: this directory holds no weights (" SAFETENSORS_FILE
                     " or " SAFETENSORS_INDEX ")",
                     directory);
}

int safetensors_open_directory(const char *directory, struct safetensors *s, struct error *e)
{
    *s = (struct safetensors){0};
    char *file = path_join(directory, SAFETENSORS_FILE),
         *index = path_join(directory, SAFETENSORS_INDEX);
    int code = file_exists(file)    ? safetensors_open(file, s, e)
               : file_exists(index) ? safetensors_open_index(index, s, e)
                                    : no_weights(directory, e);
    mem_free(file);
    mem_free(index);
    return code;
}
