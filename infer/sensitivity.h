/* How much a model's predictions change when one matrix alone, or a few together, are rounded to another type: for mixed
 * precision chosen by measurement, as in Dong et al., "HAWQ" (arXiv:1905.03696), but with the change itself in the place of
 * an estimate from curvature.
 *
 *     sensitivity_init(&s, &model, &options, cases, n_cases, e);
 *     for each batch of text:
 *         sensitivity_set_text(&s, ids, n_rows, e);       the model as it is, once
 *         for each case: sensitivity_measure(&s, &case, e);   from the first block that it changes
 *     sensitivity_free(&s);
 *
 * The matrices are rounded as `linnet quantize` rounds them (kernels/quantize.h), through the parameter's view, and
 * products with them are exact: it is the loss of the weights alone. */
#ifndef LINNET_INFER_SENSITIVITY_H
#define LINNET_INFER_SENSITIVITY_H

#include "kernels/output_layer.h"
#include "model/decoder.h"

/* A parameter and what it is rounded to; its columns are whole blocks of that (CHECK). */
struct rounded_matrix {
    struct param *param;
    enum dtype type;
    const float *importance; /* (cols); NULL: none */
    const char *tensor;      /* what errors call it; borrowed */
};

struct sensitivity_case {
    const struct rounded_matrix *matrices; /* borrowed */
    size_t n_matrices;
    double kl;   /* sum over the tokens so far of sum over v of p(v) ln(p(v) / q(v)), p the unrounded model's: at least 0 */
    double nats; /* sum over them of how much -ln of the token that follows has risen: also below 0 */
};

struct sensitivity_options {
    size_t context; /* tokens of a chunk that are predicted from */
    size_t n_rows;  /* chunks at a time, at most */
};

struct sensitivity {
    size_t n_tokens;    /* predicted so far, by each case that was measured with every text */
    double nats;        /* sum of their -ln by the unrounded model */
    /* private */
    struct model *m;
    size_t context, n_rows, most_bytes, most_matrices, columns; /* what the largest case needs */
    struct arena arena;
    struct activations activations;
    struct batch batch;
    struct stream_hook hook;
    float *streams;     /* (layers, N, C) of the unrounded model, behind each block */
    float *logits;      /* (N, V) of the unrounded model */
    float *p;           /* (N, V) probabilities, not normalised to the last bit: */
    double *p_sum;      /* (N) are their sums */
    float *changed;     /* logits of some rows */
    struct sensitivity_row *rows;
    float *tile;        /* rows of a matrix as f32 */
    void *blocks;
    struct param_view *views;
    struct matrix *matrices;
};

/* Chunks at a time so that logits and probabilities take at most some hundred MB; at least one. */
size_t sensitivity_rows(const struct model *m, size_t context);

/* The cases tell what memory is needed; others may be measured that need no more. No parameter of theirs may have a view
 * (CHECK). Reserves the model's positions. ERR_MEMORY. */
int sensitivity_init(struct sensitivity *s, struct model *m, const struct sensitivity_options *o,
                     const struct sensitivity_case *cases, size_t n_cases, struct error *e);
void sensitivity_free(struct sensitivity *s);

/* Runs n_rows chunks, ids (n_rows, context + 1), rows of the embedding (CHECK), through the model as it is: each token but
 * a chunk's first is predicted. ERR_FORMAT when the output is not a number. */
int sensitivity_set_text(struct sensitivity *s, const int32_t *ids, size_t n_rows, struct error *e);
/* Adds to the case's sums what they are for this text. ERR_FORMAT names the matrix that holds what is no number, or
 * numbers too large for the type. */
int sensitivity_measure(struct sensitivity *s, struct sensitivity_case *c, struct error *e);

/* The first block that a case changes; num_hidden_layers where it is the output layer alone. */
size_t sensitivity_first_block(const struct model *m, const struct sensitivity_case *c);

#endif
