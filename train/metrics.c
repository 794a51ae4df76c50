#include "train/metrics.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The step of a line of n bytes; false when it has none. */
static bool step_of(const char *line, size_t n, size_t *step)
{
    static const char prefix[] = "{\"step\": ";
    if (n <= sizeof prefix || memcmp(line, prefix, sizeof prefix - 1) != 0)
        return false;
    *step = strtoull(line + sizeof prefix - 1, NULL, 10);
    return true;
}

/* The lines up to `step`; a torn last line (the machine died) goes too. */
static void keep_lines(const struct buffer *text, size_t step, struct buffer *kept)
{
    for (size_t at = 0, found; at < text->size;) {
        const char *line = text->data + at, *end = memchr(line, '\n', text->size - at);
        if (!end)
            return;
        size_t n = (size_t)(end - line) + 1;
        if (step_of(line, n, &found) && found <= step)
            buffer_append(kept, line, n);
        at += n;
    }
}

static int drop_later_lines(const char *path, size_t step, struct error *e)
{
    struct buffer text = {0}, kept = {0};
    int code = file_read(path, &text, (size_t)1 << 32, e);
    if (!code) {
        keep_lines(&text, step, &kept);
        if (kept.size != text.size)
            code = file_write(path, kept.data, kept.size, e);
    }
    buffer_free(&text);
    buffer_free(&kept);
    return code;
}

int metrics_open(struct metrics *m, const char *path, size_t step, struct error *e)
{
    *m = (struct metrics){0};
    if (file_exists(path)) {
        int code = drop_later_lines(path, step, e);
        if (code)
            return code;
    }
    m->file = fopen(path, "ae");
    if (!m->file)
        return error_set_errno(e, "%s", path);
    m->path = mem_string(path);
    return OK;
}

void metrics_close(struct metrics *m)
{
    if (m->file)
        fclose(m->file);
    mem_free(m->path);
    *m = (struct metrics){0};
}

int metrics_hold(const struct metrics *m, size_t step, const char *name, bool *holds,
                 struct error *e)
{
    struct buffer text = {0};
    *holds = false;
    int code = file_read(m->path, &text, (size_t)1 << 32, e);
    char *member = mem_printf("\"%s\": ", name);
    for (size_t at = 0, n, found; at < text.size && !code; at += n) {
        const char *line = text.data + at, *end = memchr(line, '\n', text.size - at);
        n = end ? (size_t)(end - line) + 1 : text.size - at;
        if (step_of(line, n, &found) && found == step)
            *holds |= memmem(line, n, member, strlen(member)) != NULL;
    }
    mem_free(member);
    buffer_free(&text);
    return code;
}

int metrics_write(struct metrics *m, size_t step, const struct metric *values, struct error *e)
{
    fprintf(m->file, "{\"step\": %zu", step);
    for (const struct metric *v = values; v->name; v++) {
        if (isfinite(v->value))
            fprintf(m->file, ", \"%s\": %.9g", v->name, v->value);
        else
            fprintf(m->file, ", \"%s\": null", v->name);
    }
    fputs("}\n", m->file);
    if (fflush(m->file) != 0)
        return error_set_errno(e, "%s: cannot write", m->path);
    return OK;
}
