/* Mixes: which type each matrix of a quantised model gets. A mix has a usual type; matrices whose rounding costs most
 * get a larger one, in some layers or all. The rules are llama.cpp's (its public src/llama-quant.cpp,
 * llama_tensor_get_type), as rows of a table, so that a file has the types that llama-quantize would give it. */
#ifndef LINNET_QAT_MIX_H
#define LINNET_QAT_MIX_H

#include "model/tensors.h"

struct mix {
    const char *name;   /* "Q4_K_M" */
    enum dtype type;    /* of most matrices */
    unsigned file_type; /* llama.cpp's number: general.file_type */
};

/* In any case, also under llama.cpp's shorter names ("Q4_K" for Q4_K_M). ERR_USAGE names `flag` and the nearest one, or all. */
int mix_find(const char *flag, const char *name, const struct mix **mix, struct error *e);
/* Of the table, in its order; NULL past the end. */
const struct mix *mix_at(size_t i);
/* "Q4_0, Q4_1, ...", as a string that lives on. */
const char *mix_names(void);

/* What the rules look at. */
struct mix_facts {
    size_t n_layers, n_experts;
    bool grouped;    /* 4 or more query heads to a head of keys */
    bool seventy_b;  /* the 80 layers of Llama 2 and 3 70B, Qwen2 72B */
    bool tied;       /* the file has no output layer of its own */
    bool importance; /* there is an importance matrix */
};
struct mix_facts mix_facts_of(const struct model *m, const struct tensor_list *list, bool importance);

/* The type of a matrix by the mix's rules, whether its columns fit or not. */
enum dtype mix_type(const struct mix *mix, const struct mix_facts *f, const struct tensor *t);
/* What stands in for `type` where n columns are no whole blocks of it: a type of about the size in blocks of 32, or
 * F16 where 32 does not divide them either; `type` itself where they are. */
enum dtype mix_fallback(enum dtype type, size_t n_cols);

#endif
