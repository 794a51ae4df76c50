/* Which right answers to a question stand against which wrong ones. */
#ifndef LINNET_DATA_ANSWER_PAIRS_H
#define LINNET_DATA_ANSWER_PAIRS_H

#include <stddef.h>
#include <stdint.h>

struct answer_pair {
    size_t right, wrong; /* numbers of answers, from 0 */
};

/* Fills `out` (most) with pairs of n_right and n_wrong answers, no two of them the same, and returns how many there are: most
 * or all n_right * n_wrong. Of the right answers none is used more than once more often than another, nor of the wrong ones.
 * Which ones are used more, and who stands against whom, is drawn from the seed. */
size_t answer_pairs(size_t n_right, size_t n_wrong, size_t most, uint64_t seed, struct answer_pair *out);

#endif
