/* Heap memory and planned arenas.
 *
 * mem_* never return NULL: when memory runs out they print one line and exit with status 1.
 * Sizes that come from a file must be bounded against the file's own size before they get here.
 * Everything a training step touches lives in a `struct arena`, sized beforehand. */
#ifndef LINNET_BASE_MEMORY_H
#define LINNET_BASE_MEMORY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t count, size_t size);             /* uninitialised */
void *mem_zero(size_t count, size_t size);              /* zeroed */
void *mem_resize(void *p, size_t count, size_t size);   /* as realloc */
char *mem_string(const char *s);                        /* strdup; NULL stays NULL */
char *mem_string_n(const char *s, size_t n);            /* the first n bytes, NUL-terminated */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), nonnull(1)));
void mem_free(void *p);

/* *product = a * b; false when it does not fit size_t. */
bool size_mul(size_t a, size_t b, size_t *product);

static inline size_t size_larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline size_t size_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Grows *items (of `size` bytes each) so that index `count` is valid; doubles the capacity. */
void mem_grow(void **items, size_t *capacity, size_t count, size_t size);

/* Bytes of this process in physical memory now, and at most so far; 0 where unknown. */
size_t mem_resident(void);
size_t mem_resident_peak(void);

/* The most bytes this process can ever have (physical memory and swap, limits of control groups and
 * of `ulimit -v`), and what of that is free now without swapping. SIZE_MAX where unknown. */
void mem_measure(size_t *limit, size_t *available);

enum { ARENA_ALIGN = 64 }; /* one cache line, one AVX-512 vector */
/* What a measuring arena stops at: more than any machine has, and safe to round up and add to. */
#define ARENA_MOST ((size_t)1 << 60)

/* What arena_alloc takes for so many bytes. */
static inline size_t arena_aligned(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

/* One block of zeroed memory handed out front to back. Measure first with a NULL base: an arena
 * whose `base` is NULL only counts, so the same code plans and allocates. */
struct arena {
    char *base;
    size_t used, size;
};

/* Reserves `size` bytes (zeroed, page-aligned). ERR_MEMORY when the system refuses, or when all
 * arenas together would be larger than the machine's memory. */
int arena_init(struct arena *a, size_t size, const char *what, struct error *e);
void arena_free(struct arena *a);
/* `count * size` bytes aligned to ARENA_ALIGN; NULL from a measuring arena, which stops at a size
 * that arena_init refuses instead of wrapping around. Otherwise the arena must have been sized for
 * it (CHECK). */
void *arena_alloc(struct arena *a, size_t count, size_t size);

#endif
