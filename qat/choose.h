/* Which size each of several things gets, so that what is lost in all is least within a budget: mixed precision.
 *
 * Each thing has a few points of size and loss. On the lower convex hull of those, every step to the next size has a gain for
 * each byte, less from step to step; taking the steps of all things in the order of that gain is the optimum for every
 * budget that a step ends at, by Lagrange's multiplier (Everett, 1963; Shoham and Gersho, "Efficient Bit Allocation for an
 * Arbitrary Set of Quantizers", IEEE Transactions on Acoustics, Speech, and Signal Processing 36, 1988). Between two such
 * budgets the loss is above the optimum by no more than what the step gains that no longer fits; smaller steps behind it
 * are still taken where they do. */
#ifndef LINNET_QAT_CHOOSE_H
#define LINNET_QAT_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>

struct choice_point {
    size_t size; /* bytes */
    double loss; /* finite */
};
struct choice_item {
    const struct choice_point *points; /* in any order */
    size_t n_points;                   /* at least one (CHECK) */
};

/* chosen (n): the index of each item's point. False where not even the smallest of all fit into the budget: those are
 * chosen then. A larger point that loses no less is never chosen, and of equals the first; the items' order decides between
 * steps of the same gain. Sizes must sum to less than SIZE_MAX. */
bool choose_within(const struct choice_item *items, size_t n, size_t budget, size_t *chosen);

#endif
