/* How large the inputs are that each column of a model's matrices sees: the sums that importance matrices
 * are made of. A hook on every linear layer (model/linear.h) adds up squares while text runs through the
 * model. */
#ifndef LINNET_INFER_IMPORTANCE_H
#define LINNET_INFER_IMPORTANCE_H

#include "infer/score.h"
#include "model/tensors.h"

/* One tensor of the model's GGUF file. Matrices that share a tensor by rows (attn_qkv) read the same input,
 * which counts once. What an expert's `down` reads is taken before the router's weight is on it, as
 * llama.cpp multiplies it afterwards. */
struct importance_input {
    const char *name;
    size_t n_cols, n_experts; /* 1 but for experts */
    double *sums;             /* (n_experts, n_cols) of squares */
    size_t *counts;           /* (n_experts) rows that were added */
};

struct importance {
    struct model *model;
    size_t context, n_rows;
    struct importance_input *inputs; /* in the order of the parameter table */
    size_t n_inputs;
    size_t n_chunks;                 /* that were run */
    struct score score;              /* of the second half of each chunk, as llama.cpp's perplexity */
    double *similarity;              /* (num_hidden_layers) sums over tokens of the cosine between the residual stream
                                        that enters a layer and the one that leaves it; NULL unless asked for */
    size_t n_tokens;                 /* that were run */
    /* private */
    struct tensor_list list;
    struct importance_input **input_of; /* (n_params); NULL: not measured, or by another part of its tensor */
    struct importance_input *head, *broken; /* or NULL */
    struct linear_hook hook;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    float *scratch;
    size_t row;                      /* chunks that wait in the batch */
};

struct importance_options {
    size_t context; /* tokens of a chunk, at least 4 (CHECK) */
    size_t n_rows;  /* chunks at a time */
    bool head;      /* the output layer too, under the embedding's name where it is the embedding */
    bool similarity; /* of what enters and leaves each layer too: keeps every layer's input of a batch */
};

/* Hooks every linear layer of the blocks, none of which may have a hook (CHECK), until importance_free: *im
 * must stay where it is. Reserves the model's positions. ERR_MEMORY. */
int importance_init(struct importance *im, struct model *m, const struct importance_options *o,
                    struct error *e);
void importance_free(struct importance *im);

/* Adds a chunk of `context` tokens, rows of the embedding (CHECK). Runs whole batches as they fill; finish
 * runs what is left, after which sums and score are complete. ERR_FORMAT when an input is not finite, or its
 * square more than f32 holds: names the tensor; with `similarity` also when what a layer gives is not. */
int importance_add(struct importance *im, const int32_t *ids, struct error *e);
int importance_finish(struct importance *im, struct error *e);

/* The sums of squares of a matrix's columns (cols) and, unless `count` is NULL, how many rows were added; NULL: it was
 * not measured, or as a part of the tensor that it shares. */
const double *importance_sums(const struct importance *im, const struct param *p, size_t *count);

#endif
