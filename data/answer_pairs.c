#include "data/answer_pairs.h"

#include "base/rng.h"

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Pair k is (k mod n, k mod m), which repeats after the least common multiple of both; each round after that is shifted by
 * one more, and those of the rounds differ in (wrong - right) mod the common divisor, of which there are as many as rounds. */
size_t answer_pairs(size_t n_right, size_t n_wrong, size_t most, uint64_t seed, struct answer_pair *out)
{
    size_t n = 0;
    if (n_right == 0 || n_wrong == 0)
        return 0;
    size_t rounds = common_divisor(n_right, n_wrong), round = n_right / rounds * n_wrong;
    uint64_t right_key = rng_at(seed, 0), wrong_key = rng_at(seed, 1);
    for (; n < most && n / round < rounds; n++)
        out[n] = (struct answer_pair){.right = rng_permute(n % n_right, n_right, right_key),
                                      .wrong = rng_permute((n + n / round) % n_wrong, n_wrong, wrong_key)};
    return n;
}
