#include "kernels/scratch.h"

#include "base/memory.h"

#include <stdint.h>

static _Thread_local float *memory; /* as allocated */
static _Thread_local size_t capacity;

float *scratch_floats(size_t n)
{
    enum { LINE = ARENA_ALIGN / sizeof(float) };
    if (n > capacity || !memory) {
        mem_free(memory);
        memory = mem_alloc(n + LINE, sizeof *memory);
        capacity = n;
    }
    uintptr_t address = (uintptr_t)memory;
    return (float *)((address + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
}
