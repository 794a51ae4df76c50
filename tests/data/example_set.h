/* Examples of random tokens, without a file that they come from. */
#ifndef LINNET_TESTS_DATA_EXAMPLE_SET_H
#define LINNET_TESTS_DATA_EXAMPLE_SET_H

#include "base/memory.h"
#include "base/rng.h"
#include "data/example.h"

/* n examples of `shortest` to `longest` tokens below `vocab_size`; about half of the tokens are learned, never an
 * example's first. Without vocab_size, token i of all is i. */
static struct examples example_set(size_t n, size_t shortest, size_t longest, size_t vocab_size, uint64_t seed)
{
    struct examples x = {.count = n, .begin = mem_zero(n + 1, sizeof *x.begin)};
    struct rng rng;
    rng_init(&rng, seed, 0);
    for (size_t i = 0; i < n; i++)
        x.begin[i + 1] = x.begin[i] + shortest + rng_below(&rng, longest - shortest + 1);
    x.ids = mem_alloc(x.begin[n], sizeof *x.ids);
    x.learned = mem_alloc(x.begin[n], sizeof *x.learned);
    for (size_t i = 0; i < n; i++)
        for (size_t k = x.begin[i]; k < x.begin[i + 1]; k++) {
            x.ids[k] = (int32_t)(vocab_size ? rng_below(&rng, vocab_size) : k);
            x.learned[k] = k > x.begin[i] && rng_below(&rng, 2);
        }
    return x;
}

static void example_set_free(struct examples *x)
{
    mem_free(x->begin);
    mem_free(x->ids);
    mem_free(x->learned);
    *x = (struct examples){0};
}

#endif
