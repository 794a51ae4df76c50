/* 64-bit content hashes: XXH64 (https://github.com/Cyan4973/xxHash, specification 0.1.1). They
 * guard against accidents (a torn file, another tokenizer), not against an adversary. */
#ifndef LINNET_BASE_HASH_H
#define LINNET_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *bytes, size_t n, uint64_t seed);

/* The same hash of bytes that arrive in pieces. */
struct hash64_state {
    uint64_t seed, total;
    uint64_t lanes[4];
    unsigned char rest[32]; /* the last total % 32 bytes */
};

void hash64_begin(struct hash64_state *s, uint64_t seed);
void hash64_update(struct hash64_state *s, const void *bytes, size_t n);
uint64_t hash64_end(const struct hash64_state *s); /* may be continued with hash64_update */

/* Mixes one word into a running hash; order matters. */
uint64_t hash64_combine(uint64_t hash, uint64_t value);

#endif
