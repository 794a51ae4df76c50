/* linnet info */
#include "cli/info.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "distill/dump.h"

#include <fnmatch.h>
#include <string.h>

static struct {
    bool json, verify;
} flags;

static const struct option rows[] = {
    {.key = "verify",
     .flag = "--verify",
     .type = OPTION_BOOL,
     .offset = offsetof(__typeof__(flags), verify),
     .help = "recompute the checksums of HDF5 files; a damaged one is an error"},
    {.key = "json",
     .flag = "--json",
     .type = OPTION_BOOL,
     .offset = offsetof(__typeof__(flags), json),
     .help = "print a list with everything about each file as JSON"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

static void append_text(struct buffer *out, const json_t *string, size_t limit)
{
    append_visible(out, json_string_value(string), json_string_length(string), limit);
}

/* "512 of string: <unk>, <s>, ...": the form info_gguf.c gives to arrays. */
static void append_array_summary(struct buffer *out, const json_t *array, size_t limit)
{
    const json_t *first = json_object_get(array, "first");
    json_int_t count = json_integer_value(json_object_get(array, "count"));
    buffer_printf(out, "%lld %s: ", (long long)count,
                  json_string_value(json_object_get(array, "type")));
    size_t begin = out->size, i = 0;
    for (; i < json_array_size(first) && out->size - begin < limit; i++) {
        const json_t *item = json_array_get(first, i);
        buffer_string(out, i ? ", " : "");
        if (json_is_string(item)) {
            append_text(out, item, 16);
        } else {
            char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            buffer_string(out, text);
            free(text);
        }
    }
    if ((json_int_t)i < count)
        buffer_string(out, ", ...");
}

static void append_value(struct buffer *out, const json_t *value)
{
    enum { LIMIT = 60 };
    if (json_is_string(value)) {
        append_text(out, value, LIMIT);
    } else if (json_is_object(value) && json_object_get(value, "first")) {
        append_array_summary(out, value, LIMIT - 20);
    } else if (json_is_object(value) && json_object_get(value, "token")) {
        buffer_printf(out, "%lld ", (long long)json_integer_value(json_object_get(value, "id")));
        append_text(out, json_object_get(value, "token"), LIMIT);
    } else if (json_is_null(value)) {
        buffer_string(out, "none");
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(8));
        append_visible(out, text, strlen(text), LIMIT);
        free(text);
    }
}

static void print_metadata(const json_t *metadata)
{
    enum { MOST = 200 };
    const char *key;
    json_t *value;
    size_t width = 0, n = 0, total = json_object_size(metadata);
    json_object_foreach((json_t *)metadata, key, value)
    {
        size_t length = strlen(key);
        width = length > width && length <= 44 ? length : width;
    }
    struct buffer line = {0};
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (n++ == MOST) {
            printf("  and %zu more\n", total - MOST);
            break;
        }
        buffer_clear(&line);
        append_visible(&line, key, strlen(key), 100);
        for (size_t i = line.size; i < width; i++)
            buffer_byte(&line, ' ');
        buffer_string(&line, "  ");
        append_value(&line, value);
        printf("  %s\n", line.data);
    }
    buffer_free(&line);
    if (n)
        putchar('\n');
}

/* "512 x 64" */
static void append_shape(struct buffer *out, const json_t *shape)
{
    for (size_t i = 0; i < json_array_size(shape); i++)
        buffer_printf(out, "%s%lld", i ? " x " : "",
                      (long long)json_integer_value(json_array_get(shape, i)));
    if (!json_array_size(shape))
        buffer_string(out, "scalar");
}

