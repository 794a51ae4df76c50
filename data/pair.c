#include "data/pair.h"

#include "base/check.h"

#include <string.h>

size_t example_prompt_length(const struct examples *x, size_t i)
{
    size_t n = example_length(x, i);
    const uint8_t *first = n ? memchr(x->learned + x->begin[i], 1, n) : NULL;
    return first ? (size_t)(first - (x->learned + x->begin[i])) : n;
}

size_t pair_shared(struct pair_side a, struct pair_side b)
{
    size_t most = a.n_prompt < b.n_prompt ? a.n_prompt : b.n_prompt, shared = 0;
    while (shared + 1 < most && a.ids[shared] == b.ids[shared])
        shared++;
    return shared;
}

static struct pair_side side(const struct examples *x, size_t i)
{
    CHECK(i < x->count);
    return (struct pair_side){x->ids + x->begin[i], example_length(x, i), example_prompt_length(x, i)};
}

size_t example_pair_shared(const struct examples *x, size_t pair)
{
    return pair_shared(side(x, 2 * pair), side(x, 2 * pair + 1));
}

size_t example_pair_length(const struct examples *x, size_t pair, bool share_prompt)
{
    CHECK(2 * pair + 1 < x->count);
    size_t both = x->begin[2 * pair + 2] - x->begin[2 * pair];
    return share_prompt ? both - example_pair_shared(x, pair) : both;
}

size_t example_pairs_longest(const struct examples *x, bool share_prompt)
{
    size_t longest = 0;
    for (size_t i = 0; i < x->count / 2; i++) {
        size_t n = example_pair_length(x, i, share_prompt);
        longest = n > longest ? n : longest;
    }
    return longest;
}
