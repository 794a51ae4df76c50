/* Low-rank adapters (Hu et al., 2021, arXiv:2106.09685): y = W x + scale B A x for linear layers of a model, through
 * the linear hook. What W is stored as does not matter.
 *
 *     lora_load("adapter", &model, &a, e);     (lora/load.h)
 *     lora_attach(&a);
 *     ... forward passes ...
 *     lora_detach(&a);
 *     lora_free(&a);
 *
 * Several may be attached at once: their sum is added. Forward passes of a model with adapters are run one at a time,
 * for they share scratch memory. What was computed before (a cache of keys and values) is of no use after either call. */
#ifndef LINNET_LORA_ADAPTER_H
#define LINNET_LORA_ADAPTER_H

#include "model/model.h"

struct lora_adapter;

/* What is added to one linear layer. Rows of B are in the order of the rows of the layer's weight as the model holds
 * it. Pairs whose layers share a tensor of the file (q, k and v in Phi-3's qkv_proj) may share A. */
struct lora_pair {
    struct linear *linear;
    size_t rank;
    float *a;             /* (rank, in) */
    float *b;             /* (out, rank) */
    float *da, *db;       /* their gradients, to which backward passes add; NULL: frozen */
    float scale;
    struct lora_adapter *adapter;
    struct linear_hook hook;
    const struct linear_hook *before; /* the layer's hook when this was attached */
};

struct lora_adapter {
    struct model *model;
    struct lora_pair *pairs;  /* in the order of the parameter table */
    size_t n_pairs;
    size_t n_values;          /* elements of all As and Bs */
    float strength;           /* all scales are multiplied by it: 1 until the user says otherwise. At 0 a
                               forward pass costs nothing. It may change between passes */
    struct arena values;
    bool attached;
    float *low;               /* scratch */
    size_t low_size;
};

/* The layer whose weight this is, NULL: none (the embedding is one only for an output layer of its own). */
struct linear *lora_linear(struct model *m, const struct param *weight);

/* A pair as asked for: of a layer, with a scale. `shares_a`: its A is that of the pair before. */
struct lora_want {
    struct linear *linear;
    size_t rank;
    float scale;
    bool shares_a;
};
/* Memory for n pairs, all zeros. The model and the adapter must not move in memory while the adapter lives. ERR_MEMORY. */
int lora_init(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n, struct error *e);
void lora_free(struct lora_adapter *a); /* must not be attached (CHECK) */
/* How training begins (Hu et al.): A uniform within 1 / sqrt(in) either way, as PEFT has it, and B 0. */
void lora_initialize(struct lora_adapter *a, uint64_t seed);

/* Gives every A and B a gradient of zeros from the arena (or measures), as pairs share A also its gradient; and back to
 * zeros. Without them an attached adapter is frozen: gradients only go through it. */
void lora_attach_gradients(struct lora_adapter *a, struct arena *arena);
void lora_clear_gradients(struct lora_adapter *a);

/* The adapter attached last is the first to be detached (CHECK). */
void lora_attach(struct lora_adapter *a);
void lora_detach(struct lora_adapter *a);

/* Adds the adapter to the model's weights for good: W += scale B A. ERR_USAGE, with the model unchanged, where a weight
 * is not f32 in own memory, or is also the embedding. */
int lora_merge(const struct lora_adapter *a, struct error *e);

#endif
