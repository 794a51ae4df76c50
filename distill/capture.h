/* A teacher's distributions over a dataset, from the model to a dump.
 *
 * Examples run in their order, as many of them in one forward pass as fit into a row of the decoder's batch; none sees
 * another. Which share a pass depends on their lengths alone, so that a capture that was stopped and goes on computes
 * the same numbers. The output layer runs over blocks of the rows that are supervised, never over all of a pass; but a
 * dense capture holds all distributions of one example. */
#ifndef LINNET_DISTILL_CAPTURE_H
#define LINNET_DISTILL_CAPTURE_H

#include "data/example.h"
#include "distill/dump.h"
#include "distill/selection.h"
#include "model/decoder.h"

struct capture_options {
    bool dense;                 /* every token's logit, and of `selection` the temperature alone */
    struct selection selection;
    size_t context;             /* the longest example in tokens (CHECK); what rotary angles are made for */
};

struct capture {
    struct model *model;
    const struct examples *examples;
    struct capture_options options;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    float *logits, *gathered; /* of a block of rows */
    size_t block_rows;
    struct capture_target *targets; /* of the pass */
    size_t n_targets;
    struct soft_targets rows; /* what is kept of them; its arrays: */
    size_t most;
    size_t *begin;
    int32_t *ids;
    float *log_probs, *log_tail;
    size_t first;  /* examples before this one are not written */
    size_t next;   /* the example that the next pass begins with */
    size_t next_position; /* and the number of its first supervised token */
    /* of what was written: */
    size_t n_tokens, n_positions, n_entries;
};

/* Memory for passes over the examples, of which all tokens must be rows of the embedding: ERR_USAGE names the first that
 * is not. Goes on behind the first n_done examples. Reserves the model's positions. Model and examples must outlive the
 * capture and stay as they are. ERR_MEMORY. capture_free in any case. */
int capture_init(struct capture *c, struct model *m, const struct examples *x, const struct capture_options *o,
                 size_t n_done, struct error *e);
void capture_free(struct capture *c);

/* Whether all examples were written. */
bool capture_is_done(const struct capture *c);

/* Runs one pass and adds its examples to the dump. Deterministic for any number of threads but for the model's own
 * products. ERR_FORMAT names the example whose output is not a number; otherwise dump_writer_add's errors. */
int capture_pass(struct capture *c, struct dump_writer *w, struct error *e);

/* What a pass costs: one over at most `most_tokens` of the first examples, which is not written. How many tokens and
 * positions that were and entries of the positions. ERR_FORMAT as capture_pass. */
struct capture_trial {
    size_t n_tokens, n_positions, n_entries;
};
int capture_try(struct capture *c, size_t most_tokens, struct capture_trial *trial, struct error *e);

#endif
