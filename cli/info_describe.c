/* One describing function for each kind of file, and the table that finds it. */
#include "cli/info.h"

#include "align/reference_file.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/yaml.h"
#include "cli/shared.h"
#include "formats/hdf5_file.h"
#include "formats/safetensors.h"

#include <inttypes.h>
#include <string.h>

static json_t *member_object(json_t *object, const char *key)
{
    json_t *member = json_object_get(object, key);
    if (!member) {
        member = json_object();
        json_object_set_new(object, key, member);
    }
    return member;
}

void info_add(json_t *file, const char *key, json_t *value)
{
    json_object_set_new(member_object(file, "metadata"), key, value);
}

void info_set_files(json_t *file, size_t n, const struct file_map *maps)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += maps[i].size;
    json_object_set_new(file, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(file, "files", json_integer((json_int_t)n));
}

static void count_up(json_t *object, const char *key, size_t by)
{
    json_int_t old = json_integer_value(json_object_get(object, key));
    json_object_set_new(object, key, json_integer(old + (json_int_t)by));
}

void info_add_tensor(json_t *file, const char *name, size_t name_length, const char *type,
                     int n_dims, const size_t dims[], size_t bytes)
{
    json_t *tensors = json_object_get(file, "tensors"), *shape = json_array();
    if (!tensors) {
        tensors = json_array();
        json_object_set_new(file, "tensors", tensors);
    }
    size_t elements = 1;
    for (int i = 0; i < n_dims; i++) {
        json_array_append_new(shape, json_integer((json_int_t)dims[i]));
        elements *= dims[i]; /* whoever read the file has checked the product */
    }
    json_array_append_new(tensors,
                          json_pack("{s:o, s:s, s:o, s:I}", "name", json_text(name, name_length),
                                    "type", type, "shape", shape, "bytes", (json_int_t)bytes));
    json_t *totals = member_object(file, "totals");
    json_t *of_type = member_object(member_object(totals, "types"), type);
    json_t *both[] = {totals, of_type};
    for (int i = 0; i < 2; i++) {
        count_up(both[i], "tensors", 1);
        count_up(both[i], "elements", elements);
        count_up(both[i], "bytes", bytes);
    }
}

bool info_is_index(const char *path)
{
    return path_has_suffix(path, ".safetensors.index.json");
}

/* One file, or an index for all the files it names. */
static int describe_safetensors(const char *path, json_t *file, struct error *e)
{
    struct safetensors s;
    int code = info_is_index(path) ? safetensors_open_index(path, &s, e)
                                   : safetensors_open(path, &s, e);
    if (code)
        return code;
    json_object_set_new(file, "kind", json_string("safetensors"));
    if (info_is_index(path))
        info_set_files(file, s.n_maps, s.maps);
    for (size_t i = 0; i < s.n_tensors; i++) {
        const struct safetensors_tensor *t = &s.tensors[i];
        info_add_tensor(file, t->name, strlen(t->name), t->type_name, t->n_dims, t->shape,
                        t->n_bytes);
    }
    safetensors_close(&s);
    return OK;
}

struct hdf5_description {
    struct hdf5_file *f;
    json_t *file;
    bool verify;
    size_t verified;
    int code;
    struct error *e;
};

static void describe_attribute(void *context, const char *name)
{
    struct hdf5_description *d = context;
    char *text = NULL;
    uint64_t whole;
    double number;
    json_t *value = NULL;
    if (hdf5_get_string(d->f, name, &text, NULL) == OK)
        value = json_text(text, strlen(text));
    else if (hdf5_get_u64(d->f, name, &whole, NULL) == OK)
        value = strstr(name, "hash") || strstr(name, "fingerprint") || whole > INT64_MAX
                    ? json_sprintf("%016" PRIx64, whole)
                    : json_integer((json_int_t)whole);
    else if (hdf5_get_f64(d->f, name, &number, NULL) == OK)
        value = json_real(number);
    mem_free(text);
    info_add(d->file, name, value ? value : json_string("(of another type)"));
}

static void describe_dataset(void *context, const char *name, const char *type, int n_dims,
                             const size_t dims[])
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"f64", 8}, {"i64", 8}, {"u64", 8}, {"f32", 4},
                 {"u32", 4}, {"i32", 4}, {"u16", 2}, {"f16", 2}, {"u8", 1}};
    struct hdf5_description *d = context;
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, type))
            bytes = types[i].bytes;
    for (int i = 0; i < n_dims; i++)
        bytes *= dims[i];
    info_add_tensor(d->file, name, strlen(name), type, n_dims, dims, bytes);
    if (d->verify && !d->code && hdf5_has_checksum(d->f, name)) {
        d->code = hdf5_verify(d->f, name, d->e);
        d->verified++;
    }
}

static int describe_hdf5(const char *path, bool verify, json_t *file, struct error *e)
{
    struct hdf5_description d = {.file = file, .verify = verify, .e = e};
    char *format = NULL;
    int code = hdf5_open(path, &d.f, e);
    if (code)
        return code;
    hdf5_get_string(d.f, "format", &format, NULL);
    json_object_set_new(file, "kind",
                        format ? json_sprintf("HDF5 (%s)", format) : json_string("HDF5"));
    code = hdf5_each_attribute(d.f, describe_attribute, &d, e);
    if (!code)
        code = hdf5_each(d.f, describe_dataset, &d, e);
    if (!code)
        code = d.code;
    if (!code && verify)
        json_object_set_new(file, "checksums_verified", json_integer((json_int_t)d.verified));
    mem_free(format);
    hdf5_close(d.f);
    return code;
}

