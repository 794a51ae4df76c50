/* Models in several GGUF files, as llama.cpp's gguf-split writes them. */
#include "base/memory.h"
#include "formats/gguf_private.h"

#include <string.h>

enum { MAX_PARTS = 10000 };

#define SUFFIX "-00001-of-00001.gguf"

/* The number (from 1) and the count that a name ends with, and where that ending begins. */
static bool split_name(const char *path, size_t *stem, size_t *number, size_t *count)
{
    size_t size = strlen(path), n = sizeof SUFFIX - 1;
    if (size < n)
        return false;
    const char *end = path + size - n;
    for (size_t i = 0; i < n; i++) {
        bool digit = SUFFIX[i] == '0' || SUFFIX[i] == '1';
        if (digit ? end[i] < '0' || end[i] > '9' : end[i] != SUFFIX[i])
            return false;
    }
    *stem = size - n;
    *number = *count = 0;
    for (int i = 1; i <= 5; i++)
        *number = *number * 10 + (size_t)(end[i] - '0');
    for (int i = 10; i <= 14; i++)
        *count = *count * 10 + (size_t)(end[i] - '0');
    return true;
}

/* What a part says about itself and the whole. */
struct claim {
    size_t number, count, tensors; /* number from 0; SIZE_MAX where it does not say */
};

static int read_claim(const struct gguf *g, struct claim *c, struct error *e)
{
    *c = (struct claim){SIZE_MAX, 0, SIZE_MAX};
    int code = gguf_get_size(g, "split.count", &c->count, e);
    if (!code)
        code = gguf_get_size(g, "split.no", &c->number, e);
    if (!code)
        code = gguf_get_size(g, "split.tensors.count", &c->tensors, e);
    return code;
}

/* Part `number` of `count`, against the first one opened. */
static int check_claim(const struct gguf *g, size_t number, const struct claim *whole,
                       struct error *e)
{
    struct claim c;
    int code = read_claim(g, &c, e);
    if (code)
        return code;
    if (c.count != whole->count)
        return error_set(e, ERR_FORMAT,
                         "key \"split.count\" is %zu, but there should be %zu parts: this is a "
                         "part of another model", c.count, whole->count);
    if (c.number == SIZE_MAX)
        return error_set(e, ERR_FORMAT, "key \"split.no\" is missing, which says what part it is");
    if (c.number != number)
        return error_set(e, ERR_FORMAT,
                         "key \"split.no\" says that it is part %zu of %zu, its name that it is "
                         "part %zu: files were mixed up", c.number + 1, c.count, number + 1);
    if (c.tensors != whole->tensors)
        return error_set(e, ERR_FORMAT,
                         "key \"split.tensors.count\" differs between the parts: this is a part of "
                         "another model");
    return OK;
}

/* The tensors and files of all parts into the first, whose keys are the model's. The other parts
 * are closed in any case. */
static int join(struct gguf *parts, const struct claim *whole, struct error *e)
{
    struct gguf *first = &parts[0];
    size_t total = 0, at = first->n_tensors;
    int code = OK;
    for (size_t i = 0; i < whole->count; i++)
        total += parts[i].n_tensors; /* at most MAX_PARTS times GGUF_MAX_TENSORS */
    if (total > GGUF_MAX_TENSORS)
        code = error_set(e, ERR_FORMAT, "%zu tensors, at most %d are allowed", total,
                         GGUF_MAX_TENSORS);
    else if (whole->tensors != SIZE_MAX && whole->tensors != total)
        code = error_set(e, ERR_FORMAT,
                         "the parts hold %zu tensors, but \"split.tensors.count\" is %zu: not all "
                         "are of this model", total, whole->tensors);
    if (code)
        return code;
    first->tensors = mem_resize(first->tensors, total ? total : 1, sizeof *first->tensors);
    first->maps = mem_resize(first->maps, whole->count, sizeof *first->maps);
    for (size_t i = 1; i < whole->count; i++) {
        struct gguf *part = &parts[i];
        if (part->n_tensors)
            memcpy(first->tensors + at, part->tensors, part->n_tensors * sizeof *part->tensors);
        at += part->n_tensors;
        first->maps[first->n_maps++] = part->maps[0];
        part->n_maps = 0; /* the first part's now */
    }
    first->n_tensors = total;
    return gguf_index_tensors(first, e);
}

static int open_part(const char *path, size_t stem, size_t number, const struct claim *whole,
                     struct gguf *part, struct error *e)
{
    char *name = mem_printf("%.*s-%05zu-of-%05zu.gguf", (int)stem, path, number + 1, whole->count);
    int code = !file_exists(name)
                   ? error_set(e, ERR_IO,
                               "%s: this part is missing; all %zu must lie in one folder", name,
                               whole->count)
                   : gguf_open_file(name, part, e);
    if (!code) {
        code = check_claim(part, number, whole, e);
        if (code)
            error_prefix(e, "%s", name);
    }
    mem_free(name);
    return code;
}

/* *g, the part at `path`, becomes the whole. */
static int open_parts(const char *path, const struct claim *whole, struct gguf *g, struct error *e)
{
    size_t stem, number, count;
    if (whole->count > MAX_PARTS)
        return error_set(e, ERR_FORMAT, "%s: key \"split.count\" is %zu, at most %d are allowed",
                         path, whole->count, MAX_PARTS);
    if (!split_name(path, &stem, &number, &count) || count != whole->count || number < 1 ||
        number > count)
        return error_set(e, ERR_FORMAT,
                         "%s: one of %zu parts, whose names must end in -00001-of-%05zu.gguf and "
                         "so on for the others to be found", path, whole->count, whole->count);
    struct gguf *parts = mem_zero(count, sizeof *parts);
    int code = check_claim(g, number - 1, whole, e);
    if (code)
        error_prefix(e, "%s", path);
    parts[number - 1] = *g;
    *g = (struct gguf){0};
    for (size_t i = 0; i < count && !code; i++)
        if (i != number - 1)
            code = open_part(path, stem, i, whole, &parts[i], e);
    if (!code) {
        code = join(parts, whole, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    if (!code) {
        *g = parts[0];
        parts[0] = (struct gguf){0};
    }
    for (size_t i = 0; i < count; i++)
        gguf_close(&parts[i]);
    mem_free(parts);
    return code;
}

int gguf_open(const char *path, struct gguf *g, struct error *e)
{
    struct claim whole;
    int code = gguf_open_file(path, g, e);
    if (code)
        return code;
    code = read_claim(g, &whole, e);
    if (code)
        error_prefix(e, "%s", path);
    else if (whole.count > 1)
        code = open_parts(path, &whole, g, e);
    if (code)
        gguf_close(g);
    return code;
}
