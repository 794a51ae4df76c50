#include "infer/stop.h"

#include <string.h>

/* Drops the first n bytes held. */
static void drop(struct buffer *b, size_t n)
{
    memmove(b->data, b->data + n, b->size - n + 1);
    b->size -= n;
}

/* Where the first complete stop string begins, or held.size. */
static size_t first_match(const struct stop_filter *f)
{
    size_t first = f->held.size;
    for (size_t i = 0; i < f->n_stops; i++) {
        const char *at = memmem(f->held.data, f->held.size, f->stops[i], strlen(f->stops[i]));
        if (at && (size_t)(at - f->held.data) < first)
            first = (size_t)(at - f->held.data);
    }
    return first;
}

/* Whether the bytes from `at` to the end begin some stop string. */
static bool may_begin(const struct stop_filter *f, size_t at)
{
    size_t n = f->held.size - at;
    for (size_t i = 0; i < f->n_stops; i++)
        if (n < strlen(f->stops[i]) && memcmp(f->held.data + at, f->stops[i], n) == 0)
            return true;
    return false;
}

bool stop_filter_push(struct stop_filter *f, const char *text, size_t n, struct buffer *out)
{
    if (n == 0)
        return false;
    buffer_append(&f->held, text, n);
    size_t end = first_match(f);
    bool found = end < f->held.size;
    if (!found)
        for (end = 0; end < f->held.size && !may_begin(f, end);)
            end++;
    buffer_append(out, f->held.data, end);
    if (found)
        buffer_clear(&f->held);
    else
        drop(&f->held, end);
    return found;
}

void stop_filter_flush(struct stop_filter *f, struct buffer *out)
{
    if (f->held.size > 0)
        buffer_append(out, f->held.data, f->held.size);
    buffer_clear(&f->held);
}

void stop_filter_reset(struct stop_filter *f)
{
    buffer_clear(&f->held);
}

void stop_filter_free(struct stop_filter *f)
{
    buffer_free(&f->held);
    *f = (struct stop_filter){0};
}
