/* What is kept of one distribution over the vocabulary: its likeliest tokens, what they leave to the others, and where
 * asked for, tokens drawn from those others. */
#ifndef LINNET_DISTILL_SELECTION_H
#define LINNET_DISTILL_SELECTION_H

#include <stddef.h>
#include <stdint.h>

struct selection {
    size_t k;           /* the likeliest, exactly; of equals those with the lower ids. More than there are: all */
    double cumulative;  /* fewer of them, as soon as their probabilities sum to this; 0: k */
    size_t samples;     /* drawn from the others, each with the others' distribution; 0: none */
    double temperature; /* > 0: of softmax(logits / temperature) */
    uint64_t seed;      /* of the draws, which are a function of it and of the position's number */
};

/* Entries of a row at most, and floats of scratch for a row of v logits. */
size_t selection_most(const struct selection *s, size_t v);
size_t selection_scratch(const struct selection *s, size_t v);

/* One row: ids, ascending, and log-probabilities of what is kept, and *log_tail of the probability of all others, a sum
 * of its own and no difference to 1 (-infinity: there are none). Returns how many; 0: the logits are not numbers, or all
 * are -infinity. Tokens of probability 0 are never kept.
 *
 * With samples, a drawn token has the weight tail * multiplicity / samples as its probability, and *log_tail is
 * -infinity: an unbiased estimate of the distribution (Anshumann et al., "Sparse Logit Sampling", 2025).
 *
 * The logits (v) are overwritten. Runs on the calling thread. Several vectorised passes over the row and a selection
 * among the maxima of its blocks, instead of a sort: the k-th largest of these maxima is no larger than the k-th largest
 * logit, and few logits lie between. */
size_t selection_row(const struct selection *s, float *logits, size_t v, uint64_t position, float *scratch, int32_t *ids,
                     float *log_probs, float *log_tail);

#endif
