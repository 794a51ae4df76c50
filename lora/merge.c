#include "lora/merge.h"

#include "base/check.h"
#include "base/memory.h"
#include "kernels/gemm.h"

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

static void merge_pair(const struct lora_pair *p, const size_t *which, size_t n, float *rows)
{
    const struct param *w = p->linear->weight;
    const size_t r = p->rank;
    const float scale = pair_scale(p);
    float *scaled = mem_alloc(n * r, sizeof *scaled);
    for (size_t i = 0; i < n; i++) {
        CHECK(which[i] < w->rows);
        for (size_t k = 0; k < r; k++)
            scaled[i * r + k] = scale * p->b[which[i] * r + k];
    }
    gemm_f32(false, false, n, w->cols, r, scaled, r, p->a, w->cols, 1, rows, w->cols);
    mem_free(scaled);
}

void lora_merge_rows(const struct lora_adapter *adapters, size_t n_adapters, const struct param *weight,
                     const size_t *which, size_t n_rows, float *rows)
{
    for (size_t i = 0; i < n_adapters; i++)
        for (size_t j = 0; j < adapters[i].n_pairs; j++)
            if (changes(&adapters[i].pairs[j], weight))
                merge_pair(&adapters[i].pairs[j], which, n_rows, rows);
}
