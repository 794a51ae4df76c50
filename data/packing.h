/* Which examples share a row: bin packing by best fit, the longest first. Each goes where the least room is left that
 * it fits into, or opens a new row. Nothing is cut, and next to nothing is wasted when there are many short examples
 * (Ding et al., "Fewer Truncations Improve Language Modeling", 2024, arXiv:2404.10830). */
#ifndef LINNET_DATA_PACKING_H
#define LINNET_DATA_PACKING_H

#include <stddef.h>

struct packing {
    size_t capacity; /* of a row, in tokens */
    size_t n_rows;
    size_t *begin;   /* (n_rows + 1): row r holds items[begin[r]] to items[begin[r + 1]] */
    size_t *items;   /* (n) numbers of examples, each once */
    size_t used;     /* tokens of all rows */
};

/* Packs n examples of these lengths, each from 0 to `capacity`, which is at most INT32_MAX (CHECK). O(n log capacity +
 * capacity) in time. The result depends on the arguments alone; within a row the longest stands first, of equal ones
 * that with the lower number. packing_free. */
void packing_best_fit(struct packing *p, const size_t *lengths, size_t n, size_t capacity);
/* One example a row, in their order. */
void packing_one_each(struct packing *p, const size_t *lengths, size_t n, size_t capacity);
void packing_free(struct packing *p);

/* How full the rows are, of their capacity: 0 to 1; 1 where there are no rows. */
double packing_share(const struct packing *p);

#endif
