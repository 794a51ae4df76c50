#include "chat/engine.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct pool_chunk {
    struct pool_chunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

enum { FIRST_CHUNK = 16 << 10, LARGEST_CHUNK = 1 << 20 };

void engine_fail(struct engine *g, const char *format, ...)
{
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < g->at && i < g->source_size; i++) {
        if (g->source[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    size_t column = 1; /* in characters */
    for (size_t i = begin; i < g->at && i < g->source_size; i++)
        column += (g->source[i] & 0xC0) != 0x80;
    char message[sizeof g->error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *p = message; *p; p++) /* a template's own words may have more than one line */
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    error_set(g->error, ERR_FORMAT, "%s: line %zu, column %zu: %s", g->name, line, column, message);
    longjmp(g->trap, 1);
}

int engine_clip(const char *s, size_t n, size_t most)
{
    size_t size = n > most ? most : n;
    while (size < n && size > 0 && (s[size] & 0xC0) == 0x80)
        size--;
    return (int)size;
}

void engine_out_of_work(struct engine *g)
{
    engine_fail(g, "the template takes too many steps");
}

void engine_enter(struct engine *g)
{
    if (g->depth >= g->depth_most)
        engine_fail(g, "nested deeper than %u", g->depth_most);
    g->depth++;
}

static struct pool_chunk *new_chunk(struct engine *g, size_t least)
{
    struct pool *p = &g->pool;
    size_t size = p->used < FIRST_CHUNK ? FIRST_CHUNK : p->used;
    size = size > LARGEST_CHUNK ? LARGEST_CHUNK : size;
    size = size < least ? least : size;
    if (size > p->limit - p->used)
        size = least;
    if (size > p->limit - p->used)
        engine_fail(g, "the template needs more memory than the limit of %zu bytes", p->limit);
    struct pool_chunk *c = mem_alloc(1, sizeof *c + size);
    *c = (struct pool_chunk){.next = p->chunks, .size = size};
    p->chunks = c;
    p->used += size;
    return c;
}

void *engine_alloc(struct engine *g, size_t count, size_t size)
{
    size_t n;
    if (!size_mul(count, size, &n) || n > g->pool.limit)
        engine_fail(g, "the template needs more memory than the limit of %zu bytes", g->pool.limit);
    n = (n + 15) & ~(size_t)15;
    struct pool_chunk *c = g->pool.chunks;
    if (!c || n > c->size - c->used)
        c = new_chunk(g, n);
    void *p = c->bytes + c->used;
    c->used += n;
    return memset(p, 0, n);
}

void engine_free(struct engine *g)
{
    for (struct pool_chunk *c = g->pool.chunks, *next; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    g->pool.chunks = NULL;
    g->pool.used = 0;
}

void text_append(struct engine *g, struct text *t, const void *bytes, size_t n)
{
    engine_work_bytes(g, n);
    if (n > t->capacity - t->size) {
        size_t more = t->capacity > n ? t->capacity : n;
        char *data = engine_alloc(g, t->capacity + more + 32, 1);
        if (t->size)
            memcpy(data, t->data, t->size);
        t->data = data;
        t->capacity += more + 32;
    }
    if (n)
        memcpy(t->data + t->size, bytes, n);
    t->size += n;
}

void text_string(struct engine *g, struct text *t, const char *s)
{
    text_append(g, t, s, strlen(s));
}

void text_byte(struct engine *g, struct text *t, char c)
{
    text_append(g, t, &c, 1);
}
