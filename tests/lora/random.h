/* Random adapters of every linear layer of a model, of different ranks and scales. */
#ifndef LINNET_TESTS_LORA_RANDOM_H
#define LINNET_TESTS_LORA_RANDOM_H

#include "base/rng.h"
#include "base/memory.h"
#include "lora/load.h"
#include "lora/merge.h"

#include <math.h>
#include <string.h>

/* Without experts, and without an output layer that is the embedding. Layers that share a tensor in files share A and
 * have one rank if `shared`. */
__attribute__((unused)) static int random_adapter(struct model *m, bool experts, bool shared, uint64_t seed,
                                                  struct lora_adapter *a, struct error *e)
{
    struct lora_want *wants = mem_zero(m->n_params, sizeof *wants);
    size_t n = 0;
    struct rng r;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        struct linear *l = p == m->token_embd ? NULL : lora_linear(m, p);
        if (!l || (p->expert >= 0 && !experts))
            continue;
        bool with_last = p->role == PARAM_ATTN_K || p->role == PARAM_ATTN_V || p->role == PARAM_FFN_UP;
        wants[n] = (struct lora_want){.linear = l, .rank = 1 + n % 4, .scale = 0.5f + (float)(n % 3)};
        if (shared && with_last)
            wants[n] = wants[n - 1], wants[n].linear = l, wants[n].shares_a = true;
        n++;
    }
    int code = lora_init(a, m, wants, n, e);
    mem_free(wants);
    if (code)
        return code;
    lora_initialize(a, seed);
    rng_init(&r, seed, 77);
    for (size_t i = 0; i < a->n_pairs; i++)
        rng_fill_normal(&r, a->pairs[i].b->value, a->pairs[i].linear->weight->rows * a->pairs[i].rank, 0.1f);
    return OK;
}

/* Adds the adapters to weights that are f32 in own memory. */
__attribute__((unused)) static void merge_in_memory(struct model *m, const struct lora_adapter *adapters, size_t n)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct param *p = &m->params[i];
        for (size_t j = 0; j < n; j++)
            if (lora_whole_values(&adapters[j], p))
                memcpy(p->value, lora_whole_values(&adapters[j], p), p->count * sizeof *p->value);
        if (!p->value || !lora_merges(adapters, n, p))
            continue;
        size_t *which = mem_alloc(p->rows, sizeof *which);
        for (size_t j = 0; j < p->rows; j++)
            which[j] = j;
        lora_merge_rows(adapters, n, p, which, p->rows, p->value);
        mem_free(which);
    }
}

#endif
