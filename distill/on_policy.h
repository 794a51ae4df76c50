/* Rows of what the student itself writes, for generalised knowledge distillation (Agarwal et al., "On-Policy Distillation
 * of Language Models: Learning from Self-Generated Mistakes", 2024, arXiv:2306.13649): with probability lambda a batch's
 * completions are replaced by those of the student to the same prompts, and the teacher, who must be a model of this
 * process, then says what it expects at these tokens. A student that learns only from the dataset's texts never meets
 * its own mistakes.
 *
 * Whether a batch is replaced, as a whole, is a function of (seed, first_row). What is drawn for an example is a function of
 * (seed, number of the row, place in the row), of the prompt and of the student's present weights. So a resumed run has the
 * batches that it would have had, as all micro-batches of a step are filled before its first pass; and nothing depends on
 * how many rows a batch has but the choice itself.
 *
 * Of each example the prompt stays and the rest becomes the continuation, every token of which is a target. The prompt is
 *   - what stands before the last run of learned tokens: of a conversation all up to the assistant's last turn. What is
 *     learned of earlier turns is part of the prompt then, and no target of such a batch;
 *   - of a text that is learned from its second token on, and so has no prompt: its first quarter, at least a token.
 * An example of which nothing is learned stays as it is. Tokens behind the last learned run are left out.
 *
 * A continuation has at most max_new_tokens tokens, and at most as many as there is place: the example's own behind its
 * prompt, and an equal share of what its row has free. One that is alone in its row has all of it. Rows that are packed
 * are all but full: there a continuation is cut at about the length of the dataset's own. Examples stand back to back, and a
 * batch is as long as its longest row, as in data/example_rows.h.
 *
 *     struct on_policy o = {.rows = &rows, .lambda = 0.5, .seed = seed, .max_new_tokens = 256,
 *                           .student = complete_many_completer(&c), .failure = objective.failure};
 *     on_policy_init(&o);
 *     trainer.train = on_policy_loader(&o);   ... train ...
 *     on_policy_free(&o);
 */
#ifndef LINNET_DISTILL_ON_POLICY_H
#define LINNET_DISTILL_ON_POLICY_H

#include "data/completer.h"
#include "data/example_rows.h"
#include "train/objective.h"

struct on_policy_work;

struct on_policy {
    /* filled by the caller, borrowed */
    const struct example_rows *rows;
    double lambda;         /* 0: the rows as they are; 1: always replaced */
    uint64_t seed;
    size_t max_new_tokens; /* 0: as many as there is place */
    struct completer student;
    /* Filled where the student could not complete; the batch is then that of the rows as they are and of no use. May be the
     * objective's own, so that the trainer sees it at the end of the step. */
    struct error *failure;
    struct measure *share; /* each batch adds 1 to its count, and to its sum where it was replaced; NULL: none. May be one
                              of the objective's */
    /* private */
    struct on_policy_work *work;
};

/* lambda is in [0, 1], there is a student and a place for its failure (CHECK). What is borrowed must outlive it. */
void on_policy_init(struct on_policy *o);
void on_policy_free(struct on_policy *o);

/* A loader at the first row, of as many rows as o->rows has. Of batches that are replaced target_numbers are SIZE_MAX: what
 * is stored of the dataset's targets says nothing of them. Batches have room for rows->seq_len (CHECK). */
struct loader on_policy_loader(const struct on_policy *o);

/* Whether the batch that begins at this row is replaced. */
bool on_policy_chosen(const struct on_policy *o, uint64_t first_row);
/* Whether the last batch that was filled was. */
bool on_policy_was_last(const struct on_policy *o);

#endif
