#include "base/memory.h"

#include "base/check.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void *must_have(void *p, size_t count, size_t size)
{
    if (!p) {
        fprintf(stderr, "linnet: error: out of memory (asked for %zu x %zu bytes)\n", count, size);
        exit(1);
    }
    return p;
}

void *mem_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes))
        must_have(NULL, count, size);
    return must_have(malloc(bytes ? bytes : 1), count, size);
}

void *mem_zero(size_t count, size_t size)
{
    return must_have(calloc(count ? count : 1, size ? size : 1), count, size);
}

void *mem_resize(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes))
        must_have(NULL, count, size);
    return must_have(realloc(p, bytes ? bytes : 1), count, size);
}

char *mem_string(const char *s)
{
    return s ? mem_string_n(s, strlen(s)) : NULL;
}

char *mem_string_n(const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1, 1);
    if (n)
        memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *mem_printf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    CHECK(n >= 0);
    char *s = mem_alloc((size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return s;
}

void mem_free(void *p)
{
    free(p);
}

bool size_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

void mem_grow(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return;
    size_t wanted = *capacity ? *capacity : 16;
    while (wanted <= count) {
        CHECK(wanted <= SIZE_MAX / 2);
        wanted *= 2;
    }
    *items = mem_resize(*items, wanted, size);
    *capacity = wanted;
}

size_t mem_resident(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    size_t total, resident = 0;
    if (fscanf(f, "%zu %zu", &total, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

size_t mem_resident_peak(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (size_t)usage.ru_maxrss * 1024;
}

int arena_init(struct arena *a, size_t size, const char *what, struct error *e)
{
    *a = (struct arena){0};
    if (size == 0)
        size = ARENA_ALIGN;
    size_t limit, available;
    mem_measure(&limit, &available);
    char wanted[32], most[32];
    if (size > limit)
        return error_set(e, ERR_MEMORY,
                         "cannot reserve %s for %s: no more than %s of memory can be had here; use a "
                         "smaller model, batch or sequence length (see --plan)",
                         format_bytes((double)size, wanted), what,
                         format_bytes((double)limit, most));
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return error_set(e, ERR_MEMORY,
                         "cannot reserve %s for %s; use a smaller model, batch or sequence "
                         "length (see --plan)",
                         format_bytes((double)size, wanted), what);
    madvise(p, size, MADV_HUGEPAGE);
    a->base = p;
    a->size = size;
    return OK;
}

void arena_free(struct arena *a)
{
    if (a->base)
        munmap(a->base, a->size);
    *a = (struct arena){0};
}

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!size_mul(count, size, &bytes) || bytes > ARENA_MOST - ARENA_ALIGN ||
        a->used > ARENA_MOST - ARENA_ALIGN - bytes) {
        CHECK(!a->base);
        a->used = ARENA_MOST;
        return NULL;
    }
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    size_t at = a->used;
    a->used += bytes;
    if (!a->base)
        return NULL;
    CHECK(a->used <= a->size);
    return a->base + at;
}