static void print_tensors(const json_t *tensors)
{
    size_t width = strlen("tensor"), i;
    json_t *tensor;
    struct buffer name = {0}, shape = {0};
    json_array_foreach((json_t *)tensors, i, tensor)
    {
        size_t n = json_string_length(json_object_get(tensor, "name"));
        width = n > width && n <= 60 ? n : width;
    }
    printf("  %-*s  %-7s  %-20s  %9s\n", (int)width, "tensor", "type", "shape", "size");
    json_array_foreach((json_t *)tensors, i, tensor)
    {
        char bytes[32];
        buffer_clear(&name);
        buffer_clear(&shape);
        append_text(&name, json_object_get(tensor, "name"), 200);
        append_shape(&shape, json_object_get(tensor, "shape"));
        format_bytes((double)json_integer_value(json_object_get(tensor, "bytes")), bytes);
        printf("  %-*s  %-7s  %-20s  %9s\n", (int)width, name.data,
               json_string_value(json_object_get(tensor, "type")), shape.data, bytes);
    }
    putchar('\n');
    buffer_free(&name);
    buffer_free(&shape);
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_totals(const json_t *totals)
{
    char elements[32], bytes[32];
    printf("  %lld tensors, %s elements, %s:", (long long)number(totals, "tensors"),
           format_count((double)number(totals, "elements"), elements),
           format_bytes((double)number(totals, "bytes"), bytes));
    const char *type;
    json_t *of_type;
    bool first = true;
    json_object_foreach(json_object_get(totals, "types"), type, of_type)
    {
        printf("%s %lld %s", first ? "" : ",", (long long)number(of_type, "tensors"), type);
        first = false;
    }
    fputs("\n\n", stdout);
}

static void print_file(const json_t *file, bool with_tensors)
{
    char bytes[32];
    struct buffer path = {0};
    append_text(&path, json_object_get(file, "path"), 4096);
    printf("%s: %s, ", path.data, json_string_value(json_object_get(file, "kind")));
    if (number(file, "files"))
        printf("%lld files, ", (long long)number(file, "files"));
    printf("%s\n\n", format_bytes((double)number(file, "bytes"), bytes));
    print_metadata(json_object_get(file, "metadata"));
    if (with_tensors && json_object_get(file, "tensors"))
        print_tensors(json_object_get(file, "tensors"));
    if (json_object_get(file, "totals"))
        print_totals(json_object_get(file, "totals"));
    if (json_object_get(file, "checksums_verified"))
        printf("  %lld checksums verified\n\n", (long long)number(file, "checksums_verified"));
    buffer_free(&path);
}

/* Takes the reference. */
static void show(json_t *file, bool with_tensors, json_t *list)
{
    if (flags.json) {
        json_array_append_new(list, file);
        return;
    }
    print_file(file, with_tensors);
    json_decref(file);
}

static int show_file(const char *path, bool with_tensors, json_t *list, struct error *e)
{
    json_t *file;
    int code = dump_is(path) ? info_describe_dump(path, flags.verify, &file, e)
                             : info_describe(path, flags.verify, &file, e);
    if (!code)
        show(file, with_tensors, list);
    return code;
}

static int show_run(const char *path, json_t *list, struct error *e)
{
    json_t *run;
    int code = info_describe_run(path, &run, e);
    if (!code)
        show(run, false, list);
    return code;
}

/* Of a directory's files, those that tell about a model; vocabularies in pieces, logs and the like
 * would drown them. */
static bool belongs_to_model(const char *path)
{
    static const char *const names[] = {"config.json",         "generation_config.json",
                                        "tokenizer.json",      "tokenizer_config.json",
                                        "adapter_config.json", "config.yaml"};
    static const char *const suffixes[] = {".gguf", ".safetensors", ".h5", ".hdf5"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(path_basename(path), names[i]) == 0)
            return true;
    for (size_t i = 0; i < COUNT(suffixes); i++)
        if (path_has_suffix(path, suffixes[i]))
            return true;
    return info_is_index(path);
}

#define DIGITS "[0-9][0-9][0-9][0-9][0-9]"

static bool is_first_part(const char *path, const char *part)
{
    size_t n = strlen(part), at = n - strlen("00001-of-00001.gguf");
    return strlen(path) == n && strncmp(path, part, at) == 0 &&
           strncmp(path + at, "00001", 5) == 0 && strcmp(path + at + 5, part + at + 5) == 0;
}

/* Whether the file is one of several that are shown together through another one of the list: a
 * shard beside an index, or a part of a GGUF file but the first. */
static bool is_part(const char *path, const struct path_list *files)
{
    bool part = fnmatch("*-" DIGITS "-of-" DIGITS ".gguf", path, 0) == 0;
    if (!part && fnmatch("*-" DIGITS "-of-" DIGITS ".safetensors", path, 0) != 0)
        return false;
    size_t n = (size_t)(path_basename(path) - path);
    for (size_t i = 0; i < files->count; i++) {
        const char *other = files->paths[i];
        if (part ? strcmp(other, path) != 0 && is_first_part(other, path)
                 : info_is_index(other) && strncmp(other, path, n) == 0 && !strchr(other + n, '/'))
            return true;
    }
    return false;
}

/* A model directory, a run, or any folder with such files: a summary without tensor tables. A screen
 * about a run is short: its files are there by name, and for machines. */
static int show_directory(const char *path, json_t *list, struct error *e)
{
    struct path_list files;
    size_t shown = 0;
    int code = info_is_run(path) ? show_run(path, list, e) : OK;
    if (code || (info_is_run(path) && !flags.json && !flags.verify))
        return code;
    code = dir_list(path, &files, e);
    if (code)
        return code;
    for (size_t i = 0; i < files.count && !code; i++)
        if (belongs_to_model(files.paths[i]) && !is_part(files.paths[i], &files)) {
            code = show_file(files.paths[i], false, list, e);
            shown++;
        }
    path_list_free(&files);
    if (!code && !shown)
        code =
            error_set(e, ERR_FORMAT, "%s: this directory holds no model, tokenizer or shard", path);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    if (!in->positionals.count)
        return error_set(e, ERR_USAGE, "missing FILE: what to look into");
    json_t *list = json_array();
    int code = OK;
    for (size_t i = 0; i < in->positionals.count && !code; i++) {
        const char *path = in->positionals.items[i];
        code = file_is_directory(path) && !dump_is(path) ? show_directory(path, list, e)
                                                         : show_file(path, true, list, e);
    }
    if (!code && flags.json)
        print_json(json_incref(list));
    json_decref(list);
    return code;
}

const struct command command_info = {
    .name = "info",
    .group = "Files",
    .summary = "show what a model, tokenizer, shard or checkpoint file holds",
    .usage = "FILE... [FLAGS]",
    .notes =
        "Knows GGUF, safetensors and HDF5 files, tokenizer.json, and the configurations of models\n"
        "and runs. Of a run directory it shows the model, the data, how far it came and its best\n"
        "loss (--json and --verify: all its files too), of any other directory all of these files\n"
        "without the tables of tensors. Shapes are written slowest-varying dimension first, in\n"
        "every format. The shards of a model and the parts of a GGUF file are shown as the one model\n"
        "they are, and so is a teacher dump; with --verify all its distributions are read, checked\n"
        "and summed up. A file of reference log-probabilities is checked in any case.\n"
        "\n"
        "Examples:\n"
        "  linnet info model.gguf\n"
        "  linnet info runs/tiny\n"
        "  linnet info --json runs/tiny | less\n",
    .takes_positionals = true,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
