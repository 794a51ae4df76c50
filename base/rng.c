#include "base/rng.h"

#include "base/check.h"

#include <math.h>

void rng_init(struct rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t mixed = rng_at(seed, stream);
    for (uint64_t i = 0; i < 4; i++)
        r->s[i] = rng_at(mixed, i);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rng_uniform(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    CHECK(bound > 0);
    uint64_t threshold = -bound % bound; /* rejects the values that would favour small results */
    for (;;) {
        uint64_t x = rng_next(r);
        if (x >= threshold)
            return x % bound;
    }
}

void rng_fill_normal(struct rng *r, float *out, size_t n, float std)
{
    const double two_pi = 6.283185307179586476925;
    for (size_t i = 0; i < n; i += 2) {
        double radius = sqrt(-2.0 * log(1.0 - rng_uniform(r))), angle = two_pi * rng_uniform(r);
        out[i] = (float)(radius * cos(angle)) * std;
        if (i + 1 < n)
            out[i + 1] = (float)(radius * sin(angle)) * std;
    }
}

void rng_shuffle(struct rng *r, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, i);
        uint32_t t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

/* A bijection of [0, 2^(2 * half)). */
static uint64_t feistel(uint64_t x, uint64_t key, int half)
{
    uint64_t mask = ((uint64_t)1 << half) - 1, left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < 6; round++) {
        uint64_t next = left ^ (rng_at(key + round, right) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

/* Follows the larger bijection's cycle until it is back inside. */
uint64_t rng_permute(uint64_t i, uint64_t n, uint64_t key)
{
    int half = 1;
    while ((uint64_t)1 << (2 * half) < n)
        half++;
    do
        i = feistel(i, key, half);
    while (i >= n);
    return i;
}
