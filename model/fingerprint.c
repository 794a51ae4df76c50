#include "model/fingerprint.h"

#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

static uint64_t hash_shape(const struct param *p, uint64_t h)
{
    const uint64_t shape[] = {p->role, (uint64_t)(p->layer + 1), (uint64_t)(p->expert + 1), p->rows, p->cols};
    return hash64(shape, sizeof shape, h);
}

uint64_t model_fingerprint(const struct model *m)
{
    uint64_t h = 1;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        h = hash_shape(p, h);
        if (p->matrix || !p->value)
            continue;
        uint16_t *rounded = mem_alloc(p->count, sizeof *rounded);
        bf16_from_f32(p->value, rounded, p->count);
        h = hash64(rounded, p->count * sizeof *rounded, h);
        mem_free(rounded);
    }
    return h ? h : 1;
}

uint64_t model_weights_hash(const struct model *m)
{
    enum { MOST = 4096 };
    uint64_t h = 1;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        size_t bytes;
        h = hash_shape(p, h) + (uint64_t)p->type;
        if (p->data && dtype_bytes(p->type, p->count, &bytes))
            h = hash64(p->data, p->matrix && bytes > MOST ? MOST : bytes, h);
    }
    return h ? h : 1;
}
