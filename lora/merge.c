#include "lora/merge.h"

#include "base/memory.h"

#include <string.h>

static float pair_scale(const struct lora_pair *p)
{
    return p->scale * p->adapter->strength;
}

static bool changes(const struct lora_pair *p, const struct param *weight)
{
    return p->linear->weight == weight && pair_scale(p) != 0;
}

bool lora_merges(const struct lora_adapter *adapters, size_t n_adapters, const struct param *weight)
{
    for (size_t i = 0; i < n_adapters; i++)
        for (size_t j = 0; j < adapters[i].n_pairs; j++)
            if (changes(&adapters[i].pairs[j], weight))
                return true;
    return false;
}

void lora_merge_rows(const struct lora_adapter *adapters, size_t n_adapters, const struct param *weight,
                     const size_t *which, size_t n_rows, float *rows)
{
    const size_t count = n_rows * weight->cols;
    float *base = mem_alloc(count + 1, sizeof *base);
    memcpy(base, rows, count * sizeof *base);
    for (size_t i = 0; i < n_adapters; i++)
        for (size_t j = 0; j < adapters[i].n_pairs; j++)
            if (changes(&adapters[i].pairs[j], weight))
                lora_pair_merge(&adapters[i].pairs[j], which, n_rows, base, rows);
    mem_free(base);
}