static json_t *token_to_json(const struct tokenizer *t, int32_t id)
{
    size_t n;
    if (id == TOKEN_NONE)
        return json_null();
    const char *text = tokenizer_token(t, id, &n);
    json_t *name = json_text(text, n);
    json_t *both = json_pack("{s:i, s:o}", "id", (int)id, "token", name);
    return both;
}

const char *info_splitter(const struct tokenizer *t)
{
    static const char *const splitters[] = {"gpt2", "llama3", "qwen2", "bytes", "smollm", "none",
                                              "general"};
    return splitters[tokenizer_splitter(t)];
}

static int describe_tokenizer(const char *path, json_t *file, struct error *e)
{
    struct tokenizer *t = NULL;
    int code = tokenizer_read_json(path, &t, e);
    if (code)
        return code;
    size_t vocab = tokenizer_vocab_size(t), special = 0;
    for (size_t i = 0; i < vocab; i++)
        special += tokenizer_is_special(t, (int32_t)i);
    json_object_set_new(file, "kind", json_string("tokenizer"));
    info_add(file, "vocab_size", json_integer((json_int_t)vocab));
    info_add(file, "special_tokens", json_integer((json_int_t)special));
    info_add(file, "splitter", json_string(info_splitter(t)));
    info_add(file, "bos", token_to_json(t, tokenizer_bos(t)));
    info_add(file, "eos", token_to_json(t, tokenizer_eos(t)));
    info_add(file, "pad", token_to_json(t, tokenizer_pad(t)));
    info_add(file, "adds_bos", json_boolean(tokenizer_adds_bos(t)));
    info_add(file, "hash", json_sprintf("%016" PRIx64, tokenizer_hash(t)));
    tokenizer_free(t);
    return OK;
}

static int describe_json(const char *path, json_t *file, struct error *e)
{
    json_t *root;
    int code = json_read(path, &root, e);
    if (code)
        return code;
    if (json_object_get(root, "model") && json_object_get(root, "added_tokens")) {
        code = describe_tokenizer(path, file, e);
    } else if (json_is_object(root)) {
        const char *name = path_basename(path), *key;
        json_t *value;
        json_object_set_new(file, "kind",
                            json_object_get(root, "model_type") ? json_string("model configuration")
                                                                : json_sprintf("JSON (%s)", name));
        json_object_foreach(root, key, value) info_add(file, key, json_incref(value));
    } else {
        code = error_set(e, ERR_FORMAT, "%s: JSON, but no configuration and no tokenizer", path);
    }
    json_decref(root);
    return code;
}

static int describe_yaml(const char *path, json_t *file, struct error *e)
{
    struct yaml y;
    int code = yaml_read(path, &y, e);
    if (code)
        return code;
    json_object_set_new(file, "kind", json_string("configuration"));
    json_t *metadata = member_object(file, "metadata");
    for (size_t i = 0; i < y.count; i++) {
        const struct yaml_entry *entry = &y.entries[i];
        json_t *value = entry->value ? json_string(entry->value) : NULL;
        if (!entry->in_list) {
            info_add(file, entry->path, value);
            continue;
        }
        if (entry->index == 0)
            info_add(file, entry->path, json_array());
        if (value)
            json_array_append_new(json_object_get(metadata, entry->path), value);
    }
    yaml_entries_free(&y);
    return OK;
}

/* By content where a format has a signature, by name where it has none. */
int info_describe(const char *path, bool verify, json_t **out, struct error *e)
{
    struct file_map map;
    *out = NULL;
    int code = file_map(path, &map, e);
    if (code)
        return code;
    unsigned char head[16] = {0};
    size_t size = map.size;
    if (size)
        memcpy(head, map.data, size < sizeof head ? size : sizeof head);
    file_unmap(&map);
    json_t *file =
        json_pack("{s:s, s:s, s:I}", "path", path, "kind", "", "bytes", (json_int_t)size);
    if (!file)
        return error_set(e, ERR_USAGE, "the path is not valid UTF-8");
    if (!size)
        code = error_set(e, ERR_FORMAT, "%s: the file is empty", path);
    else if (!memcmp(head, "GGUF", 4))
        code = info_describe_gguf(path, file, e);
    else if (!memcmp(head, "\x89HDF\r\n\x1a\n", 8))
        code = reference_file_is(path) ? info_describe_reference(path, file, e) : describe_hdf5(path, verify, file, e);
    else if (info_is_index(path) || path_has_suffix(path, ".safetensors") || (size > 8 && head[8] == '{' && !head[6]))
        code = describe_safetensors(path, file, e);
    else if (path_has_suffix(path, ".json"))
        code = describe_json(path, file, e);
    else if (path_has_suffix(path, ".yaml") || path_has_suffix(path, ".yml"))
        code = describe_yaml(path, file, e);
    else
        code = error_set(e, ERR_FORMAT,
                         "%s: not a kind linnet knows (GGUF, safetensors, HDF5, and the .json and "
                         ".yaml files of models)",
                         path);
    if (code)
        json_decref(file);
    else
        *out = file;
    return code;
}
