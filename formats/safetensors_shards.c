/* Writing into a directory: one file, or shards and their index. */
#include "base/buffer.h"
#include "base/check.h"
#include "base/json.h"
#include "base/memory.h"
#include "formats/safetensors_private.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shard {
    size_t from, count; /* of the writer's tensors */
    char *path, *temporary;
};

struct shards {
    struct shard *items;
    size_t count, capacity;
};

/* In the order of declaration, each as full as it may be, so that layers stay together. */
static void split(const struct safetensors_writer *w, size_t max_bytes, struct shards *all)
{
    size_t filled = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        size_t n = w->tensors[i].n_bytes;
        if (all->count == 0 || n > max_bytes - filled) {
            void *items = all->items;
            mem_grow(&items, &all->capacity, all->count, sizeof *all->items);
            all->items = items;
            all->items[all->count++] = (struct shard){.from = i};
            filled = 0;
        }
        all->items[all->count - 1].count++;
        filled = n < max_bytes - filled ? filled + n : max_bytes;
    }
}

static char *shard_name(size_t i, size_t n)
{
    return mem_printf("model-%05zu-of-%05zu.safetensors", i + 1, n);
}

/* To its temporary name: what was there stays until all shards are written. */
static int write_shard(const struct safetensors_writer *w, struct shard *s, struct error *e)
{
    int code = file_check_target(s->path, e);
    if (code)
        return code;
    file_remove_leftovers(s->path);
    s->temporary = file_temporary(s->path);
    FILE *out = fopen(s->temporary, "wbe");
    if (!out)
        return error_set_errno(e, "%s: cannot create", s->path);
    code = safetensors_write(out, s->path, w->tensors + s->from, s->count, e);
    if (fclose(out) != 0 && !code)
        code = error_set_errno(e, "%s: cannot write", s->path);
    return code;
}

static int write_index(const struct safetensors_writer *w, const struct shards *all,
                       const char *path, struct error *e)
{
    json_t *map = json_object();
    size_t total = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct shard *s = &all->items[i];
        for (size_t k = s->from; k < s->from + s->count; k++) {
            json_object_set_new(map, w->tensors[k].name, json_string(path_basename(s->path)));
            total += w->tensors[k].n_bytes;
        }
    }
    json_t *root =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    CHECK(text);
    char *line = mem_printf("%s\n", text);
    int code = file_write(path, line, strlen(line), e);
    mem_free(line);
    free(text);
    json_decref(root);
    return code;
}

static int remove_file(const char *path, struct error *e)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return error_set_errno(e, "%s: cannot remove the old weights", path);
    return OK;
}

/* Shards of an earlier write, but for those in `n` files: converters take every file of such a
 * name. */
static int remove_old_shards(const char *directory, size_t n, struct error *e)
{
#define DIGITS "[0-9][0-9][0-9][0-9][0-9]"
    char *ours = mem_printf("-of-%05zu.safetensors", n);
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int code = dir ? OK : error_set_errno(e, "%s", directory);
    while (!code && (entry = readdir(dir))) {
        if (fnmatch("model-" DIGITS "-of-" DIGITS ".safetensors", entry->d_name, 0) != 0 ||
            path_has_suffix(entry->d_name, ours))
            continue;
        char *path = path_join(directory, entry->d_name);
        code = remove_file(path, e);
        mem_free(path);
    }
    if (dir)
        closedir(dir);
    mem_free(ours);
    return code;
}

/* The old index goes before the first shard is replaced, the new one comes after the last: whatever
 * a crash leaves between them is refused for want of an index. A single file, which is read first
 * where there is one, goes once the new weights are whole. */
static int write_shards(const struct safetensors_writer *w, const char *directory,
                        struct shards *all, const char *single, const char *index, struct error *e)
{
    int code = file_check_target(index, e);
    for (size_t i = 0; i < all->count && !code; i++) {
        char *name = shard_name(i, all->count);
        all->items[i].path = path_join(directory, name);
        mem_free(name);
        code = write_shard(w, &all->items[i], e);
    }
    if (!code)
        code = remove_file(index, e);
    for (size_t i = 0; i < all->count && !code; i++) {
        struct shard *s = &all->items[i];
        code = file_replace(s->temporary, s->path, e);
        if (code)
            break;
        mem_free(s->temporary);
        s->temporary = NULL;
    }
    if (!code)
        code = write_index(w, all, index, e);
    if (!code)
        code = remove_file(single, e);
    return code ? code : remove_old_shards(directory, all->count, e);
}

static int write_single(struct safetensors_writer *w, const char *directory, const char *single,
                        const char *index, struct error *e)
{
    int code = safetensors_writer_finish(w, single, e);
    if (!code)
        code = remove_file(index, e);
    return code ? code : remove_old_shards(directory, 0, e);
}

int safetensors_writer_finish_directory(struct safetensors_writer *w, const char *directory,
                                        size_t max_bytes, struct error *e)
{
    struct shards all = {0};
    char *single = path_join(directory, SAFETENSORS_FILE),
         *index = path_join(directory, SAFETENSORS_INDEX);
    split(w, max_bytes ? max_bytes : SIZE_MAX, &all);
    int code;
    if (all.count > SAFETENSORS_MAX_FILES)
        code = error_set(e, ERR_USAGE,
                         "%s: the weights would be in %zu files, at most %d are possible; allow "
                         "larger ones",
                         directory, all.count, SAFETENSORS_MAX_FILES);
    else if (all.count > 1)
        code = write_shards(w, directory, &all, single, index, e);
    else
        code = write_single(w, directory, single, index, e);
    for (size_t i = 0; i < all.count; i++) {
        struct shard *s = &all.items[i];
        if (s->temporary)
            unlink(s->temporary);
        mem_free(s->temporary);
        mem_free(s->path);
    }
    mem_free(all.items);
    mem_free(single);
    mem_free(index);
    return code;
}
