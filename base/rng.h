/* Random numbers: xoshiro256** (Blackman and Vigna, 2018) for sequences, whose four words are the
 * whole state and go into checkpoints; a stateless hash for values indexed by position (dropout),
 * so that they do not depend on the number of threads. */
#ifndef LINNET_BASE_RNG_H
#define LINNET_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* Independent sequences for different (seed, stream) pairs. */
void rng_init(struct rng *r, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *r);
double rng_uniform(struct rng *r);                  /* [0, 1), 53 bits */
uint64_t rng_below(struct rng *r, uint64_t bound);  /* [0, bound), unbiased; bound > 0 */
/* n independent normal deviates of the given standard deviation (Box-Muller). */
void rng_fill_normal(struct rng *r, float *out, size_t n, float std);
/* Fisher-Yates over n indices. */
void rng_shuffle(struct rng *r, uint32_t *items, size_t n);

/* The i-th 64-bit value of a stream, in any order (splitmix64's finaliser). */
static inline uint64_t rng_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

/* A bijection of [0, n), another for every key, computed item by item so that nothing is stored for it: a Feistel network
 * with cycle walking (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). */
uint64_t rng_permute(uint64_t i, uint64_t n, uint64_t key);

#endif
