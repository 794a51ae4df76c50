#include "kernels/scratch.h"

#include "base/check.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdint.h>

enum { OWN, SHARED, SLOTS };

struct scratch {
    struct slot {
        float *memory; /* as allocated */
        size_t capacity;
    } slots[SLOTS];
};

/* A key rather than only _Thread_local: its destructor frees what a finished thread held. */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct scratch *own;

static void scratch_free(void *p)
{
    struct scratch *s = p;
    for (int i = 0; i < SLOTS; i++)
        mem_free(s->slots[i].memory);
    mem_free(s);
}

static void make_key(void)
{
    CHECK(pthread_key_create(&key, scratch_free) == 0);
}

static struct scratch *own_scratch(void)
{
    if (!own) {
        CHECK(pthread_once(&once, make_key) == 0);
        own = mem_zero(1, sizeof *own);
        CHECK(pthread_setspecific(key, own) == 0);
    }
    return own;
}

static void *reserve(struct slot *s, size_t n)
{
    enum { LINE = ARENA_ALIGN / sizeof(float) };
    if (n > s->capacity || !s->memory) {
        mem_free(s->memory);
        s->memory = mem_alloc(n + LINE, sizeof *s->memory);
        s->capacity = n;
    }
    uintptr_t address = (uintptr_t)s->memory;
    return (void *)((address + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
}

float *scratch_floats(size_t n)
{
    return reserve(&own_scratch()->slots[OWN], n);
}

void *scratch_shared(size_t bytes)
{
    return reserve(&own_scratch()->slots[SHARED], bytes / sizeof(float) + 1);
}
