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

/* Part `number` of `count`, which together hold `tensors` as the first part says. */
static int check_claim(const struct gguf *g, size_t number, size_t count, size_t tensors,
                       struct error *e)
{
    struct claim c;
    int code = read_claim(g, &c, e);
    if (code)
        return code;
    if (c.count != count)
        return error_set(e, ERR_FORMAT,
                         "key \"split.count\" is %zu, but there should be %zu parts: this is a "
                         "part of another model",
                         c.count, count);
    if (c.number == SIZE_MAX)
        return error_set(e, ERR_FORMAT, "key \"split.no\" is missing, which says what part it is");
    if (c.number != number)
        return error_set(e, ERR_FORMAT,
                         "key \"split.no\" says that it is part %zu of %zu, its name that it is "
                         "part %zu: files were mixed up",
                         c.number + 1, c.count, number + 1);
    if (c.tensors != tensors)
        return error_set(
            e, ERR_FORMAT,
            "key \"split.tensors.count\" differs from the first part's: this is a part "
            "of another model");
    return OK;
}

/* Whether all parts belong together, and how many tensors they hold. */
static int check_parts(const struct gguf *parts, size_t n, size_t *total, size_t *fault,
                       struct error *e)
{
    struct claim first;
    *total = *fault = 0;
    int code = read_claim(&parts[0], &first, e);
    for (size_t i = 0; i < n && !code; i++) {
        *fault = i;
        *total += parts[i].n_tensors;
        code = check_claim(&parts[i], i, n, first.tensors, e);
    }
    if (code)
        return code;
    *fault = 0;
    if (*total > GGUF_MAX_TENSORS)
        return error_set(e, ERR_FORMAT, "%zu tensors, at most %d are allowed", *total,
                         GGUF_MAX_TENSORS);
    if (first.tensors != SIZE_MAX && first.tensors != *total)
        return error_set(e, ERR_FORMAT,
                         "the parts hold %zu tensors, but \"split.tensors.count\" is %zu: not all "
                         "are of this model",
                         *total, first.tensors);
    return OK;
}

int gguf_join(struct gguf *parts, size_t n, struct gguf *whole, size_t *fault, struct error *e)
{
    size_t total;
    *whole = (struct gguf){0};
    int code = check_parts(parts, n, &total, fault, e);
    if (code)
        return code;
    *whole = parts[0];
    parts[0] = (struct gguf){0};
    size_t at = whole->n_tensors;
    whole->tensors = mem_resize(whole->tensors, total ? total : 1, sizeof *whole->tensors);
    whole->maps = mem_resize(whole->maps, n, sizeof *whole->maps);
    for (size_t i = 1; i < n; i++) {
        struct gguf *part = &parts[i];
        if (part->n_tensors)
            memcpy(whole->tensors + at, part->tensors, part->n_tensors * sizeof *part->tensors);
        at += part->n_tensors;
        for (size_t k = 0; k < part->n_maps; k++)
            whole->maps[whole->n_maps++] = part->maps[k];
        part->n_maps = 0; /* the whole's now */
    }
    whole->n_tensors = total;
    code = gguf_index_tensors(whole, e);
    if (code)
        gguf_close(whole);
    return code;
}

static char *part_path(const char *path, size_t stem, size_t number, size_t count)
{
    return mem_printf("%.*s-%05zu-of-%05zu.gguf", (int)stem, path, number + 1, count);
}

static int open_part(const char *path, size_t stem, size_t number, size_t count, struct gguf *part,
                     struct error *e)
{
    char *name = part_path(path, stem, number, count);
    int code =
        !file_exists(name)
            ? error_set(e, ERR_IO, "%s: this part is missing; all %zu must lie in one folder", name,
                        count)
            : gguf_open_file(name, part, e);
    mem_free(name);
    return code;
}

/* *g, the part at `path`, becomes the whole of `count` parts. */
static int open_parts(const char *path, size_t count, struct gguf *g, struct error *e)
{
    size_t stem, number, in_name, fault;
    if (count > MAX_PARTS)
        return error_set(e, ERR_FORMAT, "%s: key \"split.count\" is %zu, at most %d are allowed",
                         path, count, MAX_PARTS);
    if (!split_name(path, &stem, &number, &in_name) || in_name != count || number < 1 ||
        number > count)
        return error_set(e, ERR_FORMAT,
                         "%s: one of %zu parts, whose names must end in -00001-of-%05zu.gguf and "
                         "so on for the others to be found",
                         path, count, count);
    struct gguf *parts = mem_zero(count, sizeof *parts);
    parts[number - 1] = *g;
    *g = (struct gguf){0};
    int code = OK;
    for (size_t i = 0; i < count && !code; i++)
        if (i != number - 1)
            code = open_part(path, stem, i, count, &parts[i], e);
    if (!code) {
        code = gguf_join(parts, count, g, &fault, e);
        if (code) {
            char *name = part_path(path, stem, fault, count);
            error_prefix(e, "%s", name);
            mem_free(name);
        }
    }
    for (size_t i = 0; i < count; i++)
        gguf_close(&parts[i]);
    mem_free(parts);
    return code;
}

int gguf_open(const char *path, struct gguf *g, struct error *e)
{
    struct claim claim;
    int code = gguf_open_file(path, g, e);
    if (code)
        return code;
    code = read_claim(g, &claim, e);
    if (code)
        error_prefix(e, "%s", path);
    else if (claim.count > 1)
        code = open_parts(path, claim.count, g, e);
    if (code)
        gguf_close(g);
    return code;
}
