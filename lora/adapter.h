/* Low-rank adapters (Hu et al., 2021, arXiv:2106.09685): y = W x + scale B A x for linear layers of a model, through
 * the linear hook. What W is stored as does not matter.
 *
 *     lora_load("adapter", &model, &a, e);     (lora/load.h; lora_create of lora/options.h makes a new one)
 *     lora_attach(&a);
 *     ... forward passes ...
 *     lora_detach(&a);
 *     lora_free(&a);
 *
 * A pair with a magnitude m is DoRA's (Liu et al., 2024, arXiv:2402.09353): row i of the product is that of the weight
 * m_i (W + scale B A)_i / |(W + scale B A)_i|. As PEFT has it, no gradient goes through the norm, the bias stays as it
 * is, and with dropout what W gives is kept and only what is added to it sees fewer inputs.
 *
 * What trains is a->all: without gradients (params_attach_gradients) an attached adapter is frozen, and they only go
 * through it. The adapter must be attached while it trains.
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
    struct param *a;      /* (rank, in) */
    struct param *b;      /* (out, rank) */
    struct param *magnitude; /* (out) DoRA's; NULL: none */
    float scale;
    const float *start_a, *start_b; /* as A and B; their product is taken away (PiSSA). NULL: none */
    float *norm;          /* (out) with a magnitude: |(W + scale B A)_i| as of the last forward pass */
    bool norm_is_known;
    bool in_weight;       /* the weight that products read has it in it (qat/qat.h): the hook has gradients alone */
    struct lora_adapter *adapter;
    struct linear_hook hook;
    const struct linear_hook *before; /* the layer's hook when this was attached */
};

/* A parameter of the model that the adapter has values of its own for, f32: PEFT's modules_to_save. While the adapter is
 * attached they are the parameter's. */
struct lora_whole {
    struct param *param;
    struct param other; /* the parameter's data, value and type, and what else says how it is stored, of the state that it
                           is not in: the model's own while attached, else the adapter's */
};

struct lora_adapter {
    struct model *model;
    struct lora_pair *pairs;  /* in the order of the parameter table */
    size_t n_pairs;
    struct param *params;     /* all As, Bs and magnitudes: each is in one place of `all` */
    struct lora_whole *wholes;
    size_t n_wholes;
    struct param_list all;    /* and the whole parameters, which are the model's */
    size_t n_values;          /* elements of all of them */
    float strength;           /* what is added to the model is multiplied by it: 1 until the user says otherwise. Whole
                                 parameters are the adapter's at every strength */
    double dropout;           /* each input of A is left out with this probability, the others are multiplied by
                                 1 / (1 - dropout), unless the model's dropout_seed is 0 */
    bool rank_stabilised;     /* scales are alpha / sqrt(rank) (Kalajdzievski, 2023, arXiv:2312.03732): for files */
    struct arena values, start; /* start: PiSSA's */
    uint64_t base;            /* the model_fingerprint of the base it was trained on, where that is known, else of `model` */
    bool attached;
    float *low;               /* scratch */
    size_t low_size;
    float *work, *tile;       /* more of it, for dropout and magnitudes */
    size_t work_size, tile_size;
};

/* The layer whose weight this is, NULL: none (the embedding is one only for an output layer of its own). */
struct linear *lora_linear(struct model *m, const struct param *weight);

/* A pair as asked for: of a layer, with a scale. `shares_a`: its A is that of the pair before. `magnitude`: DoRA. */
struct lora_want {
    struct linear *linear;
    size_t rank;
    float scale;
    bool shares_a, magnitude;
};
/* Memory for n pairs, all zeros. The model and the adapter must not move in memory while the adapter lives. ERR_MEMORY. */
int lora_init(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n, struct error *e);
/* The same, and n_wholes parameters of the model that the adapter holds, with the values that they have now. No pair may
 * be of one of them (CHECK). */
int lora_init_with(struct lora_adapter *a, struct model *m, const struct lora_want *wants, size_t n,
                   struct param *const *wholes, size_t n_wholes, struct error *e);
void lora_free(struct lora_adapter *a); /* must not be attached (CHECK) */
/* How training begins (Hu et al.): A uniform within 1 / sqrt(in) either way, as PEFT has it, and B 0; magnitudes are what
 * the rows of W have. */
void lora_initialize(struct lora_adapter *a, uint64_t seed);
/* How it begins with PiSSA (Meng et al., 2024, arXiv:2404.02948): scale B A is the product of rank `rank` next to W, and
 * what is trained is y = W x + scale (B A - B0 A0) x, B0 A0 being what it begins as: the model's own weights stay. By a
 * randomised SVD (Halko et al., 2011, arXiv:0909.4061). Written, it is an ordinary adapter of twice the rank. The pairs
 * must have no magnitudes (CHECK). ERR_MEMORY. */
int lora_initialize_pissa(struct lora_adapter *a, uint64_t seed, struct error *e);
/* Bytes that the hooks of an attached adapter keep once forward and backward passes over n rows were run: what grows to
 * the largest layer's need, of all but the adapter itself. */
size_t lora_scratch_bytes(const struct lora_adapter *a, size_t n);
/* To be called when the numbers of an adapter that has no gradients were changed since it was last used. */
void lora_changed(struct lora_adapter *a);

/* The adapter attached last is the first to be detached (CHECK). */
void lora_attach(struct lora_adapter *a);
void lora_detach(struct lora_adapter *a);

/* What a pair adds to rows of its weight: rows (n, in) += strength (W' - W) for the rows `which` (n) as the model holds
 * them; W' - W is scale (B A - B0 A0), or with a magnitude what is above less W. `base` (n, in): those rows of W, f32, as
 * they are without any adapter; it may be `rows`. */
void lora_pair_merge(const struct lora_pair *p, const size_t *which, size_t n, const float *base, float *rows);
/* The adapter's own values of a parameter, (rows, cols) f32; NULL: it has none. The model must not be split (CHECK). */
const float *lora_whole_values(const struct lora_adapter *a, const struct param *p);

#endif
