/* 64-bit content hashes: XXH64 (https://github.com/Cyan4973/xxHash, specification 0.1.1). They
 * guard against accidents (a torn file, another tokenizer), not against an adversary. */
#ifndef LINNET_BASE_HASH_H
#define LINNET_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *bytes, size_t n, uint64_t seed);

/* Mixes one word into a running hash; order matters. */
uint64_t hash64_combine(uint64_t hash, uint64_t value);

#endif
