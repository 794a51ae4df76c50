/* What the parser and the renderer of chat templates share: memory that is freed as a whole, a
 * budget of work, the place in the template, and the way to give up.
 *
 * Failing leaves by longjmp to the one setjmp of chat_template_parse or chat_template_render: an
 * interpreter has an error path at every operation, and all it owns is in one pool. Nothing between
 * that setjmp and a failure may own anything else. */
#ifndef LINNET_CHAT_ENGINE_H
#define LINNET_CHAT_ENGINE_H

#include "base/error.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory handed out front to back and freed together. */
struct pool {
    struct pool_chunk *chunks; /* the newest first */
    size_t used, limit;        /* bytes taken from the system, and at most */
};

struct engine {
    jmp_buf trap;
    struct error *error;
    const char *name, *source; /* of the template */
    size_t source_size;
    size_t at; /* offset in the source of what is done now: errors name its line and column */
    struct pool pool;
    size_t work;    /* steps left */
    unsigned depth; /* of recursion */
    unsigned depth_most;
};

/* "NAME: line L, column C: ..." into g->error, and away. */
_Noreturn void engine_fail(struct engine *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* For %.*s in such a line: how many of n bytes to show, at most `most`, cut between two
 * characters. */
enum { ENGINE_CLIP = 60 /* for names */ };
int engine_clip(const char *s, size_t n, size_t most);
_Noreturn void engine_out_of_work(struct engine *g);

/* Zeroed, aligned for anything, never NULL. Fails when the pool would exceed its limit. */
void *engine_alloc(struct engine *g, size_t count, size_t size);
void engine_free(struct engine *g); /* the pool; everything engine_alloc gave */

static inline void engine_work(struct engine *g, size_t steps)
{
    if (steps >= g->work)
        engine_out_of_work(g);
    g->work -= steps;
}

/* For n bytes that are read or copied. */
static inline void engine_work_bytes(struct engine *g, size_t n)
{
    engine_work(g, 1 + n / 16);
}

/* Around everything that recurses. */
void engine_enter(struct engine *g);
static inline void engine_leave(struct engine *g)
{
    g->depth--;
}

/* Text that grows in the pool. */
struct text {
    char *data;
    size_t size, capacity;
};
void text_append(struct engine *g, struct text *t, const void *bytes, size_t n);
void text_string(struct engine *g, struct text *t, const char *s);
void text_byte(struct engine *g, struct text *t, char c);

#endif
