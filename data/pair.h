/* Pairs of examples, for what learns from two answers to one prompt: numbers 2i and 2i+1 of struct examples.
 *
 * What they share is the beginning of their prompt: the tokens that both begin with, but at most up to, and without, the
 * last token before the first learned one of either. So that token stands in the rest of both, and every target is
 * predicted from within the rest of its own example. */
#ifndef LINNET_DATA_PAIR_H
#define LINNET_DATA_PAIR_H

#include "data/example.h"

/* The tokens of an example before its first learned one; all where none is learned. */
size_t example_prompt_length(const struct examples *x, size_t i);

/* How many tokens examples 2 * pair and 2 * pair + 1 share; fewer than either has. */
size_t example_pair_shared(const struct examples *x, size_t pair);
/* What the pair takes of a row: with share_prompt, what is shared counts once. */
size_t example_pair_length(const struct examples *x, size_t pair, bool share_prompt);
/* The longest of all pairs; 0 of none. */
size_t example_pairs_longest(const struct examples *x, bool share_prompt);

/* The same for tokens that are in no struct examples. */
struct pair_side {
    const int32_t *ids;
    size_t n, n_prompt; /* all of them, and those before the first learned one */
};
size_t pair_shared(struct pair_side a, struct pair_side b);

#endif
